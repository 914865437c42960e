//! Frames of [`godwit_wire::sse`], spoiled.

use bytes::Bytes;
use serde_json::Value;

const DATA: &[u8] = b"\ndata: ";

/// Whether it is a message of an inbox.
pub(super) fn is_message(frame: &[u8]) -> bool {
    split_id(frame).1.starts_with(b"event: message\n")
}

/// Two events, the first with the id of its own and what the second says, and the other way round.
pub(super) fn crossed(first: &[u8], second: &[u8]) -> Bytes {
    let ((first_id, first), (second_id, second)) = (split_id(first), split_id(second));
    [first_id, second, second_id, first].concat().into()
}

/// The event without its `id` field.
pub(super) fn without_event_id(frame: &[u8]) -> Bytes {
    Bytes::copy_from_slice(split_id(frame).1)
}

/// The event with the id of a message that there is not.
pub(super) fn with_another_id(frame: &[u8]) -> Bytes {
    edited(frame, |data| data["id"] = "00000000-0000-8000-8000-000000000000".into())
}

/// The event with data that has no `seq`.
pub(super) fn without_seq(frame: &[u8]) -> Bytes {
    edited(frame, |data| {
        data.as_object_mut().map(|fields| fields.remove("seq"));
    })
}

/// The `id` field with its line end, and the rest.
fn split_id(frame: &[u8]) -> (&[u8], &[u8]) {
    match frame.iter().position(|byte| *byte == b'\n') {
        Some(end) if frame.starts_with(b"id: ") => frame.split_at(end + 1),
        _ => (&[], frame),
    }
}

/// What has no data is left as it is.
fn edited(frame: &[u8], edit: impl FnOnce(&mut Value)) -> Bytes {
    let data_at = frame.windows(DATA.len()).position(|window| window == DATA).map(|at| at + DATA.len());
    let (head, data) = frame.split_at(data_at.unwrap_or(frame.len()));
    match serde_json::from_slice(data) {
        Ok(mut value) => {
            edit(&mut value);
            [head, value.to_string().as_bytes(), b"\n\n"].concat().into()
        }
        Err(_) => Bytes::copy_from_slice(frame),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] = b"id: 4-7-jawi\nevent: message\ndata: {\"id\":\"m1\",\"seq\":1}\n\n";
    const SECOND: &[u8] = b"id: 4-8-jawi\nevent: message\ndata: {\"id\":\"m2\",\"seq\":2}\n\n";

    #[test]
    fn a_message_is_told_from_the_rest() {
        assert!(is_message(FIRST));
        for other in
            ["event: gap\ndata: {}\n\n", "id: 4-7-jawi\nevent: message_updated\ndata: {}\n\n", ":\n\n"]
        {
            assert!(!is_message(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn one_thing_is_wrong_and_the_rest_is_right() {
        let text = |frame: Bytes| String::from_utf8(frame.to_vec()).unwrap();
        let data = |id: u8, m: u8| {
            format!("id: 4-{id}-jawi\nevent: message\ndata: {{\"id\":\"m{m}\",\"seq\":{m}}}\n\n")
        };
        assert_eq!(text(crossed(FIRST, SECOND)), data(7, 2) + &data(8, 1));
        assert_eq!(text(without_event_id(FIRST)), data(7, 1).split_once('\n').unwrap().1);
        assert_eq!(text(without_seq(FIRST)), data(7, 1).replace(",\"seq\":1", ""));
        let another = text(with_another_id(FIRST));
        assert!(!another.contains("\"m1\"") && another.contains("\"seq\":1}\n\n"), "{another}");
    }
}

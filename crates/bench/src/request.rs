//! Requests that are made beforehand: what changes from one to the next is written over in place.

use serde_json::json;

/// The text of every message: 200 bytes, as the project's aims say.
const TEXT_BYTES: usize = 200;

/// Digits of a `client_id`.
const DIGITS: usize = 16;

/// A whole request, head and body, without a body of its own.
pub(crate) fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// A whole request with a JSON body.
pub(crate) fn post(path: &str, token: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A request with messages, of which each sending has `client_id`s of its own.
#[derive(Debug)]
pub(crate) struct Posting {
    bytes: Vec<u8>,
    /// Where in `bytes` the `client_id`s stand.
    slots: Vec<usize>,
}

impl Posting {
    /// One message: `POST …/messages`.
    pub(crate) fn single(conversation: &str, token: &str) -> Self {
        let path = format!("/v1/conversations/{conversation}/messages");
        let message = json!({"client_id": mark(), "body": text()});
        Self::new(post(&path, token, &message.to_string()))
    }

    /// So many messages for one conversation: `POST /v1/messages`.
    pub(crate) fn batch(conversation: &str, token: &str, messages: usize) -> Self {
        let message = json!({"conversation_id": conversation, "client_id": mark(), "body": text()});
        let outbox = json!({"messages": vec![message; messages]});
        Self::new(post("/v1/messages", token, &outbox.to_string()))
    }

    fn new(bytes: Vec<u8>) -> Self {
        let slots = memchr::memmem::find_iter(&bytes, &mark()).collect();
        Self { bytes, slots }
    }

    /// How many messages one sending has.
    pub(crate) fn messages(&self) -> usize {
        self.slots.len()
    }

    /// The request with `client_id`s of these numbers, counted up from `first`.
    pub(crate) fn stamped(&mut self, first: u64) -> &[u8] {
        for (number, &slot) in (first..).zip(&self.slots) {
            self.bytes[slot..slot + DIGITS].copy_from_slice(&digits(number));
        }
        &self.bytes
    }
}

/// A `client_id` of this number: hexadecimal, always 16 digits.
fn digits(number: u64) -> [u8; DIGITS] {
    std::array::from_fn(|at| {
        let digit = (number >> (4 * (DIGITS - 1 - at))) & 0xf;
        b"0123456789abcdef"[digit as usize]
    })
}

/// The number of a `client_id`, if it is one of [`digits`].
pub(crate) fn number(client_id: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(client_id.get(..DIGITS)?).ok()?, 16).ok()
}

/// Stands for a `client_id` until one is written over it, and nowhere else in a request.
fn mark() -> String {
    "#".repeat(DIGITS)
}

fn text() -> serde_json::Value {
    json!({"type": "text", "text": "x".repeat(TEXT_BYTES)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sending_has_new_client_ids_and_the_same_length() {
        let mut posting = Posting::batch("c1", "token", 3);
        assert_eq!(posting.messages(), 3);
        let first = posting.stamped(0xfe).to_vec();
        let text = String::from_utf8(first.clone()).unwrap();
        for id in ["\"00000000000000fe\"", "\"00000000000000ff\"", "\"0000000000000100\""] {
            assert_eq!(text.matches(id).count(), 1, "{id} in {text}");
        }
        assert!(!text.contains('#'));
        assert_eq!(posting.stamped(u64::MAX - 9).len(), first.len());
    }

    #[test]
    fn a_client_id_gives_its_number_back() {
        for value in [0, 1, 0xdead_beef, u64::MAX] {
            assert_eq!(number(&digits(value)), Some(value));
        }
        assert_eq!(number(b"12"), None);
        assert_eq!(number(b"something-else-x"), None);
    }

    #[test]
    fn the_length_is_that_of_the_body() {
        let request = String::from_utf8(Posting::single("c1", "t").stamped(1).to_vec()).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        let message: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(message["body"]["text"].as_str().map(str::len), Some(TEXT_BYTES));
    }
}

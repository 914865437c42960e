//! Server-sent events as bytes (WHATWG HTML, section 9.2.5): `id`, `event`, one `data` line, LF.

use bytes::{BufMut, Bytes, BytesMut};
use godwit_types::Cursor;

use crate::event::EventKind;

/// A comment: what keeps a quiet stream alive through proxies, and what a client's parser drops.
pub const HEARTBEAT: &[u8] = b":\n\n";

/// One event. `data` must hold no CR and no LF; all of ours is compact JSON, which has none.
pub fn frame(id: Option<Cursor>, event: EventKind, data: &[u8]) -> Bytes {
    block(None, id, event, data)
}

/// The same, and how long a client is to wait before it comes back, in milliseconds.
pub fn frame_with_retry(retry_ms: u32, id: Option<Cursor>, event: EventKind, data: &[u8]) -> Bytes {
    block(Some(retry_ms), id, event, data)
}

fn block(retry_ms: Option<u32>, id: Option<Cursor>, event: EventKind, data: &[u8]) -> Bytes {
    debug_assert!(!data.iter().any(|b| matches!(b, b'\n' | b'\r')), "a line break would end the data field");
    let name = event.as_str();
    let mut out = BytesMut::with_capacity(Cursor::TEXT_BYTES_MAX + name.len() + data.len() + 44);
    if let Some(ms) = retry_ms {
        put(&mut out, format_args!("retry: {ms}\n"));
    }
    if let Some(id) = id {
        put(&mut out, format_args!("id: {id}\n"));
    }
    out.put_slice(b"event: ");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\ndata: ");
    out.put_slice(data);
    out.put_slice(b"\n\n");
    out.freeze()
}

fn put(out: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    // Writing to memory that grows does not fail.
    let _ = std::fmt::Write::write_fmt(out, text);
}

#[cfg(test)]
mod tests {
    use godwit_types::{AccountId, Position};

    use super::*;

    #[test]
    fn a_frame_reads_as_the_contract_says() {
        let ann = AccountId::new("ann").unwrap();
        let id = Cursor::new(&ann, Position { epoch: 4, n: 1187 });
        let bytes = frame(Some(id), EventKind::Message, br#"{"seq":42}"#);
        assert_eq!(&bytes[..], b"id: 4-1187-jawi\nevent: message\ndata: {\"seq\":42}\n\n");
        assert_eq!(&frame(None, EventKind::Gap, b"{}")[..], b"event: gap\ndata: {}\n\n");
        let bye = frame_with_retry(3172, None, EventKind::Bye, b"{}");
        assert_eq!(&bye[..], b"retry: 3172\nevent: bye\ndata: {}\n\n");
    }
}

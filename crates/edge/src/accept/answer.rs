//! Answers that are written without an HTTP stack, and closing so that they arrive.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use godwit_wire::{Code, Problem};
use http::{HeaderMap, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::head::Fault;

/// How long an answer may take to be written, and as long again what the client still sends is read. A socket
/// that is closed with unread bytes in it sends a RST, and that takes the answer away from a client
/// that has not read it yet (RFC 9112, section 9.6).
const LINGER_MAX: Duration = Duration::from_secs(5);

/// How many bytes are read so. A client that writes a large body before it looks at the answer is well within.
const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What an HTTP/2 client is told where there is no room: empty SETTINGS, and GOAWAY with
/// ENHANCE_YOUR_CALM after stream 0, so that it knows that nothing was processed (RFC 9113, section 6.8).
pub(super) const HTTP2_GOAWAY: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b";

/// The problem that a faulty head is answered with.
pub(super) fn fault(fault: Fault) -> Problem {
    match fault {
        Fault::Malformed => Problem::new(Code::InvalidRequest, "that is no HTTP request"),
        Fault::Host => Problem::new(Code::InvalidRequest, "HTTP/1.1 needs exactly one Host field"),
        Fault::TargetTooLong => Problem::new(Code::UriTooLong, "the request target has more than 8192 bytes"),
        Fault::TooLarge => Problem::new(Code::HeadTooLarge, "the request head has too many bytes or fields"),
    }
}

/// An answer as the last one of its connection.
pub(super) fn encode(answer: &Response<Bytes>) -> Vec<u8> {
    let body = answer.body();
    let mut out = head(answer.status(), answer.headers());
    // RFC 9110, section 8.6: a 204 has no Content-Length.
    if answer.status() != StatusCode::NO_CONTENT {
        let mut length = String::with_capacity(32);
        let _ = write!(length, "content-length: {}\r\n", body.len()); // a String does not fail
        out.extend_from_slice(length.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

/// The head of a stream's answer.
pub(super) fn stream_head(headers: &HeaderMap, chunked: bool) -> Vec<u8> {
    let mut out = head(StatusCode::OK, headers);
    if chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Status line and fields, without the empty line. The connection ends after every answer of ours.
fn head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\ndate: ");
    out.extend_from_slice(httpdate::fmt_http_date(SystemTime::now()).as_bytes());
    out.extend_from_slice(b"\r\nconnection: close\r\n");
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Writes the last bytes of a connection and closes it.
pub(super) async fn send(mut socket: impl AsyncRead + AsyncWrite + Unpin, bytes: Vec<u8>) {
    if let Ok(Ok(())) = timeout(LINGER_MAX, socket.write_all(&bytes)).await {
        linger(socket).await;
    }
}

/// Says that nothing more is written, and reads until the client has closed too, within bounds.
pub(super) async fn linger(mut socket: impl AsyncRead + AsyncWrite + Unpin) {
    let closed = async {
        socket.shutdown().await?;
        let mut read = 0;
        let mut scratch = vec![0; 16 * 1024]; // not part of the future; these are few and short
        while read < LINGER_BYTES_MAX {
            match socket.read(&mut scratch).await? {
                0 => break,
                n => read += n,
            }
        }
        io::Result::Ok(())
    };
    let _ = timeout(LINGER_MAX, closed).await; // whichever way: the socket is dropped now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_all_that_a_client_needs() {
        let busy = crate::answer::problem(&Problem::new(Code::Overloaded, "too many connections"));
        let text = String::from_utf8(encode(&busy)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\ndate: "), "{head}");
        for field in ["connection: close", "retry-after: 1", "content-type: application/problem+json"] {
            assert!(head.lines().any(|line| line == field), "no {field} in {head}");
        }
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
        assert!(body.contains(r#""code":"overloaded""#));
    }

    #[test]
    fn no_content_has_no_length() {
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let text = String::from_utf8(encode(&answer)).unwrap();
        assert!(!text.contains("content-length") && text.ends_with("\r\n\r\n"), "{text}");
    }

    #[test]
    fn goaway_is_two_whole_frames() {
        let (settings, goaway) = HTTP2_GOAWAY.split_at(9);
        assert_eq!(settings, [0, 0, 0, 4, 0, 0, 0, 0, 0]);
        assert_eq!(goaway.len(), 9 + 8);
        assert_eq!((goaway[2], goaway[3], goaway[16]), (8, 7, 0xb));
    }
}

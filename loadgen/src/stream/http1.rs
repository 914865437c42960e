//! A stream with a connection of its own (HTTP/1.1, RFC 9112).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use godwit_sse::chunked::{Decoder, Taken};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use super::{Stream, Subscribe};
use crate::dial::{Dialer, Socket};
use crate::failure::Failure;
use crate::measure::ErrorKind;

/// Headers of an answer; servers send ten to twenty.
const HEADERS_MAX: usize = 64;

/// Bytes of an answer's head, and of the body of a refusal.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The body of an answer.
pub(super) struct Body {
    socket: Socket,
    framing: Framing,
}

enum Framing {
    Chunked(Decoder),
    /// Until the connection ends.
    Close,
}

/// Opens a stream; the bytes are what came with the head.
///
/// # Errors
/// When there is no connection, no answer, or another one than a stream.
pub async fn open(dialer: &Dialer, subscribe: &Subscribe) -> Result<(Stream, Vec<u8>), Failure> {
    let endpoint = dialer.next();
    let connected = dialer.connect(endpoint, subscribe.receive_bytes).await;
    let mut socket = connected.map_err(Failure::connect)?;
    let mut request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", subscribe.path, endpoint.authority);
    for (name, value) in &subscribe.headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.push_str("\r\n");
    let no_answer = |error| Failure::new(ErrorKind::NoAnswer, error);
    socket.write_all(request.as_bytes()).await.map_err(no_answer)?;
    let mut read = Vec::new();
    loop {
        if let Some(head) = Head::parse(&read)? {
            let rest = read.split_off(head.bytes);
            if let Some(framing) = head.framing() {
                return Ok((Stream::new(super::Body::Http1(Body { socket, framing })), rest));
            }
            return Err(refused(socket, &head, rest).await);
        }
        if read.len() > HEAD_BYTES_MAX {
            return Err(Failure::said(ErrorKind::Malformed, "the answer's head does not end"));
        }
        if socket.read_buf(&mut read).await.map_err(no_answer)? == 0 {
            return Err(Failure::said(ErrorKind::NoAnswer, "closed before an answer came"));
        }
    }
}

/// Another answer: its status, and its body as far as it comes in one more read.
async fn refused(mut socket: Socket, head: &Head, mut body: Vec<u8>) -> Failure {
    while body.len() < head.length.unwrap_or_default().min(HEAD_BYTES_MAX) {
        if !matches!(socket.read_buf(&mut body).await, Ok(1..)) {
            break;
        }
    }
    if head.status == 200 {
        return Failure::said(ErrorKind::Refused, "200, and no text/event-stream");
    }
    Failure::answer(head.status, head.retry_after.as_deref(), &body)
}

impl Body {
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        take: &mut impl FnMut(&[u8]),
    ) -> Poll<Result<usize, Failure>> {
        let mut read = ReadBuf::new(buffer);
        let polled = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read));
        Poll::Ready(match polled {
            Ok(()) if read.filled().is_empty() => Ok(0),
            Ok(()) => self.decode(read.filled(), take),
            Err(error) => Err(Failure::new(ErrorKind::Broken, error)),
        })
    }

    /// Takes the framing off; 0: that was the end.
    pub(super) fn decode(&mut self, bytes: &[u8], take: &mut impl FnMut(&[u8])) -> Result<usize, Failure> {
        let Framing::Chunked(chunked) = &mut self.framing else {
            take(bytes);
            return Ok(bytes.len());
        };
        match chunked.take(bytes, take) {
            Ok(Taken::More) => Ok(bytes.len()),
            Ok(Taken::End(_)) => Ok(0),
            Err(error) => Err(Failure::new(ErrorKind::Malformed, error)),
        }
    }

    pub(super) fn reset(self) {
        self.socket.reset();
    }
}

/// The head of an answer, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    bytes: usize,
    chunked: bool,
    length: Option<usize>,
    event_stream: bool,
    retry_after: Option<String>,
}

impl Head {
    /// None: there is more of it to come.
    fn parse(read: &[u8]) -> Result<Option<Self>, Failure> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut headers);
        let parsed = answer.parse(read).map_err(|error| Failure::new(ErrorKind::Malformed, error))?;
        let httparse::Status::Complete(bytes) = parsed else { return Ok(None) };
        let value = |name: &str| {
            let header = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            Some(String::from_utf8_lossy(header.value).to_ascii_lowercase())
        };
        Ok(Some(Self {
            status: answer.code.unwrap_or_default(),
            bytes,
            chunked: value("transfer-encoding").is_some_and(|coding| coding.contains("chunked")),
            length: value("content-length").and_then(|length| length.parse().ok()),
            event_stream: value("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")),
            retry_after: value("retry-after"),
        }))
    }

    fn framing(&self) -> Option<Framing> {
        let stream = self.status == 200 && self.event_stream;
        stream.then(|| if self.chunked { Framing::Chunked(Decoder::default()) } else { Framing::Close })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_head_says_what_follows() {
        let stream = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n";
        let head = Head::parse(stream).unwrap().unwrap();
        assert_eq!((head.bytes, head.chunked), (stream.len() - 3, true));
        assert!(matches!(head.framing(), Some(Framing::Chunked(_))));
        assert_eq!(Head::parse(&stream[..40]).unwrap(), None);
        let busy = b"HTTP/1.1 503 X\r\nRetry-After: 2\r\nContent-Length: 9\r\n\r\n";
        let head = Head::parse(busy).unwrap().unwrap();
        assert!(head.framing().is_none());
        assert_eq!((head.status, head.length, head.retry_after.as_deref()), (503, Some(9), Some("2")));
        let page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n";
        assert!(Head::parse(page).unwrap().unwrap().framing().is_none());
        assert!(Head::parse(b"SSH-2.0-x\r\n\r\n").is_err());
    }
}

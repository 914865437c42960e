//! One HTTP/1.1 connection as bytes: for requests that no well-behaved client makes, and for streams,
//! whose socket a test wants in its hands.

mod body;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use godwit_sse::chunked::Decoder;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::answer::Answer;
use body::Body;

/// A server that has said nothing for so long will say nothing: twice the middle of the heartbeat, the
/// longest silence of the API, on a machine that is busy.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Largest head of an answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most header fields of an answer.
const FIELDS_MAX: usize = 64;
/// Read at once.
const READ_BYTES: usize = 64 * 1024;

/// One connection to a server.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    /// Bytes that arrived and were not looked at.
    unread: BytesMut,
    body: Body,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Self::open_with(TcpSocket::new_v4()?, address).await
    }

    /// Connects as another host: from `local`, any address of 127.0.0.0/8.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn open_from(local: Ipv4Addr, address: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((local, 0).into())?;
        Self::open_with(socket, address).await
    }

    /// Connects with a socket that a caller has prepared.
    pub(crate) async fn open_with(socket: TcpSocket, address: SocketAddr) -> io::Result<Self> {
        let socket = socket.connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, unread: BytesMut::new(), body: Body::Bytes(0) })
    }

    /// Writes these bytes, as they are.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await
    }

    /// Writes as much as the server takes: one that has answered and closed reads no further.
    pub async fn write_until_refused(&mut self, bytes: &[u8]) {
        // That the rest was refused is what a caller of this expects; what counts is the answer.
        let _ = self.socket.write_all(bytes).await;
    }

    /// Reads one whole answer.
    ///
    /// # Errors
    /// When the server closes before its end, says nothing for [`SILENCE_MAX`], or speaks no HTTP.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        let (status, headers) = self.head().await?;
        let mut body = Vec::new();
        while self.read_body(&mut body).await? {}
        Ok(Answer { status, headers, body: Bytes::from(body) })
    }

    /// Writes a request and reads the answer.
    ///
    /// # Errors
    /// As [`Connection::write`] and [`Connection::answer`].
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.write(request).await?;
        self.answer().await
    }

    /// Whether the server closes the connection, or has, with nothing more to say.
    pub async fn is_closed(&mut self) -> bool {
        let closed =
            matches!(timeout(SILENCE_MAX, self.socket.read_buf(&mut self.unread)).await, Ok(Ok(0) | Err(_)));
        closed && self.unread.is_empty()
    }

    /// Ends with a reset instead of a goodbye, as a phone's network does.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn reset(self) -> io::Result<()> {
        self.socket.set_zero_linger()
    }

    /// Reads the head of an answer; its body follows with [`Connection::read_body`].
    pub(crate) async fn head(&mut self) -> io::Result<(u16, HeaderMap)> {
        loop {
            if let Some(head) = self.parse_head()? {
                return Ok(head);
            }
            if self.unread.len() > HEAD_BYTES_MAX {
                return Err(io::Error::other("the head of the answer is too large"));
            }
            if self.read_some().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Appends what arrives next of the body. False at its end, when nothing is appended.
    pub(crate) async fn read_body(&mut self, to: &mut Vec<u8>) -> io::Result<bool> {
        let before = to.len();
        loop {
            self.body.take(&mut self.unread, to).map_err(io::Error::other)?;
            if to.len() > before {
                return Ok(true);
            }
            if self.body.is_over() {
                return Ok(false);
            }
            if self.read_some().await? == 0 {
                return match self.body {
                    Body::UntilClose => Ok(false),
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    async fn read_some(&mut self) -> io::Result<usize> {
        self.unread.reserve(READ_BYTES);
        timeout(SILENCE_MAX, self.socket.read_buf(&mut self.unread)).await?
    }

    fn parse_head(&mut self) -> io::Result<Option<(u16, HeaderMap)>> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(&self.unread).map_err(io::Error::other)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return Ok(None),
        };
        let status = response.code.unwrap_or_default();
        let mut headers = HeaderMap::new();
        for field in response.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(io::Error::other)?;
            headers.append(name, HeaderValue::from_bytes(field.value).map_err(io::Error::other)?);
        }
        self.unread.advance(length);
        self.body = body_of(status, &headers);
        Ok(Some((status, headers)))
    }
}

/// RFC 9112, section 6.3.
fn body_of(status: u16, headers: &HeaderMap) -> Body {
    let field = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if matches!(status, 100..200 | 204 | 304) {
        Body::Bytes(0)
    } else if field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        Body::Chunked(Decoder::default())
    } else if let Some(length) = field("content-length").and_then(|value| value.parse().ok()) {
        Body::Bytes(length)
    } else {
        Body::UntilClose
    }
}

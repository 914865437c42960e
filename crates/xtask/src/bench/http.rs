//! HTTP/1.1 as far as a measurement needs it that the load generator cannot make: calls on one connection,
//! and an event stream.

use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// For an answer, and between two pieces of a stream, on which there are heartbeats.
const QUIET_MAX: Duration = Duration::from_secs(60);

/// A head, or a line of a stream: a message of 16 KiB, the largest, escaped by JSON in its worst way.
const LINE_MAX: u64 = 128 * 1024;

/// Lines of a head.
const HEADERS_MAX: usize = 100;

/// A connection for one call after the other.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub(crate) fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(QUIET_MAX))?;
        Ok(Connection { stream: BufReader::new(stream) })
    }

    /// The body of a `GET` that is answered with success.
    ///
    /// # Errors
    /// For any other answer, and when there is none.
    pub(crate) fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))?;
        body(&mut self.stream).with_context(|| format!("GET {path}"))
    }

    /// The body of a `POST` that is answered with success.
    ///
    /// # Errors
    /// For any other answer, and when there is none.
    pub(crate) fn post(&mut self, path: &str, token: &str, json: &str) -> Result<Vec<u8>> {
        let length = json.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
        ))?;
        body(&mut self.stream).with_context(|| format!("POST {path}"))
    }

    /// Opens the event stream, after the event with that id or from now on.
    ///
    /// # Errors
    /// When the answer is none.
    pub(crate) fn events(mut self, token: &str, last_event_id: Option<&str>) -> Result<Events<Self>> {
        let last = last_event_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        self.send(&format!(
            "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Accept: text/event-stream\r\n{last}\r\n"
        ))?;
        let head = head(&mut self.stream)?;
        ensure!(head.status == 200 && head.chunked, "no stream: {head:?}");
        Ok(Events::over(self))
    }

    fn send(&mut self, request: &str) -> Result<()> {
        self.stream.get_mut().write_all(request.as_bytes()).context("the server does not read")
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl BufRead for Connection {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.stream.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.stream.consume(count);
    }
}

/// What of a head says how the body comes.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes of the body; none where it is chunked or there is no body.
    length: Option<usize>,
    chunked: bool,
}

/// RFC 9112, section 2.
fn head(from: &mut impl BufRead) -> Result<Head> {
    let first = line(from)?;
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.with_context(|| format!("no answer of HTTP/1.1: {first:?}"))?;
    let mut head = Head { status, length: None, chunked: false };
    for _ in 0..HEADERS_MAX {
        let line = line(from)?;
        let Some((name, value)) = line.split_once(':') else {
            ensure!(line.is_empty(), "no header: {line:?}");
            return Ok(head);
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.length = Some(value.parse().with_context(|| format!("a length of {value:?}"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.chunked = value.eq_ignore_ascii_case("chunked");
        }
    }
    bail!("more than {HEADERS_MAX} headers");
}

/// A whole answer with success.
fn body(from: &mut impl BufRead) -> Result<Vec<u8>> {
    let head = head(from)?;
    let mut body = Vec::new();
    if head.chunked {
        Chunks::over(&mut *from).read_to_end(&mut body)?;
    } else {
        let length = head.length.unwrap_or(0);
        from.take(length as u64).read_to_end(&mut body)?;
        ensure!(body.len() == length, "the answer was cut off");
    }
    ensure!((200..300).contains(&head.status), "{}: {}", head.status, String::from_utf8_lossy(&body));
    Ok(body)
}

/// One line without its end.
fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.take(LINE_MAX).read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the connection was cut, or a line is too long",
        ));
    }
    line.truncate(line.trim_end().len());
    Ok(line)
}

/// A chunked body without its framing: RFC 9112, section 7.1. No trailers: the server has none.
struct Chunks<R> {
    inner: R,
    /// Bytes of the chunk at hand that are still to come.
    left: usize,
    ended: bool,
}

impl<R: BufRead> Chunks<R> {
    fn over(inner: R) -> Chunks<R> {
        Chunks { inner, left: 0, ended: false }
    }

    fn begin_chunk(&mut self) -> io::Result<()> {
        let size = line(&mut self.inner)?;
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("no chunk: {size:?}"));
        self.left = usize::from_str_radix(&size, 16).map_err(|_| wrong())?;
        if self.left == 0 {
            self.ended = true;
            line(&mut self.inner)?;
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.ended {
            self.begin_chunk()?;
        }
        let most = self.left.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was cut in a chunk"));
        }
        self.left -= count;
        if self.left == 0 {
            // The end of the chunk's own line.
            line(&mut self.inner)?;
        }
        Ok(count)
    }
}

/// An event, as far as it is looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its `event`.
    pub(crate) name: String,
    /// Its `id`, if it has one.
    pub(crate) id: Option<String>,
}

/// An event stream.
pub(crate) struct Events<R> {
    lines: BufReader<Chunks<R>>,
}

impl<R: BufRead> Events<R> {
    fn over(body: R) -> Events<R> {
        Events { lines: BufReader::new(Chunks::over(body)) }
    }

    /// Waits for the next event. Heartbeats do not end the wait, `until` does.
    ///
    /// # Errors
    /// When the stream ends, and when it is too late.
    pub(crate) fn next(&mut self, until: Instant) -> Result<Event> {
        let (mut name, mut id) = (None, None);
        loop {
            ensure!(Instant::now() < until, "no more events came in time");
            let line = line(&mut self.lines).context("the stream ended")?;
            if let Some(value) = line.strip_prefix("event: ") {
                name = Some(value.to_owned());
            } else if let Some(value) = line.strip_prefix("id: ") {
                id = Some(value.to_owned());
            } else if line.is_empty()
                && let Some(name) = name.take()
            {
                return Ok(Event { name, id });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_length_or_chunks_and_the_next_one_follows() {
        let mut two: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
            HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n3\r\nall\r\nA\r\n is well..\r\n0\r\n\r\n\
            HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(body(&mut two).unwrap(), b"hello");
        assert_eq!(body(&mut two).unwrap(), b"all is well..");
        assert_eq!(body(&mut two).unwrap(), b"");
        assert!(two.is_empty());
    }

    #[test]
    fn a_refusal_is_in_the_servers_words() {
        let mut refused: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";
        assert_eq!(body(&mut refused).unwrap_err().to_string(), "503: busy");
    }

    #[test]
    fn what_is_cut_off_or_no_http_is_an_error() {
        let cut: [&[u8]; 5] = [
            b"",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell",
            b"SSH-2.0-OpenSSH\r\n\r\n",
        ];
        for mut bytes in cut {
            let shown = String::from_utf8_lossy(bytes).into_owned();
            assert!(body(&mut bytes).is_err(), "{shown}");
        }
    }

    fn chunked(pieces: &[&str]) -> Vec<u8> {
        pieces.iter().flat_map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len()).into_bytes()).collect()
    }

    #[test]
    fn events_may_begin_and_end_anywhere_in_a_chunk() {
        let pieces =
            ["retry: 3172\n\n:\nid: 1-", "2-k3qz\nevent: mess", "age\ndata: {}\n\nevent: bye\ndata: {}\n\n"];
        let bytes = chunked(&pieces);
        let mut events = Events::over(&bytes[..]);
        let until = Instant::now() + Duration::from_secs(5);
        let message = Event { name: "message".to_owned(), id: Some("1-2-k3qz".to_owned()) };
        assert_eq!(events.next(until).unwrap(), message);
        assert_eq!(events.next(until).unwrap(), Event { name: "bye".to_owned(), id: None });
        assert!(events.next(until).unwrap_err().to_string().contains("ended"));
    }

    #[test]
    fn a_stream_of_heartbeats_is_not_waited_for_without_end() {
        let bytes = chunked(&[":\n\n"; 3]);
        let error = Events::over(&bytes[..]).next(Instant::now()).unwrap_err();
        assert!(error.to_string().contains("in time"), "{error:#}");
    }
}

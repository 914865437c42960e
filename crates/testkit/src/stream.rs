//! A stream of events, with its socket in the test's hands: to cut, to stall and to resume.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::time::Duration;

use godwit_sse::{Item, Parser};
use http::HeaderMap;
use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::answer::Answer;
use crate::client::encoded;
use crate::connection::{Connection, SILENCE_MAX};

/// Largest event that a test server may send. Four times the largest of the API (a conversation that
/// lists 50 members with ids of 128 bytes and a message of 16 KiB).
const EVENT_BYTES_MAX: usize = 128 * 1024;

/// How to open a stream.
#[derive(Debug, Clone, Default)]
pub struct StreamOptions {
    /// The header `Last-Event-ID`.
    pub last_event_id: Option<String>,
    /// More of the query, without `?`.
    pub query: String,
    /// How much the kernel keeps for a reader that does not read; none: as much as it likes.
    pub receive_buffer_bytes: Option<u32>,
    /// The token goes into `?access_token=`, as a browser's must.
    pub token_in_query: bool,
}

/// An event of a stream.
#[derive(Clone, PartialEq)]
pub struct Event {
    /// Its name.
    pub event: String,
    /// Its own id; empty when it has none.
    pub id: String,
    /// Its data.
    pub data: Value,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}] {}", self.event, self.id, self.data)
    }
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The server ended the answer as HTTP does.
    Finished,
    /// The connection broke.
    Broken,
}

/// What a stream says, as a test takes it.
#[derive(Debug)]
enum Arrived {
    Event { event: Event, last_event_id: String },
    Retry(u64),
    Comment,
}

/// An open stream. Dropping it closes the connection, see also [`EventStream::reset`].
#[derive(Debug)]
pub struct EventStream {
    connection: Connection,
    /// The head of the answer.
    pub headers: HeaderMap,
    parser: Parser,
    /// What arrived and was not taken, in its order: within what one read gives.
    arrived: VecDeque<Arrived>,
    last_event_id: String,
    /// What `retry` said last, in milliseconds.
    pub retry_ms: Option<u64>,
    /// Comments that came, heartbeats among them.
    pub comments: usize,
}

impl EventStream {
    /// Asks for a stream. The inner error is an answer other than a stream.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn open(
        address: SocketAddr,
        token: &str,
        options: StreamOptions,
    ) -> io::Result<Result<Self, Answer>> {
        let mut query = options.query;
        let mut fields = String::new();
        if options.token_in_query {
            let separator = if query.is_empty() { "" } else { "&" };
            query = format!("{query}{separator}access_token={}", encoded(token));
        } else {
            fields = format!("Authorization: Bearer {token}\r\n");
        }
        if let Some(id) = options.last_event_id {
            fields.push_str(&format!("Last-Event-ID: {id}\r\n"));
        }
        let request = format!(
            "GET /v1/events?{query} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{fields}\r\n"
        );
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = options.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        let mut connection = Connection::open_with(socket, address).await?;
        connection.write(request.as_bytes()).await?;
        let (status, headers) = connection.head().await?;
        if status == 200 {
            return Ok(Ok(Self {
                connection,
                headers,
                parser: Parser::new(EVENT_BYTES_MAX),
                arrived: VecDeque::new(),
                last_event_id: String::new(),
                retry_ms: None,
                comments: 0,
            }));
        }
        let mut body = Vec::new();
        while connection.read_body(&mut body).await? {}
        Ok(Err(Answer { status, headers, body: body.into() }))
    }

    /// The next event, or how the stream ended.
    ///
    /// # Errors
    /// The end. Panics when the server sends what is no event stream.
    pub async fn next(&mut self) -> Result<Event, End> {
        let mut bytes = Vec::new();
        loop {
            while let Some(arrived) = self.arrived.pop_front() {
                match arrived {
                    Arrived::Comment => self.comments += 1,
                    Arrived::Retry(ms) => self.retry_ms = Some(ms),
                    Arrived::Event { event, last_event_id } => {
                        self.last_event_id = last_event_id;
                        return Ok(event);
                    }
                }
            }
            bytes.clear();
            match self.connection.read_body(&mut bytes).await {
                Ok(true) => self.feed(&bytes),
                Ok(false) => return Err(End::Finished),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    panic!("no byte for {:?}, not even a heartbeat", SILENCE_MAX)
                }
                Err(_) => return Err(End::Broken),
            }
        }
    }

    /// The next event, which must be there. Panics when the stream ends, or has nothing but heartbeats.
    #[track_caller]
    pub fn event(&mut self) -> impl Future<Output = Event> {
        let caller = Location::caller();
        async move {
            match timeout(SILENCE_MAX, self.next()).await {
                Ok(Ok(event)) => event,
                Ok(Err(end)) => panic!("{caller}: the stream ended: {end:?}"),
                Err(_) => panic!("{caller}: no event within {SILENCE_MAX:?}"),
            }
        }
    }

    /// The next event, which must be of this name. Panics on any other.
    #[track_caller]
    pub fn expect(&mut self, name: &str) -> impl Future<Output = Event> {
        let caller = Location::caller();
        let event = self.event();
        async move {
            let event = event.await;
            assert!(event.event == name, "{caller}: expected {name}, got {event:?}");
            event
        }
    }

    /// All events until one of this name, which is the last.
    pub async fn until(&mut self, name: &str) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await;
            let last = event.event == name;
            events.push(event);
            if last {
                return events;
            }
        }
    }

    /// The next `count` messages, in order; other stored and passing events between them are dropped.
    pub async fn messages(&mut self, count: usize) -> Vec<Event> {
        let mut messages = Vec::with_capacity(count);
        while messages.len() < count {
            let event = self.event().await;
            if event.event == "message" {
                messages.push(event);
            }
        }
        messages
    }

    /// How the stream ends, which it must do now, without another event.
    pub async fn end(&mut self) -> End {
        match self.next().await {
            Err(end) => end,
            Ok(event) => panic!("an event after the last: {event:?}"),
        }
    }

    /// Panics if anything arrives within this time.
    pub async fn expect_silence(&mut self, time: Duration) {
        if let Ok(next) = timeout(time, self.next()).await {
            panic!("expected nothing, got {next:?}");
        }
    }

    /// What a client would send to resume after the events that were taken so far; empty before the
    /// first id.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Ends with a reset instead of a goodbye, as a phone's network does.
    pub fn reset(self) {
        self.connection.reset().expect("an option of an open socket");
    }

    fn feed(&mut self, bytes: &[u8]) {
        let arrived = &mut self.arrived;
        let take = |item: Item<'_>| arrived.push_back(Arrived::of(item));
        self.parser.feed(bytes, take).expect("an event within its bound");
    }
}

impl Arrived {
    fn of(item: Item<'_>) -> Self {
        match item {
            Item::Comment(_) => Arrived::Comment,
            Item::Retry(ms) => Arrived::Retry(ms),
            Item::Event(event) => {
                let data = serde_json::from_str(event.data).unwrap_or_else(|error| {
                    panic!("data of {} is no JSON ({error}): {}", event.event, event.data)
                });
                let id = if event.has_id { event.last_event_id } else { "" };
                Arrived::Event {
                    event: Event { event: event.event.to_owned(), id: id.to_owned(), data },
                    last_event_id: event.last_event_id.to_owned(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const HEAD: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

    /// A server of one connection that answers with these bytes; the socket and the request's head.
    async fn answer(listener: &TcpListener, pieces: &[&[u8]]) -> (TcpStream, String) {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = socket.read(&mut request).await.unwrap();
        for piece in pieces {
            socket.write_all(piece).await.unwrap();
        }
        (socket, String::from_utf8_lossy(&request[..length]).into_owned())
    }

    async fn open(
        pieces: &[&[u8]],
        options: StreamOptions,
    ) -> (Result<EventStream, Answer>, TcpStream, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stream, (socket, request)) =
            tokio::join!(EventStream::open(address, "a token", options), answer(&listener, pieces));
        (stream.unwrap(), socket, request)
    }

    #[tokio::test]
    async fn events_come_out_of_chunks_and_a_resume_starts_after_the_last_that_was_taken() {
        let text = [
            "retry: 1500\n\n:\n\nid: 1",
            "\nevent: a\ndata: {}\n",
            "\nid: 2\nevent: b\ndata: 7\n\nevent: c\ndata: 8\n\n",
            "",
        ];
        let chunks = text.map(|text| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes());
        let pieces: Vec<&[u8]> = [HEAD].into_iter().chain(chunks.iter().map(Vec::as_slice)).collect();
        let (stream, _socket, _) = open(&pieces, StreamOptions::default()).await;
        let mut stream = stream.unwrap();
        assert_eq!(stream.last_event_id(), "");
        assert_eq!(stream.expect("a").await.id, "1");
        assert_eq!((stream.last_event_id(), stream.retry_ms, stream.comments), ("1", Some(1500), 1));
        assert_eq!(stream.expect("b").await.data, 7);
        let last = stream.expect("c").await;
        assert_eq!((last.id.as_str(), stream.last_event_id()), ("", "2"));
        assert_eq!(stream.end().await, End::Finished);
    }

    #[tokio::test]
    async fn a_connection_that_breaks_is_no_end() {
        let (stream, socket, _) = open(&[HEAD, b"5\r\ndata"], StreamOptions::default()).await;
        drop(socket);
        assert_eq!(stream.unwrap().next().await, Err(End::Broken));
    }

    #[tokio::test]
    async fn a_reset_is_seen_as_one() {
        let (stream, mut socket, _) = open(&[HEAD], StreamOptions::default()).await;
        stream.unwrap().reset();
        let error = socket.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn another_answer_is_given_back_whole() {
        let pieces: [&[u8]; 1] = [b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}"];
        let (refused, ..) = open(&pieces, StreamOptions::default()).await;
        let refused = refused.unwrap_err();
        assert_eq!((refused.status, &refused.body[..]), (401, &b"{}"[..]));
    }

    #[tokio::test]
    async fn the_request_has_what_was_asked_for() {
        let options = StreamOptions { last_event_id: Some("4-1-abcd".into()), ..Default::default() };
        let (_, _, request) = open(&[HEAD], options).await;
        assert!(request.contains("\r\nLast-Event-ID: 4-1-abcd\r\n"), "{request}");
        assert!(request.contains("\r\nAuthorization: Bearer a token\r\n"), "{request}");
        let options = StreamOptions { query: "x=1".into(), token_in_query: true, ..Default::default() };
        let (_, _, request) = open(&[HEAD], options).await;
        assert!(request.starts_with("GET /v1/events?x=1&access_token=a%20token HTTP/1.1\r\n"), "{request}");
        assert!(!request.contains("Authorization"), "{request}");
    }
}

//! A thousand streams on one HTTP/2 connection, as a gateway or a load generator opens them.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use godwit_testkit::sse::{Item, Parser};
use godwit_testkit::{Launch, Server, within};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const STREAMS: usize = 1_000;
/// Who gets the message: some of the first streams, of the last, and between.
const RECEIVERS: [usize; 10] = [0, 1, 99, 127, 128, 129, 500, 640, 998, 999];
/// Many times what a thousand streams take to open on a busy machine.
const LONG: Duration = Duration::from_secs(30);
/// No event here is larger.
const EVENT_BYTES_MAX: usize = 64 * 1024;
/// Many times what an answer takes.
const SHORT: Duration = Duration::from_millis(200);

fn account(number: usize) -> String {
    format!("user-{number}")
}

fn server(streams: usize) -> Server {
    Launch::dev(env!("CARGO_BIN_EXE_godwit")).env("GODWIT_LIMITS__HTTP2_STREAMS", streams).start()
}

/// One connection, by prior knowledge.
struct Connection {
    requests: SendRequest<Empty<Bytes>>,
    driver: JoinHandle<hyper::Result<()>>,
    address: SocketAddr,
}

impl Connection {
    async fn open(server: &Server) -> Self {
        let address = server.address();
        let socket = TcpStream::connect(address).await.unwrap();
        let (requests, connection) = handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
        Self { requests, driver: tokio::spawn(connection), address }
    }

    /// Asks for a stream and waits until it is `ready`.
    fn stream(&self, server: &Server, account: &str) -> impl Future<Output = Stream> + use<> {
        let mut requests = self.requests.clone();
        let request = Request::get(format!("http://{}/v1/events", self.address))
            .header("authorization", format!("Bearer {}", server.tokens().sign(account, "phone")))
            .body(Empty::new())
            .unwrap();
        async move {
            let answer = requests.send_request(request).await.unwrap();
            assert_eq!(answer.status(), 200);
            let mut stream =
                Stream { body: answer.into_body(), parser: Parser::new(EVENT_BYTES_MAX), events: [].into() };
            assert_eq!(stream.next().await.unwrap().0, "ready");
            stream
        }
    }
}

struct Stream {
    body: Incoming,
    parser: Parser,
    events: VecDeque<(String, Value)>,
}

impl Stream {
    /// The next event, or none at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        while self.events.is_empty() {
            let data = self.body.frame().await?.unwrap().into_data().unwrap();
            let take = |item: Item<'_>| {
                if let Item::Event(event) = item {
                    self.events
                        .push_back((event.event.to_owned(), serde_json::from_str(event.data).unwrap()));
                }
            };
            self.parser.feed(&data, take).unwrap();
        }
        self.events.pop_front()
    }
}

#[tokio::test]
async fn a_thousand_accounts_share_a_connection_and_each_gets_what_is_its_own() {
    let server = server(STREAMS);
    let sender = server.client("sender", "phone");
    let receivers = RECEIVERS.map(account);
    let group = sender.open_group("g1", &receivers.each_ref().map(String::as_str)).await;

    let connection = Connection::open(&server).await;
    let opening = (0..STREAMS).map(|number| connection.stream(&server, &account(number)));
    let mut streams = within(LONG, "a thousand streams", join_all(opening)).await;

    let sent = sender.say(&group, "k1", "hello").await.expect(201);
    for number in RECEIVERS {
        let (event, data) = within(LONG, &account(number), streams[number].next()).await.unwrap();
        assert_eq!((event.as_str(), &data["id"]), ("message", &sent["id"]), "{}", account(number));
    }

    // A drain says goodbye to all of them. Nobody had anything before that.
    server.ask_to_stop();
    let mut goodbyes = Vec::new();
    for stream in &mut streams {
        goodbyes.push(within(LONG, "a goodbye", stream.next()).await.unwrap());
        assert_eq!(stream.next().await, None);
    }
    assert!(goodbyes.iter().all(|(event, data)| event == "bye" && data["reason"] == "drain"), "{goodbyes:?}");
    drop(streams);
    let Connection { requests, driver, .. } = connection;
    drop(requests);
    within(LONG, "the connection's end", driver).await.unwrap().unwrap();
}

/// RFC 9113, section 5.1.2: a client does not open more than it was told; it waits.
#[tokio::test]
async fn one_more_than_there_may_be_waits_for_another_to_end() {
    let server = server(STREAMS);
    let connection = Connection::open(&server).await;
    let opening = (0..STREAMS).map(|number| connection.stream(&server, &account(number)));
    let mut streams = within(LONG, "a thousand streams", join_all(opening)).await;

    let one_more = tokio::spawn(connection.stream(&server, "one-more"));
    tokio::time::sleep(SHORT).await;
    assert!(!one_more.is_finished(), "there are {STREAMS} open already");
    drop(streams.pop());
    within(LONG, "the next one", one_more).await.unwrap();
}

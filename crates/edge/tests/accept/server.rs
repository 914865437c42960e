//! A server whose router echoes, and whose streams say what a test wants.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::routing::{get, post};
use bytes::Bytes;
use godwit_edge::accept::{self, Drained, Limits, Peer};
use godwit_edge::stream::{Frames, Opened, Streams};
use http::{HeaderMap, HeaderValue, Response, StatusCode, request};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// The frames of all streams of one server.
#[derive(Default)]
struct Said {
    over: bool,
    wakers: Vec<Waker>,
}

#[derive(Clone, Default)]
pub(crate) struct Fake {
    said: Arc<Mutex<Said>>,
    pub(crate) opened: Arc<AtomicUsize>,
}

/// One stream: `retry` once, then nothing until the test says `bye`.
pub(crate) struct Stream {
    fake: Fake,
    begun: std::sync::atomic::AtomicBool,
}

impl Fake {
    /// Ends all streams.
    pub(crate) fn bye(&self) {
        let mut said = self.said.lock();
        said.over = true;
        said.wakers.drain(..).for_each(Waker::wake);
    }
}

impl Frames for Stream {
    fn poll_frames(&self, cx: &mut Context<'_>, frames: &mut Vec<Bytes>, _: usize) -> Poll<bool> {
        if !self.begun.swap(true, Ordering::Relaxed) {
            frames.push(Bytes::from_static(b"retry: 1000\n\n"));
            return Poll::Ready(true);
        }
        let mut said = self.fake.said.lock();
        if said.over {
            frames.push(Bytes::from_static(b"event: bye\ndata: {}\n\n"));
            return Poll::Ready(false);
        }
        said.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}

impl Streams for Fake {
    type Frames = Stream;

    async fn open(&self, head: request::Parts) -> Result<Opened<Stream>, Box<Response<Bytes>>> {
        if !head.headers.contains_key("authorization") {
            let mut answer = Response::new(Bytes::from_static(b"who?"));
            *answer.status_mut() = StatusCode::UNAUTHORIZED;
            return Err(Box::new(answer));
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
        Ok(Opened { headers, frames: Stream { fake: self.clone(), begun: false.into() } })
    }

    fn turn_away(&self, _: request::Parts) -> Response<Bytes> {
        Response::new(Bytes::from_static(b"event: bye\ndata: {\"reason\":\"overload\"}\n\n"))
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) fake: Fake,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<Drained>,
}

/// Limits that a test can reach.
pub(crate) fn limits() -> Limits {
    Limits { head_timeout: Duration::from_secs(1), ..Limits::default() }
}

fn router() -> Router {
    Router::new()
        .route("/", get(async || "home"))
        .route("/echo", post(async |body: String| body))
        .route(
            "/refuse",
            post(async || (StatusCode::PAYLOAD_TOO_LARGE, [("connection", "close")], "too large")),
        )
        .route(
            "/slow",
            get(async || {
                tokio::time::sleep(Duration::from_millis(300)).await;
                "slow"
            }),
        )
        .route("/login", get(async |Extension(peer): Extension<Peer>| peer.authenticated()))
}

impl Server {
    pub(crate) fn start(limits: Limits, deadline: Duration) -> Self {
        let listener = accept::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let fake = Fake::default();
        let streams = fake.clone();
        let (shutdown, asked) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let asked = async move { drop(asked.await) };
            accept::serve(listener, router(), streams, limits, asked, deadline).await.unwrap()
        });
        Self { address, fake, shutdown: Some(shutdown), task }
    }

    pub(crate) fn usual() -> Self {
        Self::start(limits(), LONG)
    }

    pub(crate) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    pub(crate) fn shut_down(&mut self) {
        drop(self.shutdown.take());
    }

    pub(crate) async fn drained(mut self) -> Drained {
        self.shut_down();
        timeout(LONG, self.task).await.expect("the drain goes on").unwrap()
    }

    /// Sends all of it, and gives all that comes until the server closes.
    pub(crate) async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client.rest().await
    }
}

pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Everything until the server closes, which must not be a RST.
    pub(crate) async fn rest(&mut self) -> String {
        let mut all = Vec::new();
        timeout(LONG, self.0.read_to_end(&mut all)).await.expect("the server does not close").unwrap();
        String::from_utf8(all).unwrap()
    }

    /// Everything until `end` has come.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut all = Vec::new();
        while !all.ends_with(end.as_bytes()) {
            let byte = timeout(LONG, self.0.read_u8()).await;
            let so_far = String::from_utf8_lossy(&all);
            all.push(
                byte.unwrap_or_else(|_| panic!("only {so_far:?}"))
                    .unwrap_or_else(|_| panic!("only {so_far:?}")),
            );
        }
        String::from_utf8(all).unwrap()
    }
}

/// Asserts that this is one problem, and the last answer on its connection.
#[track_caller]
pub(crate) fn assert_problem(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["code"], code);
    assert_eq!(body["status"], status);
}

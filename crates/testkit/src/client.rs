//! A client of the API: one account's device, its token, and connections that are kept open.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::stream::{EventStream, StreamOptions};
use crate::tokens::Tokens;

/// Longer than the 8 s after which a server answers that it does not know.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Why there is no answer. It says nothing about whether the request had its effect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnswer {
    /// The request could not be sent, or the connection broke.
    #[error("no answer")]
    Send(#[from] hyper_util::client::legacy::Error),
    /// The connection broke within the answer.
    #[error("half an answer")]
    Body(#[from] hyper::Error),
    /// Nothing came for a long time.
    #[error("no answer within {ANSWER_MAX:?}")]
    Timeout(#[from] tokio::time::error::Elapsed),
}

/// One account's device. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    account: String,
    token: String,
    /// To look into the inboxes of others.
    tokens: Option<Tokens>,
}

impl Client {
    /// The device that `token` speaks for, at the server with this address.
    pub fn new(address: SocketAddr, account: &str, token: impl Into<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Self { pool, address, account: account.to_owned(), token: token.into(), tokens: None }
    }

    /// The same, able to see when a conversation that it opens has reached the others: an answer does not wait
    /// for that, and a stream that is opened in between would show it or not, as it comes.
    pub fn with_tokens(self, tokens: Tokens) -> Self {
        Self { tokens: Some(tokens), ..self }
    }

    /// The account that it is of.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The same connections under another token.
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self { token: token.into(), ..self.clone() }
    }

    /// Sends a request that `build` finishes; the token is on it. Its body is JSON if there is one.
    ///
    /// # Errors
    /// When no whole answer came.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        build: impl FnOnce(http::request::Builder) -> http::request::Builder,
    ) -> Result<Answer, NoAnswer> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = build(request).body(Full::from(body)).expect("a test's request is well formed");
        let exchange = async {
            let (head, body) = self.pool.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
        };
        tokio::time::timeout(ANSWER_MAX, exchange).await?
    }

    /// `POST`, or why there is no answer.
    ///
    /// # Errors
    /// When no whole answer came.
    pub async fn try_post(&self, path: &str, body: &Value) -> Result<Answer, NoAnswer> {
        self.request(Method::POST, path, Some(body), |request| request).await
    }

    /// `GET`. Panics without an answer, as all the calls below.
    pub async fn get(&self, path: &str) -> Answer {
        self.answered(Method::GET, path, None).await
    }

    /// `POST` of a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.answered(Method::POST, path, Some(&body)).await
    }

    /// `PUT` of a JSON body.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.answered(Method::PUT, path, Some(&body)).await
    }

    /// `PATCH` with a JSON body.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.answered(Method::PATCH, path, Some(&body)).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.answered(Method::DELETE, path, None).await
    }

    async fn answered(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let what = format!("{method} {path}");
        match self.request(method, path, body, |request| request).await {
            Ok(answer) => answer,
            Err(error) => panic!("{what}: {error:?}"),
        }
    }

    /// Opens the direct conversation with `other` and gives its id.
    pub async fn open_direct(&self, other: &str) -> String {
        let answer = self.post("/v1/conversations", json!({"kind": "direct", "members": [other]})).await;
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        let id = answer.json()["id"].as_str().expect("a conversation has an id").to_owned();
        self.arrived(&id, &[other]).await;
        id
    }

    /// Opens a group of these others and gives its id.
    pub async fn open_group(&self, client_id: &str, others: &[&str]) -> String {
        let body = json!({"kind": "group", "members": others, "client_id": client_id});
        let opened = self.post("/v1/conversations", body).await.expect(201);
        let id = opened["id"].as_str().expect("a conversation has an id").to_owned();
        self.arrived(&id, others).await;
        id
    }

    /// Waits until the inboxes of all of them, and the own one, know the conversation.
    async fn arrived(&self, conversation: &str, others: &[&str]) {
        let Some(tokens) = &self.tokens else { return };
        for account in others.iter().copied().chain([self.account()]) {
            let client = self.with_token(tokens.sign(account, "onlooker"));
            let known = async {
                while !client
                    .get("/v1/conversations?limit=200")
                    .await
                    .json()
                    .to_string()
                    .contains(conversation)
                {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            let waited = tokio::time::timeout(ANSWER_MAX, known).await;
            assert!(waited.is_ok(), "{conversation} never reached {account}");
        }
    }

    /// Sends a text message.
    pub async fn say(&self, conversation: &str, client_id: &str, text: &str) -> Answer {
        self.post(&messages_path(conversation), message(client_id, text)).await
    }

    /// Opens a stream from `last_event_id` on, or live. Panics when it is refused.
    pub async fn stream(&self, last_event_id: Option<&str>) -> EventStream {
        let options = StreamOptions { last_event_id: last_event_id.map(str::to_owned), ..Default::default() };
        self.stream_with(options).await.unwrap_or_else(|refused| panic!("no stream: {refused:?}"))
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// The answer that came instead of one. Panics when none came.
    pub async fn stream_with(&self, options: StreamOptions) -> Result<EventStream, Answer> {
        EventStream::open(self.address, &self.token, options).await.expect("the server must answer")
    }

    /// As [`Client::stream_with`] while the server may be away.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn try_stream(&self, options: StreamOptions) -> std::io::Result<Result<EventStream, Answer>> {
        EventStream::open(self.address, &self.token, options).await
    }
}

/// The body of a text message.
pub fn message(client_id: &str, text: &str) -> Value {
    json!({"client_id": client_id, "body": {"type": "text", "text": text}})
}

/// `/v1/conversations/{c}/messages`.
pub fn messages_path(conversation: &str) -> String {
    format!("/v1/conversations/{conversation}/messages")
}

/// A path's segment or a query's value, percent-encoded.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

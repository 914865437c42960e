//! A connection that calls are made on, one after the other, made anew when it breaks.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;

use crate::dial::{Dialer, Endpoint};
use crate::failure::Failure;
use crate::measure::ErrorKind;
use crate::plan::Http;
use crate::server::Call;

/// A call without an answer by then is given up, and made again. The server's own time for a body.
pub const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The largest answer that is read: of an outbox of 1,000 messages.
const BODY_BYTES_MAX: usize = 4 << 20;

/// A connection, when there is one.
pub struct Line {
    http: Http,
    open: Option<Open>,
}

struct Open {
    sender: Sender,
    scheme: &'static str,
    authority: String,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// That it is not the one that was asked for.
    pub fn failure(&self) -> Failure {
        Failure::answer(self.status, self.retry_after.as_deref(), &self.body)
    }
}

/// Runs what belongs to a connection on this thread.
#[derive(Clone, Copy)]
struct Here;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

impl Line {
    /// One that is not connected yet.
    pub fn new(http: Http) -> Self {
        Self { http, open: None }
    }

    /// Makes a call and waits for its answer.
    ///
    /// # Errors
    /// When there is no connection or no answer. An answer of any status is none.
    pub async fn exchange(&mut self, dialer: &Dialer, call: Call) -> Result<Answer, Failure> {
        let exchanged = tokio::time::timeout(ANSWER_MAX, self.try_exchange(dialer, call)).await;
        let late = || Err(Failure::said(ErrorKind::NoAnswer, format!("no answer in {ANSWER_MAX:?}")));
        let exchanged = exchanged.unwrap_or_else(|_| late());
        if exchanged.is_err() {
            self.open = None;
        }
        exchanged
    }

    async fn try_exchange(&mut self, dialer: &Dialer, call: Call) -> Result<Answer, Failure> {
        let open = match self.open.take().filter(|open| !open.sender.is_closed()) {
            Some(open) => self.open.insert(open),
            None => {
                let endpoint = dialer.next();
                let open = connect(dialer, endpoint, self.http).await?;
                self.open.insert(open)
            }
        };
        let request = request(open, self.http, call)?;
        let no_answer = |error: hyper::Error| Failure::new(ErrorKind::NoAnswer, error);
        let answer = match &mut open.sender {
            Sender::Http1(sender) => {
                sender.ready().await.map_err(no_answer)?;
                sender.send_request(request).await.map_err(no_answer)?
            }
            Sender::Http2(sender) => {
                sender.ready().await.map_err(no_answer)?;
                sender.send_request(request).await.map_err(no_answer)?
            }
        };
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| Failure::said(ErrorKind::NoAnswer, error.to_string()))?.to_bytes();
        Ok(Answer { status, retry_after, body })
    }
}

impl Sender {
    fn is_closed(&self) -> bool {
        match self {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }
}

async fn connect(dialer: &Dialer, endpoint: &Endpoint, http: Http) -> Result<Open, Failure> {
    let socket = dialer.connect(endpoint, None).await;
    let socket = TokioIo::new(socket.map_err(Failure::connect)?);
    let no_handshake = |error| Failure::new(ErrorKind::Handshake, error);
    // How a connection ended shows in the call that was on it.
    let sender = match http {
        Http::Http1 => {
            let (sender, driver) = http1::handshake(socket).await.map_err(no_handshake)?;
            tokio::task::spawn_local(driver);
            Sender::Http1(sender)
        }
        Http::Http2 => {
            let (sender, driver) = http2::handshake(Here, socket).await.map_err(no_handshake)?;
            tokio::task::spawn_local(driver);
            Sender::Http2(sender)
        }
    };
    Ok(Open { sender, scheme: endpoint.scheme, authority: endpoint.authority.clone() })
}

fn request(open: &Open, http: Http, call: Call) -> Result<Request<Full<Bytes>>, Failure> {
    let Open { scheme, authority, .. } = open;
    let builder = Request::builder().method(call.method);
    let builder = match http {
        Http::Http1 => builder.uri(call.path).header(header::HOST, authority),
        Http::Http2 => builder.uri(format!("{scheme}://{authority}{}", call.path)),
    };
    let with = |builder: http::request::Builder, (name, value): (HeaderName, _)| builder.header(name, value);
    let builder = call.headers.into_iter().fold(builder, with);
    builder.body(Full::new(call.body)).map_err(|error| Failure::new(ErrorKind::Refused, error))
}

//! Streams that share connections (HTTP/2, RFC 9113).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use h2::client::SendRequest;
use h2::{Ping, RecvStream};
use http::Request;
use tokio::sync::Mutex;

use super::{Stream, Subscribe};
use crate::dial::Dialer;
use crate::failure::Failure;
use crate::measure::ErrorKind;

/// What a stream may be sent before it was read: some of the largest events. The connection's window
/// is as much for each stream that it may have, so that one that reads slowly holds up no other.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;

/// The largest window that there is (RFC 9113, section 6.9.1).
const WINDOW_BYTES_MAX: u32 = (1 << 31) - 1;

/// Bytes of a refusal's body that are read.
const REFUSAL_BYTES_MAX: usize = 16 * 1024;

/// Connections, and room on them.
pub struct Connections {
    streams_max: u32,
    open: RefCell<Vec<Rc<Connection>>>,
    /// One at a time makes a connection; the others find room on it.
    dialing: Mutex<()>,
}

struct Connection {
    send: SendRequest<bytes::Bytes>,
    scheme: &'static str,
    authority: String,
    streams: Cell<u32>,
    /// It has failed: no more streams on it.
    broken: Cell<bool>,
}

/// A stream's place on a connection, free again when this is dropped.
struct Place(Rc<Connection>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
    }
}

/// The body of an answer.
pub(super) struct Body {
    body: RecvStream,
    _place: Place,
}

impl Connections {
    /// With so many streams on a connection, at most; the server may allow less.
    pub fn new(streams_max: u32) -> Self {
        Self { streams_max, open: RefCell::default(), dialing: Mutex::default() }
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// When there is no connection, no answer, or another one than a stream.
    pub async fn open(&self, dialer: &Dialer, subscribe: &Subscribe) -> Result<(Stream, Vec<u8>), Failure> {
        let place = self.place(dialer).await?;
        let connection = Rc::clone(&place.0);
        let failed = |error: h2::Error| {
            // A reset of this one stream says nothing about the others.
            connection.broken.set(connection.broken.get() || !error.is_reset());
            Failure::new(ErrorKind::NoAnswer, error)
        };
        let uri = format!("{}://{}{}", connection.scheme, connection.authority, subscribe.path);
        let request = subscribe.headers.iter().fold(Request::get(uri), |request, (name, value)| {
            request.header(name.to_ascii_lowercase(), value)
        });
        let request = request.body(()).map_err(|error| Failure::new(ErrorKind::Refused, error))?;
        let mut send = connection.send.clone().ready().await.map_err(failed)?;
        let (answer, _) = send.send_request(request, true).map_err(failed)?;
        let answer = answer.await.map_err(failed)?;
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let event_stream = header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        if answer.status() != 200 || !event_stream {
            let (status, retry_after) = (answer.status().as_u16(), header("retry-after").map(str::to_owned));
            let body = whole(answer.into_body()).await;
            return Err(Failure::answer(status, retry_after.as_deref(), &body));
        }
        let body = Body { body: answer.into_body(), _place: place };
        Ok((Stream::new(super::Body::Http2(body)), Vec::new()))
    }

    async fn place(&self, dialer: &Dialer) -> Result<Place, Failure> {
        loop {
            if let Some(place) = self.free() {
                return Ok(place);
            }
            let _dialing = self.dialing.lock().await;
            // Whoever had the lock before may have made room.
            if let Some(place) = self.free() {
                return Ok(place);
            }
            let made = Rc::new(connect(dialer, self.streams_max).await?);
            self.open.borrow_mut().push(made);
        }
    }

    fn free(&self) -> Option<Place> {
        let mut open = self.open.borrow_mut();
        open.retain(|connection| !connection.broken.get());
        // The newest has room, if any: the others were filled before.
        let fits = |connection: &&Rc<Connection>| {
            let allowed = connection.send.current_max_send_streams().min(self.streams_max as usize);
            (connection.streams.get() as usize) < allowed.max(1)
        };
        let connection = open.iter().rev().find(fits)?;
        connection.streams.set(connection.streams.get() + 1);
        Some(Place(Rc::clone(connection)))
    }
}

async fn connect(dialer: &Dialer, streams_max: u32) -> Result<Connection, Failure> {
    let endpoint = dialer.next();
    let socket = dialer.connect(endpoint, None).await;
    let socket = socket.map_err(Failure::connect)?;
    let no_handshake = |error| Failure::new(ErrorKind::Handshake, error);
    let window = STREAM_WINDOW_BYTES.saturating_mul(streams_max.max(1)).min(WINDOW_BYTES_MAX);
    let handshake = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(window)
        .enable_push(false)
        .handshake(socket);
    let (send, mut driver) = handshake.await.map_err(no_handshake)?;
    let ping = driver.ping_pong();
    tokio::task::spawn_local(async move {
        // How it ended shows on its streams.
        let _ = driver.await;
    });
    if let Some(mut ping) = ping {
        // The server's settings come before its answer to this, and say how many streams it takes.
        ping.ping(Ping::opaque()).await.map_err(no_handshake)?;
    }
    let (scheme, authority) = (endpoint.scheme, endpoint.authority.clone());
    Ok(Connection { send, scheme, authority, streams: Cell::new(0), broken: Cell::new(false) })
}

async fn whole(mut body: RecvStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
        if bytes.len() > REFUSAL_BYTES_MAX {
            break;
        }
    }
    bytes
}

impl Body {
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut impl FnMut(&[u8]),
    ) -> Poll<Result<usize, Failure>> {
        loop {
            let Some(data) = ready!(self.body.poll_data(cx)) else { return Poll::Ready(Ok(0)) };
            let data = match data {
                Ok(data) => data,
                Err(error) => return Poll::Ready(Err(Failure::new(ErrorKind::Broken, error))),
            };
            // An error here shows at the next read.
            let _ = self.body.flow_control().release_capacity(data.len());
            if !data.is_empty() {
                take(&data);
                return Poll::Ready(Ok(data.len()));
            }
        }
    }
}

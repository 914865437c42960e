//! Everything that is no stream: hyper, and the router behind it.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::TcpStream;
use tower::ServiceExt;

use super::admission::Seat;
use super::rewind::Rewind;
use super::{Limits, Server, answer, drained};
use crate::stream::Streams;

/// How long an HTTP/1 connection may be idle between two requests, the next one's head included (hyper has
/// one timer for both): longer than the minute for which phones' HTTP stacks keep theirs, so that it is the
/// client who closes and no request runs into a closing server.
const IDLE_MAX: Duration = Duration::from_secs(75);

// What one HTTP/2 connection holds, with `Limits::http2_streams` streams on it. Coming in: `head_bytes` for each
// request that waits for its body or its answer, and for all bodies together the connection's window. Going out
// to a client that does not read: what waits in each stream's queue (`stream.queue_bytes`, with its policy for
// what is over), as for a stream with a connection of its own; up to 16 KiB of it in the stream's body; then one
// bound for all of the connection. A client that is silent altogether answers no ping either, and is gone after
// `HTTP2_PING_EVERY` and `HTTP2_PING_TIMEOUT`.

/// Streams that a client may open and reset before we have looked at them (CVE-2023-44487, rapid reset). A client
/// that closes streams which were answered is not meant, however many they are.
const HTTP2_RESETS_PENDING_MAX: usize = 20;
/// Streams of one connection that we may reset for the client's faults before it is closed (CVE-2025-8671). One
/// more than may be open is such a fault (RFC 9113, section 5.1.2): it is refused with `REFUSED_STREAM`.
const HTTP2_RESETS_LOCAL_MAX: usize = 128;
/// What a client may send on a stream ahead of what is read: most requests whole.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// The same for all streams of a connection together: half an outbox of the largest size.
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// What is kept for a stream whose reader does not read, and the event with which that is passed.
const HTTP2_STREAM_SEND_BYTES_MAX: usize = 64 * 1024;
/// The same for all streams of a connection together, of which each has its part: 128 streams' worth.
const HTTP2_CONNECTION_SEND_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How often an HTTP/2 client is asked whether it is there.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(30);
/// How long it may take to answer.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Who is at the other end; in the extensions of every request.
#[derive(Clone)]
pub struct Peer {
    /// The client's address, or its proxy's.
    pub address: SocketAddr,
    seat: Arc<Seat>,
}

impl Peer {
    /// To be called when a request on this connection has proved who it is from. The connection no longer counts
    /// against `unauthenticated_connections_per_address`.
    pub fn authenticated(&self) {
        self.seat.authenticated();
    }
}

/// hyper's builders, set up once.
pub(super) struct Stack {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Stack {
    pub(super) fn new(limits: &Limits) -> Self {
        let head_bytes = limits.head_bytes;
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_MAX)
            .max_header_size(head_bytes)
            // A client that closes its half after its request still gets the answer (RFC 9112, section 9.6).
            .half_close(true);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.http2_streams)
            .max_pending_accept_reset_streams(HTTP2_RESETS_PENDING_MAX)
            .max_local_error_reset_streams(HTTP2_RESETS_LOCAL_MAX)
            .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(http2_send_bytes(limits.http2_streams))
            .keep_alive_interval(HTTP2_PING_EVERY)
            .keep_alive_timeout(HTTP2_PING_TIMEOUT);
        Self { http1, http2 }
    }
}

/// What is kept for one of so many streams whose reader does not read.
fn http2_send_bytes(streams: u32) -> usize {
    (HTTP2_CONNECTION_SEND_BYTES_MAX / streams.max(1) as usize).min(HTTP2_STREAM_SEND_BYTES_MAX)
}

/// Serves HTTP/1 until the client has gone, or the answer under way when a drain begins is written.
pub(super) async fn http1<S: Streams>(
    socket: TcpStream,
    read: Bytes,
    address: SocketAddr,
    seat: Seat,
    server: &Server<S>,
) {
    let service = Routed::new(server, address, seat);
    let mut connection = server.stack.http1.serve_connection(Rewind::new(read, socket), service);
    let mut draining = server.draining.clone();
    tokio::select! {
        biased; // the bytes that were read are a request under way: hyper has to see them first
        _ = poll_fn(|cx| connection.poll_without_shutdown(cx)) => {}
        () = drained(&mut draining) => {
            Pin::new(&mut connection).graceful_shutdown();
            let _ = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
        }
    }
    // Whether it ended well or not, there may be an answer (a 413, say) that the client has not read.
    answer::linger(connection.into_parts().io.into_socket()).await;
}

/// Serves HTTP/2 until the client has gone, or a drain has ended all its streams.
pub(super) async fn http2<S: Streams>(
    socket: TcpStream,
    read: Bytes,
    address: SocketAddr,
    seat: Seat,
    server: &Server<S>,
) {
    let service = Routed::new(server, address, seat);
    let mut connection = pin!(server.stack.http2.serve_connection(Rewind::new(read, socket), service));
    let mut draining = server.draining.clone();
    // How it ended is the client's affair: its faults are answered in the protocol.
    tokio::select! {
        biased;
        _ = &mut connection => {}
        () = drained(&mut draining) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// The router, with the [`Peer`] in each request.
struct Routed {
    router: Router,
    peer: Peer,
}

impl Routed {
    fn new<S: Streams>(server: &Server<S>, address: SocketAddr, seat: Seat) -> Self {
        Self { router: server.router.clone(), peer: Peer { address, seat: Arc::new(seat) } }
    }
}

impl Service<Request<Incoming>> for Routed {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer.clone());
        Box::pin(self.router.clone().oneshot(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_streams_of_a_connection_share_what_is_kept_for_them() {
        for (streams, bytes) in [(1, 64 * 1024), (128, 64 * 1024), (1_000, 8_388), (10_000, 838)] {
            assert_eq!(http2_send_bytes(streams), bytes, "{streams}");
        }
    }
}

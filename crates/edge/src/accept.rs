//! Connections: accepting, telling streams from the rest, and letting go of them.
//!
//! The accept loop is our own because of what an idle stream costs: the first head is read into a small buffer
//! and parsed here. `GET /v1/events` over HTTP/1 takes the socket over ([`crate::stream`]); everything else goes to
//! hyper and the router with the bytes that were read. Nothing here knows what a request means.

pub(crate) mod admission;
mod answer;
mod connection;
mod head;
mod http;
mod listen;
pub mod measures;
pub mod operator;
mod rewind;
mod socket;

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::watch;
use tokio::time::timeout;

pub use self::http::Peer;
pub use self::socket::bind;
#[cfg(test)]
pub(crate) use self::socket::bound_send_buffer;

use self::admission::Admission;
use self::connection::Connection;
use self::http::Stack;
use self::listen::Listener;
use crate::stream::Streams;

/// After a drain's deadline, how long connections that were cut have to be gone. It is a matter of one turn of each
/// task; a task that blocks must not keep the process.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);

/// What clients may take before anybody knows who they are.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections. The process needs a file descriptor for each, and some beside.
    pub connections: usize,
    /// Of these, how many from one IPv4 address or IPv6 /64 network before a request on them was authenticated.
    /// Carriers put thousands of phones behind one address.
    pub unauthenticated_connections_per_address: u32,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// How long the first head may take.
    pub head_timeout: Duration,
    /// Requests, streams among them, that may be under way on one HTTP/2 connection. It is one of `connections`
    /// whatever it carries.
    pub http2_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 100_000,
            unauthenticated_connections_per_address: 10_000,
            head_bytes: 16 * 1024,
            head_timeout: Duration::from_secs(10),
            http2_streams: 128,
        }
    }
}

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were open when it began and ended by themselves.
    pub finished: usize,
    /// Connections that were cut at the deadline.
    pub cut: usize,
}

/// What all connections share.
struct Server<S> {
    router: Router,
    streams: S,
    limits: Limits,
    stack: Stack,
    draining: watch::Receiver<bool>,
}

/// Until a drain begins.
async fn drained(draining: &mut watch::Receiver<bool>) {
    // An error says that the sender has gone, and with it whoever waits for this connection.
    let _ = draining.wait_for(|draining| *draining).await;
}

/// Serves clients until `shutdown`, and then until all connections have ended or `deadline` is over.
///
/// At the shutdown no connection is accepted any more but those that the kernel has completed; requests under way
/// are answered; silent connections are closed; streams go on until their frames end. Each connection is a
/// task on the current runtime. Metrics go to the recorder that is installed by now.
///
/// # Errors
/// The listener cannot be registered with the runtime.
pub async fn serve<S: Streams>(
    listener: TcpListener,
    router: Router,
    streams: S,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
    deadline: Duration,
) -> io::Result<Drained> {
    let mut listener = Listener::new(listener)?;
    let admission = Admission::new(&limits);
    let (drain, draining) = watch::channel(false);
    let stack = Stack::new(&limits);
    let server = Arc::new(Server { router, streams, limits, stack, draining });
    let seat = |(socket, address): listen::Accepted| {
        admission.measures.accepted.increment(1);
        let server = Arc::clone(&server);
        admission.seat(address.ip(), |seat| Connection::new(socket, address, seat, server));
    };

    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept(&admission.measures.accept_errors) => seat(accepted),
        }
    }
    // Whoever is in the backlog has a connection in their eyes: closing the listener would reset it.
    while let Some(accepted) = listener.accept_now().await {
        seat(accepted);
    }
    drop(listener);

    let open = admission.open();
    drain.send_replace(true);
    let cut = match timeout(deadline, admission.empty()).await {
        Ok(()) => 0,
        Err(_) => {
            let cut = admission.cut();
            let _ = timeout(CUT_TIMEOUT, admission.empty()).await; // said in the counts either way
            cut
        }
    };
    Ok(Drained { finished: open.saturating_sub(cut), cut })
}

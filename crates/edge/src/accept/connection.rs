//! The life of one connection.
//!
//! Its task has two states, so that a stream's task holds a pump and nothing else: arriving, in a box, which
//! reads the head and does whatever is no stream; and streaming.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use godwit_wire::{Code, Problem};
use http::{Version, request};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::admission::Seat;
use super::head::{Head, classify};
use super::measures::Kind;
use super::{Server, answer, drained, http as stack, socket};
use crate::answer::problem as problem_answer;
use crate::stream::{Frames, Pump, Streams};

/// What is read of a head at a time, on the stack: what phones and browsers send fits.
const SCRATCH_BYTES: usize = 2 * 1024;

/// How long a connection for which there is no room may take to say what it wanted.
const REFUSED_HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// The task of one connection.
pub(super) enum Connection<F> {
    /// Everything that is no stream; ends with a pump if it becomes one.
    Arriving(Pin<Box<dyn Future<Output = Option<Pump<F>>> + Send>>),
    /// A stream.
    Streaming(Pump<F>),
}

impl<F: Frames> Connection<F> {
    pub(super) fn new<S>(socket: TcpStream, address: SocketAddr, seat: Seat, server: Arc<Server<S>>) -> Self
    where
        S: Streams<Frames = F>,
    {
        Self::Arriving(Box::pin(arrive(socket, address, seat, server)))
    }
}

impl<F: Frames> Future for Connection<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut *self {
                Self::Arriving(arriving) => match ready!(arriving.as_mut().poll(cx)) {
                    Some(pump) => *self = Self::Streaming(pump), // frees the box
                    None => return Poll::Ready(()),
                },
                Self::Streaming(pump) => return Pin::new(pump).poll(cx).map(drop),
            }
        }
    }
}

/// From the first byte to the end of the connection, or to the begin of a stream.
async fn arrive<S: Streams>(
    socket: TcpStream,
    address: SocketAddr,
    seat: Seat,
    server: Arc<Server<S>>,
) -> Option<Pump<S::Frames>> {
    let (head, read) = receive(&socket, &seat, &server).await?;
    // Boxed one by one: a connection that has sent nothing must not hold room for all of this.
    if seat.is_refused() {
        Box::pin(refuse(socket, head, &server)).await;
        return None;
    }
    match head {
        Head::Stream(parts) => {
            drop(read); // what came behind the head is dropped like all that a stream's client sends
            Box::pin(open(socket, *parts, seat, &server)).await
        }
        Head::Http2 => {
            seat.becomes(Kind::Http2);
            Box::pin(stack::http2(socket, read, address, seat, &server)).await;
            None
        }
        Head::Other => {
            seat.becomes(Kind::Http1);
            Box::pin(stack::http1(socket, read, address, seat, &server)).await;
            None
        }
        Head::Bad(fault) => {
            drop(read);
            let problem = answer::fault(fault);
            seat.measures().rejected(problem.code.as_str());
            Box::pin(answer::send(socket, answer::encode(&problem_answer(&problem)))).await;
            None
        }
        Head::Partial => {
            let problem = Problem::new(Code::RequestTimeout, "the request head took too long to arrive");
            Box::pin(answer::send(socket, answer::encode(&problem_answer(&problem)))).await;
            None
        }
    }
}

/// Reads until it is clear what the first request is, and gives what was read. [`Head::Partial`]: its time is
/// over. Nothing: there is nobody to answer. A connection that was silent all the time is closed
/// without a 408, which RFC 9110, section 15.5.9 leaves open: clients that connect ahead of need would
/// take it for the answer to a request that they are about to send. A drain does not wait for it either.
async fn receive<S: Streams>(socket: &TcpStream, seat: &Seat, server: &Server<S>) -> Option<(Head, Bytes)> {
    let head_bytes = server.limits.head_bytes;
    let head_timeout = server.limits.head_timeout;
    let allowed = if seat.is_refused() { head_timeout.min(REFUSED_HEAD_TIMEOUT) } else { head_timeout };
    let mut time_over = pin!(sleep(allowed));
    let mut draining = server.draining.clone();
    let mut read = BytesMut::new();
    loop {
        match take(socket, &mut read, head_bytes) {
            Ok(0) => return None, // closed in the middle of a head, or before one
            Ok(_) => match classify(&read, head_bytes) {
                Head::Partial => {}
                head => return Some((head, read.freeze())),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::select! {
                biased; // the time first, or a client that is never silent would have no end of it
                () = &mut time_over => {
                    seat.measures().head_timeouts.increment(1);
                    return (!read.is_empty()).then_some((Head::Partial, Bytes::new()));
                }
                ready = socket.readable() => ready.ok()?,
                () = drained(&mut draining), if read.is_empty() => return None,
            },
            Err(_) => return None,
        }
    }
}

/// Reads what is there, up to `bytes_max` in all. The buffer grows with what it holds: while nothing has come it
/// is none at all.
fn take(socket: &TcpStream, read: &mut BytesMut, bytes_max: usize) -> io::Result<usize> {
    let mut scratch = [0; SCRATCH_BYTES];
    let room = (bytes_max - read.len()).min(SCRATCH_BYTES);
    let n = socket.try_read(&mut scratch[..room])?;
    read.extend_from_slice(&scratch[..n]);
    Ok(n)
}

/// There is no room: says so in the way that the client understands.
async fn refuse<S: Streams>(socket: TcpStream, head: Head, server: &Server<S>) {
    let bytes = match head {
        Head::Stream(parts) => answer::encode(&server.streams.turn_away(*parts)),
        Head::Http2 => answer::HTTP2_GOAWAY.to_vec(),
        Head::Bad(fault) => answer::encode(&problem_answer(&answer::fault(fault))),
        Head::Other | Head::Partial => {
            let problem = Problem::new(Code::Overloaded, "too many connections");
            answer::encode(&problem_answer(&problem))
        }
    };
    answer::send(socket, bytes).await;
}

/// Opens a stream on this socket, or answers why not.
async fn open<S: Streams>(
    socket: TcpStream,
    parts: request::Parts,
    seat: Seat,
    server: &Server<S>,
) -> Option<Pump<S::Frames>> {
    let chunked = parts.version == Version::HTTP_11;
    match server.streams.open(parts).await {
        Ok(opened) => {
            seat.authenticated();
            socket::bound_send_buffer(&socket);
            let head = answer::stream_head(&opened.headers, chunked);
            Some(Pump::new(socket, head, chunked, opened.frames, seat))
        }
        Err(answer) => {
            seat.becomes(Kind::Http1);
            answer::send(socket, answer::encode(&answer)).await;
            None
        }
    }
}

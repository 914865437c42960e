//! The stream path: one socket, one small future, nothing else.
//!
//! An idle stream is what this server has most of, so what a stream keeps is counted in bytes: the
//! socket, the account's end of it, its seat, and a batch only while the kernel does not take it. No timer (the
//! account's side beats the heart, the kernel ends what takes nothing), no channel, no read buffer.

mod batch;
mod service;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use godwit_actors::StreamHandle;
use http::{HeaderMap, Response, request};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::accept::admission::Seat;
use crate::accept::measures::{Ended, Kind};
use batch::Batch;

/// How much is asked for at a time. It is also what the pump keeps for a reader who does not read. More would
/// not make a write cheaper; less would cost more of them in a replay.
const BATCH_BYTES: usize = 16 * 1024;

/// What a client may send after its request, bytes. An HTTP client has nothing to say there; some bytes
/// of a body that nobody expected are let pass.
const CHATTER_BYTES_MAX: u16 = 4 * 1024;

/// Where a stream's bytes come from. [`StreamHandle`] is the real one.
pub trait Frames: Send + Unpin + 'static {
    /// See [`StreamHandle::poll_frames`].
    fn poll_frames(&self, cx: &mut Context<'_>, frames: &mut Vec<Bytes>, bytes_max: usize) -> Poll<bool>;
}

impl Frames for StreamHandle {
    fn poll_frames(&self, cx: &mut Context<'_>, frames: &mut Vec<Bytes>, bytes_max: usize) -> Poll<bool> {
        StreamHandle::poll_frames(self, cx, frames, bytes_max)
    }
}

/// What stands behind `GET /v1/events`.
pub trait Streams: Clone + Send + Sync + 'static {
    /// What a stream gives.
    type Frames: Frames;

    /// Opens the stream that this head asks for, once whoever asks is known; or the answer that says why not,
    /// which is the last on its connection.
    fn open(
        &self,
        head: request::Parts,
    ) -> impl Future<Output = Result<Opened<Self::Frames>, Box<Response<Bytes>>>> + Send;

    /// The answer to a stream for which there is no room. By the contract neither a 5xx nor a 429: a stock
    /// `EventSource` would never come back.
    fn turn_away(&self, head: request::Parts) -> Response<Bytes>;
}

/// A stream that may begin.
pub struct Opened<F> {
    /// Fields of the answer's head, content type and all. Those of the connection are not among them.
    pub headers: HeaderMap,
    /// What follows.
    pub frames: F,
}

/// Carries a stream's frames to its socket until one of them ends.
pub(crate) struct Pump<F> {
    socket: TcpStream,
    frames: F,
    unsent: Option<Box<Batch>>,
    seat: Seat,
    chatter: u16,
    chunked: bool,
    /// The frames are over; what is unsent is the last.
    last: bool,
    /// Why the stream ended was noted.
    noted: bool,
}

impl<F: Frames> Pump<F> {
    /// Begins with `head`, the answer's head as it goes over the wire.
    pub(crate) fn new(socket: TcpStream, head: Vec<u8>, chunked: bool, frames: F, seat: Seat) -> Self {
        seat.becomes(Kind::Stream);
        seat.measures().streams_opened.increment(1);
        let unsent = Some(Box::new(Batch::plain(vec![head.into()])));
        Self { socket, frames, unsent, seat, chatter: 0, chunked, last: false, noted: false }
    }

    /// Until the client has gone, one way or another. What it sends is dropped.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            let mut scratch = [0; 512];
            let mut scratch = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut scratch)) {
                Err(error) => return Poll::Ready(broken(&error)),
                Ok(()) if scratch.filled().is_empty() => return Poll::Ready(Ended::Closed),
                Ok(()) => self.chatter += scratch.filled().len() as u16, // 512 at most
            }
            if self.chatter > CHATTER_BYTES_MAX {
                return Poll::Ready(Ended::Chatter);
            }
        }
    }

    /// Until the kernel has taken all of the batch.
    fn poll_write(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<io::Result<()>> {
        while !batch.is_written() {
            let n = ready!(batch.poll_write(Pin::new(&mut self.socket), cx))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.seat.measures().stream_written_bytes.increment(n as u64);
        }
        Poll::Ready(Ok(()))
    }

    /// Until all frames are written. Whoever drops the box frees it: an idle stream keeps none.
    fn poll_frames(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        // It yields after a while even if the socket takes everything: each write costs of tokio's budget.
        loop {
            if let Some(mut batch) = self.unsent.take() {
                match self.poll_write(cx, &mut batch) {
                    Poll::Pending => {
                        self.unsent = Some(batch);
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(broken(&error)),
                    Poll::Ready(Ok(())) => {}
                }
            }
            if self.last {
                return Poll::Ready(Ended::Bye);
            }
            let mut frames = Vec::new();
            let more = ready!(self.frames.poll_frames(cx, &mut frames, BATCH_BYTES));
            self.last = !more;
            let mut batch = if self.chunked { Batch::chunk(frames, self.last) } else { Batch::plain(frames) };
            match self.poll_write(cx, &mut batch) {
                Poll::Pending => {
                    self.unsent = Some(Box::new(batch));
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(broken(&error)),
                Poll::Ready(Ok(())) => {}
            }
        }
    }
}

fn broken(error: &io::Error) -> Ended {
    if error.kind() == io::ErrorKind::TimedOut { Ended::TimedOut } else { Ended::Reset }
}

impl<F: Frames> Future for Pump<F> {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        // The client first: what is written to someone who has gone is written for nothing.
        let ended = match self.poll_client(cx) {
            Poll::Ready(ended) => ended,
            Poll::Pending => ready!(self.poll_frames(cx)),
        };
        self.seat.measures().ended(ended).increment(1);
        self.noted = true;
        Poll::Ready(ended)
    }
}

impl<F> Drop for Pump<F> {
    fn drop(&mut self) {
        if !self.noted {
            self.seat.measures().ended(Ended::Cut).increment(1);
        }
    }
}

#[cfg(test)]
mod tests;

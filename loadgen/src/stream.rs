//! One open event stream, as lean as it can be: a worker holds many thousand.
//!
//! An idle one is its socket, and a parser that owns nothing but the last event id. Bytes are read into
//! one buffer that all streams of the thread share, for the moment of a poll.

pub mod http1;
pub mod http2;

use std::cell::RefCell;
use std::task::{Context, Poll, ready};

use godwit_sse::{Item, Parser};

use crate::failure::Failure;
use crate::measure::ErrorKind;

/// The largest event that is read: eight times the largest body of a message.
const EVENT_BYTES_MAX: usize = 128 * 1024;

/// Read at once. As much as a busy socket holds at a time; all streams share one buffer of it.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    static SHARED: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// An open stream.
pub struct Stream {
    body: Body,
    parser: Parser,
}

enum Body {
    Http1(http1::Body),
    Http2(http2::Body),
}

/// What is asked for: everything but how it is brought.
#[derive(Debug, Clone, Default)]
pub struct Subscribe {
    /// Path and query.
    pub path: String,
    /// Besides `Host`.
    pub headers: Vec<(String, String)>,
    /// How much the kernel keeps for a client that reads slowly; none: as much as it likes.
    pub receive_bytes: Option<u32>,
}

impl Stream {
    fn new(body: Body) -> Self {
        Self { body, parser: Parser::new(EVENT_BYTES_MAX) }
    }

    /// Reads once, `max` bytes at most, and hands on what they complete. Ready with the number of bytes;
    /// 0: the server has ended the stream.
    ///
    /// # Errors
    /// When the connection broke, or what came is no event stream.
    pub fn poll_items(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        mut take: impl FnMut(Item<'_>),
    ) -> Poll<Result<usize, Failure>> {
        let Self { body, parser } = self;
        let mut fed = Ok(());
        let mut feed = |bytes: &[u8]| {
            if fed.is_ok() {
                fed = parser.feed(bytes, &mut take);
            }
        };
        let bytes = ready!(match body {
            Body::Http1(body) => SHARED.with_borrow_mut(|buffer| {
                let max = max.min(buffer.len());
                body.poll_read(cx, &mut buffer[..max], &mut feed)
            }),
            Body::Http2(body) => body.poll_read(cx, &mut feed),
        })?;
        Poll::Ready(fed.map(|()| bytes).map_err(|error| Failure::new(ErrorKind::Malformed, error)))
    }

    /// What came together with the head of the answer.
    ///
    /// # Errors
    /// When it is no event stream.
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(Item<'_>)) -> Result<(), Failure> {
        let Self { body, parser } = self;
        let mut fed = Ok(());
        let mut feed = |bytes: &[u8]| fed = parser.feed(bytes, &mut take);
        match body {
            Body::Http1(body) => body.decode(bytes, &mut feed).map(|_| ())?,
            Body::Http2(_) => feed(bytes),
        }
        fed.map_err(|error| Failure::new(ErrorKind::Malformed, error))
    }

    /// Ends it at once: a reset of the connection, or of the stream on it.
    pub fn reset(self) {
        match self.body {
            Body::Http1(body) => body.reset(),
            // Dropping it resets the stream (RST_STREAM, RFC 9113, section 6.4).
            Body::Http2(_) => {}
        }
    }
}

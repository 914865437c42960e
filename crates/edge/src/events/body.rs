//! A stream as the body of a hyper response: for HTTP/2, and for a connection on which hyper already
//! speaks HTTP/1.1.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use axum::body::Body;
use bytes::Bytes;
use godwit_actors::StreamHandle;
use godwit_types::Timestamp;
use http::{Method, Response, request};
use http_body::Frame;

use super::{head, refuse, request};
use crate::accept::Peer;
use crate::gate::Gate;

/// What is taken from a stream at once. hyper has a buffer of its own below; what is taken here no
/// overflow policy reaches any more, so it is no more than one write needs.
const TAKEN_BYTES: usize = 16 * 1024;

/// Serves one request for a stream.
pub(crate) async fn serve(gate: Arc<Gate>, parts: request::Parts) -> Response<Body> {
    let now = Timestamp::from(SystemTime::now());
    let wanted = request(&parts.uri, &parts.headers, &gate, now).await;
    if let (Ok(_), Some(peer)) = (&wanted, parts.extensions.get::<Peer>()) {
        peer.authenticated();
    }
    match wanted {
        // HEAD must not take the place of a stream that is open.
        Ok(_) if parts.method == Method::HEAD => head(&gate, &parts.headers).map(|()| Body::empty()),
        Ok(wanted) => {
            let stream = gate.region.open_stream(wanted);
            head(&gate, &parts.headers).map(|()| Body::new(StreamBody::new(stream)))
        }
        Err(refusal) => refuse(&refusal, &gate, &parts.headers).map(Body::from),
    }
}

/// What a stream brings, as body frames.
struct StreamBody {
    stream: StreamHandle,
    taken: std::vec::IntoIter<Bytes>,
    ended: bool,
}

impl StreamBody {
    fn new(stream: StreamHandle) -> Self {
        Self { stream, taken: Vec::new().into_iter(), ended: false }
    }
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        loop {
            if let Some(bytes) = this.taken.next() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let mut frames = Vec::new();
            match this.stream.poll_frames(cx, &mut frames, TAKEN_BYTES) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(more) => this.ended = !more,
            }
            this.taken = frames.into_iter();
        }
    }
}

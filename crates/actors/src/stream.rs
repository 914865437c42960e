//! One device's stream: what its socket, its account and its replay share.
//!
//! An idle stream keeps no actor and no queue: a position, a waker and a few words. The first event makes a
//! [`Delivery`] again, and a replay has a connection actor for as long as it lasts.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use godwit_core::Delivery;
use godwit_core::delivery::{Event, Fate, Read};
use godwit_core::inbox::Grant;
use godwit_types::{AccountId, ConnectionId, Cursor, DeviceId, Position, Timestamp};
use godwit_wire::event::{self, ByeData, ReadyData};
use godwit_wire::{ByeReason, EventKind, sse};
use parking_lot::Mutex;

use crate::metrics;
use crate::node::Node;
use crate::options::Options;

/// What a client is told to wait for when it should not come back by itself: an `EventSource` knows no
/// other way to be kept from it.
const RETRY_NEVER_MS: u32 = 3_600_000;

/// What a client asks for when it opens a stream.
#[derive(Debug, Clone)]
pub struct StreamRequest {
    /// Whose.
    pub account: AccountId,
    /// Which device.
    pub device: DeviceId,
    /// `Last-Event-ID`; none: live from now on.
    pub after: Option<Cursor>,
    /// `?heartbeat_s=`, in milliseconds; none: as configured.
    pub heartbeat_ms: Option<u32>,
    /// When the token's time is over.
    pub expires_at: Timestamp,
}

pub(crate) struct Stream {
    pub(crate) id: ConnectionId,
    pub(crate) account: AccountId,
    pub(crate) device: DeviceId,
    pub(crate) heartbeat_ms: u32,
    expires_at: Timestamp,
    state: Mutex<State>,
}

struct State {
    /// What the client asked to resume from, until it is granted.
    asked: Option<Cursor>,
    position: Position,
    delivery: Option<Box<Delivery>>,
    waker: Option<Waker>,
    granted: bool,
    /// The server has said `bye`: nothing more comes.
    ended: bool,
    /// The socket is gone.
    closed: bool,
    /// A heartbeat is due.
    beat: bool,
    /// A connection actor is reading for this stream.
    replaying: bool,
}

/// What a change of a stream asks of the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Need {
    Nothing,
    /// Start a connection actor: there is something to read, and none is reading.
    Replay,
}

impl Stream {
    pub(crate) fn new(id: ConnectionId, request: StreamRequest, options: &Options) -> Self {
        Self {
            id,
            account: request.account,
            device: request.device,
            heartbeat_ms: request.heartbeat_ms.unwrap_or(options.heartbeat_ms),
            expires_at: request.expires_at,
            state: Mutex::new(State {
                asked: request.after,
                position: Position::START,
                delivery: None,
                waker: None,
                granted: false,
                ended: false,
                closed: false,
                beat: false,
                replaying: false,
            }),
        }
    }

    /// What the stream asked to resume from; `Err` when it was granted, or is over, and asks nothing more.
    pub(crate) fn asked(&self) -> Result<Option<Cursor>, ()> {
        let state = self.state.lock();
        if state.granted || state.ended || state.closed { Err(()) } else { Ok(state.asked) }
    }

    pub(crate) fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.ended || state.closed
    }

    /// The account's owner has said from where the stream goes on: `retry`, `ready`, and what follows.
    pub(crate) fn grant(&self, grant: Grant, options: &Options, retry_ms: u32, now: Timestamp) -> Need {
        self.change(|state| {
            if state.ended || state.closed {
                return;
            }
            let announce = state.asked.take().is_some();
            let head = Cursor::new(&self.account, grant.upto);
            let ready = ReadyData {
                connection: self.id,
                head,
                replaying: announce,
                heartbeat_ms: self.heartbeat_ms,
                expires_at: self.expires_at,
                server_time: now,
            };
            // Without an id of its own the first one is the head: a client that is cut before its first
            // message would come back with none and lose what came between.
            let id = (!announce).then_some(head);
            let ready = sse::frame_with_retry(retry_ms, id, EventKind::Ready, &event::data(&ready));
            let account = self.account.clone();
            let delivery = Delivery::granted(account, options.queue, ready, grant, announce);
            state.granted = true;
            state.delivery = Some(Box::new(delivery));
        })
    }

    /// Rows of the inbox were committed, in order.
    pub(crate) fn events(&self, events: &[Event], options: &Options) -> Need {
        let mut fate = Fate::Open;
        let need = self.change(|state| {
            if !state.granted || state.ended || state.closed {
                return;
            }
            let delivery = state.delivery(&self.account, options);
            for event in events {
                fate = delivery.event(event);
                if fate == Fate::Slow {
                    break;
                }
            }
        });
        if fate == Fate::Slow {
            self.end(ByeReason::Slow, options.retry_ms.1);
        }
        need
    }

    /// Rows up to there are committed, of which some may not have come this way.
    pub(crate) fn missed(&self, upto: Position, options: &Options) -> Need {
        self.change(|state| {
            if state.granted && !state.ended && !state.closed {
                // Nothing is dropped by it, so its fate is to stay open.
                let _ = state.delivery(&self.account, options).missed(upto);
            }
        })
    }

    /// Says `bye`; what is queued still goes out before it.
    pub(crate) fn end(&self, reason: ByeReason, retry_ms: u32) {
        let _ = self.change(|state| {
            if state.ended || state.closed {
                return;
            }
            state.ended = true;
            metrics::stream_bye(reason.as_str());
            let reconnect = reason.reconnect();
            let retry_ms = if reconnect { retry_ms } else { RETRY_NEVER_MS };
            let data = ByeData { reason, reconnect, retry_ms: reconnect.then_some(retry_ms) };
            let position = state.position;
            let delivery = state.delivery.get_or_insert_with(|| {
                let bounds = godwit_core::delivery::Bounds { queue_bytes: 0, overflow: Default::default() };
                Box::new(Delivery::live(self.account.clone(), bounds, position))
            });
            delivery.control(sse::frame_with_retry(retry_ms, None, EventKind::Bye, &event::data(&data)));
        });
    }

    /// A heartbeat is due; the last one when the token's time is over.
    pub(crate) fn beat(&self, now: Timestamp) -> Need {
        if now >= self.expires_at {
            self.end(ByeReason::TokenExpired, RETRY_NEVER_MS);
        }
        self.change(|state| state.beat = true)
    }

    /// Milliseconds until the token's time is over.
    pub(crate) fn expires_in_ms(&self, now: Timestamp) -> u64 {
        self.expires_at.ms_since(now)
    }

    /// What its connection actor is to read next; none ends the replay, for now or for good.
    pub(crate) fn next_read(&self) -> Option<Read> {
        let mut state = self.state.lock();
        let read = state.wants_read();
        state.replaying = read.is_some();
        read
    }

    /// Its connection actor is gone without having finished.
    pub(crate) fn replay_failed(&self) -> Need {
        let mut state = self.state.lock();
        state.replaying = false;
        state.need()
    }

    /// Its connection actor has read.
    pub(crate) fn page(&self, read: Read, events: &[Event]) {
        // The actor that read this page asks for the next one itself.
        let _ = self.change(|state| {
            if let Some(delivery) = &mut state.delivery {
                delivery.page(read, events);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> Need {
        let mut state = self.state.lock();
        change(&mut state);
        let need = state.need();
        let frames = state.delivery.as_ref().is_some_and(|delivery| delivery.has_frames());
        let waker = if frames || state.beat || state.ended { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        need
    }

    fn poll(&self, cx: &mut Context<'_>, frames: &mut Vec<Bytes>, bytes_max: usize) -> (Poll<bool>, Need) {
        let mut state = self.state.lock();
        let before = frames.len();
        if let Some(delivery) = &mut state.delivery {
            delivery.take(frames, bytes_max);
            if delivery.is_idle() {
                state.position = delivery.position();
                state.delivery = None;
            }
        }
        let more = state.delivery.as_ref().is_some_and(|delivery| delivery.has_frames());
        if state.ended && !more {
            return (Poll::Ready(false), Need::Nothing);
        }
        if std::mem::take(&mut state.beat) && frames.len() == before {
            frames.push(Bytes::from_static(sse::HEARTBEAT));
        }
        if frames.len() > before {
            return (Poll::Ready(true), state.need());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        (Poll::Pending, state.need())
    }

    fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.delivery = None;
        state.waker = None;
    }
}

impl State {
    fn delivery(&mut self, account: &AccountId, options: &Options) -> &mut Delivery {
        let position = self.position;
        self.delivery
            .get_or_insert_with(|| Box::new(Delivery::live(account.clone(), options.queue, position)))
    }

    fn wants_read(&self) -> Option<Read> {
        if self.ended || self.closed {
            return None;
        }
        self.delivery.as_ref().and_then(|delivery| delivery.read())
    }

    fn need(&mut self) -> Need {
        if self.replaying || self.wants_read().is_none() {
            return Need::Nothing;
        }
        self.replaying = true;
        Need::Replay
    }
}

/// The socket's end of a stream: bytes of server-sent events, in order. Dropping it ends the stream.
pub struct StreamHandle {
    stream: Arc<Stream>,
    node: Arc<Node>,
}

impl StreamHandle {
    pub(crate) fn new(stream: Arc<Stream>, node: Arc<Node>) -> Self {
        Self { stream, node }
    }

    /// The stream's name.
    pub fn id(&self) -> ConnectionId {
        self.stream.id
    }

    /// Appends what is to be written now to `frames`: whole events, at least one and up to about `bytes_max`
    /// bytes. `true`: there is more to come; `false`: write these (maybe none) and close. Pending: there is
    /// nothing to write; the waker is told when there is.
    pub fn poll_frames(&self, cx: &mut Context<'_>, frames: &mut Vec<Bytes>, bytes_max: usize) -> Poll<bool> {
        let (poll, need) = self.stream.poll(cx, frames, bytes_max);
        self.node.hub.serve(&self.stream, need);
        poll
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        self.stream.close();
        self.node.stream_closed(&self.stream);
    }
}

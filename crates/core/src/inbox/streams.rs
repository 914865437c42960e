//! Which of an account's streams may live.

use godwit_types::{ConnectionId, DeviceId};
use godwit_wire::ByeReason;

/// A phone that changed networks has a dead stream for a while; a third one means that the oldest is dead.
pub const STREAMS_PER_DEVICE: usize = 2;

/// An account's open streams, oldest first.
#[derive(Debug)]
pub struct Streams<S> {
    open: Vec<Entry<S>>,
    max: usize,
}

#[derive(Debug)]
struct Entry<S> {
    connection: ConnectionId,
    device: DeviceId,
    stream: S,
}

/// What a new stream comes to.
#[derive(Debug, PartialEq, Eq)]
pub struct Attached<S> {
    /// Whether it is open now.
    pub open: bool,
    /// The streams that are to end, with the reason.
    pub ended: Vec<(S, ByeReason)>,
}

impl<S: Clone> Streams<S> {
    /// None yet, `max` at most.
    pub fn new(max: usize) -> Self {
        Self { open: Vec::new(), max }
    }

    /// A stream wants to open.
    pub fn attach(&mut self, connection: ConnectionId, device: &DeviceId, stream: S) -> Attached<S> {
        let mut ended = Vec::new();
        if self.of(device) >= STREAMS_PER_DEVICE
            && let Some(oldest) = self.open.iter().position(|e| e.device == *device)
        {
            ended.push((self.open.remove(oldest).stream, ByeReason::Replaced));
        }
        if self.open.len() >= self.max {
            ended.push((stream, ByeReason::Limit));
            return Attached { open: false, ended };
        }
        self.open.push(Entry { connection, device: device.clone(), stream });
        Attached { open: true, ended }
    }

    /// A stream has ended.
    pub fn detach(&mut self, connection: ConnectionId) {
        self.open.retain(|entry| entry.connection != connection);
    }

    /// Takes out all streams of a device.
    pub fn remove_device(&mut self, device: &DeviceId) -> Vec<S> {
        self.open.extract_if(.., |entry| entry.device == *device).map(|entry| entry.stream).collect()
    }

    /// How many a device has.
    pub fn of(&self, device: &DeviceId) -> usize {
        self.open.iter().filter(|entry| entry.device == *device).count()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &S> {
        self.open.iter().map(|entry| &entry.stream)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

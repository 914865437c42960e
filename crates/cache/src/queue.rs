//! The push queue: notifications to be sent, each by one relay, at least once.
//!
//! A job is handed to one consumer, which says that it is done or that it failed. One that a dead
//! consumer had is handed to another; after its last try it becomes a dead letter. Nothing is cut off
//! the queue in silence: when it is full, jobs wait in the buffer of the process that made them, and
//! only there, beyond that buffer's bound, the oldest are lost and counted.

mod buffer;
mod local;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::link::Link;
use crate::options::PushBounds;
use local::Local;
use shared::Shared;

/// Largest job, in bytes: a payload of 4 KiB, which the providers allow, and what is said about it.
pub const JOB_BYTES_MAX: usize = 16 * 1024;
/// For how long the id of a job is remembered: a repeat that comes later is a job of its own.
const REMEMBERED: Duration = Duration::from_secs(600);

/// A job as a consumer has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What to name in [`PushQueue::done`] and [`PushQueue::failed`].
    pub entry: Entry,
    /// What its maker calls it.
    pub id: String,
    /// How often it was handed out, this time included.
    pub attempts: u32,
    /// What its maker put in.
    pub bytes: Bytes,
}

/// A job in the hands of a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    at: String,
    consumer: Arc<str>,
}

/// A job over [`JOB_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a push job of {0} bytes is over the {JOB_BYTES_MAX} allowed")]
pub struct TooLarge(pub usize);

/// A job on its way. It goes its way also when this is dropped.
#[derive(Debug)]
pub struct Pushed(oneshot::Receiver<()>);

impl Pushed {
    /// Waits until the job is in the queue, on Redis if there is one. False: it was dropped, because
    /// too many waited.
    pub async fn is_queued(self) -> bool {
        self.0.await.is_ok()
    }
}

/// The queue.
pub struct PushQueue(Place);

enum Place {
    Local(Box<Local>),
    Shared(Arc<Shared>),
}

impl PushQueue {
    pub(crate) fn new(link: Option<&Arc<Link>>, bounds: PushBounds) -> Self {
        Self(match link {
            Some(link) => Place::Shared(Arc::new(Shared::new(Arc::clone(link), bounds))),
            None => Place::Local(Box::new(Local::new(bounds))),
        })
    }

    /// The task that writes to Redis, if there is one.
    pub(crate) fn writer(&self) -> Option<impl Future<Output = ()> + use<>> {
        match &self.0 {
            Place::Local(_) => None,
            Place::Shared(shared) => Some(Arc::clone(shared).write()),
        }
    }

    /// Appends a job, behind all that were appended here before. A second one of the same `id` within 10
    /// minutes is none. Waits for nothing; what it returns says when the job is in the queue.
    ///
    /// # Errors
    /// When the job is too large.
    pub fn push(&self, id: &str, bytes: Bytes) -> Result<Pushed, TooLarge> {
        if bytes.len() > JOB_BYTES_MAX {
            return Err(TooLarge(bytes.len()));
        }
        Ok(match &self.0 {
            Place::Local(local) => local.push(id, bytes),
            Place::Shared(shared) => shared.push(id, bytes),
        })
    }

    /// Takes up to `max` jobs for a consumer: first what others left behind or gave back, then the
    /// oldest. Waits up to `block` for the first, also while Redis is away. One call at a time is
    /// served in a process, others wait. A call that is given up may have taken jobs: they are handed
    /// out again after the idle time.
    pub async fn claim(&self, consumer: &str, max: usize, block: Duration) -> Vec<Job> {
        match &self.0 {
            Place::Local(local) => local.claim(consumer, max, block).await,
            Place::Shared(shared) => shared.claim(consumer, max, block).await,
        }
    }

    /// The job is sent. While Redis is away that is remembered, for as many jobs as the buffer has.
    pub async fn done(&self, entry: &Entry) {
        match &self.0 {
            Place::Local(local) => local.done(entry),
            Place::Shared(shared) => shared.done(entry).await,
        }
    }

    /// The job could not be sent. It is handed out again in `retry_in`, at most the idle time, or is a
    /// dead letter when that was its last try.
    pub async fn failed(&self, entry: &Entry, retry_in: Duration) {
        match &self.0 {
            Place::Local(local) => local.failed(entry, retry_in),
            Place::Shared(shared) => shared.failed(entry, retry_in).await,
        }
    }

    /// The oldest dead letters, up to `max`: id, attempts and bytes. Empty also while Redis is away.
    pub async fn dead(&self, max: usize) -> Vec<(String, u32, Bytes)> {
        match &self.0 {
            Place::Local(local) => local.dead(max),
            Place::Shared(shared) => shared.dead(max).await,
        }
    }
}

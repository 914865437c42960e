//! A session and the shards that it holds, as the rest of the node asks for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use godwit_core::lease::{Ownership, Session, Stamps};
use godwit_store::{Error, LeaseStore};
use godwit_types::{NodeId, ShardId, Stamp};
use parking_lot::{Mutex, RwLock};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

use super::Owned;
use super::guard::Guard;

/// A session and its shards. The keeper moves them; everybody else reads.
pub(super) struct Leased {
    pub(super) leases: Arc<dyn LeaseStore>,
    pub(super) node: NodeId,
    pub(super) lease: Duration,
    pub(super) guard: Guard,
    /// Something has happened that the keeper should see to at once.
    pub(super) wake: Notify,
    /// Shards in whose logs a higher epoch was found than theirs, and which.
    pub(super) to_raise: Mutex<Vec<(ShardId, u64)>>,
    shards: Vec<RwLock<Option<Owned>>>,
    writing: Mutex<Writing>,
    /// Up to when new work may be begun, in milliseconds of the clock that does not stop.
    valid_until: AtomicU64,
    waits_for: Mutex<Option<String>>,
}

/// What a stamp needs.
struct Writing {
    session: Option<Session>,
    stamps: Stamps,
}

impl Leased {
    pub(super) fn new(leases: Arc<dyn LeaseStore>, node: NodeId, shards: u16, lease: Duration) -> Self {
        Self {
            guard: Guard::start(Arc::clone(&leases), node.clone()),
            leases,
            node,
            lease,
            wake: Notify::new(),
            to_raise: Mutex::default(),
            shards: (0..shards).map(|_| RwLock::default()).collect(),
            writing: Mutex::new(Writing { session: None, stamps: Stamps::after(Stamp::MIN) }),
            valid_until: AtomicU64::new(0),
            waits_for: Mutex::new(Some("the node has no session yet".to_owned())),
        }
    }

    pub(super) fn shard_count(&self) -> u16 {
        self.shards.len() as u16
    }

    pub(super) fn owned(&self, shard: ShardId) -> Option<Owned> {
        *self.shards.get(usize::from(shard.0))?.read()
    }

    /// Puts a shard into this node's hands. Stamps go on from its base.
    pub(super) fn take(&self, shard: ShardId, ownership: &Ownership) {
        self.writing.lock().stamps.not_below(ownership.base);
        *self.shards[usize::from(shard.0)].write() = Some(Owned {
            shard,
            epoch: ownership.epoch,
            incarnation: ownership.incarnation,
            base: ownership.base,
            unclean_base: ownership.unclean_base,
        });
    }

    /// Lets a shard go; whether it was this node's.
    pub(super) fn drop_shard(&self, shard: ShardId) -> bool {
        self.shards[usize::from(shard.0)].write().take().is_some()
    }

    /// Writes under this session from now on, and takes new work for a lease from `since` on, the moment
    /// before it was asked for; `None`: has no session, and writes nothing.
    pub(super) fn set_session(&self, session: Option<Session>, since: Duration) {
        self.writing.lock().session = session;
        let until = session.map_or(0, |_| (since + self.lease).as_millis() as u64);
        self.valid_until.store(until, Ordering::Release);
    }

    pub(super) fn stamp(&self, owned: &Owned) -> Option<Stamp> {
        // The shard first: one that was let go gets no stamp, whatever the session is now.
        self.owned(owned.shard).filter(|now| now.epoch == owned.epoch)?;
        let mut writing = self.writing.lock();
        let session = writing.session.filter(|session| session.is_alive_as(owned.incarnation))?;
        writing.stamps.next(now(), session.ceiling)
    }

    pub(super) fn raise(&self, owned: &Owned, found: u64) {
        tracing::error!(shard = %owned.shard, epoch = owned.epoch, found, "rows of a later epoch: the tables of leases are older than the data, as after a restored backup; the shard is taken once more, above them");
        self.to_raise.lock().push((owned.shard, found));
        self.wake.notify_one();
    }

    pub(super) fn is_valid(&self) -> bool {
        (boottime().as_millis() as u64) < self.valid_until.load(Ordering::Acquire)
    }

    pub(super) fn waits_for(&self) -> Option<String> {
        if let Some(reason) = self.waits_for.lock().clone() {
            return Some(reason);
        }
        let run_out = || "the session has run out, and the database does not let it be renewed".to_owned();
        (!self.is_valid()).then(run_out)
    }

    /// All shards are this node's.
    pub(super) fn serves(&self) {
        if self.note(None) {
            tracing::info!(node = %self.node, "all shards are this node's");
        }
    }

    /// Something is as it should be, and does not let this node serve.
    pub(super) fn stands_by(&self, reason: String) {
        if self.note(Some(reason.clone())) {
            tracing::info!("waiting: {reason}");
        }
    }

    /// The database did not answer. While the session is good that is nobody's business: a node that is slow
    /// now and then still serves. After that it is said once, however often it is tried.
    pub(super) fn not_answered(&self, error: &Error) {
        if !self.is_valid() && self.note(Some("the database does not answer".to_owned())) {
            tracing::warn!(%error, "waiting: the database does not answer");
        }
    }

    /// Whether that is news.
    fn note(&self, reason: Option<String>) -> bool {
        let mut waits_for = self.waits_for.lock();
        let is_news = *waits_for != reason;
        *waits_for = reason;
        is_news
    }

    pub(super) async fn resign(&self) {
        let session = self.writing.lock().session.take();
        let Some(session) = session.filter(|session| !session.fenced) else { return };
        // Not repeated: without it the next owner waits for a lease, and nothing else.
        if let Err(error) = self.leases.swap_session(&self.node, Some(session), session.fence()).await {
            tracing::warn!(%error, "the session could not be given up; the next owner waits for it to run out");
        }
    }
}

/// The wall clock, as stamps are made of it.
pub(super) fn now() -> Stamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Stamp::from_us(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
}

/// A clock that neither stops, also not while the machine sleeps, nor is set: `CLOCK_BOOTTIME` of
/// clock_gettime(2).
pub(super) fn boottime() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

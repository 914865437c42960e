//! What gives this node the right to write: the embedded store's lock, or a session and the shards that it
//! holds in a store that others share.
//!
//! Whoever writes for a shard bears an [`Owned`], which it got when it was activated. It is good for that
//! ownership only: a node that has lost a shard and taken it again has another one, and what is left of
//! the first can neither write nor answer with it (G5).

mod guard;
mod keeper;
mod leased;

use std::sync::Arc;
use std::time::Duration;

use godwit_store::LeaseStore;
use godwit_types::{NodeId, ShardId, Stamp};

pub(crate) use keeper::keep;
use leased::Leased;

/// A shard in this node's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) shard: ShardId,
    /// Under which it writes.
    pub(crate) epoch: u64,
    /// The run of the node that took it.
    incarnation: u64,
    /// The lowest stamp of this owner.
    pub(crate) base: Stamp,
    /// A log whose last row is older has to be settled.
    pub(crate) unclean_base: Stamp,
}

/// What gives this node the right to write.
pub struct Tenure(Kind);

enum Kind {
    /// Who has the store's lock owns everything, and loses it only by ending.
    Alone {
        epoch: u64,
    },
    Leased(Arc<Leased>),
}

impl Tenure {
    /// All shards, for good, under this epoch: the embedded store's lock is session, fence and guard in one.
    pub fn alone(epoch: u64) -> Self {
        Self(Kind::Alone { epoch })
    }

    /// The shards that this node takes and keeps by leases. It declares a node dead that has not renewed its
    /// session for 1.1 times `lease`.
    pub fn leased(leases: Arc<dyn LeaseStore>, node: NodeId, shards: u16, lease: Duration) -> Self {
        Self(Kind::Leased(Arc::new(Leased::new(leases, node, shards, lease))))
    }

    /// The shard, if it is this node's now.
    pub(crate) fn owned(&self, shard: ShardId) -> Option<Owned> {
        match &self.0 {
            Kind::Alone { epoch } => Some(Owned {
                shard,
                epoch: *epoch,
                incarnation: 0,
                base: Stamp::MIN,
                unclean_base: Stamp::MIN,
            }),
            Kind::Leased(leased) => leased.owned(shard),
        }
    }

    /// Whether that ownership has not ended, as far as this node knows.
    pub(crate) fn holds(&self, owned: &Owned) -> bool {
        match &self.0 {
            Kind::Alone { .. } => true,
            Kind::Leased(leased) => leased.owned(owned.shard).is_some_and(|now| now.epoch == owned.epoch),
        }
    }

    /// The stamp of the next write of that owner; `None` when it may not write any more.
    pub(crate) fn stamp(&self, owned: &Owned) -> Option<Stamp> {
        match &self.0 {
            Kind::Alone { .. } => Some(Stamp::MIN),
            Kind::Leased(leased) => leased.stamp(owned),
        }
    }

    /// Passes when that owner had not been declared dead at a moment after this call.
    pub(crate) async fn guard(&self, owned: &Owned) -> bool {
        match &self.0 {
            Kind::Alone { .. } => true,
            Kind::Leased(leased) => leased.guard.pass(owned.incarnation).await && self.holds(owned),
        }
    }

    /// Rows of an epoch above that of their owner were found: takes the shard once more, above them.
    pub(crate) fn raise(&self, owned: &Owned, found: u64) {
        if let Kind::Leased(leased) = &self.0 {
            leased.raise(owned, found);
        }
    }

    /// Whether anything new may be begun: not while the session has run out and is not renewed.
    pub(crate) fn is_valid(&self) -> bool {
        match &self.0 {
            Kind::Alone { .. } => true,
            Kind::Leased(leased) => leased.is_valid(),
        }
    }

    /// Why this node does not serve all that it could; `None` when it does.
    pub(crate) fn waits_for(&self) -> Option<String> {
        match &self.0 {
            Kind::Alone { .. } => None,
            Kind::Leased(leased) => leased.waits_for(),
        }
    }

    /// Gives everything up, so that another node need not wait for the lease to run out. What was begun must
    /// be finished before.
    pub(crate) async fn resign(&self) {
        if let Kind::Leased(leased) = &self.0 {
            leased.resign().await;
        }
    }

    fn leases(&self) -> Option<Arc<Leased>> {
        match &self.0 {
            Kind::Alone { .. } => None,
            Kind::Leased(leased) => Some(Arc::clone(leased)),
        }
    }
}

//! Who may write, where several processes share a store.

pub use godwit_core::lease::{Ownership, Session};
use godwit_types::{NodeId, ShardId};

use crate::Answer;

/// Shards that can change hands in one swap.
const SHARDS_PER_GROUP: u16 = 64;

/// The group of a shard: all shards of a group can change hands in one swap.
pub fn group_of(shard: ShardId) -> u16 {
    shard.0 / SHARDS_PER_GROUP
}

/// The shards of a group.
pub fn shards_of(group: u16, shards: u16) -> impl Iterator<Item = ShardId> {
    let first = group * SHARDS_PER_GROUP;
    (first..shards.min(first.saturating_add(SHARDS_PER_GROUP))).map(ShardId)
}

/// What became of a compare-and-set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// It was as expected, and is now as wanted.
    Applied,
    /// It was not as expected; nothing has changed.
    Refused,
}

/// Sessions of nodes and owners of shards, changed by compare-and-set only.
///
/// # Contract
///
/// - All swaps are one sequence (serial consistency). A `Refused` says that at some moment after the call
///   the value was another one; an error leaves it *unknown* whether the swap has happened. It may still happen
///   later, as long as the value is the expected one.
/// - [`session`](LeaseStore::session) and [`owners`](LeaseStore::owners) show the outcome of every swap that
///   was answered before they began, and finish those that were begun and are half done.
/// - [`glance`](LeaseStore::glance), [`glance_owners`](LeaseStore::glance_owners) and
///   [`sessions`](LeaseStore::sessions) are plain quorum reads, which are cheaper: they show every swap that was
///   answered before they began. The guard's read is one of them.
pub trait LeaseStore: Send + Sync + 'static {
    /// A node's session.
    fn session<'a>(&'a self, node: &'a NodeId) -> Answer<'a, Option<Session>>;

    /// A node's session, by a plain quorum read.
    fn glance<'a>(&'a self, node: &'a NodeId) -> Answer<'a, Option<Session>>;

    /// The sessions of all nodes that ever were, by plain quorum reads.
    fn sessions(&self) -> Answer<'_, Vec<(NodeId, Session)>>;

    /// Replaces a node's session if it is exactly `expected`, `None` being none.
    fn swap_session<'a>(
        &'a self,
        node: &'a NodeId,
        expected: Option<Session>,
        wanted: Session,
    ) -> Answer<'a, Swap>;

    /// The owners of a group's shards, ascending by shard; a shard that never had one is not among them.
    fn owners(&self, group: u16) -> Answer<'_, Vec<(ShardId, Ownership)>>;

    /// The same by a plain quorum read: it shows every swap that was answered before it began.
    fn glance_owners(&self, group: u16) -> Answer<'_, Vec<(ShardId, Ownership)>>;

    /// Replaces the owners of shards of one group, all of them or none, if each shard's epoch is exactly the
    /// expected one, `None` where there was no owner.
    fn swap_owners(&self, group: u16, changes: Vec<(ShardId, Option<u64>, Ownership)>) -> Answer<'_, Swap>;
}

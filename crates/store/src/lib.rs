//! Durable storage: what the rest of the system asks of a store, and the embedded one.
//!
//! A store keeps bytes; `godwit-core` says what they mean. It must never decide anything: no
//! deduplication, no numbering, no expiry of its own. Every implementation passes the same
//! contract suite (feature `contract`).

#[cfg(feature = "contract")]
pub mod contract;
mod embedded;
mod error;
mod model;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use godwit_types::{AccountId, ConversationId, DeviceId, LogId, ShardId};

pub use embedded::{Embedded, Options};
pub use error::Error;
pub use model::{Limit, Mutation, Pending, PendingKind, Revocation, Row};

/// What every call of a store returns: boxed, so that a store is one object for all who share it.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Durable storage.
///
/// # Contract
///
/// - [`write`](Store::write) answers `Ok` only when everything in the batch is durable: on disk and
///   synced, or at quorum. Mutations of one partition (one log, one account, one shard's pending rows)
///   land together or not at all; the embedded store lands a whole batch so.
/// - Batches that one caller issues one after the other, also without waiting for the first, take
///   effect in that order.
/// - Any error other than [`Error::Closed`] leaves it *unknown* whether the batch landed. Writing the
///   same batch again is safe and ends in the same state.
/// - A read that starts after a write was answered sees it.
/// - Reads of a log show rows in order of `n`, without duplicates.
pub trait Store: Send + Sync + 'static {
    /// The epoch under which this process writes: above that of every row in the store.
    fn epoch(&self) -> u64;

    /// The number of shards that the store was made for.
    fn shards(&self) -> u16;

    /// Makes a batch durable. The batch takes its place in the order of writes now; the future only waits.
    fn write(&self, batch: Vec<Mutation>) -> Answer<'static, ()>;

    /// Rows with `after < n <= upto`, ascending, as many as `limit` allows, at least one if there is one.
    fn rows_after<'a>(&'a self, log: &'a LogId, after: u64, upto: u64, limit: Limit) -> Answer<'a, Vec<Row>>;

    /// Rows with `n < before`, descending, as many as `limit` allows, at least one if there is one.
    /// `before = u64::MAX` reads the tail.
    fn rows_before<'a>(&'a self, log: &'a LogId, before: u64, limit: Limit) -> Answer<'a, Vec<Row>>;

    /// The row with that number.
    fn row<'a>(&'a self, log: &'a LogId, n: u64) -> Answer<'a, Option<Row>>;

    /// What was last stored as the log's summary.
    fn summary<'a>(&'a self, log: &'a LogId) -> Answer<'a, Option<Bytes>>;

    /// The account's conversations.
    fn memberships<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<(ConversationId, Bytes)>>;

    /// The account's devices.
    fn devices<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<(DeviceId, Bytes)>>;

    /// What was under way in the shard when its last owner left.
    fn pending(&self, shard: ShardId) -> Answer<'_, Vec<Pending>>;

    /// The shards that have pending rows, ascending.
    fn shards_with_pending(&self) -> Answer<'_, Vec<ShardId>>;

    /// All revocations that are still stored.
    fn revocations(&self) -> Answer<'_, Vec<Revocation>>;

    /// Finishes the writes under way and gives the store up; every later call answers [`Error::Closed`].
    fn close(&self) -> Answer<'_, ()>;
}

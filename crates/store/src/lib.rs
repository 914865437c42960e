//! Durable storage: what the rest of the system asks of a store, and the embedded one.
//!
//! [`Store`] keeps what lasts; [`LeaseStore`] keeps who may write it, where several processes share a store.
//!
//! A store keeps bytes; `godwit-core` says what they mean. It must never decide anything: no
//! deduplication, no numbering, no expiry of its own. Every implementation passes the same
//! contract suite (feature `contract`).

#[cfg(feature = "contract")]
pub mod contract;
mod embedded;
mod error;
mod leases;
#[cfg(feature = "memory")]
pub mod memory;
mod model;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use godwit_types::{AccountId, ConversationId, DeviceId, LogId, ShardId, Stamp};

pub use embedded::{Embedded, Options};
pub use error::Error;
pub use leases::{LeaseStore, Ownership, Session, Swap, group_of, shards_of};
pub use model::{Limit, Mutation, Pending, PendingKind, Revocation, Row, Written};

/// How far the rows of a log may run ahead of its last summary. An owner writes the next summary before; so
/// whoever has read a summary knows where the last row is to be looked for.
pub const TAIL_REACH: u64 = 1_024;

/// What every call of a store returns: boxed, so that a store is one object for all who share it.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Durable storage.
///
/// # Contract
///
/// - [`write`](Store::write) answers `Ok` only when everything in the batch is durable: on disk and
///   synced, or at quorum. Rows of one log in one bucket of 10,000 numbers land together or not at all, and
///   so do one shard's pending rows; the embedded store lands a whole batch so.
/// - Batches with ascending stamps, issued one after the other, also without waiting for the first, take
///   effect in that order. Where several processes write to one database, a write with a lower stamp that
///   arrives later changes nothing that one with a higher stamp has said; the embedded store has one
///   writer, needs no stamps and takes the order of the calls.
/// - Any error other than [`Error::Closed`] leaves it *unknown* whether the batch landed. Writing the
///   same batch again, with the same stamp, is safe and ends in the same state.
/// - A read that starts after a write was answered sees it.
/// - Reads of a log show rows in order of `n`. The numbers of a log have no holes, but for what was trimmed or
///   expired at its beginning and for the last window of an owner that crashed.
pub trait Store: Send + Sync + 'static {
    /// The number of shards that the store was made for.
    fn shards(&self) -> u16;

    /// Makes a batch durable. The batch takes its place in the order of writes now; the future only waits.
    fn write(&self, batch: Vec<Mutation>, stamp: Stamp) -> Answer<'static, ()>;

    /// Rows with `after < n <= upto`, ascending, as many as `limit` allows, at least one if there is one.
    /// `upto` is a row that is or was there: a store may look at every bucket of 10,000 numbers below it.
    fn rows_after<'a>(&'a self, log: &'a LogId, after: u64, upto: u64, limit: Limit) -> Answer<'a, Vec<Row>>;

    /// Rows with `n < before`, descending, as many as `limit` allows, at least one if there is one. `before`
    /// is not above the number that the next row will have.
    fn rows_before<'a>(&'a self, log: &'a LogId, before: u64, limit: Limit) -> Answer<'a, Vec<Row>>;

    /// The last rows, newest first, `rows` of them or as many as there are, of a log whose summary speaks of
    /// row `summarised`, 0 where it has none. What lies more than [`TAIL_REACH`] beyond that is not found.
    fn tail<'a>(&'a self, log: &'a LogId, summarised: u64, rows: usize) -> Answer<'a, Vec<Written>>;

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

//! The values that go in and come out.

use bytes::Bytes;
use godwit_types::{AccountId, ConversationId, DeviceId, LogId, Position, ShardId, Stamp, Timestamp};

/// One row of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where it stands.
    pub position: Position,
    /// The highest `n` that was known to be committed when this row was written.
    pub stable: u64,
    /// When it was written, by its owner's clock.
    pub at: Timestamp,
    /// By what a repeat is recognised (`MessageId::key`), 0 where nothing repeats.
    pub key: u64,
    /// What it says; encoded and read by `godwit-wire`.
    pub payload: Bytes,
}

/// A row, and what the store knows of its writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The row.
    pub row: Row,
    /// The stamp with which it was written; [`Stamp::MIN`] in a store that keeps none.
    pub stamp: Stamp,
    /// Seconds until it expires; `None` when it does not.
    pub ttl_s: Option<u32>,
}

/// How much a read may return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Rows at most.
    pub rows: usize,
    /// Payload bytes after which no further row is added.
    pub bytes: usize,
}

/// One change. A batch is a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    /// Adds a row, or writes the same row once more.
    Append {
        /// To which log.
        log: LogId,
        /// The row.
        row: Row,
    },
    /// Makes the end of a log sure before a new owner writes to it: nothing that a former owner has written
    /// or may still write beyond `tail` is ever seen, and the rows up to `tail` are stored as they are. Its
    /// stamp is the new owner's lowest; see `docs/adr/0009-the-log-on-a-shared-database.md`.
    Settle {
        /// Which log.
        log: LogId,
        /// The number of its last row; 0 where none was ever committed.
        tail: u64,
        /// The last rows once more, ascending, with the time that they have left.
        rows: Vec<Written>,
    },
    /// Removes the rows with `n < below`.
    Trim {
        /// Of which log.
        log: LogId,
        /// The first number that may still be there: what is below went with an earlier trim.
        from: u64,
        /// The first number that stays.
        below: u64,
    },
    /// Replaces the log's summary.
    Summary {
        /// Of which log.
        log: LogId,
        /// Its new text.
        value: Bytes,
    },
    /// Sets, or with `None` removes, what an account holds of a conversation.
    Membership {
        /// Whose.
        account: AccountId,
        /// Of which conversation.
        conversation: ConversationId,
        /// Its new text.
        value: Option<Bytes>,
    },
    /// Sets, or with `None` removes, a device.
    Device {
        /// Whose.
        account: AccountId,
        /// Which.
        device: DeviceId,
        /// Its new text.
        value: Option<Bytes>,
    },
    /// Notes that something is under way, or that it no longer is.
    Pending {
        /// What.
        pending: Pending,
        /// Whether it is under way.
        under_way: bool,
    },
    /// Notes a revocation; of two for the same device the later one counts.
    Revoke(Revocation),
    /// Removes the revocations up to that moment: the tokens that they speak of have expired.
    ForgetRevocations {
        /// The last moment that goes.
        until: Timestamp,
    },
}

/// Work that outlives its owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pending {
    /// Where it is found again.
    pub shard: ShardId,
    /// What kind of work.
    pub kind: PendingKind,
    /// The conversation's or account's id.
    pub id: String,
}

/// The kinds of work that outlive their owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PendingKind {
    /// A conversation's rows that members' inboxes may not have yet.
    Fanout,
    /// An account's events that a device may have to be notified of.
    Push,
}

/// Tokens that no longer count: those of one device, or of all of an account's, issued at or before `at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Whose.
    pub account: AccountId,
    /// Which device; `None` for all.
    pub device: Option<DeviceId>,
    /// Tokens issued up to this moment are void.
    pub at: Timestamp,
}

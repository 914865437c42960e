//! A batch, taken apart into what lands together.

use std::collections::BTreeMap;

use bytes::Bytes;
use godwit_types::{AccountId, ConversationId, DeviceId, LogId, ShardId, Stamp, Timestamp};

use super::replica::StoredRow;
use crate::{Mutation, Pending, Revocation, TAIL_REACH};

/// Rows of a log that lie in one partition, by their number.
const BUCKET_ROWS: u64 = 10_000;

/// One change of one cell, or of a range of rows.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// A row, all of its columns.
    Row { log: LogId, row: StoredRow },
    /// No row with `from <= n < below` that was written at that stamp or before.
    Erase { log: LogId, from: u64, below: u64 },
    /// A log's summary.
    Summary { log: LogId, value: Bytes },
    /// What an account holds of a conversation; `None` removes.
    Membership { account: AccountId, conversation: ConversationId, value: Option<Bytes> },
    /// A device; `None` removes.
    Device { account: AccountId, device: DeviceId, value: Option<Bytes> },
    /// Something under way, or no longer.
    Pending { pending: Pending, under_way: bool },
    /// A revocation.
    Revoke(Revocation),
    /// No revocation up to that moment that was written at that stamp or before.
    Forget { until: Timestamp },
}

/// What lands on a replica whole or not at all.
#[derive(Debug)]
pub(super) struct Part {
    /// The stamp of the write.
    pub(super) stamp: Stamp,
    /// The changes, all of one partition.
    pub(super) changes: Vec<Change>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Partition {
    Rows(LogId, u64),
    /// A trim may go over any number of buckets; it lands for itself.
    Trim(LogId, u64),
    Summary(LogId),
    Memberships(AccountId),
    Devices(AccountId),
    Pending(ShardId),
    Revocations,
}

/// When rows expire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expiry {
    /// Seconds on the database's clock.
    pub(super) now_s: u64,
    /// How long a row of an inbox lives.
    pub(super) inbox_ttl_s: Option<u32>,
}

impl Expiry {
    fn at(self, ttl_s: Option<u32>) -> Option<u64> {
        ttl_s.map(|ttl_s| self.now_s + u64::from(ttl_s))
    }
}

fn bucket(n: u64) -> u64 {
    n / BUCKET_ROWS
}

/// The parts of a batch, ascending by partition, so that the same batch always has the same ones.
pub(super) fn split(batch: Vec<Mutation>, stamp: Stamp, expiry: Expiry) -> Vec<Part> {
    let mut parts: BTreeMap<Partition, Vec<Change>> = BTreeMap::new();
    let mut add = |partition, change| parts.entry(partition).or_default().push(change);
    for mutation in batch {
        match mutation {
            Mutation::Append { log, row } => {
                let ttl_s = expiry.inbox_ttl_s.filter(|_| matches!(log, LogId::Inbox(_)));
                let partition = Partition::Rows(log.clone(), bucket(row.position.n));
                add(
                    partition,
                    Change::Row { log, row: StoredRow { row, stamp, expires_s: expiry.at(ttl_s) } },
                );
            }
            Mutation::Settle { log, tail, rows } => {
                // As far as any read of a tail looks.
                for bucket in bucket(tail.saturating_add(1))..=bucket(tail.saturating_add(TAIL_REACH)) {
                    let from = (bucket * BUCKET_ROWS).max(tail.saturating_add(1));
                    let below = bucket.saturating_add(1).saturating_mul(BUCKET_ROWS);
                    add(
                        Partition::Rows(log.clone(), bucket),
                        Change::Erase { log: log.clone(), from, below },
                    );
                }
                for written in rows {
                    let expires_s = expiry.at(written.ttl_s);
                    let partition = Partition::Rows(log.clone(), bucket(written.row.position.n));
                    let row = StoredRow { row: written.row, stamp, expires_s };
                    add(partition, Change::Row { log: log.clone(), row });
                }
            }
            Mutation::Trim { log, from, below } => {
                add(Partition::Trim(log.clone(), below), Change::Erase { log, from, below });
            }
            Mutation::Summary { log, value } => {
                add(Partition::Summary(log.clone()), Change::Summary { log, value });
            }
            Mutation::Membership { account, conversation, value } => {
                let partition = Partition::Memberships(account.clone());
                add(partition, Change::Membership { account, conversation, value });
            }
            Mutation::Device { account, device, value } => {
                add(Partition::Devices(account.clone()), Change::Device { account, device, value });
            }
            Mutation::Pending { pending, under_way } => {
                add(Partition::Pending(pending.shard), Change::Pending { pending, under_way });
            }
            Mutation::Revoke(revocation) => add(Partition::Revocations, Change::Revoke(revocation)),
            Mutation::ForgetRevocations { until } => {
                add(Partition::Revocations, Change::Forget { until });
            }
        }
    }
    parts.into_values().map(|changes| Part { stamp, changes }).collect()
}

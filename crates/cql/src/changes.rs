//! From mutations to statements, partition by partition.

use bytes::Bytes;
use godwit_store::{Mutation, Pending, PendingKind, Revocation, Row, TAIL_REACH};
use godwit_types::{AccountId, LogId, ShardId, Stamp, Timestamp, hash};
use scylla::cluster::metadata::ColumnType;
use scylla::serialize::SerializationError;
use scylla::serialize::value::SerializeValue;
use scylla::serialize::writers::{CellWriter, WrittenCellProof};

use crate::statements::Name;

/// Numbers of a log in one partition: at a few hundred bytes a row that is a few MB, well below the 100 MB
/// at which both databases begin to suffer.
const BUCKET: u64 = 10_000;

/// Parts into which the revocations fall: enough to spread them over a cluster's nodes, few enough that
/// reading all, which every node does at its start, is a few requests.
pub(crate) const REVOCATION_PARTS: u8 = 16;

/// The bucket of a row.
pub(crate) fn bucket_of(n: u64) -> u64 {
    n / BUCKET
}

/// A number as the database keeps it. Beyond what it holds there is nothing to find.
pub(crate) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// What lands together: the rows of one table with one partition key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Partition {
    /// A bucket of a log.
    Rows(LogId, u64),
    /// A log's summary.
    Summary(LogId),
    /// An account's conversations.
    Memberships(AccountId),
    /// An account's devices.
    Devices(AccountId),
    /// What is under way in a shard.
    Pending(ShardId),
    /// A part of the revocations.
    Revocations(u8),
}

/// A value that is bound to a statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// `text`
    Text(String),
    /// `bigint`
    Long(i64),
    /// `int`
    Int(i32),
    /// `tinyint`
    Tiny(i8),
    /// `blob`
    Blob(Bytes),
    /// `boolean`
    Flag(bool),
}

impl SerializeValue for Value {
    fn serialize<'b>(
        &self,
        column: &ColumnType<'_>,
        writer: CellWriter<'b>,
    ) -> Result<WrittenCellProof<'b>, SerializationError> {
        match self {
            Self::Text(value) => value.serialize(column, writer),
            Self::Long(value) => value.serialize(column, writer),
            Self::Int(value) => value.serialize(column, writer),
            Self::Tiny(value) => value.serialize(column, writer),
            Self::Blob(value) => value.serialize(column, writer),
            Self::Flag(value) => value.serialize(column, writer),
        }
    }
}

/// One statement with its values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// Which statement.
    pub(crate) name: Name,
    /// What it says.
    pub(crate) values: Vec<Value>,
}

/// Bytes of a statement beside its texts and blobs, about.
const STATEMENT_BYTES: usize = 100;

impl Change {
    /// How long it is in a request, about.
    pub(crate) fn bytes(&self) -> usize {
        let values = self.values.iter().map(|value| match value {
            Value::Text(text) => text.len(),
            Value::Blob(bytes) => bytes.len(),
            Value::Long(_) | Value::Int(_) | Value::Tiny(_) | Value::Flag(_) => 0,
        });
        STATEMENT_BYTES + values.sum::<usize>()
    }
}

/// The statements of a table of logs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogNames {
    pub(crate) append: Name,
    pub(crate) settle: Name,
    pub(crate) trim: Name,
    pub(crate) after: Name,
    pub(crate) before: Name,
    pub(crate) row: Name,
    pub(crate) tail: Name,
    pub(crate) any: Name,
}

impl LogNames {
    /// Those of the log's table.
    pub(crate) fn of(log: &LogId) -> Self {
        match log {
            LogId::Inbox(_) => Self {
                append: Name::InboxAppend,
                settle: Name::InboxSettle,
                trim: Name::InboxTrim,
                after: Name::InboxAfter,
                before: Name::InboxBefore,
                row: Name::InboxRow,
                tail: Name::InboxTail,
                any: Name::InboxAny,
            },
            LogId::Conversation(_) => Self {
                append: Name::MessageAppend,
                settle: Name::MessageSettle,
                trim: Name::MessageTrim,
                after: Name::MessageAfter,
                before: Name::MessageBefore,
                row: Name::MessageRow,
                tail: Name::MessageTail,
                any: Name::MessageAny,
            },
        }
    }
}

/// The id of a log, as the tables of logs name it.
pub(crate) fn id_of(log: &LogId) -> &str {
    match log {
        LogId::Inbox(id) => id.as_str(),
        LogId::Conversation(id) => id.as_str(),
    }
}

/// The name of a log in the table of summaries: its kind, a stroke, its id.
pub(crate) fn name_of(log: &LogId) -> String {
    let kind = match log {
        LogId::Inbox(_) => "inbox",
        LogId::Conversation(_) => "conversation",
    };
    format!("{kind}/{}", id_of(log))
}

/// The kind of pending work as a column.
pub(crate) fn kind_of(kind: PendingKind) -> i8 {
    match kind {
        PendingKind::Fanout => 0,
        PendingKind::Push => 1,
    }
}

/// The changes of one write, by the partition in which they land together.
pub(crate) struct Split {
    stamp: i64,
    inbox_ttl_s: i32,
    parts: Vec<(Partition, Vec<Change>)>,
}

impl Split {
    /// Takes a batch apart. Changes of one partition keep their order.
    pub(crate) fn of(batch: Vec<Mutation>, stamp: Stamp, inbox_ttl_s: i32) -> Vec<(Partition, Vec<Change>)> {
        let mut split = Self { stamp: stamp.as_us(), inbox_ttl_s, parts: Vec::new() };
        for mutation in batch {
            split.mutation(mutation);
        }
        split.parts
    }

    fn add(&mut self, partition: Partition, name: Name, values: Vec<Value>) {
        let change = Change { name, values };
        // Batches are short and speak of few partitions: looking through them is quicker than a map.
        match self.parts.iter_mut().find(|(held, _)| *held == partition) {
            Some((_, changes)) => changes.push(change),
            None => self.parts.push((partition, vec![change])),
        }
    }

    fn stamp(&self) -> Value {
        Value::Long(self.stamp)
    }

    fn mutation(&mut self, mutation: Mutation) {
        match mutation {
            Mutation::Append { log, row } => {
                let ttl_s = if matches!(log, LogId::Inbox(_)) { self.inbox_ttl_s } else { 0 };
                self.row(&log, row, ttl_s);
            }
            Mutation::Settle { log, tail, rows } => self.settle(&log, tail, rows),
            Mutation::Trim { log, from, below } => self.trim(&log, from, below),
            Mutation::Summary { log, value } => {
                let values = vec![Value::Text(name_of(&log)), Value::Blob(value), self.stamp()];
                self.add(Partition::Summary(log), Name::SummarySet, values);
            }
            Mutation::Membership { account, conversation, value } => {
                let key = [Value::Text(account.to_string()), Value::Text(conversation.to_string())];
                self.set(
                    Partition::Memberships(account),
                    Name::MembershipSet,
                    Name::MembershipDrop,
                    key,
                    value,
                );
            }
            Mutation::Device { account, device, value } => {
                let key = [Value::Text(account.to_string()), Value::Text(device.to_string())];
                self.set(Partition::Devices(account), Name::DeviceSet, Name::DeviceDrop, key, value);
            }
            Mutation::Pending { pending, under_way } => self.pending(pending, under_way),
            Mutation::Revoke(revocation) => self.revoke(revocation),
            Mutation::ForgetRevocations { until } => self.forget(until),
        }
    }

    fn row(&mut self, log: &LogId, row: Row, ttl_s: i32) {
        let bucket = bucket_of(row.position.n);
        let values = vec![
            Value::Text(id_of(log).to_owned()),
            Value::Long(signed(bucket)),
            Value::Long(signed(row.position.n)),
            Value::Long(row.position.epoch.cast_signed()),
            Value::Long(row.at.as_ms().cast_signed()),
            Value::Long(row.stable.cast_signed()),
            Value::Long(row.key.cast_signed()),
            Value::Blob(row.payload),
            self.stamp(),
            Value::Int(ttl_s),
        ];
        self.add(Partition::Rows(log.clone(), bucket), LogNames::of(log).append, values);
    }

    /// Removes one side of a bucket.
    fn remove(&mut self, log: &LogId, bucket: u64, name: Name, n: u64) {
        let values = vec![
            self.stamp(),
            Value::Text(id_of(log).to_owned()),
            Value::Long(signed(bucket)),
            Value::Long(signed(n)),
        ];
        self.add(Partition::Rows(log.clone(), bucket), name, values);
    }

    /// A former owner's rows beyond the tail lie within [`TAIL_REACH`] of the last summary, and so of the
    /// tail: no further than the next bucket.
    fn settle(&mut self, log: &LogId, tail: u64, rows: Vec<godwit_store::Written>) {
        for bucket in bucket_of(tail)..=bucket_of(tail.saturating_add(TAIL_REACH)) {
            self.remove(log, bucket, LogNames::of(log).settle, tail);
        }
        for written in rows {
            let ttl_s = written.ttl_s.map_or(0, |ttl| i32::try_from(ttl).unwrap_or(i32::MAX));
            self.row(log, written.row, ttl_s);
        }
    }

    fn trim(&mut self, log: &LogId, from: u64, below: u64) {
        let Some(last) = below.checked_sub(1) else { return };
        let last = last.min(signed(last).cast_unsigned());
        for bucket in bucket_of(from)..=bucket_of(last) {
            self.remove(log, bucket, LogNames::of(log).trim, last);
        }
    }

    fn set(&mut self, partition: Partition, set: Name, drop: Name, key: [Value; 2], value: Option<Bytes>) {
        let [first, second] = key;
        match value {
            Some(value) => {
                self.add(partition, set, vec![first, second, Value::Blob(value), self.stamp()]);
            }
            None => self.add(partition, drop, vec![self.stamp(), first, second]),
        }
    }

    fn pending(&mut self, pending: Pending, under_way: bool) {
        let Pending { shard, kind, id } = pending;
        let key = [Value::Int(shard.0.into()), Value::Tiny(kind_of(kind)), Value::Text(id)];
        let [shard_value, kind, id] = key;
        if under_way {
            let values = vec![shard_value, kind, id, self.stamp()];
            self.add(Partition::Pending(shard), Name::PendingSet, values);
        } else {
            let values = vec![self.stamp(), shard_value, kind, id];
            self.add(Partition::Pending(shard), Name::PendingDrop, values);
        }
    }

    /// Every revocation stays until it is forgotten; who reads takes the latest of a device.
    fn revoke(&mut self, revocation: Revocation) {
        let part = (hash(revocation.account.as_str()) % u64::from(REVOCATION_PARTS)) as u8;
        let values = vec![
            Value::Int(part.into()),
            Value::Long(revocation.at.as_ms().cast_signed()),
            Value::Text(revocation.account.to_string()),
            Value::Text(revocation.device.map_or_else(String::new, |device| device.to_string())),
            self.stamp(),
        ];
        self.add(Partition::Revocations(part), Name::Revoke, values);
    }

    fn forget(&mut self, until: Timestamp) {
        for part in 0..REVOCATION_PARTS {
            let values =
                vec![self.stamp(), Value::Int(part.into()), Value::Long(until.as_ms().cast_signed())];
            self.add(Partition::Revocations(part), Name::ForgetRevocations, values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_types::{ConversationId, Position};

    fn log() -> LogId {
        LogId::Conversation(ConversationId::new("c").unwrap())
    }

    fn row(n: u64) -> Row {
        let position = Position { epoch: 1, n };
        Row { position, stable: 0, at: Timestamp::from_ms(0), key: 0, payload: Bytes::new() }
    }

    fn names(parts: &[(Partition, Vec<Change>)]) -> Vec<(Partition, Vec<Name>)> {
        let names = |changes: &[Change]| changes.iter().map(|change| change.name).collect();
        parts.iter().map(|(partition, changes)| (partition.clone(), names(changes))).collect()
    }

    #[test]
    fn a_batch_falls_into_its_partitions_and_each_keeps_its_order() {
        let append = |n| Mutation::Append { log: log(), row: row(n) };
        let summary = Mutation::Summary { log: log(), value: Bytes::new() };
        let parts = Split::of(vec![append(9_999), summary, append(10_000), append(10_001)], Stamp::MIN, 0);
        let expected = [
            (Partition::Rows(log(), 0), vec![Name::MessageAppend]),
            (Partition::Summary(log()), vec![Name::SummarySet]),
            (Partition::Rows(log(), 1), vec![Name::MessageAppend; 2]),
        ];
        assert_eq!(names(&parts), expected);
    }

    #[test]
    fn settling_reaches_as_far_as_a_former_owner_may_have_written() {
        let settle = |tail| {
            let parts =
                Split::of(vec![Mutation::Settle { log: log(), tail, rows: Vec::new() }], Stamp::MIN, 0);
            names(&parts).into_iter().map(|(partition, _)| partition).collect::<Vec<_>>()
        };
        assert_eq!(settle(BUCKET - TAIL_REACH - 1), [Partition::Rows(log(), 0)]);
        assert_eq!(settle(BUCKET - TAIL_REACH), [Partition::Rows(log(), 0), Partition::Rows(log(), 1)]);
    }

    #[test]
    fn a_trim_visits_only_the_buckets_that_may_hold_something() {
        let trim =
            |from, below| Split::of(vec![Mutation::Trim { log: log(), from, below }], Stamp::MIN, 0).len();
        assert_eq!(trim(0, 0), 0);
        assert_eq!(trim(0, BUCKET), 1);
        assert_eq!(trim(0, BUCKET + 1), 2);
        assert_eq!(trim(BUCKET, BUCKET + 1), 1);
        assert_eq!(trim(i64::MAX as u64, u64::MAX), 1);
    }
}

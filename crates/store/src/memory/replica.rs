//! What one replica has, and how it takes a change.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use godwit_types::{AccountId, ConversationId, DeviceId, LogId, ShardId, Stamp, Timestamp};

use super::change::{Change, Part};
use crate::{Pending, Row};

/// A row, and what is known of its writing.
#[derive(Debug, Clone)]
pub(super) struct StoredRow {
    pub(super) row: Row,
    pub(super) stamp: Stamp,
    /// The second at which it is gone.
    pub(super) expires_s: Option<u64>,
}

impl StoredRow {
    /// Whether this one counts and not `other`. Two rows with one stamp are the same row; if not, the greater
    /// payload counts, so that all replicas agree.
    pub(super) fn beats(&self, other: &Self) -> bool {
        (self.stamp, &self.row.payload) > (other.stamp, &other.row.payload)
    }
}

/// A range of rows that was removed: whatever was written there at `stamp` or before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Erased {
    from: u64,
    below: u64,
    stamp: Stamp,
}

impl Erased {
    pub(super) fn covers(&self, row: &StoredRow) -> bool {
        (self.from..self.below).contains(&row.row.position.n) && row.stamp <= self.stamp
    }

    fn contains(&self, other: &Self) -> bool {
        self.from <= other.from && self.below >= other.below && self.stamp >= other.stamp
    }
}

/// A log's rows by `(n, epoch)`, and what was removed of them.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) rows: BTreeMap<(u64, u64), StoredRow>,
    pub(super) erased: Vec<Erased>,
}

/// A cell; `None` is a removal, which has a stamp as any value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) stamp: Stamp,
    pub(super) value: Option<Bytes>,
}

impl Cell {
    /// Whether this one counts and not `other`: of two with one stamp the removal, of two values the greater.
    pub(super) fn beats(&self, other: &Self) -> bool {
        let rank = |cell: &Self| (cell.stamp, cell.value.is_none());
        (rank(self), &self.value) > (rank(other), &other.value)
    }
}

/// Cells of one partition.
pub(super) type Cells<K> = BTreeMap<K, Cell>;

/// What one replica has.
#[derive(Debug, Default)]
pub(super) struct Replica {
    pub(super) logs: HashMap<LogId, Rows>,
    pub(super) summaries: Cells<LogId>,
    pub(super) memberships: HashMap<AccountId, Cells<ConversationId>>,
    pub(super) devices: HashMap<AccountId, Cells<DeviceId>>,
    pub(super) pending: BTreeMap<ShardId, Cells<Pending>>,
    pub(super) revocations: BTreeSet<(AccountId, Option<DeviceId>, Timestamp, Stamp)>,
    /// Revocations up to a moment that are forgotten if they were written at a stamp or before.
    pub(super) forgotten: BTreeSet<(Timestamp, Stamp)>,
}

impl Replica {
    /// Takes a part. The order in which parts come makes no difference.
    pub(super) fn apply(&mut self, part: &Part) {
        for change in &part.changes {
            self.change(change, part.stamp);
        }
    }

    fn change(&mut self, change: &Change, stamp: Stamp) {
        match change.clone() {
            Change::Row { log, row } => self.logs.entry(log).or_default().put(row),
            Change::Erase { log, from, below } => {
                self.logs.entry(log).or_default().erase(Erased { from, below, stamp });
            }
            Change::Summary { log, value } => put(&mut self.summaries, log, stamp, Some(value)),
            Change::Membership { account, conversation, value } => {
                put(self.memberships.entry(account).or_default(), conversation, stamp, value);
            }
            Change::Device { account, device, value } => {
                put(self.devices.entry(account).or_default(), device, stamp, value);
            }
            Change::Pending { pending, under_way } => {
                let value = under_way.then(Bytes::new);
                put(self.pending.entry(pending.shard).or_default(), pending, stamp, value);
            }
            Change::Revoke(revocation) => {
                self.revocations.insert((revocation.account, revocation.device, revocation.at, stamp));
            }
            Change::Forget { until } => {
                self.revocations.retain(|(.., at, written)| *at > until || *written > stamp);
                self.forgotten.insert((until, stamp));
            }
        }
    }
}

impl Rows {
    fn put(&mut self, row: StoredRow) {
        if self.erased.iter().any(|erased| erased.covers(&row)) {
            return;
        }
        let key = (row.row.position.n, row.row.position.epoch);
        if self.rows.get(&key).is_none_or(|held| row.beats(held)) {
            self.rows.insert(key, row);
        }
    }

    fn erase(&mut self, erased: Erased) {
        if erased.from >= erased.below || self.erased.iter().any(|held| held.contains(&erased)) {
            return;
        }
        let range = (erased.from, 0)..(erased.below, 0);
        let gone: Vec<_> =
            self.rows.range(range).filter(|(_, row)| erased.covers(row)).map(|(key, _)| *key).collect();
        for key in gone {
            self.rows.remove(&key);
        }
        self.erased.retain(|held| !erased.contains(held));
        self.erased.push(erased);
    }
}

fn put<K: Ord>(cells: &mut Cells<K>, key: K, stamp: Stamp, value: Option<Bytes>) {
    let cell = Cell { stamp, value };
    if cells.get(&key).is_none_or(|held| cell.beats(held)) {
        cells.insert(key, cell);
    }
}

//! What two replicas together say: of every cell the version that counts.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use godwit_types::{LogId, Stamp};

use super::QUORUM;
use super::replica::{Cell, Cells, Erased, Replica, StoredRow};
use crate::{Limit, Revocation, Row, Written};

/// Two replicas at one moment.
pub(super) struct View<'a> {
    pub(super) replicas: [&'a Replica; QUORUM],
    pub(super) now_s: u64,
}

impl<'a> View<'a> {
    /// Rows with a number in the range, ascending.
    pub(super) fn up(&self, log: &LogId, range: RangeInclusive<u64>) -> impl Iterator<Item = &'a StoredRow> {
        let [first, second] = self.ranges(log, range);
        self.alive(log, merge(first, second, Ordering::Less))
    }

    /// Rows with a number in the range, descending.
    pub(super) fn down(
        &self,
        log: &LogId,
        range: RangeInclusive<u64>,
    ) -> impl Iterator<Item = &'a StoredRow> {
        let [first, second] = self.ranges(log, range);
        self.alive(log, merge(first.rev(), second.rev(), Ordering::Greater))
    }

    fn ranges(
        &self,
        log: &LogId,
        range: RangeInclusive<u64>,
    ) -> [impl DoubleEndedIterator<Item = (&'a (u64, u64), &'a StoredRow)> + use<'a>; QUORUM] {
        let keys = (!range.is_empty()).then(|| (*range.start(), 0)..=(*range.end(), u64::MAX));
        self.replicas.map(|replica| {
            let rows = replica.logs.get(log).zip(keys.clone());
            rows.into_iter().flat_map(|(rows, keys)| rows.rows.range(keys))
        })
    }

    /// Without what either replica knows as removed, and what has expired.
    fn alive(
        &self,
        log: &LogId,
        rows: impl Iterator<Item = &'a StoredRow>,
    ) -> impl Iterator<Item = &'a StoredRow> {
        let erased: Vec<&Erased> = self
            .replicas
            .iter()
            .filter_map(|replica| replica.logs.get(log))
            .flat_map(|rows| &rows.erased)
            .collect();
        let now_s = self.now_s;
        rows.filter(move |row| {
            let expired = row.expires_s.is_some_and(|at| at <= now_s);
            !expired && !erased.iter().any(|erased| erased.covers(row))
        })
    }

    /// A row with what is known of its writing.
    pub(super) fn written(&self, stored: &StoredRow) -> Written {
        let left_s = stored.expires_s.map(|at| at.saturating_sub(self.now_s));
        Written {
            row: stored.row.clone(),
            stamp: stored.stamp,
            ttl_s: left_s.map(|left_s| u32::try_from(left_s).unwrap_or(u32::MAX)),
        }
    }

    /// The revocations that are not forgotten, of each device the latest.
    pub(super) fn revocations(&self) -> Vec<Revocation> {
        let mut latest = BTreeMap::new();
        for (account, device, at, stamp) in self.replicas.iter().flat_map(|replica| &replica.revocations) {
            let forgotten = |replica: &&Replica| {
                replica
                    .forgotten
                    .iter()
                    .any(|(until, at_stamp): &(_, Stamp)| at <= until && stamp <= at_stamp)
            };
            if !self.replicas.iter().any(forgotten) {
                let held = latest.entry((account, device)).or_insert(*at);
                *held = (*held).max(*at);
            }
        }
        latest
            .into_iter()
            .map(|((account, device), at)| Revocation {
                account: account.clone(),
                device: device.clone(),
                at,
            })
            .collect()
    }
}

/// As many rows as the limit allows, at least one if there is one.
pub(super) fn take<'a>(rows: impl Iterator<Item = &'a StoredRow>, limit: Limit) -> Vec<Row> {
    let mut taken = Vec::new();
    let mut bytes = 0;
    for stored in rows {
        bytes += stored.row.payload.len();
        taken.push(stored.row.clone());
        if taken.len() >= limit.rows || bytes >= limit.bytes {
            break;
        }
    }
    taken
}

/// Two sorted sequences as one; of two versions of a row the one that counts. `first` is how a key compares
/// with one that comes after it.
fn merge<'a>(
    a: impl Iterator<Item = (&'a (u64, u64), &'a StoredRow)>,
    b: impl Iterator<Item = (&'a (u64, u64), &'a StoredRow)>,
    first: Ordering,
) -> impl Iterator<Item = &'a StoredRow> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    std::iter::from_fn(move || {
        let order = match (a.peek(), b.peek()) {
            (Some((of_a, _)), Some((of_b, _))) => of_a.cmp(of_b),
            (Some(_), None) => first,
            (None, _) => first.reverse(),
        };
        if order == Ordering::Equal {
            let ((_, of_a), (_, of_b)) = a.next().zip(b.next())?;
            return Some(if of_b.beats(of_a) { of_b } else { of_a });
        }
        let (_, row) = if order == first { a.next() } else { b.next() }?;
        Some(row)
    })
}

/// The version of a cell that counts.
pub(super) fn cell(versions: [Option<&Cell>; QUORUM]) -> Option<Bytes> {
    let cell = versions.into_iter().flatten().reduce(|a, b| if b.beats(a) { b } else { a });
    cell?.value.clone()
}

/// The cells of a partition that have a value.
pub(super) fn cells<K: Ord + Clone>(versions: [Option<&Cells<K>>; QUORUM]) -> Vec<(K, Bytes)> {
    let mut newest: BTreeMap<&K, &Cell> = BTreeMap::new();
    for (key, cell) in versions.into_iter().flatten().flatten() {
        let held = newest.entry(key).or_insert(cell);
        if cell.beats(held) {
            *held = cell;
        }
    }
    newest.into_iter().filter_map(|(key, cell)| Some((key.clone(), cell.value.clone()?))).collect()
}

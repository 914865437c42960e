//! Commit groups: the batches that one sync makes durable.
//!
//! fjall gives every change of a batch the same sequence number, so that of two changes of one key
//! either could win. A group therefore settles its batches into one change per key, in order, before
//! it hands them over.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use fjall::{Database, Keyspace, Readable, UserKey, UserValue};
use godwit_types::{LogId, Timestamp};

use super::{engine, keys, row};
use crate::{Error, Mutation, Revocation, Row};

/// Rows that a trim removes together with its batch. A longer one removes the oldest rows first, this
/// many at a time, so that it neither fills memory nor holds up other writes for long.
const TRIM_ROWS_MAX: usize = 4096;

/// Logs of which the writer remembers up to where they are trimmed: about 2 MB of names. When there
/// are more it forgets them all, which costs each one longer scan.
const TRIMMED_LOGS_MAX: usize = 16_384;

/// The group that is being made.
pub(super) struct Group {
    database: Database,
    data: Keyspace,
    /// What each key becomes; `None`: it goes.
    changes: BTreeMap<UserKey, Option<UserValue>>,
    /// What the batch under way replaced in `changes`; the outer `None`: nothing stood there.
    replaced: Vec<(UserKey, Option<Option<UserValue>>)>,
    /// No row below this number is left, in the store or in `changes`. Lets a trim begin where the
    /// last one ended: behind that lie the tombstones of all earlier ones until they are compacted.
    trimmed: HashMap<LogId, u64>,
    /// Spares an allocation per row.
    scratch: Vec<u8>,
}

impl Group {
    /// An empty group.
    pub(super) fn new(database: Database, data: Keyspace) -> Self {
        let (changes, trimmed) = (BTreeMap::new(), HashMap::new());
        Self { database, data, changes, replaced: Vec::new(), trimmed, scratch: Vec::new() }
    }

    /// Whether a batch trims more rows than one group may. If so the group must be committed and
    /// [`thin`](Self::thin) called before the batch is added.
    pub(super) fn is_long_trim(&self, batch: &[Mutation]) -> Result<bool, Error> {
        for mutation in batch {
            if let Mutation::Trim { log, below, .. } = mutation
                && self.rows_below(log, *below).nth(TRIM_ROWS_MAX).transpose()?.is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the oldest of the rows that a batch trims, in steps, until one group can remove the rest.
    /// Not synced: the batch that follows is, and a part of a trim is a smaller trim.
    pub(super) fn thin(&mut self, batch: &[Mutation]) -> Result<(), Error> {
        for mutation in batch {
            let Mutation::Trim { log, below, .. } = mutation else { continue };
            loop {
                let mut rows = self.rows_below(log, *below);
                let step = rows.by_ref().take(TRIM_ROWS_MAX).collect::<Result<Vec<_>, _>>()?;
                if rows.next().is_none() {
                    break;
                }
                drop(rows);
                let last = step.last().and_then(|key| keys::row_number(key)).unwrap_or(*below);
                let mut batch = self.database.batch();
                for key in step {
                    batch.remove(&self.data, key);
                }
                batch.commit().map_err(super::failed)?;
                self.note_trimmed(log, last.saturating_add(1));
            }
        }
        Ok(())
    }

    /// Adds a batch, whole or, when a read that it needs fails, not at all.
    pub(super) fn add(&mut self, batch: Vec<Mutation>) -> Result<(), Error> {
        self.replaced.clear();
        let added = batch.into_iter().try_for_each(|mutation| self.apply(mutation));
        if added.is_err() {
            while let Some((key, before)) = self.replaced.pop() {
                match before {
                    Some(before) => self.changes.insert(key, before),
                    None => self.changes.remove(&key),
                };
            }
            // What was undone may have been noted as trimmed.
            self.trimmed.clear();
        }
        added
    }

    /// Writes and syncs the group and leaves it empty. After an error nothing is known of the disk.
    pub(super) fn commit(&mut self) -> fjall::Result<()> {
        let mut batch = self.database.batch().durability(Some(engine::DURABLE));
        for (key, value) in std::mem::take(&mut self.changes) {
            match value {
                Some(value) => batch.insert(&self.data, key, value),
                None => batch.remove(&self.data, key),
            }
        }
        batch.commit()
    }

    fn apply(&mut self, mutation: Mutation) -> Result<(), Error> {
        match mutation {
            Mutation::Append { log, row } => self.append(&log, &row),
            Mutation::Settle { log, tail, rows } => {
                self.remove_if(keys::row(&log, tail.saturating_add(1))..keys::row(&log, u64::MAX), |_| true)?;
                rows.iter().for_each(|written| self.append(&log, &written.row));
            }
            Mutation::Trim { log, below, .. } => self.trim(&log, below)?,
            Mutation::Summary { log, value } => self.put(keys::summary(&log), Some(value[..].into())),
            Mutation::Membership { account, conversation, value } => {
                let value = value.map(|value| value[..].into());
                self.put(keys::membership(&account, &conversation), value);
            }
            Mutation::Device { account, device, value } => {
                let value = value.map(|value| value[..].into());
                self.put(keys::device(&account, &device), value);
            }
            Mutation::Pending { pending, under_way } => {
                let value = under_way.then(|| UserValue::from(&b""[..]));
                self.put(keys::pending(&pending), value);
            }
            Mutation::Revoke(revocation) => self.revoke(&revocation)?,
            Mutation::ForgetRevocations { until } => {
                let range = keys::revocations();
                self.remove_if(range, |value| super::read_timestamp(value).is_some_and(|at| at <= until))?;
            }
        }
        Ok(())
    }

    fn append(&mut self, log: &LogId, row: &Row) {
        let n = row.position.n;
        if let Some(trimmed) = self.trimmed.get_mut(log) {
            *trimmed = (*trimmed).min(n);
        }
        self.scratch.clear();
        row::encode(row, &mut self.scratch);
        let value = UserValue::from(self.scratch.as_slice());
        self.put(keys::row(log, n), Some(value));
    }

    fn put(&mut self, key: UserKey, value: Option<UserValue>) {
        let before = self.changes.insert(key.clone(), value);
        self.replaced.push((key, before));
    }

    fn revoke(&mut self, revocation: &Revocation) -> Result<(), Error> {
        let key = keys::revocation(&revocation.account, revocation.device.as_ref());
        let held = match self.changes.get(&key) {
            Some(change) => change.clone(),
            None => self.data.get(&key).map_err(super::failed)?,
        };
        let held: Option<Timestamp> = held.and_then(|value| super::read_timestamp(&value));
        let at = held.map_or(revocation.at, |held| held.max(revocation.at));
        self.put(key, Some(at.as_ms().to_be_bytes()[..].into()));
        Ok(())
    }

    fn trim(&mut self, log: &LogId, below: u64) -> Result<(), Error> {
        let from = self.trimmed.get(log).copied().unwrap_or(0);
        if from < below {
            self.remove_if(keys::row(log, from)..keys::row(log, below), |_| true)?;
            self.note_trimmed(log, below);
        }
        Ok(())
    }

    /// Removes what lies in a range, in the store and in the group, and passes the test.
    fn remove_if(&mut self, range: Range<UserKey>, test: impl Fn(&[u8]) -> bool) -> Result<(), Error> {
        let mut gone = Vec::new();
        for guard in self.database.snapshot().range(&self.data, range.clone()) {
            let (key, value) = guard.into_inner().map_err(super::failed)?;
            if !self.changes.contains_key(&key) && test(&value) {
                gone.push(key);
            }
        }
        for (key, change) in self.changes.range(range) {
            if change.as_ref().is_some_and(|value| test(value)) {
                gone.push(key.clone());
            }
        }
        for key in gone {
            self.put(key, None);
        }
        Ok(())
    }

    /// Keys of the stored rows that a trim would remove, ascending.
    fn rows_below(&self, log: &LogId, below: u64) -> impl Iterator<Item = Result<UserKey, Error>> + use<> {
        let from = self.trimmed.get(log).copied().unwrap_or(0).min(below);
        let range = keys::row(log, from)..keys::row(log, below);
        self.database.snapshot().range(&self.data, range).map(|guard| guard.key().map_err(super::failed))
    }

    fn note_trimmed(&mut self, log: &LogId, below: u64) {
        if self.trimmed.len() >= TRIMMED_LOGS_MAX && !self.trimmed.contains_key(log) {
            self.trimmed.clear();
        }
        self.trimmed.insert(log.clone(), below);
    }
}

/// About how many bytes a batch holds.
pub(super) fn bytes_of(batch: &[Mutation]) -> usize {
    /// Key, header and bookkeeping of one change.
    const CHANGE_BYTES: usize = 200;
    let value = |mutation: &Mutation| match mutation {
        Mutation::Append { row, .. } => row.payload.len(),
        Mutation::Settle { rows, .. } => rows.iter().map(|written| written.row.payload.len()).sum(),
        Mutation::Summary { value, .. } => value.len(),
        Mutation::Membership { value, .. } | Mutation::Device { value, .. } => {
            value.as_ref().map_or(0, |v| v.len())
        }
        Mutation::Trim { .. }
        | Mutation::Pending { .. }
        | Mutation::Revoke(_)
        | Mutation::ForgetRevocations { .. } => 0,
    };
    batch.iter().map(|mutation| CHANGE_BYTES + value(mutation)).sum()
}

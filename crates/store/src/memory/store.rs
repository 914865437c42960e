//! The store that one process sees.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use godwit_types::{AccountId, ConversationId, DeviceId, LogId, ShardId, Stamp};

use super::Memory;
use super::read::{self, View};
use super::replica::Cells;
use crate::{Answer, Error, Limit, Mutation, Pending, Revocation, Row, Store, TAIL_REACH, Written};

impl Memory {
    /// A read at quorum, at the moment at which its future is polled.
    fn read<'a, T: Send + 'a>(&'a self, read: impl FnOnce(View<'_>) -> T + Send + 'a) -> Answer<'a, T> {
        Box::pin(async move {
            self.check_open()?;
            let mut cluster = self.cluster.lock();
            let now_s = cluster.now_s;
            Ok(read(View { replicas: cluster.quorum()?, now_s }))
        })
    }
}

impl Store for Memory {
    fn shards(&self) -> u16 {
        self.cluster.lock().shards
    }

    fn write(&self, batch: Vec<Mutation>, stamp: Stamp) -> Answer<'static, ()> {
        // Here and not in the future, which may never be polled.
        let fate = self.next_write.lock().take();
        let answered = self.check_open().map(|()| self.cluster.lock().write(batch, stamp, fate));
        Box::pin(async move {
            answered?.await.unwrap_or_else(|_| Err(Error::Failed("the database is gone".to_owned())))
        })
    }

    fn rows_after<'a>(&'a self, log: &'a LogId, after: u64, upto: u64, limit: Limit) -> Answer<'a, Vec<Row>> {
        self.read(move |view| match after.checked_add(1) {
            Some(first) => read::take(view.up(log, first..=upto), limit),
            None => Vec::new(),
        })
    }

    fn rows_before<'a>(&'a self, log: &'a LogId, before: u64, limit: Limit) -> Answer<'a, Vec<Row>> {
        self.read(move |view| match before.checked_sub(1) {
            Some(last) => read::take(view.down(log, 0..=last), limit),
            None => Vec::new(),
        })
    }

    fn tail<'a>(&'a self, log: &'a LogId, summarised: u64, rows: usize) -> Answer<'a, Vec<Written>> {
        let last = summarised.saturating_add(TAIL_REACH);
        self.read(move |view| view.down(log, 0..=last).take(rows).map(|row| view.written(row)).collect())
    }

    fn row<'a>(&'a self, log: &'a LogId, n: u64) -> Answer<'a, Option<Row>> {
        self.read(move |view| view.down(log, n..=n).next().map(|stored| stored.row.clone()))
    }

    fn summary<'a>(&'a self, log: &'a LogId) -> Answer<'a, Option<Bytes>> {
        self.read(move |view| read::cell(view.replicas.map(|replica| replica.summaries.get(log))))
    }

    fn memberships<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<(ConversationId, Bytes)>> {
        self.read(move |view| read::cells(view.replicas.map(|replica| replica.memberships.get(account))))
    }

    fn devices<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<(DeviceId, Bytes)>> {
        self.read(move |view| read::cells(view.replicas.map(|replica| replica.devices.get(account))))
    }

    fn pending(&self, shard: ShardId) -> Answer<'_, Vec<Pending>> {
        self.read(move |view| pending_of(&view, shard))
    }

    fn shards_with_pending(&self) -> Answer<'_, Vec<ShardId>> {
        self.read(|view| {
            let shards = view.replicas.iter().flat_map(|replica| replica.pending.keys().copied());
            let shards: std::collections::BTreeSet<ShardId> = shards.collect();
            shards.into_iter().filter(|shard| !pending_of(&view, *shard).is_empty()).collect()
        })
    }

    fn revocations(&self) -> Answer<'_, Vec<Revocation>> {
        self.read(|view| view.revocations())
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(
            async move { if self.closed.swap(true, Ordering::AcqRel) { Err(Error::Closed) } else { Ok(()) } },
        )
    }
}

fn pending_of(view: &View<'_>, shard: ShardId) -> Vec<Pending> {
    let versions: [Option<&Cells<Pending>>; super::QUORUM] =
        view.replicas.map(|replica| replica.pending.get(&shard));
    read::cells(versions).into_iter().map(|(pending, _)| pending).collect()
}

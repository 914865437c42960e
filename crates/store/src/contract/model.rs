//! Random mutations against a model: maps in memory, with reopening in between.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use bytes::Bytes;
use godwit_types::{AccountId, ConversationId, DeviceId, LogId, ShardId, Stamp, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{
    ALL, END, Place, SHARDS, account, append, conversation, device, inbox, pending, revocation, row, stamp,
};
use crate::{Error, Limit, Mutation, Pending, PendingKind, Revocation, Row, Store};

/// Sequences tried, each in a fresh place.
const CASES: usize = 24;

/// Ids that begin alike, so that a store that mixes them is caught.
const IDS: [&str; 4] = ["a", "a-", "aa", "b"];

/// What happens in a sequence.
#[derive(Debug, Clone)]
enum Step {
    /// Batches issued one after the other before any is waited for.
    Write(Vec<Vec<Mutation>>),
    /// The batches of the last [`Step::Write`] once more, as after an answer that got lost.
    Repeat,
    /// A read within bounds.
    Read { log: LogId, after: u64, upto: u64, limit: Limit },
    /// The store is closed and opened.
    Reopen,
}

/// What a store should hold.
#[derive(Debug, Default)]
struct Model {
    rows: BTreeMap<LogId, BTreeMap<u64, Row>>,
    summaries: BTreeMap<LogId, Bytes>,
    memberships: BTreeMap<AccountId, BTreeMap<ConversationId, Bytes>>,
    devices: BTreeMap<AccountId, BTreeMap<DeviceId, Bytes>>,
    pending: BTreeSet<Pending>,
    revocations: BTreeMap<(AccountId, Option<DeviceId>), Timestamp>,
}

impl Model {
    fn apply(&mut self, mutation: Mutation) {
        match mutation {
            Mutation::Append { log, row } => {
                self.rows.entry(log).or_default().insert(row.position.n, row);
            }
            Mutation::Trim { log, below, .. } => self.rows.entry(log).or_default().retain(|n, _| *n >= below),
            Mutation::Settle { log, tail, rows } => {
                let held = self.rows.entry(log).or_default();
                held.retain(|n, _| *n <= tail);
                held.extend(rows.into_iter().map(|written| (written.row.position.n, written.row)));
            }
            Mutation::Summary { log, value } => {
                self.summaries.insert(log, value);
            }
            Mutation::Membership { account, conversation, value } => {
                set(self.memberships.entry(account).or_default(), conversation, value);
            }
            Mutation::Device { account, device, value } => {
                set(self.devices.entry(account).or_default(), device, value);
            }
            Mutation::Pending { pending, under_way: true } => {
                self.pending.insert(pending);
            }
            Mutation::Pending { pending, under_way: false } => {
                self.pending.remove(&pending);
            }
            Mutation::Revoke(Revocation { account, device, at }) => {
                let held = self.revocations.entry((account, device)).or_default();
                *held = at.max(*held);
            }
            Mutation::ForgetRevocations { until } => self.revocations.retain(|_, at| *at > until),
        }
    }

    fn read(&self, log: &LogId, after: u64, upto: u64, limit: Limit) -> Vec<Row> {
        let mut read = Vec::new();
        let mut bytes = 0;
        for row in self.rows.get(log).into_iter().flat_map(BTreeMap::values) {
            let n = row.position.n;
            let full = !read.is_empty() && (read.len() >= limit.rows || bytes >= limit.bytes);
            if n > after && n <= upto && !full {
                bytes += row.payload.len();
                read.push(row.clone());
            }
        }
        read
    }

    /// Compares everything.
    async fn compare(&self, store: &impl Store) -> Result<(), String> {
        for log in logs() {
            let mut rows = self.read(&log, 0, END, ALL);
            same("rows", &log, store.rows_after(&log, 0, END, ALL).await, &rows)?;
            rows.reverse();
            same("rows backwards", &log, store.rows_before(&log, END, ALL).await, &rows)?;
            same("summary", &log, store.summary(&log).await, &self.summaries.get(&log).cloned())?;
        }
        for id in IDS.map(account) {
            let memberships: Vec<_> =
                self.memberships.get(&id).cloned().unwrap_or_default().into_iter().collect();
            same("memberships", &id, store.memberships(&id).await.map(sorted), &memberships)?;
            let devices: Vec<_> = self.devices.get(&id).cloned().unwrap_or_default().into_iter().collect();
            same("devices", &id, store.devices(&id).await.map(sorted), &devices)?;
        }
        for shard in (0..SHARDS).map(ShardId) {
            let pending: Vec<_> = self.pending.iter().filter(|p| p.shard == shard).cloned().collect();
            same("pending", &shard, store.pending(shard).await.map(sorted), &pending)?;
        }
        let shards: BTreeSet<_> = self.pending.iter().map(|pending| pending.shard).collect();
        same("shards", &"", store.shards_with_pending().await, &shards.into_iter().collect())?;
        let revocations = store.revocations().await.map(|all| {
            all.into_iter().map(|Revocation { account, device, at }| ((account, device), at)).collect()
        });
        same("revocations", &"", revocations, &self.revocations)
    }
}

fn set<K: Ord>(map: &mut BTreeMap<K, Bytes>, key: K, value: Option<Bytes>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort();
    values
}

fn same<T: PartialEq + Debug>(
    what: &str,
    of: &impl Debug,
    found: Result<T, Error>,
    held: &T,
) -> Result<(), String> {
    match found {
        Ok(found) if found == *held => Ok(()),
        found => Err(format!("{what} of {of:?}: found {found:?}, should be {held:?}")),
    }
}

fn logs() -> Vec<LogId> {
    IDS.into_iter().flat_map(|id| [inbox(id), LogId::Conversation(conversation(id))]).collect()
}

fn mutations() -> impl Strategy<Value = Mutation> {
    let id = || proptest::sample::select(&IDS[..]);
    let log = || proptest::sample::select(logs());
    let value = || proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    let kind = prop_oneof![Just(PendingKind::Fanout), Just(PendingKind::Push)];
    prop_oneof![
        8 => (log(), 1u64..300).prop_map(|(log, n)| append(&log, n)),
        2 => (log(), 0u64..300).prop_map(|(log, below)| Mutation::Trim { log, from: 0, below }),
        2 => (log(), value()).prop_map(|(log, value)| Mutation::Summary { log, value }),
        2 => (id(), id(), proptest::option::of(value())).prop_map(|(of, in_, value)| Mutation::Membership {
            account: account(of), conversation: conversation(in_), value,
        }),
        2 => (id(), id(), proptest::option::of(value())).prop_map(|(of, id, value)| Mutation::Device {
            account: account(of), device: device(id), value,
        }),
        2 => (0..SHARDS, kind, id(), any::<bool>()).prop_map(|(shard, kind, id, under_way)| {
            Mutation::Pending { pending: pending(shard, kind, id), under_way }
        }),
        2 => (id(), proptest::option::of(id()), 0u64..50)
            .prop_map(|(of, device, at)| Mutation::Revoke(revocation(of, device, at))),
        1 => (0u64..50).prop_map(|ms| Mutation::ForgetRevocations { until: Timestamp::from_ms(ms) }),
    ]
}

/// Whether the order of the two matters: the contract says nothing about it inside a batch.
fn depend(a: &Mutation, b: &Mutation) -> bool {
    use Mutation::{Append, Device, ForgetRevocations, Membership, Revoke, Summary, Trim};
    match (a, b) {
        (Append { log: a, .. }, Trim { log: b, .. })
        | (Trim { log: a, .. }, Append { log: b, .. })
        | (Summary { log: a, .. }, Summary { log: b, .. }) => a == b,
        (Membership { account: a, conversation: c, .. }, Membership { account: b, conversation: d, .. }) => {
            (a, c) == (b, d)
        }
        (Device { account: a, device: c, .. }, Device { account: b, device: d, .. }) => (a, c) == (b, d),
        (Mutation::Pending { pending: a, .. }, Mutation::Pending { pending: b, .. }) => a == b,
        (Revoke(_), ForgetRevocations { .. }) | (ForgetRevocations { .. }, Revoke(_)) => true,
        _ => false,
    }
}

fn batches() -> impl Strategy<Value = Vec<Mutation>> {
    proptest::collection::vec(mutations(), 0..12).prop_map(|drawn| {
        let mut batch: Vec<Mutation> = Vec::new();
        for mutation in drawn {
            if !batch.iter().any(|earlier| depend(earlier, &mutation)) {
                batch.push(mutation);
            }
        }
        batch
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let limit = (0usize..20, 0usize..200).prop_map(|(rows, bytes)| Limit { rows, bytes });
    let read = (proptest::sample::select(logs()), 0u64..300, 0u64..300, limit)
        .prop_map(|(log, after, upto, limit)| Step::Read { log, after, upto, limit });
    let step = prop_oneof![
        6 => proptest::collection::vec(batches(), 1..6).prop_map(Step::Write),
        1 => Just(Step::Repeat),
        3 => read,
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..40)
}

async fn run<P: Place>(place: P, steps: &[Step]) -> Result<(), String> {
    let mut model = Model::default();
    let mut store = place.open().await;
    let mut last: Vec<(Vec<Mutation>, Stamp)> = Vec::new();
    for step in steps {
        match step {
            // A repeat has the stamps of the first time.
            Step::Write(batches) => last = batches.iter().map(|batch| (batch.clone(), stamp())).collect(),
            Step::Repeat => {}
            Step::Read { log, after, upto, limit } => {
                let held = model.read(log, *after, *upto, *limit);
                same("a part", log, store.rows_after(log, *after, *upto, *limit).await, &held)?;
                let held =
                    model.rows.get(log).and_then(|rows| rows.get(after)).map(|held| row(held.position.n));
                same("a row", log, store.row(log, *after).await, &held)?;
                continue;
            }
            Step::Reopen => {
                store.close().await.map_err(|error| error.to_string())?;
                drop(store);
                store = place.open().await;
                model.compare(&store).await?;
                continue;
            }
        }
        let writes: Vec<_> = last.iter().map(|(batch, stamp)| store.write(batch.clone(), *stamp)).collect();
        for write in writes {
            write.await.map_err(|error| error.to_string())?;
        }
        last.iter().flat_map(|(batch, _)| batch).for_each(|mutation| model.apply(mutation.clone()));
    }
    model.compare(&store).await?;
    store.close().await.map_err(|error| error.to_string())
}

/// Whatever is written, in whatever order and however often, reads as if it stood in maps in memory.
/// A failure is shrunk and printed as the steps that lead to it.
pub async fn random_mutations_match_the_model<P: Place>(fresh: impl Fn() -> P) {
    let mut runner = TestRunner::default();
    for _ in 0..CASES {
        let mut tree = steps().new_tree(&mut runner).expect("a sequence");
        let Err(mut error) = run(fresh(), &tree.current()).await else { continue };
        let mut smallest = tree.current();
        while tree.simplify() || tree.complicate() {
            match run(fresh(), &tree.current()).await {
                Err(found) => (error, smallest) = (found, tree.current()),
                Ok(()) if !tree.complicate() => break,
                Ok(()) => {}
            }
        }
        panic!("{error}\nafter {smallest:#?}");
    }
}

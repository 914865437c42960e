//! The contract suite: what every [`Store`] must do, as tests.
//!
//! An implementation names a [`Place`] and has one test made of each rule:
//!
//! ```ignore
//! godwit_store::contract_tests!(|| MyPlace::fresh());
//! ```
//!
//! One that needs a server adds `if` and whether it is there: `contract_tests!(MyPlace::fresh, if there());`.
//! The crate that does so needs `tokio` with `macros` and `rt-multi-thread` among its
//! dev-dependencies. Rules say nothing about the order of mutations inside one batch.

use std::future::Future;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use godwit_types::{AccountId, ConversationId, DeviceId, LogId, Position, ShardId, Stamp, Timestamp};

use crate::{Limit, Mutation, Pending, PendingKind, Revocation, Row, Store};

pub mod logs;
pub mod model;
pub mod records;
pub mod shared;
pub mod writes;

/// The number of shards that every store of the suite is opened with.
pub const SHARDS: u16 = 64;

/// Where a store keeps its data. A fresh one is empty; what one store leaves in it the next one finds.
pub trait Place: Send + Sync + 'static {
    /// What opens there.
    type Store: Store;

    /// Opens a store with [`SHARDS`] shards. The one opened before has been closed.
    fn open(&self) -> impl Future<Output = Self::Store> + Send;
}

/// Makes a test of every rule. The argument is a closure that makes a fresh [`Place`](crate::contract::Place).
#[macro_export]
macro_rules! contract_tests {
    ($fresh:expr) => {
        $crate::contract_tests!($fresh, if true);
    };
    ($fresh:expr, if $there:expr) => {
        $crate::contract_tests!(@rules $fresh, $there;
            logs: rows_come_in_order_within_bounds, limits_hold_and_one_row_always_comes,
                the_tail_reads_backwards, the_tail_is_found_from_the_summary, buckets_are_one_log,
                a_settled_log_ends_at_its_tail, numbers_may_be_extreme, logs_do_not_mix,
                a_trim_removes_what_is_below, a_long_trim_is_whole, payloads_may_be_anything;
            records: a_summary_is_replaced, memberships_belong_to_one_account,
                devices_belong_to_one_account, pending_work_is_found_by_shard,
                the_later_revocation_counts, revocations_are_forgotten;
            writes: what_is_answered_is_there_after_reopening,
                an_empty_batch_is_stored, unawaited_writes_take_effect_in_order,
                a_write_needs_no_polling, the_same_batch_again_changes_nothing,
                concurrent_writers_see_their_own_writes, closing_finishes_what_is_under_way,
                a_closed_store_says_so;
            model: random_mutations_match_the_model;
        );
    };
    (@rules $fresh:expr, $there:expr; $($module:ident: $($rule:ident),+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                if $there {
                    $crate::contract::$module::$rule($fresh).await;
                }
            }
        )+)+
    };
}

/// A number above every row of the suite, two buckets of 10,000 on.
pub(crate) const END: u64 = 29_999;

/// A stamp above all before, near the present.
pub(crate) fn stamp() -> Stamp {
    static LAST: LazyLock<AtomicI64> =
        LazyLock::new(|| AtomicI64::new(Timestamp::from(SystemTime::now()).as_ms() as i64 * 1000));
    Stamp::from_us(LAST.fetch_add(1, Ordering::Relaxed))
}

/// No limit.
pub(crate) const ALL: Limit = Limit { rows: usize::MAX, bytes: usize::MAX };

pub(crate) fn account(id: &str) -> AccountId {
    AccountId::new(id).expect("an account id")
}

pub(crate) fn conversation(id: &str) -> ConversationId {
    ConversationId::new(id).expect("a conversation id")
}

pub(crate) fn device(id: &str) -> DeviceId {
    DeviceId::new(id).expect("a device id")
}

pub(crate) fn inbox(id: &str) -> LogId {
    LogId::Inbox(account(id))
}

/// The one row that a log may have at `n`: a repeat is the same row.
pub(crate) fn row(n: u64) -> Row {
    let payload = Bytes::from(vec![b'x'; (n % 50) as usize]);
    let at = Timestamp::from_ms(1_700_000_000_000 + n % 1_000_000);
    Row { position: Position { epoch: 1 + n / 10, n }, stable: n.saturating_sub(1), at, key: n % 7, payload }
}

pub(crate) fn append(log: &LogId, n: u64) -> Mutation {
    Mutation::Append { log: log.clone(), row: row(n) }
}

pub(crate) fn append_all(log: &LogId, numbers: impl IntoIterator<Item = u64>) -> Vec<Mutation> {
    numbers.into_iter().map(|n| append(log, n)).collect()
}

pub(crate) fn summary(log: &LogId, text: &str) -> Mutation {
    Mutation::Summary { log: log.clone(), value: Bytes::copy_from_slice(text.as_bytes()) }
}

pub(crate) fn pending(shard: u16, kind: PendingKind, id: &str) -> Pending {
    Pending { shard: ShardId(shard), kind, id: id.to_owned() }
}

pub(crate) fn revocation(of: &str, device_id: Option<&str>, at: u64) -> Revocation {
    Revocation { account: account(of), device: device_id.map(device), at: Timestamp::from_ms(at) }
}

pub(crate) fn numbers(rows: &[Row]) -> Vec<u64> {
    rows.iter().map(|row| row.position.n).collect()
}

/// Writes and waits.
pub(crate) async fn store(store: &impl Store, batch: Vec<Mutation>) {
    store.write(batch, stamp()).await.expect("the write is stored");
}

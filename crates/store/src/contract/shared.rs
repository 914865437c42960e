//! The contract suite for databases that several processes share.
//!
//! ```ignore
//! godwit_store::contract_tests!(fresh);
//! godwit_store::shared_contract_tests!(fresh, injecting: answers, replicas);
//! godwit_store::shared_contract_tests!(fresh, injecting: nothing);
//! ```
//!
//! One that needs a server, and can inject nothing there, names whether it is there instead:
//! `shared_contract_tests!(fresh, if there())`.
//!
//! Some rules need a fault that only a place under the test's control can have: `answers` that get lost
//! ([`LosesAnswers`]), `replicas` that miss a write or are away ([`LosesReplicas`]). A place names what it can
//! inject; what it does not name is not tested there, and that can be read where the macro is called.
//!
//! The rules use no clock: a late write is a write with an old stamp.

use std::future::Future;

use bytes::Bytes;
use godwit_types::{LogId, Position, Stamp, Timestamp};

use super::{ALL, Place};
use crate::{LeaseStore, Mutation, Row, Store};

pub mod answers;
pub mod cells;
pub mod late;
pub mod leases;
pub mod replicas;
pub mod settle;

/// A place in which several stores may be open at once: [`open`](Place::open) adds one more client of the
/// same data.
pub trait SharedPlace: Place<Store: LeaseStore> {
    /// After how many seconds the rows of an inbox expire; at least an hour.
    fn inbox_ttl_s(&self) -> u32;
}

/// What became of a swap whose answer got lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostSwap {
    /// It was carried out.
    Applied,
    /// It never was.
    Lost,
    /// Neither is known: whoever asks next decides it.
    Undecided,
}

/// A place that can withhold answers.
pub trait LosesAnswers: SharedPlace {
    /// The next write of this client is answered with an error; whether it has landed.
    fn lose_next_write(&self, store: &Self::Store, landed: bool) -> impl Future<Output = ()> + Send;

    /// The next swap of this client is answered with an error.
    fn lose_next_swap(&self, store: &Self::Store, outcome: LostSwap) -> impl Future<Output = ()> + Send;
}

/// A place of three replicas, each of which can be away.
pub trait LosesReplicas: SharedPlace {
    /// The next write of this client lands on that replica (0, 1, 2) and on no other, and is answered with an
    /// error. The others may get it later, as a hint.
    fn next_write_lands_on(&self, store: &Self::Store, replica: usize) -> impl Future<Output = ()> + Send;

    /// All hints arrive.
    fn deliver_hints(&self) -> impl Future<Output = ()> + Send;

    /// A replica goes away, or comes back without what it missed.
    fn set_away(&self, replica: usize, away: bool) -> impl Future<Output = ()> + Send;
}

/// Makes a test of every rule for shared databases. The first argument is a closure that makes a fresh
/// [`SharedPlace`](crate::contract::shared::SharedPlace), the others are the faults that it can inject:
/// `answers`, `replicas`, in this order, or `nothing`.
#[macro_export]
macro_rules! shared_contract_tests {
    ($fresh:expr, injecting: nothing) => {
        $crate::shared_contract_tests!($fresh, if true);
    };
    ($fresh:expr, if $there:expr) => {
        $crate::shared_contract_tests!(@rules $fresh, $there;
            settle: a_late_write_stays_hidden, a_late_write_stays_hidden_in_the_next_bucket,
                a_late_write_does_not_come_back_beside_a_new_row, a_repeated_row_stays_hidden,
                rows_written_again_are_there, an_earlier_settling_that_comes_late_hides_nothing,
                own_rows_above_the_settling_live, the_same_settling_again_hides_no_later_row,
                a_row_with_the_stamp_of_the_settling_is_hidden, a_log_may_be_settled_again_and_again;
            late: the_same_write_again_changes_nothing, a_late_version_of_a_row_loses,
                a_late_trim_removes_no_later_row, a_late_row_below_a_trim_stays_away,
                the_tail_tells_stamps_and_time_left, clients_see_each_others_writes;
            cells: summaries_keep_the_highest_stamp, memberships_keep_the_highest_stamp,
                devices_keep_the_highest_stamp, pending_rows_keep_the_highest_stamp,
                a_removal_wins_a_tie, a_late_part_of_a_batch_loses_alone;
            leases: a_swap_of_a_session_applies_once, a_swap_is_refused_where_any_field_differs,
                absent_means_absent, glances_show_what_was_answered, all_sessions_are_listed,
                one_of_many_swaps_of_a_session_wins, one_of_many_swaps_of_owners_wins,
                a_group_changes_hands_whole_or_not_at_all, owners_belong_to_one_group,
                ownerships_read_back_as_they_were_written, an_owner_needs_only_the_expected_epoch;
        );
    };
    ($fresh:expr, injecting: answers) => {
        $crate::shared_contract_tests!($fresh, injecting: nothing);
        $crate::shared_contract_tests!(@answers $fresh);
    };
    ($fresh:expr, injecting: replicas) => {
        $crate::shared_contract_tests!($fresh, injecting: nothing);
        $crate::shared_contract_tests!(@replicas $fresh);
    };
    ($fresh:expr, injecting: answers, replicas) => {
        $crate::shared_contract_tests!($fresh, injecting: nothing);
        $crate::shared_contract_tests!(@answers $fresh);
        $crate::shared_contract_tests!(@replicas $fresh);
    };
    (@answers $fresh:expr) => {
        $crate::shared_contract_tests!(@rules $fresh, true;
            answers: a_write_without_answer_is_made_sure_by_a_repeat,
                a_settling_without_answer_is_made_sure_by_a_repeat,
                a_session_without_answer_is_there_or_not, owners_without_answer_are_there_or_not,
                a_swap_after_one_without_answer_decides_it;
        );
    };
    (@replicas $fresh:expr) => {
        $crate::shared_contract_tests!(@rules $fresh, true;
            replicas: a_hint_stays_hidden_after_settling, a_hint_stays_hidden_in_the_next_bucket,
                a_replica_that_missed_the_settling_brings_nothing_back,
                a_row_on_one_replica_is_everywhere_after_settling,
                a_settling_on_one_replica_is_made_sure_by_a_repeat, one_replica_away_changes_nothing,
                with_two_away_all_fails_and_comes_back;
        );
    };
    (@rules $fresh:expr, $there:expr; $($module:ident: $($rule:ident),+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                if $there {
                    $crate::contract::shared::$module::$rule($fresh).await;
                }
            }
        )+)+
    };
}

/// A row that tells by whom it was written.
fn row_of(epoch: u64, n: u64) -> Row {
    Row {
        position: Position { epoch, n },
        stable: n.saturating_sub(2),
        at: Timestamp::from_ms(1_700_000_000_000 + n),
        key: epoch * 100_000 + n,
        payload: Bytes::from(format!("{epoch}-{n}")),
    }
}

fn rows_of(epoch: u64, numbers: impl IntoIterator<Item = u64>) -> Vec<Row> {
    numbers.into_iter().map(|n| row_of(epoch, n)).collect()
}

async fn put(store: &impl Store, log: &LogId, rows: &[Row], stamp: Stamp) {
    store.write(appends(log, rows), stamp).await.expect("the write is stored");
}

fn appends(log: &LogId, rows: &[Row]) -> Vec<Mutation> {
    rows.iter().map(|row| Mutation::Append { log: log.clone(), row: row.clone() }).collect()
}

/// The settling of a log whose last row is `tail`, which writes no row again.
fn settling(log: &LogId, tail: u64) -> Vec<Mutation> {
    vec![Mutation::Settle { log: log.clone(), tail, rows: Vec::new() }]
}

async fn settle(store: &impl Store, log: &LogId, tail: u64, stamp: Stamp) {
    store.write(settling(log, tail), stamp).await.expect("the settling is stored");
}

/// The rows with `after < n <= upto`, by every way of reading: all of them must show the same.
async fn seen(store: &impl Store, log: &LogId, after: u64, upto: u64) -> Vec<Row> {
    let rows = store.rows_after(log, after, upto, ALL).await.expect("a read");
    let mut backwards = store.rows_before(log, upto + 1, ALL).await.expect("a read");
    backwards.retain(|row| row.position.n > after);
    backwards.reverse();
    assert_eq!(backwards, rows, "forwards and backwards");
    let tail = store.tail(log, after, 65).await.expect("a read");
    let mut tail: Vec<Row> = tail.into_iter().map(|written| written.row).collect();
    tail.retain(|row| row.position.n > after && row.position.n <= upto);
    tail.reverse();
    assert_eq!(tail, rows, "the tail");
    for n in after + 1..=upto {
        let row = store.row(log, n).await.expect("a read");
        assert_eq!(row.as_ref(), rows.iter().find(|row| row.position.n == n), "row {n} for itself");
    }
    rows
}

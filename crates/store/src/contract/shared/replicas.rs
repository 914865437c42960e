//! Rules for what is on one replica of three, and for replicas that are away.

use bytes::Bytes;

use super::leases::{node, session};
use super::{LosesReplicas, appends, put, row_of, rows_of, seen, settle, settling};
use crate::contract::{conversation, inbox, stamp, summary};
use crate::{Error, LeaseStore, LogId, Mutation, Row, Store, Swap, Written};

/// Reads that have to agree. Each asks two replicas of three; that this many never ask a certain pair
/// happens once in 10^7.
const READS: usize = 40;

async fn always_seen(store: &impl Store, log: &LogId, after: u64, upto: u64, expected: &[Row]) {
    for _ in 0..READS {
        assert_eq!(seen(store, log, after, upto).await, expected);
    }
}

async fn put_on_one<P: LosesReplicas>(place: &P, store: &P::Store, replica: usize, batch: Vec<Mutation>) {
    let at = stamp();
    place.next_write_lands_on(store, replica).await;
    let answer = store.write(batch, at).await;
    assert!(matches!(answer, Err(Error::Failed(_))), "{answer:?}");
}

/// Rows on one replica which the settling does not keep: neither they nor their hints are seen.
pub async fn a_hint_stays_hidden_after_settling<P: LosesReplicas>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (former, owner) = (place.open().await, place.open().await);
    for replica in 0..3 {
        let log = inbox(["a", "b", "c"][replica]);
        put(&former, &log, &rows_of(1, 1..=3), stamp()).await;
        put_on_one(&place, &former, replica, appends(&log, &rows_of(1, 4..=5))).await;
        settle(&owner, &log, 3, stamp()).await;
        always_seen(&owner, &log, 0, 5, &rows_of(1, 1..=3)).await;
        place.deliver_hints().await;
        always_seen(&owner, &log, 0, 5, &rows_of(1, 1..=3)).await;
        put(&owner, &log, &rows_of(2, 4..=4), stamp()).await;
        always_seen(&owner, &log, 3, 5, &rows_of(2, 4..=4)).await;
    }
}

/// The same over the edge of a bucket.
pub async fn a_hint_stays_hidden_in_the_next_bucket<P: LosesReplicas>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (former, owner) = (place.open().await, place.open().await);
    let log = inbox("a");
    put(&former, &log, &rows_of(1, 9_990..=9_998), stamp()).await;
    put_on_one(&place, &former, 2, appends(&log, &rows_of(1, 9_999..=10_004))).await;
    settle(&owner, &log, 9_998, stamp()).await;
    always_seen(&owner, &log, 9_997, 10_004, &rows_of(1, 9_998..=9_998)).await;
    place.deliver_hints().await;
    always_seen(&owner, &log, 9_997, 10_004, &rows_of(1, 9_998..=9_998)).await;
}

/// A replica that was away has the row and not the settling; who asks it asks one that has that.
pub async fn a_replica_that_missed_the_settling_brings_nothing_back<P: LosesReplicas>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (former, owner) = (place.open().await, place.open().await);
    for replica in 0..3 {
        let log = inbox(["a", "b", "c"][replica]);
        put(&former, &log, &rows_of(1, 1..=3), stamp()).await;
        put_on_one(&place, &former, replica, appends(&log, &rows_of(1, 4..=5))).await;
        place.set_away(replica, true).await;
        settle(&owner, &log, 3, stamp()).await;
        put(&owner, &log, &rows_of(2, 4..=4), stamp()).await;
        place.set_away(replica, false).await;
        let expected: Vec<_> = rows_of(1, 1..=3).into_iter().chain(rows_of(2, 4..=4)).collect();
        always_seen(&owner, &log, 0, 5, &expected).await;
        place.deliver_hints().await;
        always_seen(&owner, &log, 0, 5, &expected).await;
    }
}

/// A row that the settling has seen on one replica is on two after it.
pub async fn a_row_on_one_replica_is_everywhere_after_settling<P: LosesReplicas>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (former, owner) = (place.open().await, place.open().await);
    for replica in 0..3 {
        let log = LogId::Conversation(conversation(["a", "b", "c"][replica]));
        put(&former, &log, &rows_of(1, 1..=3), stamp()).await;
        put_on_one(&place, &former, replica, appends(&log, &rows_of(1, 4..=4))).await;
        // Found by whoever asks that replica; here it is known.
        let row = Written { row: row_of(1, 4), stamp: stamp(), ttl_s: None };
        let batch = vec![Mutation::Settle { log: log.clone(), tail: 4, rows: vec![row] }];
        owner.write(batch, stamp()).await.expect("the settling is stored");
        always_seen(&owner, &log, 0, 4, &rows_of(1, 1..=4)).await;
        for away in 0..3 {
            place.set_away(away, true).await;
            assert_eq!(seen(&owner, &log, 0, 4).await, rows_of(1, 1..=4), "without {away}");
            place.set_away(away, false).await;
        }
    }
}

/// Rows that only some readers see, and a settling that only some know: the repeat ends both.
pub async fn a_settling_on_one_replica_is_made_sure_by_a_repeat<P: LosesReplicas>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (former, owner) = (place.open().await, place.open().await);
    let log = inbox("a");
    put(&former, &log, &rows_of(1, 1..=3), stamp()).await;
    put_on_one(&place, &former, 0, appends(&log, &[row_of(1, 4)])).await;
    let base = stamp();
    place.next_write_lands_on(&owner, 1).await;
    let answer = owner.write(settling(&log, 3), base).await;
    assert!(matches!(answer, Err(Error::Failed(_))), "{answer:?}");
    owner.write(settling(&log, 3), base).await.expect("the settling is stored");
    always_seen(&owner, &log, 0, 4, &rows_of(1, 1..=3)).await;
}

/// Two of three are enough for everything, and the third catches up.
pub async fn one_replica_away_changes_nothing<P: LosesReplicas>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (one, two) = (place.open().await, place.open().await);
    let log = inbox("a");
    for away in 0..3 {
        let n = away as u64 + 1;
        place.set_away(away, true).await;
        put(&one, &log, &[row_of(1, n)], stamp()).await;
        one.write(vec![summary(&log, &n.to_string())], stamp()).await.expect("the write is stored");
        assert_eq!(seen(&two, &log, 0, n).await, rows_of(1, 1..=n));
        let held = two.session(&node("n")).await.expect("a read");
        let answer = one.swap_session(&node("n"), held, session(1, n)).await.expect("a swap");
        assert_eq!(answer, Swap::Applied);
        place.set_away(away, false).await;
        // It has missed what was written; whoever reads asks another one too.
        for _ in 0..READS {
            assert_eq!(two.summary(&log).await.expect("a read"), Some(Bytes::from(n.to_string())));
        }
        always_seen(&two, &log, 0, n, &rows_of(1, 1..=n)).await;
        assert_eq!(two.glance(&node("n")).await.expect("a read"), Some(session(1, n)));
        place.deliver_hints().await;
    }
}

/// No quorum, no answer but an error; afterwards the same calls succeed.
pub async fn with_two_away_all_fails_and_comes_back<P: LosesReplicas>(fresh: impl Fn() -> P) {
    fn failed<T: std::fmt::Debug>(answer: Result<T, Error>) {
        assert!(matches!(answer, Err(Error::Failed(_))), "{answer:?}");
    }
    let place = fresh();
    let opened = place.open().await;
    let (log, at) = (inbox("a"), node("n"));
    put(&opened, &log, &rows_of(1, 1..=2), stamp()).await;
    let (batch, stamp) = (appends(&log, &[row_of(1, 3)]), stamp());
    place.set_away(0, true).await;
    place.set_away(2, true).await;
    failed(opened.write(batch.clone(), stamp).await);
    failed(opened.tail(&log, 0, 65).await);
    failed(opened.row(&log, 1).await);
    failed(opened.session(&at).await);
    failed(opened.glance(&at).await);
    failed(opened.owners(0).await);
    failed(opened.swap_session(&at, None, session(1, 0)).await);
    place.set_away(0, false).await;
    place.set_away(2, false).await;
    opened.write(batch, stamp).await.expect("the write is stored");
    always_seen(&opened, &log, 0, 3, &rows_of(1, 1..=3)).await;
    // The swap may have been begun: who knows whether it happened?
    let held = opened.session(&at).await.expect("a read");
    let answer = opened.swap_session(&at, held, session(2, 0)).await.expect("a swap");
    assert_eq!(answer, Swap::Applied);
}

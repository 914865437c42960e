//! Rules for settling: what a former owner may still write is never seen, what the new one writes is.

use super::{SharedPlace, put, row_of, rows_of, seen, settle, settling};
use crate::contract::{inbox, stamp};
use crate::{Mutation, Store};

/// Rows beyond the tail that land after the settling have lower stamps, and are seen by nobody.
pub async fn a_late_write_stays_hidden<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (former, owner) = (place.open().await, place.open().await);
    let log = inbox("a");
    put(&former, &log, &rows_of(1, 1..=5), stamp()).await;
    let (late, base) = (stamp(), stamp());
    settle(&owner, &log, 5, base).await;
    put(&former, &log, &rows_of(1, 6..=9), late).await;
    for client in [&former, &owner] {
        assert_eq!(seen(client, &log, 0, 9).await, rows_of(1, 1..=5));
    }
    // Nor in a log that has no row at all.
    let empty = inbox("b");
    settle(&owner, &empty, 0, base).await;
    put(&former, &empty, &rows_of(1, 1..=3), late).await;
    assert_eq!(seen(&owner, &empty, 0, 3).await, []);
}

/// A window may reach into the next bucket, which is another partition.
pub async fn a_late_write_stays_hidden_in_the_next_bucket<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (former, owner) = (place.open().await, place.open().await);
    for (id, tail) in [("before", 9_997), ("last", 9_999), ("first", 10_000)] {
        let log = inbox(id);
        put(&former, &log, &rows_of(1, 9_990..=tail), stamp()).await;
        let (late, base) = (stamp(), stamp());
        settle(&owner, &log, tail, base).await;
        put(&former, &log, &rows_of(1, tail + 1..=10_005), late).await;
        assert_eq!(seen(&owner, &log, 9_989, 10_005).await, rows_of(1, 9_990..=tail), "{id}");
        let own = rows_of(2, tail + 1..=10_003);
        put(&owner, &log, &own, stamp()).await;
        assert_eq!(seen(&former, &log, tail, 10_005).await, own, "{id}");
    }
}

/// A number that the new owner has given has one row, though the former owner's comes too.
pub async fn a_late_write_does_not_come_back_beside_a_new_row<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (former, owner) = (place.open().await, place.open().await);
    let log = inbox("a");
    put(&former, &log, &rows_of(1, 1..=5), stamp()).await;
    let (late, base) = (stamp(), stamp());
    settle(&owner, &log, 5, base).await;
    put(&owner, &log, &rows_of(2, 6..=7), stamp()).await;
    put(&former, &log, &rows_of(1, 6..=8), late).await;
    assert_eq!(seen(&owner, &log, 5, 8).await, rows_of(2, 6..=7));
    // The same with a row that was there and was not in the prefix.
    let log = inbox("b");
    put(&former, &log, &[row_of(1, 1), row_of(1, 3)], stamp()).await;
    settle(&owner, &log, 1, stamp()).await;
    put(&owner, &log, &rows_of(2, 2..=3), stamp()).await;
    assert_eq!(seen(&owner, &log, 1, 3).await, rows_of(2, 2..=3));
}

/// A former owner that has no answer goes on repeating its write: that hides and shows nothing.
pub async fn a_repeated_row_stays_hidden<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (former, owner) = (place.open().await, place.open().await);
    let log = inbox("a");
    put(&former, &log, &rows_of(1, 1..=2), stamp()).await;
    let late = stamp();
    for round in 0..3 {
        put(&former, &log, &[row_of(1, 4)], late).await;
        if round == 0 {
            assert_eq!(seen(&former, &log, 2, 4).await, [row_of(1, 4)], "a row behind a hole is a row");
            settle(&owner, &log, 2, stamp()).await;
        }
        assert_eq!(seen(&owner, &log, 2, 4).await, []);
    }
}

/// What the settling writes again is there as it was, whether or not it was there before.
pub async fn rows_written_again_are_there<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (former, owner) = (place.open().await, place.open().await);
    for (id, first) in [("a", 1), ("b", 9_996)] {
        let log = inbox(id);
        put(&former, &log, &rows_of(1, first..=first + 6), stamp()).await;
        put(&former, &log, &[row_of(1, first + 8)], stamp()).await;
        let tail = owner.tail(&log, first, 65).await.expect("a read");
        let mut rows: Vec<_> =
            tail.into_iter().filter(|written| written.row.position.n < first + 7).collect();
        rows.reverse();
        let base = stamp();
        let batch = vec![Mutation::Settle { log: log.clone(), tail: first + 6, rows: rows.clone() }];
        owner.write(batch, base).await.expect("the settling is stored");
        assert_eq!(seen(&former, &log, first - 1, first + 8).await, rows_of(1, first..=first + 6));
        let tail = owner.tail(&log, first, 65).await.expect("a read");
        assert!(tail.iter().all(|written| written.stamp == base), "they have the stamp of the settling");
        assert!(tail.iter().all(|written| written.ttl_s.is_some()), "and the time that they had left");
    }
    // From a replica that no later read asks.
    let log = inbox("c");
    let rows = rows_of(1, 1..=2).into_iter();
    let rows = rows.map(|row| crate::Written { row, stamp: stamp(), ttl_s: None }).collect();
    let batch = vec![Mutation::Settle { log: log.clone(), tail: 2, rows }];
    owner.write(batch, stamp()).await.expect("the settling is stored");
    assert_eq!(seen(&former, &log, 0, 2).await, rows_of(1, 1..=2));
}

/// An owner before may have had a settling under way, with a lower tail.
pub async fn an_earlier_settling_that_comes_late_hides_nothing<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (former, owner) = (place.open().await, place.open().await);
    let log = inbox("a");
    put(&former, &log, &rows_of(1, 1..=5), stamp()).await;
    let (late, base) = (stamp(), stamp());
    let mut rows = owner.tail(&log, 0, 2).await.expect("a read");
    rows.reverse();
    let batch = vec![Mutation::Settle { log: log.clone(), tail: 5, rows }];
    owner.write(batch, base).await.expect("the settling is stored");
    put(&owner, &log, &rows_of(3, 6..=7), stamp()).await;
    settle(&former, &log, 3, late).await;
    let expected: Vec<_> = rows_of(1, 1..=5).into_iter().chain(rows_of(3, 6..=7)).collect();
    assert_eq!(seen(&owner, &log, 0, 7).await, expected);
}

/// The order in which a settling and the owner's own rows land makes no difference.
pub async fn own_rows_above_the_settling_live<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let owner = place.open().await;
    let log = inbox("a");
    put(&owner, &log, &rows_of(1, 1..=5), stamp()).await;
    let base = stamp();
    put(&owner, &log, &rows_of(2, 6..=7), stamp()).await;
    settle(&owner, &log, 5, base).await;
    let expected: Vec<_> = rows_of(1, 1..=5).into_iter().chain(rows_of(2, 6..=7)).collect();
    assert_eq!(seen(&owner, &log, 0, 7).await, expected);
}

/// An owner that has no answer to its settling repeats it, and may have appended meanwhile.
pub async fn the_same_settling_again_hides_no_later_row<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (former, owner) = (place.open().await, place.open().await);
    let log = inbox("a");
    put(&former, &log, &rows_of(1, 9_990..=9_998), stamp()).await;
    let (late, base) = (stamp(), stamp());
    let mut last = 9_998;
    for _ in 0..4 {
        owner.write(settling(&log, 9_998), base).await.expect("the settling is stored");
        put(&former, &log, &rows_of(1, 9_999..=10_010), late).await;
        last += 1;
        put(&owner, &log, &rows_of(2, last..=last), stamp()).await;
        assert_eq!(seen(&owner, &log, 9_998, 10_010).await, rows_of(2, 9_999..=last));
    }
}

/// Of a removal and a row with one stamp the removal counts: an owner that has settled may settle again with
/// the same stamp and a lower tail, if what it had seen beyond that came to nothing.
pub async fn a_row_with_the_stamp_of_the_settling_is_hidden<P: SharedPlace>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    for (id, settled_first) in [("a", true), ("b", false)] {
        let log = inbox(id);
        put(&opened, &log, &rows_of(1, 1..=2), stamp()).await;
        let base = stamp();
        if settled_first {
            settle(&opened, &log, 2, base).await;
        }
        put(&opened, &log, &rows_of(1, 3..=4), base).await;
        settle(&opened, &log, 2, base).await;
        assert_eq!(seen(&opened, &log, 0, 4).await, rows_of(1, 1..=2), "{id}");
    }
}

/// Owners follow each other; each settles above what the one before has written.
pub async fn a_log_may_be_settled_again_and_again<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let log = inbox("a");
    let mut expected = Vec::new();
    let mut late = Vec::new();
    for epoch in 1..=6 {
        let owner = place.open().await;
        let tail = expected.len() as u64;
        settle(&owner, &log, tail, stamp()).await;
        late.push((rows_of(epoch, tail + 2..=tail + 4), stamp()));
        let own = rows_of(epoch, tail + 1..=tail + 2);
        put(&owner, &log, &own[..1], stamp()).await;
        expected.push(own[0].clone());
        // Writes of all former owners arrive; the present one's come under numbers that are free.
        for (rows, at) in &late[..late.len() - 1] {
            put(&owner, &log, rows, *at).await;
        }
        assert_eq!(seen(&owner, &log, 0, tail + 4).await, expected);
    }
}

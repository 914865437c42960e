//! Rules for rows that come late or twice, and for what is told of their writing.

use bytes::Bytes;

use super::{SharedPlace, put, row_of, rows_of, seen};
use crate::contract::{conversation, inbox, stamp};
use crate::{LogId, Mutation, Row, Store};

/// Repeats keep their stamp: the row, its stamp and its neighbours stay as they are.
pub async fn the_same_write_again_changes_nothing<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (one, two) = (place.open().await, place.open().await);
    let log = LogId::Conversation(conversation("c"));
    let (first, second) = (stamp(), stamp());
    for _ in 0..3 {
        put(&one, &log, &rows_of(1, 1..=2), first).await;
        put(&two, &log, &rows_of(1, 3..=3), second).await;
        let tail = two.tail(&log, 0, 65).await.expect("a read");
        let stamps: Vec<_> = tail.iter().map(|written| (written.row.position.n, written.stamp)).collect();
        assert_eq!(stamps, [(3, second), (2, first), (1, first)]);
        assert_eq!(seen(&one, &log, 0, 3).await, rows_of(1, 1..=3));
    }
}

/// A row that was blanked is written with a higher stamp; the text does not come back, whole or in part.
pub async fn a_late_version_of_a_row_loses<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (one, two) = (place.open().await, place.open().await);
    let blank = |row: Row| Row { key: 0, stable: 0, payload: Bytes::new(), ..row };
    let log = LogId::Conversation(conversation("c"));
    for (n, late_first) in [(1, true), (2, false)] {
        let (earlier, later) = (stamp(), stamp());
        if late_first {
            put(&one, &log, &[row_of(1, n)], earlier).await;
        }
        put(&two, &log, &[blank(row_of(1, n))], later).await;
        put(&one, &log, &[row_of(1, n)], earlier).await;
        assert_eq!(seen(&one, &log, n - 1, n).await, [blank(row_of(1, n))]);
        let tail = one.tail(&log, 0, 1).await.expect("a read");
        assert_eq!(tail.first().map(|written| written.stamp), Some(later));
    }
}

/// A trim removes what had been written when it was issued.
pub async fn a_late_trim_removes_no_later_row<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (one, two) = (place.open().await, place.open().await);
    let log = inbox("a");
    put(&one, &log, &rows_of(1, 1..=4), stamp()).await;
    let trimmed = stamp();
    put(&two, &log, &[row_of(1, 2)], stamp()).await;
    let trim = vec![Mutation::Trim { log: log.clone(), from: 1, below: 4 }];
    one.write(trim, trimmed).await.expect("the trim is stored");
    assert_eq!(seen(&two, &log, 0, 4).await, [row_of(1, 2), row_of(1, 4)]);
}

/// A row that lands after the trim which would have removed it is not seen.
pub async fn a_late_row_below_a_trim_stays_away<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (one, two) = (place.open().await, place.open().await);
    let log = inbox("a");
    let late = stamp();
    put(&one, &log, &rows_of(1, 1..=6), stamp()).await;
    let trim = vec![Mutation::Trim { log: log.clone(), from: 1, below: 5 }];
    two.write(trim, stamp()).await.expect("the trim is stored");
    put(&one, &log, &rows_of(1, 3..=4), late).await;
    assert_eq!(seen(&two, &log, 0, 6).await, rows_of(1, 5..=6));
}

/// The tail says with which stamp each row was written and how long it will live.
pub async fn the_tail_tells_stamps_and_time_left<P: SharedPlace>(fresh: impl Fn() -> P) {
    /// Longer than any run of this rule.
    const SLOW_S: u32 = 600;
    let place = fresh();
    let opened = place.open().await;
    let stamps = [stamp(), stamp(), stamp()];
    let (log, expiring) = (LogId::Conversation(conversation("c")), inbox("a"));
    for (n, at) in (1..).zip(stamps) {
        put(&opened, &log, &[row_of(1, n)], at).await;
        put(&opened, &expiring, &[row_of(1, n)], at).await;
    }
    for (of, whole_s) in [(&log, None), (&expiring, Some(place.inbox_ttl_s()))] {
        let tail = opened.tail(of, 0, 65).await.expect("a read");
        let found: Vec<_> = tail.iter().rev().map(|written| written.stamp).collect();
        assert_eq!(found, stamps, "{of:?}");
        for written in &tail {
            let fits = match (written.ttl_s, whole_s) {
                (Some(left_s), Some(whole_s)) => left_s <= whole_s && left_s + SLOW_S >= whole_s,
                (left_s, whole_s) => left_s == whole_s,
            };
            assert!(fits, "{of:?}: {:?} left of {whole_s:?}", written.ttl_s);
        }
    }
    // A row that is written again keeps what it has left.
    let mut rows = opened.tail(&expiring, 0, 1).await.expect("a read");
    rows[0].ttl_s = Some(SLOW_S * 2);
    let settle = vec![Mutation::Settle { log: expiring.clone(), tail: 3, rows }];
    opened.write(settle, stamp()).await.expect("the settling is stored");
    let left_s = opened.tail(&expiring, 0, 1).await.expect("a read")[0].ttl_s;
    assert!(left_s.is_some_and(|left_s| (SLOW_S..=SLOW_S * 2).contains(&left_s)), "{left_s:?}");
}

/// A read of one client that starts after a write of another was answered sees it.
pub async fn clients_see_each_others_writes<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let clients = [place.open().await, place.open().await, place.open().await];
    let log = inbox("a");
    for n in 1..=30 {
        let (writer, reader) = (&clients[n as usize % 3], &clients[(n as usize + 1) % 3]);
        put(writer, &log, &[row_of(1, n)], stamp()).await;
        assert_eq!(reader.row(&log, n).await.expect("a read"), Some(row_of(1, n)));
        let tail = reader.tail(&log, 0, 65).await.expect("a read");
        assert_eq!(tail.len() as u64, n);
    }
}

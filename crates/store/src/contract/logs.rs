//! Rules for logs: order, bounds, limits, trims.

use bytes::Bytes;

use super::{ALL, END, Place, append, append_all, conversation, inbox, numbers, row, stamp, store, summary};
use crate::{Limit, LogId, Mutation, Store};

async fn after(store: &impl Store, log: &LogId, after: u64, upto: u64, limit: Limit) -> Vec<u64> {
    let rows = store.rows_after(log, after, upto, limit).await.expect("a read");
    for found in &rows {
        assert_eq!(*found, row(found.position.n), "a row reads back as it was written");
    }
    numbers(&rows)
}

async fn before(store: &impl Store, log: &LogId, before: u64, limit: Limit) -> Vec<u64> {
    let rows = store.rows_before(log, before, limit).await.expect("a read");
    for found in &rows {
        assert_eq!(*found, row(found.position.n), "a row reads back as it was written");
    }
    numbers(&rows)
}

/// `after < n <= upto`, ascending, no row twice, also when it was written twice.
pub async fn rows_come_in_order_within_bounds<P: Place>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let log = inbox("a");
    store(&opened, append_all(&log, [3, 1, 2])).await;
    store(&opened, append_all(&log, 3..=300)).await;
    assert_eq!(after(&opened, &log, 0, END, ALL).await, (1..=300).collect::<Vec<_>>());
    assert_eq!(after(&opened, &log, 2, 5, ALL).await, [3, 4, 5]);
    assert_eq!(after(&opened, &log, 254, 257, ALL).await, [255, 256, 257], "numbers order as numbers");
    assert_eq!(after(&opened, &log, 5, 5, ALL).await, [0u64; 0]);
    assert_eq!(after(&opened, &log, 6, 5, ALL).await, [0u64; 0]);
    assert_eq!(after(&opened, &log, 300, END, ALL).await, [0u64; 0]);
    assert_eq!(opened.row(&log, 7).await.expect("a read"), Some(row(7)));
    assert_eq!(opened.row(&log, 301).await.expect("a read"), None);
    assert_eq!(opened.row(&log, 0).await.expect("a read"), None);
}

/// No more rows than asked for, none after the bytes are reached, and never none where there is one.
pub async fn limits_hold_and_one_row_always_comes<P: Place>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let log = inbox("a");
    store(&opened, append_all(&log, 1..=20)).await;
    let rows = |rows| Limit { rows, bytes: usize::MAX };
    let bytes = |bytes| Limit { rows: usize::MAX, bytes };
    assert_eq!(after(&opened, &log, 0, END, rows(3)).await, [1, 2, 3]);
    assert_eq!(after(&opened, &log, 0, END, rows(0)).await, [1]);
    assert_eq!(before(&opened, &log, END, rows(2)).await, [20, 19]);
    assert_eq!(before(&opened, &log, END, rows(0)).await, [20]);
    // Row n has n bytes: 10 + 11 are below 22, with 12 more it is reached.
    assert_eq!(after(&opened, &log, 9, END, bytes(22)).await, [10, 11, 12]);
    assert_eq!(after(&opened, &log, 9, END, bytes(21)).await, [10, 11]);
    assert_eq!(after(&opened, &log, 9, END, bytes(20)).await, [10, 11]);
    assert_eq!(after(&opened, &log, 9, END, bytes(0)).await, [10]);
    assert_eq!(before(&opened, &log, 12, bytes(12)).await, [11, 10]);
    assert_eq!(before(&opened, &log, 12, bytes(11)).await, [11]);
}

/// `n < before`, descending.
pub async fn the_tail_reads_backwards<P: Place>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let log = inbox("a");
    assert_eq!(before(&opened, &log, END, ALL).await, [0u64; 0]);
    store(&opened, append_all(&log, 1..=300)).await;
    assert_eq!(before(&opened, &log, END, Limit { rows: 1, ..ALL }).await, [300]);
    assert_eq!(before(&opened, &log, 4, ALL).await, [3, 2, 1]);
    assert_eq!(before(&opened, &log, 1, ALL).await, [0u64; 0]);
    assert_eq!(before(&opened, &log, 0, ALL).await, [0u64; 0]);
}

/// The newest rows come first, as many as asked for, wherever the last summary left off.
pub async fn the_tail_is_found_from_the_summary<P: Place>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let log = inbox("a");
    let tail = async |summarised, rows| {
        let tail = opened.tail(&log, summarised, rows).await.expect("a read");
        tail.into_iter().map(|written| written.row.position.n).collect::<Vec<_>>()
    };
    assert_eq!(tail(0, 65).await, [0u64; 0]);
    store(&opened, append_all(&log, 1..=40)).await;
    assert_eq!(tail(0, 2).await, [40, 39]);
    assert_eq!(tail(0, 65).await, (1..=40).rev().collect::<Vec<_>>());
    // Over the edge of a bucket, with the summary on either side.
    store(&opened, append_all(&log, 9_900..=10_010)).await;
    for summarised in [9_910, 9_990, 10_000, 10_009] {
        assert_eq!(tail(summarised, 20).await, (9_991..=10_010).rev().collect::<Vec<_>>(), "{summarised}");
    }
}

/// Where a bucket ends is nothing that a reader sees.
pub async fn buckets_are_one_log<P: Place>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let log = LogId::Conversation(conversation("c"));
    for start in (9_001..=21_000).step_by(400) {
        store(&opened, append_all(&log, start..start + 400)).await;
    }
    assert_eq!(after(&opened, &log, 9_000, 21_000, ALL).await, (9_001..=21_000).collect::<Vec<_>>());
    assert_eq!(after(&opened, &log, 9_998, 10_002, ALL).await, [9_999, 10_000, 10_001, 10_002]);
    assert_eq!(after(&opened, &log, 19_990, 21_000, Limit { rows: 20, ..ALL }).await.len(), 20);
    assert_eq!(
        before(&opened, &log, 20_002, Limit { rows: 4, ..ALL }).await,
        [20_001, 20_000, 19_999, 19_998]
    );
    assert_eq!(before(&opened, &log, 21_001, ALL).await.len(), 12_000);
    store(&opened, vec![Mutation::Trim { log: log.clone(), from: 9_001, below: 20_005 }]).await;
    assert_eq!(after(&opened, &log, 0, 20_006, ALL).await, [20_005, 20_006]);
    assert_eq!(before(&opened, &log, 20_006, ALL).await, [20_005]);
}

/// What lies beyond the tail is gone, what is written again is there, and the log goes on.
pub async fn a_settled_log_ends_at_its_tail<P: Place>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let (log, other) = (inbox("a"), inbox("aa"));
    store(&opened, append_all(&other, 9_990..=10_020)).await;
    store(&opened, append_all(&log, 9_980..=9_999)).await;
    store(&opened, append_all(&log, [10_001, 10_003])).await;
    let rows = opened.tail(&log, 9_980, 65).await.expect("a read").into_iter().rev();
    let rows = rows.filter(|written| (9_995..10_000).contains(&written.row.position.n)).collect();
    let settle = vec![Mutation::Settle { log: log.clone(), tail: 9_999, rows }];
    store(&opened, settle).await;
    assert_eq!(after(&opened, &log, 9_979, END, ALL).await, (9_980..=9_999).collect::<Vec<_>>());
    store(&opened, vec![append(&log, 10_000)]).await;
    assert_eq!(after(&opened, &log, 9_998, END, ALL).await, [9_999, 10_000]);
    assert_eq!(after(&opened, &other, 0, END, ALL).await.len(), 31);
    // A log without a row that counts.
    let empty = inbox("b");
    store(&opened, append_all(&empty, [2, 3])).await;
    store(&opened, vec![Mutation::Settle { log: empty.clone(), tail: 0, rows: Vec::new() }]).await;
    assert_eq!(after(&opened, &empty, 0, END, ALL).await, [0u64; 0]);
    store(&opened, vec![append(&empty, 1)]).await;
    assert_eq!(after(&opened, &empty, 0, END, ALL).await, [1]);
}

/// Large numbers are numbers like any other, up to what a database with signed integers holds.
pub async fn numbers_may_be_extreme<P: Place>(fresh: impl Fn() -> P) {
    const LAST: u64 = i64::MAX as u64;
    let opened = fresh().open().await;
    let log = inbox("a");
    store(&opened, append_all(&log, [LAST - 2, LAST - 1, LAST])).await;
    assert_eq!(after(&opened, &log, LAST - 3, LAST, ALL).await, [LAST - 2, LAST - 1, LAST]);
    assert_eq!(after(&opened, &log, LAST - 1, u64::MAX, ALL).await, [LAST]);
    assert_eq!(after(&opened, &log, u64::MAX, u64::MAX, ALL).await, [0u64; 0]);
    assert_eq!(after(&opened, &log, u64::MAX - 1, u64::MAX, ALL).await, [0u64; 0]);
    assert_eq!(before(&opened, &log, LAST, Limit { rows: 2, ..ALL }).await, [LAST - 1, LAST - 2]);
    store(&opened, vec![Mutation::Trim { log: log.clone(), from: LAST - 2, below: LAST }]).await;
    assert_eq!(before(&opened, &log, u64::MAX, Limit { rows: 1, ..ALL }).await, [LAST]);
    store(&opened, vec![Mutation::Trim { log: log.clone(), from: LAST, below: u64::MAX }]).await;
    assert_eq!(after(&opened, &log, LAST - 3, LAST, ALL).await, [0u64; 0]);
}

/// Neither logs whose ids begin alike, nor a conversation and an inbox of one id, share anything.
pub async fn logs_do_not_mix<P: Place>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let mut logs: Vec<LogId> = ["a", "a ", "a!", "a\"", "aa", "ab", "b", "~"].map(inbox).into();
    logs.extend(["a", "a-", "a.", "aa", "~"].map(|id| LogId::Conversation(conversation(id))));
    for (i, log) in logs.iter().enumerate() {
        let i = i as u64;
        let mut batch = append_all(log, [1 + i, 0x6100 + i, 29_000]);
        batch.push(summary(log, &format!("{log:?}")));
        store(&opened, batch).await;
    }
    for (i, log) in logs.iter().enumerate() {
        let i = i as u64;
        let own = [1 + i, 0x6100 + i, 29_000];
        assert_eq!(after(&opened, log, 0, END, ALL).await, own, "{log:?}");
        assert_eq!(before(&opened, log, END, Limit { rows: 1, ..ALL }).await, [29_000], "{log:?}");
        let found = opened.summary(log).await.expect("a read");
        assert_eq!(found, Some(Bytes::from(format!("{log:?}"))));
    }
    store(&opened, vec![Mutation::Trim { log: logs[1].clone(), from: 1, below: END }]).await;
    for (i, log) in logs.iter().enumerate() {
        let left = if i == 1 { 0 } else { 3 };
        assert_eq!(after(&opened, log, 0, END, ALL).await.len(), left, "{log:?}");
    }
}

/// Rows below the number go, the others stay, and the log goes on.
pub async fn a_trim_removes_what_is_below<P: Place>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let log = inbox("a");
    let trim = |below| vec![Mutation::Trim { log: log.clone(), from: 0, below }];
    store(&opened, trim(5)).await;
    store(&opened, append_all(&log, 1..=10)).await;
    for (below, left) in [(0, 1), (1, 1), (4, 4), (3, 4), (10, 10)] {
        store(&opened, trim(below)).await;
        assert_eq!(after(&opened, &log, 0, END, ALL).await, (left..=10).collect::<Vec<_>>());
    }
    assert_eq!(opened.row(&log, 9).await.expect("a read"), None);
    store(&opened, vec![append(&log, 11)]).await;
    // Issued together, they still follow each other.
    let writes = [vec![append(&log, 12)], trim(12), vec![append(&log, 13)], trim(13)];
    for write in writes.map(|batch| opened.write(batch, stamp())) {
        write.await.expect("a write");
    }
    assert_eq!(after(&opened, &log, 0, END, ALL).await, [13]);
}

/// However many rows it removes, a trim removes all of them, and nothing else.
pub async fn a_long_trim_is_whole<P: Place>(fresh: impl Fn() -> P) {
    let place = fresh();
    let opened = place.open().await;
    let (log, other) = (inbox("a"), inbox("aa"));
    for start in (1..=10_000).step_by(500) {
        let mut batch = append_all(&log, start..start + 500);
        batch.push(append(&other, start));
        store(&opened, batch).await;
    }
    store(&opened, vec![summary(&log, "before"), Mutation::Trim { log: log.clone(), from: 1, below: 9_999 }])
        .await;
    assert_eq!(after(&opened, &log, 0, END, ALL).await, [9_999, 10_000]);
    assert_eq!(after(&opened, &other, 0, END, ALL).await.len(), 20);
    opened.close().await.expect("closed");
    let opened = place.open().await;
    assert_eq!(after(&opened, &log, 0, END, ALL).await, [9_999, 10_000]);
    assert_eq!(opened.summary(&log).await.expect("a read"), Some(Bytes::from_static(b"before")));
}

/// A payload is bytes: none, all of them, many.
pub async fn payloads_may_be_anything<P: Place>(fresh: impl Fn() -> P) {
    let place = fresh();
    let opened = place.open().await;
    let log = inbox("a");
    let payloads = [Vec::new(), (0..=255).collect(), vec![0; 4096], vec![7; 1 << 20]];
    let rows: Vec<_> = payloads
        .into_iter()
        .zip(1..)
        .map(|(payload, n)| crate::Row { payload: payload.into(), ..row(n) })
        .collect();
    let batch = rows.iter().map(|row| Mutation::Append { log: log.clone(), row: row.clone() }).collect();
    store(&opened, batch).await;
    assert_eq!(opened.rows_after(&log, 0, END, ALL).await.expect("a read"), rows);
    opened.close().await.expect("closed");
    let opened = place.open().await;
    assert_eq!(opened.rows_after(&log, 0, END, ALL).await.expect("a read"), rows);
}

//! What the store asks of the database: how many requests, of how many rows.

use bytes::Bytes;
use futures_util::future::join_all;
use godwit_cql::{Cql, Kind};
use godwit_store::{Error, Limit, Mutation, Row, Store};
use godwit_types::{AccountId, LogId, Position, Stamp, Timestamp};

use crate::database::{self, Keyspace};

/// Rows that a stream reads at once.
const PAGE: Limit = Limit { rows: 512, bytes: usize::MAX };

pub(crate) fn inbox(id: &str) -> LogId {
    LogId::Inbox(AccountId::new(id).expect("an account id"))
}

pub(crate) fn append(log: &LogId, epoch: u64, n: u64) -> Mutation {
    let payload = Bytes::from(vec![b'x'; 100]);
    let row =
        Row { position: Position { epoch, n }, stable: n - 1, at: Timestamp::from_ms(n), key: n, payload };
    Mutation::Append { log: log.clone(), row }
}

/// Rows of that log, five hundred in a write.
pub(crate) async fn fill(store: &Cql, log: &LogId, numbers: std::ops::RangeInclusive<u64>) {
    let numbers: Vec<u64> = numbers.collect();
    let writes = numbers.chunks(500).map(|chunk| {
        let batch = chunk.iter().map(|n| append(log, 1, *n)).collect();
        store.write(batch, Stamp::from_us(1))
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.expect("stored");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_wait_together_are_few_requests() {
    if !database::there() {
        return;
    }
    let keyspace = Keyspace::fresh();
    let store = keyspace.store().await;
    let log = inbox("a");
    let writes = (1..=128).map(|n| store.write(vec![append(&log, 1, n)], Stamp::from_us(n.cast_signed())));
    for answer in join_all(writes.collect::<Vec<_>>()).await {
        answer.expect("stored");
    }
    let (requests, statements) = store.sent(Kind::Write);
    assert_eq!(statements, 128);
    // The first goes alone, or with what arrived before its turn; the others in batches of 64.
    assert!((2..=4).contains(&requests), "{requests}");
    // One write that speaks of three partitions is three requests.
    let batch = vec![append(&inbox("b"), 1, 1), append(&inbox("c"), 1, 1), append(&inbox("d"), 1, 1)];
    store.write(batch, Stamp::from_us(1)).await.expect("stored");
    assert_eq!(store.sent(Kind::Write), (requests + 3, 131));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resume_over_twelve_buckets_reads_pages() {
    if !database::there() {
        return;
    }
    let keyspace = Keyspace::fresh();
    let store = keyspace.store().await;
    let log = inbox("a");
    let (first, last) = (5_000, 115_000);
    fill(&store, &log, first..=last).await;
    let (before, _) = store.sent(Kind::Rows);
    let mut after = first - 1;
    while after < last {
        let rows = store.rows_after(&log, after, last, PAGE).await.expect("a read");
        assert!(rows.len() <= PAGE.rows);
        for row in rows {
            assert_eq!(row.position.n, after + 1, "no row is missing and none comes twice");
            after += 1;
        }
        if after == first + 511 {
            assert_eq!(store.sent(Kind::Rows).0 - before, 1);
        }
    }
    let (now, _) = store.sent(Kind::Rows);
    // A page that crosses into the next bucket is two.
    let pages = (last - first) / 512 + 1;
    assert!(now - before <= pages + 12, "{} requests", now - before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_that_have_expired_are_passed_over_quickly() {
    if !database::there() {
        return;
    }
    let keyspace = Keyspace::fresh();
    let store = keyspace.store().await;
    let log = inbox("a");
    fill(&store, &log, 2_000_000..=2_000_009).await;
    let rows = store.rows_after(&log, 0, 2_000_009, PAGE).await.expect("a read");
    assert_eq!(rows.len(), 10);
    // Bucket 0, then looks at 1 to 200 in rounds of 16, then bucket 200; one after the other are 15.
    assert!(store.sent(Kind::Rows).0 <= 1 + 208 + 1, "{:?}", store.sent(Kind::Rows));
    // Downwards nothing is below an empty bucket.
    let (before, _) = store.sent(Kind::Rows);
    let rows = store.rows_before(&log, 2_000_010, PAGE).await.expect("a read");
    assert_eq!(rows.len(), 10);
    assert!(store.sent(Kind::Rows).0 - before <= 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_is_there_twice_is_an_error_with_both_positions() {
    if !database::there() {
        return;
    }
    let keyspace = Keyspace::fresh();
    let store = keyspace.store().await;
    let log = inbox("a");
    fill(&store, &log, 1..=20).await;
    store.write(vec![append(&log, 7, 10)], Stamp::from_us(2)).await.expect("stored");
    let all = Limit { rows: usize::MAX, bytes: usize::MAX };
    let ten = Limit { rows: 10, bytes: usize::MAX };
    let answers = [
        store.rows_after(&log, 0, 20, all).await.map(drop),
        // Also where the limit ends between the two.
        store.rows_after(&log, 0, 20, ten).await.map(drop),
        store.rows_before(&log, 21, all).await.map(drop),
        store.row(&log, 10).await.map(drop),
        store.tail(&log, 0, 20).await.map(drop),
        store.tail(&log, 0, 11).await.map(drop),
    ];
    for answer in answers {
        let Err(Error::Failed(text)) = answer else { panic!("{answer:?}") };
        assert!(text.contains("1-10") && text.contains("7-10"), "{text}");
    }
    assert_eq!(store.rows_after(&log, 10, 20, all).await.expect("a read").len(), 10);
}

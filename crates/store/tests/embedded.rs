//! What the embedded store promises beyond the contract: order inside a batch.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use bytes::Bytes;
use godwit_store::{Embedded, Limit, Mutation, Options, Row, Store};
use godwit_types::{AccountId, LogId, Position, Stamp, Timestamp};

fn log() -> LogId {
    LogId::Inbox(AccountId::new("a").unwrap())
}

fn append(epoch: u64, n: u64) -> Mutation {
    let position = Position { epoch, n };
    let row = Row { position, stable: 0, at: Timestamp::from_ms(1), key: 0, payload: Bytes::new() };
    Mutation::Append { log: log(), row }
}

fn trim(below: u64) -> Mutation {
    Mutation::Trim { log: log(), from: 0, below }
}

fn summary(text: &'static str) -> Mutation {
    Mutation::Summary { log: log(), value: Bytes::from_static(text.as_bytes()) }
}

async fn positions(store: &Embedded) -> Vec<(u64, u64)> {
    let all = Limit { rows: usize::MAX, bytes: usize::MAX };
    let rows = store.rows_after(&log(), 0, u64::MAX, all).await.unwrap();
    rows.iter().map(|row| (row.position.epoch, row.position.n)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mutations_of_a_batch_take_effect_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(Options::new(dir.path(), 64)).unwrap();
    let batch = vec![
        append(1, 1),
        append(1, 2),
        summary("first"),
        trim(3),
        append(2, 2),
        append(1, 3),
        append(2, 3),
        summary("second"),
    ];
    store.write(batch, Stamp::MIN).await.unwrap();
    assert_eq!(positions(&store).await, [(2, 2), (2, 3)]);
    assert_eq!(store.summary(&log()).await.unwrap(), Some(Bytes::from_static(b"second")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_comes_back_below_a_trim_goes_with_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(Options::new(dir.path(), 64)).unwrap();
    store.write(vec![append(1, 5), append(1, 9), trim(8)], Stamp::MIN).await.unwrap();
    store.write(vec![append(1, 2)], Stamp::MIN).await.unwrap();
    assert_eq!(positions(&store).await, [(1, 2), (1, 9)]);
    store.write(vec![trim(8)], Stamp::MIN).await.unwrap();
    assert_eq!(positions(&store).await, [(1, 9)]);
}

#[test]
fn an_unused_store_needs_no_runtime_and_does_not_hold_up_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let begin = std::time::Instant::now();
    drop(Embedded::open(Options::new(dir.path(), 64)).unwrap());
    assert!(begin.elapsed() < std::time::Duration::from_secs(5));
}

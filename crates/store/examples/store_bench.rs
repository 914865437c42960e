//! What the embedded store does on this machine, each figure with fsync on:
//!
//! ```text
//! cargo run --release -p godwit-store --example store_bench [DIRECTORY]
//! ```
//!
//! The directory is where a temporary one is made; it decides which disk is measured.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_store::{Embedded, Limit, Mutation, Options, Row, Store};
use godwit_types::{AccountId, LogId, Position, Stamp, Timestamp};

const SHARDS: u16 = 4096;
/// How long one measurement takes.
const SPAN: Duration = Duration::from_secs(4);
/// A message of 200 bytes of text and what stands around it.
const PAYLOAD_BYTES: usize = 280;

fn log(i: usize) -> LogId {
    LogId::Inbox(AccountId::new(&format!("account-{i}")).expect("an account id"))
}

fn batch(writer: usize, n: u64, rows: usize) -> Vec<Mutation> {
    let payload = Bytes::from(vec![b'x'; PAYLOAD_BYTES]);
    (0..rows)
        .map(|i| {
            // Each row of a batch goes to another log, as a group's fan-out does.
            let log = log(writer * 1000 + i);
            let row = Row {
                position: Position { epoch: 1, n },
                stable: n - 1,
                at: Timestamp::from_ms(1_700_000_000_000 + n),
                key: n,
                payload: payload.clone(),
            };
            Mutation::Append { log, row }
        })
        .collect()
}

fn share(sorted: &[Duration], per_mille: usize) -> Duration {
    sorted[(sorted.len() - 1) * per_mille / 1000]
}

fn line(what: &str, span: Duration, rows: usize, mut took: Vec<Duration>) {
    took.sort();
    println!(
        "{what:<44} {:>8.0} /s  {:>9.0} rows/s  p50 {:>8.1?}  p99 {:>8.1?}  p99.9 {:>8.1?}",
        took.len() as f64 / span.as_secs_f64(),
        (took.len() * rows) as f64 / span.as_secs_f64(),
        share(&took, 500),
        share(&took, 990),
        share(&took, 999),
    );
}

async fn writes(store: &Arc<Embedded>, writers: usize, rows: usize, first: u64) {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut took = Vec::new();
                for n in first.. {
                    if begin.elapsed() > SPAN {
                        break;
                    }
                    let sent = Instant::now();
                    store.write(batch(writer, n, rows), Stamp::MIN).await.expect("a write");
                    took.push(sent.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.expect("a writer"));
    }
    line(&format!("{writers} writers, {rows} rows a batch"), begin.elapsed(), rows, took);
}

async fn reads(store: &Arc<Embedded>) {
    let limit = Limit { rows: 65, bytes: usize::MAX };
    let tail = async |i: usize| store.rows_before(&log(i % 64), u64::MAX, limit).await.expect("a read").len();
    let point =
        async |i: usize| usize::from(store.row(&log(0), 1 + i as u64 % 100).await.expect("a read").is_some());
    let begin = Instant::now();
    let mut took = Vec::new();
    for i in 0..20_000 {
        let sent = Instant::now();
        assert!(tail(i).await > 0);
        took.push(sent.elapsed());
    }
    line("one reader, tail of a log (65 rows)", begin.elapsed(), limit.rows, took);
    let begin = Instant::now();
    let mut took = Vec::new();
    for i in 0..100_000 {
        let sent = Instant::now();
        assert_eq!(point(i).await, 1);
        took.push(sent.elapsed());
    }
    line("one reader, one row", begin.elapsed(), 1, took);
}

fn opens(dir: &Path) {
    let mut took = Vec::new();
    let begin = Instant::now();
    for i in 0..50 {
        let dir = dir.join(format!("empty-{i}"));
        std::fs::create_dir(&dir).expect("a directory");
        let sent = Instant::now();
        let store = Embedded::open(Options::new(&dir, SHARDS)).expect("the store opens");
        took.push(sent.elapsed());
        drop(store);
    }
    line("open, empty directory", begin.elapsed(), 0, took);
    let mut took = Vec::new();
    let begin = Instant::now();
    for i in 0..50 {
        let sent = Instant::now();
        let store =
            Embedded::open(Options::new(dir.join(format!("empty-{i}")), SHARDS)).expect("the store opens");
        took.push(sent.elapsed());
        drop(store);
    }
    line("open, a directory without rows, first time", begin.elapsed(), 0, took);
}

async fn trims(store: &Arc<Embedded>) {
    let log = log(1_000_000);
    let row = |n| batch(1000, n, 1).pop();
    for start in (1..100_001).step_by(1000) {
        let batch = (start..start + 1000)
            .filter_map(row)
            .map(|mutation| match mutation {
                Mutation::Append { row, .. } => Mutation::Append { log: log.clone(), row },
                other => other,
            })
            .collect();
        store.write(batch, Stamp::MIN).await.expect("a write");
    }
    let begin = Instant::now();
    let mut took = Vec::new();
    for below in (257..90_000).step_by(256) {
        let sent = Instant::now();
        store
            .write(vec![Mutation::Trim { log: log.clone(), from: 0, below }], Stamp::MIN)
            .await
            .expect("a write");
        took.push(sent.elapsed());
    }
    line("trim, 256 rows each, one log", begin.elapsed(), 256, took);
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let below = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let dir = tempfile::tempdir_in(below).expect("a directory");
    opens(dir.path());
    let at = dir.path().join("data");
    let store = Arc::new(Embedded::open(Options::new(&at, SHARDS)).expect("the store opens"));
    let mut first = 1;
    for (writers, rows) in
        [(1, 1), (1, 32), (1, 256), (16, 1), (64, 1), (64, 3), (256, 3), (1024, 1), (16, 64)]
    {
        writes(&store, writers, rows, first).await;
        first += 10_000_000;
    }
    reads(&store).await;
    trims(&store).await;
    let begin = Instant::now();
    store.close().await.expect("closed");
    println!("close took {:.1?}", begin.elapsed());
    let begin = Instant::now();
    let store = Embedded::open(Options::new(&at, SHARDS)).expect("the store opens");
    println!("open after all of this took {:.1?}", begin.elapsed());
    let store = Arc::new(store);
    writes(&store, 1, 1, first).await;
}

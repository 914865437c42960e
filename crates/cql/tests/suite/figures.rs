//! Figures, not rules: run by hand with `--ignored --nocapture --test-threads 1`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use godwit_cql::{Cql, Kind, Options};
use godwit_store::{Limit, Mutation, Pending, PendingKind, Store};
use godwit_types::{ShardId, Stamp};

use crate::database::{self, Keyspace, connect};
use crate::requests::{append, fill, inbox};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn keyspaces() {
    for _ in 0..3 {
        let keyspace = Keyspace::fresh();
        let began = Instant::now();
        let store = keyspace.store().await;
        println!("keyspace made in {:?}", began.elapsed());
        let began = Instant::now();
        drop((store, keyspace.store().await));
        println!("connected to it in {:?}", began.elapsed());
        std::mem::forget(keyspace);
    }
}

/// Rows per second of 64 writers that each wait for their answer.
async fn written(store: &Cql, what: &str, log_of: impl Fn(u64) -> String) {
    const WRITERS: u64 = 64;
    const LASTS: Duration = Duration::from_secs(10);
    let (requests_before, rows_before) = store.sent(Kind::Write);
    let began = Instant::now();
    let writers = (0..WRITERS).map(|writer| {
        let (store, log) = (store.clone(), inbox(&log_of(writer)));
        tokio::spawn(async move {
            let mut took = Vec::new();
            let mut n = writer + 1;
            while began.elapsed() < LASTS {
                let sent = Instant::now();
                store.write(vec![append(&log, 1, n)], Stamp::from_us(1)).await.expect("stored");
                took.push(sent.elapsed());
                n += WRITERS;
            }
            took
        })
    });
    let mut took: Vec<Duration> =
        join_all(writers).await.into_iter().flat_map(|took| took.expect("rows")).collect();
    let seconds = began.elapsed().as_secs_f64();
    took.sort();
    let (requests, rows) = store.sent(Kind::Write);
    let (requests, rows) = ((requests - requests_before) as f64, (rows - rows_before) as f64);
    println!(
        "{what}: {:.0} rows/s, {:.0} requests/s, {:.1} rows per request, p50 {:?}, p99 {:?}",
        rows / seconds,
        requests / seconds,
        rows / requests,
        took[took.len() / 2],
        took[took.len() * 99 / 100]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn writes() {
    let keyspace = Keyspace::fresh();
    let store = keyspace.store().await;
    written(&store, "warming up", |writer| format!("w{writer}")).await;
    written(&store, "64 logs", |writer| format!("a{writer}")).await;
    written(&store, "8 logs", |writer| format!("b{}", writer % 8)).await;
    written(&store, "1 log", |_| "c".to_owned()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn resumes() {
    let keyspace = Keyspace::fresh();
    let store = keyspace.store().await;
    let log = inbox("a");
    let (first, last) = (5_000, 115_000);
    fill(&store, &log, first..=last).await;
    for _ in 0..5 {
        let began = Instant::now();
        let mut after = first - 1;
        let mut first_page = None;
        while after < last {
            let page = Limit { rows: 512, bytes: usize::MAX };
            after += store.rows_after(&log, after, last, page).await.expect("a read").len() as u64;
            first_page.get_or_insert(began.elapsed());
        }
        println!("first page {:?}, last {:?}", first_page.expect("a page"), began.elapsed());
    }
    let began = Instant::now();
    store.tail(&log, last, 65).await.expect("a read");
    println!("tail {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn shards_with_pending() {
    let keyspace = database::name();
    let store = Arc::new(connect(Options { shards: 4096, ..database::options(&keyspace) }).await);
    let batch = (0..4096).step_by(7).map(|shard| {
        let pending = Pending { shard: ShardId(shard), kind: PendingKind::Fanout, id: "c".to_owned() };
        Mutation::Pending { pending, under_way: true }
    });
    store.write(batch.collect(), Stamp::from_us(1)).await.expect("stored");
    for _ in 0..3 {
        let began = Instant::now();
        let found = store.shards_with_pending().await.expect("a read").len();
        println!("{found} of 4096 shards have pending rows, found in {:?}", began.elapsed());
    }
}

/// What writers and readers meet while somebody stops or pauses nodes of a ring of three by hand. The keyspace
/// `system_auth` needs three copies as well, or all wait for the node that knows the passwords.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn faults() {
    let keyspace = database::name();
    let timeout = Duration::from_secs(2);
    let options = Options { replication_factor: 3, request_timeout: timeout, ..database::options(&keyspace) };
    let store = connect(options).await;
    println!("begins");
    let began = Instant::now();
    let clients = (0..16).map(|client| {
        let (store, log) = (store.clone(), inbox(&format!("w{client}")));
        tokio::spawn(async move {
            let (mut done, mut failed, mut slowest) = (0, std::collections::BTreeMap::new(), Duration::ZERO);
            for n in 1.. {
                if began.elapsed() > Duration::from_secs(20) {
                    break;
                }
                let sent = Instant::now();
                let written = store.write(vec![append(&log, 1, n)], Stamp::from_us(1)).await;
                let read = store.row(&log, n).await.map(drop);
                slowest = slowest.max(sent.elapsed());
                for answer in [written, read] {
                    match answer {
                        Ok(()) => done += 1,
                        Err(error) => *failed.entry(error.to_string()).or_insert(0) += 1,
                    }
                }
            }
            (done, failed, slowest)
        })
    });
    for client in join_all(clients.collect::<Vec<_>>()).await {
        println!("{:?}", client.expect("no panic"));
    }
}

//! The script and the Rust of a limit are one arithmetic.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use godwit_servers::redis::Reply;

use crate::support::{account, server, settings, up};

#[expect(unreachable_pub, reason = "public in the crate that it is a file of")]
#[path = "../../src/limits/gcra.rs"]
mod gcra;

use gcra::Limit;

/// What the script answers: allowed, remaining, microseconds to wait, microseconds until full, its time.
type Said = (bool, u32, u64, u64, u64);

/// Random limits and costs, buckets in every state from long full to far in debt: the script says the
/// time that it saw, and the Rust is asked for the same instant.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_script_and_the_rust_agree() {
    let Some(server) = server() else { return };
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let script = redis::Script::new(include_str!("../../src/scripts/rate.lua"));
    let seed = rand::random();
    let mut random = SmallRng::seed_from_u64(seed);
    for round in 0..300 {
        let key = format!("bucket{round}");
        let limit =
            Limit { per_second: random.random_range(1..=10_000), burst: random.random_range(1..=1000) };
        let mut full = 0;
        for step in 0..10 {
            let cost: u32 = random.random_range(1..=limit.burst.min(30));
            let mut call = script.key(&key);
            call.arg(cost).arg(limit.token_us()).arg(limit.burst);
            let said: Said = call.invoke_async(&mut connection).await.unwrap();
            let (next, verdict) = gcra::take(full, said.4, cost, limit);
            let expected = (
                verdict.allowed,
                verdict.remaining,
                verdict.retry_after.as_micros() as u64,
                verdict.full_in.as_micros() as u64,
                said.4,
            );
            assert_eq!(said, expected, "seed {seed}, round {round}, step {step}, cost {cost}, {limit:?}");
            full = next;
            if random.random_bool(0.2) {
                // Elsewhere on the time axis, also beyond what a bucket may owe.
                let window = i64::from(limit.burst) * limit.token_us() as i64;
                full = said.4.saturating_add_signed(random.random_range(-window..=window * 2));
                let () = redis::cmd("SET").arg(&key).arg(full).query_async(&mut connection).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_bucket_leaves_no_key() {
    let Some(server) = server() else { return };
    let cache = up(&settings(vec![server.url()])).await;
    let limit = Limit { per_second: 100, burst: 5 };
    let limit = godwit_cache::Limit { per_second: limit.per_second, burst: limit.burst };
    assert!(cache.limits().take("requests", &account("ann"), 5, limit).await.allowed);
    let keys = || server.ask(&["KEYS", "godwit:rate:*"]).unwrap();
    assert_eq!(keys(), Reply::List(vec![Reply::Text("godwit:rate:{ann}:requests".to_owned())]));
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(keys(), Reply::List(Vec::new()));
}

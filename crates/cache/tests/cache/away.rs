//! Redis absent, killed, paused: the node serves, and all resumes.

use std::time::Duration;

use bytes::Bytes;
use godwit_cache::{Cache, DeviceState, Limit, Standing, State};
use godwit_servers::redis::Reply;
use tokio::time::Instant;

use crate::support::{PATIENCE, absent_server, account, device, open, queued, server, settings, until, up};

const LIMIT: Limit = Limit { per_second: 1, burst: 2 };

async fn state(cache: &Cache) -> State {
    cache.presence().of(&[account("ann")]).await[0].state
}

fn is_away(cache: &Cache) -> bool {
    matches!(cache.standing(), Standing::Away(_))
}

/// What a cache does while Redis is away, each of it at once.
async fn serves_alone(cache: &Cache, of: &str) {
    let start = Instant::now();
    assert_eq!(state(cache).await, State::Unknown);
    let mut granted = 0;
    for _ in 0..5 {
        granted += u32::from(cache.limits().take("requests", &account(of), 1, LIMIT).await.allowed);
    }
    assert_eq!(granted, LIMIT.burst, "the node's own limit applies");
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn redis_may_be_absent_at_the_start() {
    let Some((url, start)) = absent_server() else { return };
    let cache = open(&settings(vec![url]));
    assert!(matches!(cache.settled(PATIENCE).await, Standing::Away(_)));
    serves_alone(&cache, "ann").await;
    cache.presence().announce(&account("ann"), &device("phone"), DeviceState::Online);
    let pushed: Vec<_> =
        (0..10).map(|n| cache.queue().push(&format!("job{n}"), Bytes::new()).unwrap()).collect();
    assert_eq!(cache.queue().claim("relay", 5, Duration::from_millis(100)).await, []);

    let _server = start();
    for pushed in pushed {
        assert!(pushed.is_queued().await);
    }
    until("presence is known", || async { state(&cache).await == State::Online }).await;
    let jobs = cache.queue().claim("relay", 20, PATIENCE).await;
    let ids: Vec<_> = jobs.iter().map(|job| job.id.clone()).collect();
    assert_eq!(ids, (0..10).map(|n| format!("job{n}")).collect::<Vec<_>>(), "in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn redis_may_die_and_forget_everything() {
    let Some(mut server) = server() else { return };
    let cache = up(&settings(vec![server.url()])).await;
    cache.presence().announce(&account("ann"), &device("phone"), DeviceState::Online);
    until("online", || async { state(&cache).await == State::Online }).await;
    assert!(cache.queue().push("before", Bytes::new()).unwrap().is_queued().await);
    assert_eq!(cache.queue().claim("relay", 5, PATIENCE).await.len(), 1);

    server.kill9().unwrap();
    until("away", || async { is_away(&cache) }).await;
    serves_alone(&cache, "bob").await;
    let after = cache.queue().push("after", Bytes::new()).unwrap();
    server.restart().unwrap();
    assert!(after.is_queued().await);
    // Group, scripts and presence are new to this server.
    let jobs = cache.queue().claim("relay", 5, PATIENCE).await;
    assert_eq!(jobs[0].id, "after");
    until("online again", || async { state(&cache).await == State::Online }).await;
    assert_eq!(cache.standing(), Standing::Up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_paused_redis_costs_a_request_its_timeout_at_most() {
    let Some(server) = server() else { return };
    let settings = settings(vec![server.url()]);
    let cache = up(&settings).await;
    let ann = account("ann");
    let take = || cache.limits().take("requests", &ann, 1, LIMIT);
    assert!(take().await.allowed);
    let jobs = {
        assert!(cache.queue().push("job", Bytes::new()).unwrap().is_queued().await);
        cache.queue().claim("relay", 1, PATIENCE).await
    };
    server.pause().unwrap();
    let start = Instant::now();
    assert!(take().await.allowed, "by the node's own bucket");
    let first = start.elapsed();
    assert!(first >= settings.timeout && first < settings.timeout * 2, "{first:?}");
    until("away", || async { is_away(&cache) }).await;
    serves_alone(&cache, "bob").await;
    // Sent while away: it must not be sent again when Redis is back.
    cache.queue().done(&jobs[0].entry).await;
    server.resume().unwrap();
    until("back", || async { cache.standing() == Standing::Up }).await;
    until("the job is gone", || async { queued(&server) == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_dead_node_announced_is_forgotten() {
    let Some(server) = server() else { return };
    let settings = settings(vec![server.url()]);
    let (dying, other) = (up(&settings).await, up(&settings).await);
    // The same device on both: the stream that moved, and the one that is not known to be dead.
    dying.presence().announce(&account("ann"), &device("phone"), DeviceState::Online);
    until("online", || async { state(&other).await == State::Online }).await;
    other.presence().announce(&account("ann"), &device("phone"), DeviceState::Away);
    drop(dying);
    until("only the living node's entry counts", || async { state(&other).await == State::Away }).await;
    other.presence().withdraw(&account("ann"), &device("phone"));
    until("offline", || async { state(&other).await == State::Offline }).await;
    let fields = server.ask(&["HLEN", "godwit:presence:{ann}"]).unwrap();
    assert!(matches!(fields, Reply::Number(..=1)), "what expired is removed: {fields:?}");
    let left = || server.ask(&["EXISTS", "godwit:presence:{ann}"]).unwrap();
    until("nothing is left", || async { left() == Reply::Number(0) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_redis_counts_as_away() {
    let Some(server) = server() else { return };
    let cache = up(&settings(vec![server.url()])).await;
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    until("away", || async {
        cache.limits().take("requests", &account("ann"), 1, LIMIT).await;
        is_away(&cache)
    })
    .await;
    let Standing::Away(reason) = cache.standing() else { panic!("back by itself") };
    assert!(reason.contains("OOM"), "{reason}");
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    until("back", || async { cache.standing() == Standing::Up }).await;
}

//! What the log says of a Redis that comes and goes. By itself, since a process has one log.

#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_cache::{Cache, DeviceState, Limit, Options, Settings, Standing};
use godwit_servers::environment;
use godwit_servers::redis::{self, Temporary};
use godwit_types::{AccountId, DeviceId};
use tokio::task::JoinSet;

/// A silent server is away after three times [`COMMAND`], and the link tries again after 5 s at the latest.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a command may take. On a machine that compiles beside the test many take longer than the usual
/// 250 ms, and the log would rightly say so.
const COMMAND: Duration = Duration::from_secs(2);
/// Enough that several commands are under way when the server ends.
const REQUESTERS: usize = 16;
/// Time for what should not be said: some attempts to connect, and a probe of a quiet link, which comes every
/// 2 s.
const QUIET: Duration = Duration::from_secs(3);

/// Requests without end, as a node has them.
async fn request(cache: Cache, number: usize) {
    let account = AccountId::new(&format!("account{number}")).unwrap();
    let device = DeviceId::new("phone").unwrap();
    let limit = Limit { per_second: 1000, burst: 1000 };
    loop {
        cache.presence().announce(&account, &device, DeviceState::Online);
        cache.limits().take("requests", &account, 1, limit).await;
        cache.presence().of(std::slice::from_ref(&account)).await;
        // Whether it is queued does not matter here.
        let _ = cache.queue().push(account.as_str(), Bytes::new()).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until(what: &str, cache: &Cache, is_so: impl Fn(&Standing) -> bool) {
    let start = Instant::now();
    while !is_so(&cache.standing()) {
        assert!(start.elapsed() < PATIENCE, "still not {what}: {:?}", cache.standing());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_is_one_line_when_redis_goes_and_one_when_it_is_back() {
    if environment::redis("the log of the cache on Redis").is_none() {
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let log = Arc::new(File::create(file.path()).unwrap());
    tracing_subscriber::fmt().with_ansi(false).with_writer(log).init();

    let mut server = Temporary::server(redis::Options::default()).unwrap();
    let settings = Settings { urls: vec![server.url()], timeout: COMMAND, ..Settings::default() };
    let cache = Cache::open(Some(Options::parse(&settings).unwrap()));
    assert_eq!(cache.settled(PATIENCE).await, Standing::Up);
    let mut requesters = JoinSet::new();
    for number in 0..REQUESTERS {
        requesters.spawn(request(cache.clone(), number));
    }
    let mut expected = vec![" INFO", "redis serves "];
    // Gone, and only silent: then the commands under way fail one after the other.
    for silent in [false, true] {
        let gone = if silent { server.pause() } else { server.kill9() };
        gone.unwrap();
        until("away", &cache, |standing| matches!(standing, Standing::Away(_))).await;
        tokio::time::sleep(QUIET).await;
        let back = if silent { server.resume() } else { server.restart() };
        back.unwrap();
        until("back", &cache, |standing| *standing == Standing::Up).await;
        tokio::time::sleep(QUIET).await;
        expected.extend([" WARN", "redis is away: ", " INFO", "redis is back "]);
    }
    assert!(requesters.try_join_next().is_none(), "all of them go on");

    let said = std::fs::read_to_string(file.path()).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), expected.len() / 2, "{said}");
    for (line, expected) in lines.iter().zip(expected.chunks_exact(2)) {
        assert!(expected.iter().all(|part| line.contains(part)), "not {expected:?}: {said}");
    }
}

//! The servers and the settings of these tests.
//!
//! What starts, asks or ends a server blocks its thread. A test does so on its own, and what it tests runs on
//! the worker beside it.

use std::any::Any;
use std::net::Ipv4Addr;
use std::sync::LazyLock;
use std::time::Duration;

use godwit_cache::{Cache, PushBounds, Settings, Standing};
use godwit_servers::environment;
use godwit_servers::ports::Port;
use godwit_servers::redis::{Cluster, MASTER_NAME, Options, Reply, Sentinel, Server, Temporary};
use godwit_types::{AccountId, DeviceId};
use tokio::time::Instant;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) fn account(text: &str) -> AccountId {
    AccountId::new(text).unwrap()
}

pub(crate) fn device(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

/// Asks again and again until `done` is true.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether this suite may start servers. Where not its tests have nothing to do; that is said once.
fn may_start() -> bool {
    static MAY: LazyLock<bool> = LazyLock::new(|| environment::redis("the cache on Redis").is_some());
    *MAY
}

/// One server.
pub(crate) fn server() -> Option<Temporary<Server>> {
    server_with(Options::default())
}

pub(crate) fn server_with(options: Options) -> Option<Temporary<Server>> {
    may_start().then(|| Temporary::server(options).unwrap())
}

/// The URL of a server that is not there, and what starts it there.
pub(crate) fn absent_server() -> Option<(String, impl FnOnce() -> Temporary<Server>)> {
    may_start().then(|| {
        let port = Port::free(&[Ipv4Addr::LOCALHOST]).unwrap();
        let url = format!("redis://127.0.0.1:{}", port.number());
        let start = move || {
            let options = Options { port: Some(port.number()), ..Options::default() };
            Temporary::server(options).unwrap()
        };
        (url, start)
    })
}

/// Three masters that share all slots.
pub(crate) fn cluster(password: Option<&str>) -> Option<Temporary<Cluster>> {
    may_start().then(|| Temporary::cluster(password).unwrap())
}

/// A master, its replica, and three sentinels that watch them.
pub(crate) fn sentinel() -> Option<Temporary<Sentinel>> {
    may_start().then(|| Temporary::sentinel(None).unwrap())
}

/// How many jobs the push queue holds, finished ones not counted.
pub(crate) fn queued(server: &Server) -> i64 {
    let answer = server.ask(&["XLEN", "godwit:{push}:jobs"]).unwrap();
    let Reply::Number(jobs) = answer else { panic!("not a length: {answer:?}") };
    jobs
}

/// Bounds that a test can reach, and times that it can wait for.
pub(crate) fn settings(urls: Vec<String>) -> Settings {
    Settings {
        urls,
        presence: Duration::from_millis(900),
        push: PushBounds {
            queue_jobs: 50,
            buffer_jobs: 20,
            tries: 3,
            dead_jobs: 2,
            idle: Duration::from_millis(400),
            ..PushBounds::default()
        },
        ..Settings::default()
    }
}

pub(crate) fn open(settings: &Settings) -> Cache {
    Cache::open(Some(godwit_cache::Options::parse(settings).unwrap()))
}

/// Opened, and Redis serves.
pub(crate) async fn up(settings: &Settings) -> Cache {
    let cache = open(settings);
    assert_eq!(cache.settled(PATIENCE).await, Standing::Up);
    cache
}

/// Settings for servers behind sentinels.
pub(crate) fn behind(sentinel: &Sentinel) -> Settings {
    Settings { sentinel_master: Some(MASTER_NAME.to_owned()), ..settings(sentinel.urls()) }
}

/// What a cache is tested on: two nodes' view of it, which without Redis is one.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) nodes: [Cache; 2],
    /// There for as long as the nodes.
    _servers: Box<dyn Any>,
}

impl Stage {
    pub(crate) fn in_process() -> Self {
        let cache = Cache::in_process(settings(Vec::new()).push);
        Self { name: "in process", nodes: [cache.clone(), cache], _servers: Box::new(()) }
    }

    pub(crate) async fn single() -> Option<Self> {
        let server = server()?;
        let nodes = pair(&settings(vec![server.url()])).await;
        Some(Self { name: "single", nodes, _servers: Box::new(server) })
    }

    pub(crate) async fn cluster() -> Option<Self> {
        let cluster = cluster(None)?;
        let urls = cluster.urls().split_off(1);
        let nodes = pair(&Settings { cluster: true, ..settings(urls) }).await;
        Some(Self { name: "cluster", nodes, _servers: Box::new(cluster) })
    }

    pub(crate) async fn sentinel() -> Option<Self> {
        let sentinel = sentinel()?;
        let nodes = pair(&behind(&sentinel)).await;
        Some(Self { name: "sentinel", nodes, _servers: Box::new(sentinel) })
    }
}

async fn pair(settings: &Settings) -> [Cache; 2] {
    [up(settings).await, up(settings).await]
}

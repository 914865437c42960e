//! Redis servers of a test's own: random ports, data in a temporary directory, killed by their id.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use godwit_cache::{Cache, Options, PushBounds, Settings, Standing};
use godwit_types::{AccountId, DeviceId};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::Client;
use tempfile::TempDir;
use tokio::time::Instant;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) fn account(text: &str) -> AccountId {
    AccountId::new(text).unwrap()
}

pub(crate) fn device(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

/// A port that was free a moment ago.
pub(crate) fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks again and again until `done` is true.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One `redis-server`.
pub(crate) struct Server {
    pub(crate) port: u16,
    arguments: Vec<String>,
    directory: TempDir,
    child: Child,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With options of its command line.
    pub(crate) async fn with(arguments: &[&str]) -> Self {
        Self::at(port(), arguments).await
    }

    pub(crate) async fn at(port: u16, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let directory = tempfile::tempdir().unwrap();
        let child = spawn(port, &arguments, &directory);
        let server = Self { port, arguments, directory, child };
        server.listens().await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, on the same port and without what it knew.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.port, &self.arguments, &self.directory);
        self.listens().await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Sends a command by a connection of its own.
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.unwrap()
    }

    async fn listens(&self) {
        let port = self.port;
        until("redis-server listens", || async move {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
    }
}

fn spawn(port: u16, arguments: &[String], directory: &TempDir) -> Child {
    let mut command = Command::new("redis-server");
    // A sentinel's first argument is the file that it writes its state to.
    let sentinel = arguments.first().is_some_and(|first| first.ends_with(".conf"));
    command.args(arguments.iter().take(usize::from(sentinel)));
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(directory.path());
    if !sentinel {
        command.args(["--save", "", "--appendonly", "no"]);
    }
    command.args(arguments.iter().skip(usize::from(sentinel)));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("redis-server is installed")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Three masters that share all slots.
pub(crate) async fn cluster() -> Vec<Server> {
    let mut servers = Vec::new();
    for _ in 0..3 {
        let bus = port().to_string();
        servers.push(Server::with(&["--cluster-enabled", "yes", "--cluster-port", &bus]).await);
    }
    let shares = [(0, 5460), (5461, 10922), (10923, 16383)];
    for (server, (from, to)) in servers.iter().zip(shares) {
        let () = server.ask(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]).await;
    }
    for server in &servers[1..] {
        let bus = &server.arguments[3];
        let () = servers[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &server.port.to_string(), bus]).await;
    }
    for server in &servers {
        until("the cluster is whole", || async {
            let info: String = server.ask(&["CLUSTER", "INFO"]).await;
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        })
        .await;
    }
    servers
}

/// A master, its replica, and three sentinels that watch them.
pub(crate) struct Watched {
    pub(crate) master: Server,
    pub(crate) replica: Server,
    pub(crate) sentinels: Vec<Server>,
    _files: TempDir,
}

pub(crate) async fn watched() -> Watched {
    let master = Server::start().await;
    let follow = format!("127.0.0.1 {}", master.port);
    let replica = Server::with(&["--replicaof", &follow, "--repl-diskless-sync-delay", "0"]).await;
    let files = tempfile::tempdir().unwrap();
    let mut sentinels = Vec::new();
    for n in 0..3 {
        let file = files.path().join(format!("{n}.conf"));
        let text = format!(
            "sentinel monitor main 127.0.0.1 {} 2\nsentinel down-after-milliseconds main 1000\n\
             sentinel failover-timeout main 3000\n",
            master.port
        );
        std::fs::write(&file, text).unwrap();
        sentinels.push(Server::with(&[file.to_str().unwrap(), "--sentinel"]).await);
    }
    until("the replica follows", || async {
        let info: String = replica.ask(&["INFO", "replication"]).await;
        info.contains("master_link_status:up")
    })
    .await;
    until("the sentinels know each other and the replica", || async {
        let mut ready = true;
        for sentinel in &sentinels {
            let others: Vec<redis::Value> = sentinel.ask(&["SENTINEL", "SENTINELS", "main"]).await;
            let replicas: Vec<redis::Value> = sentinel.ask(&["SENTINEL", "REPLICAS", "main"]).await;
            ready &= others.len() == 2 && replicas.len() == 1;
        }
        ready
    })
    .await;
    Watched { master, replica, sentinels, _files: files }
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
    Cache::open(Some(Options::parse(settings).unwrap()))
}

/// Opened, and Redis serves.
pub(crate) async fn up(settings: &Settings) -> Cache {
    let cache = open(settings);
    assert_eq!(cache.settled(PATIENCE).await, Standing::Up);
    cache
}

/// What a cache is tested on: two nodes' view of it, which without Redis is one.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) nodes: [Cache; 2],
    _servers: Vec<Server>,
    _watched: Option<Watched>,
}

impl Stage {
    pub(crate) async fn in_process() -> Self {
        let cache = Cache::in_process(settings(Vec::new()).push);
        Self { name: "in process", nodes: [cache.clone(), cache], _servers: Vec::new(), _watched: None }
    }

    pub(crate) async fn single() -> Self {
        let server = Server::start().await;
        let settings = settings(vec![server.url()]);
        Self { name: "single", nodes: pair(&settings).await, _servers: vec![server], _watched: None }
    }

    pub(crate) async fn cluster() -> Self {
        let servers = cluster().await;
        let urls = servers.iter().take(2).map(Server::url).collect();
        let settings = Settings { cluster: true, ..settings(urls) };
        Self { name: "cluster", nodes: pair(&settings).await, _servers: servers, _watched: None }
    }

    pub(crate) async fn sentinel() -> Self {
        let watched = watched().await;
        let urls = watched.sentinels.iter().map(Server::url).collect();
        let settings = Settings { sentinel_master: Some("main".to_owned()), ..settings(urls) };
        let nodes = pair(&settings).await;
        Self { name: "sentinel", nodes, _servers: Vec::new(), _watched: Some(watched) }
    }
}

async fn pair(settings: &Settings) -> [Cache; 2] {
    [up(settings).await, up(settings).await]
}

//! Keyspaces of the test database.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use godwit_cql::{Cql, Options};
use godwit_store::contract::{Place, SHARDS};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use tokio::sync::watch;

/// The database that the tests use.
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) user: Option<String>,
    pub(crate) password: String,
}

/// From the environment.
pub(crate) fn server() -> &'static Server {
    static SERVER: LazyLock<Server> = LazyLock::new(|| Server {
        address: std::env::var("GODWIT_TEST_CQL").expect("GODWIT_TEST_CQL names the database's address"),
        user: std::env::var("GODWIT_TEST_CQL_USER").ok(),
        password: std::env::var("GODWIT_TEST_CQL_PASSWORD_FILE")
            .map(|file| std::fs::read_to_string(file).expect("the password's file").trim().to_owned())
            .unwrap_or_default(),
    });
    &SERVER
}

/// A name that no keyspace has had.
pub(crate) fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("t{:x}_{n}", u64::from(std::process::id()) << 32 | rand::random::<u32>() as u64)
}

/// A session of the tests' own, beside the store.
pub(crate) async fn session() -> Session {
    let server = server();
    let mut builder = SessionBuilder::new().known_node(&server.address);
    if let Some(user) = &server.user {
        builder = builder.user(user, &server.password);
    }
    builder.build().await.expect("the database answers")
}

/// Options for that keyspace.
pub(crate) fn options(keyspace: &str) -> Options {
    let server = server();
    Options {
        nodes: vec![server.address.clone()],
        keyspace: keyspace.to_owned(),
        datacenter: None,
        replication_factor: 1,
        user: server.user.clone(),
        password: server.password.clone(),
        tls_root: None,
        request_timeout: Duration::from_secs(10),
        shards: SHARDS,
        inbox_ttl: None,
    }
}

/// A store there.
pub(crate) async fn connect(options: Options) -> Cql {
    Cql::connect(options, &watch::Sender::default()).await.expect("a store")
}

/// A keyspace of one test, gone at its end.
pub(crate) struct Keyspace(pub(crate) String);

impl Keyspace {
    pub(crate) fn fresh() -> Self {
        Self(name())
    }

    pub(crate) async fn store(&self) -> Cql {
        connect(options(&self.0)).await
    }
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        let statement = format!("DROP KEYSPACE IF EXISTS {}", self.0);
        // A test's runtime cannot be waited on from within it.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async { session().await.query_unpaged(statement, ()).await.map(drop) })
        });
        if !std::thread::panicking() {
            dropped.join().expect("no panic").expect("the keyspace is dropped");
        }
    }
}

impl Place for Keyspace {
    type Store = Cql;

    async fn open(&self) -> Cql {
        self.store().await
    }
}

//! Keyspaces of the test database.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Once};
use std::time::Duration;

use bytes::Bytes;
use godwit_cql::{Cql, Options};
use godwit_servers::environment::{self, CqlServer};
use godwit_store::contract::{Place, SHARDS};
use godwit_store::{
    Answer, LeaseStore, Limit, Mutation, Ownership, Pending, Revocation, Row, Session as Lease, Store, Swap,
    Written,
};
use godwit_types::{AccountId, ConversationId, DeviceId, LogId, NodeId, ShardId, Stamp};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use tokio::sync::watch;

/// The database that the tests use, if there is one.
fn server() -> Option<&'static CqlServer> {
    static SERVER: LazyLock<Option<CqlServer>> = LazyLock::new(|| environment::cql("the store on CQL"));
    SERVER.as_ref()
}

/// Whether there is one. Where there is none a test has nothing to do; that was said once.
pub(crate) fn there() -> bool {
    server().is_some()
}

/// The root of the database's certificate, if it speaks TLS.
pub(crate) fn tls_root() -> Option<Vec<u8>> {
    let file = server()?.ca_file.as_ref()?;
    Some(std::fs::read(file).expect("the root's file"))
}

fn known() -> &'static CqlServer {
    server().expect("a test asks first whether there is a database")
}

/// The beginning of every test keyspace's name; the process and a number follow.
const PREFIX: &str = "godwit_test_";

/// A name that no keyspace has had.
pub(crate) fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (n, tag) = (NEXT.fetch_add(1, Ordering::Relaxed), rand::random::<u16>());
    format!("{PREFIX}{}_{tag:x}_{n}", std::process::id())
}

/// A session of the tests' own, beside the store.
pub(crate) async fn session() -> Session {
    let server = known();
    let builder = SessionBuilder::new().known_node_addr(server.address).user(&server.user, &server.password);
    builder.build().await.expect("the database answers")
}

/// How long the rows of an inbox live: longer than any test.
pub(crate) const INBOX_TTL: Duration = Duration::from_secs(2 * 3600);

/// Options for that keyspace.
pub(crate) fn options(keyspace: &str) -> Options {
    let server = known();
    Options {
        nodes: vec![server.address.to_string()],
        keyspace: keyspace.to_owned(),
        datacenter: None,
        replication_factor: 1,
        user: Some(server.user.clone()),
        password: server.password.clone(),
        tls_root: None,
        request_timeout: Duration::from_secs(10),
        shards: SHARDS,
        inbox_ttl: Some(INBOX_TTL),
    }
}

/// A store there.
pub(crate) async fn connect(options: Options) -> Cql {
    Cql::connect(options, &watch::Sender::default()).await.expect("a store")
}

/// Keyspaces with all tables that no test uses at the moment. Making one takes a second, emptying one 50 ms.
static IDLE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A keyspace that one test has for itself. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Keyspace(Arc<Used>);

struct Used {
    name: String,
    /// It holds what another test left, and has to be emptied.
    used_before: AtomicBool,
}

impl Drop for Used {
    fn drop(&mut self) {
        IDLE.lock().expect("no panic").push(std::mem::take(&mut self.name));
    }
}

impl Keyspace {
    pub(crate) fn fresh() -> Self {
        drop_those_of_earlier_runs();
        let idle = IDLE.lock().expect("no panic").pop();
        let used_before = AtomicBool::new(idle.is_some());
        Self(Arc::new(Used { name: idle.unwrap_or_else(name), used_before }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn options(&self) -> Options {
        options(self.name())
    }

    pub(crate) async fn store(&self) -> Cql {
        self.empty().await;
        connect(self.options()).await
    }

    async fn empty(&self) {
        if !self.0.used_before.swap(false, Ordering::Relaxed) {
            return;
        }
        let session = session().await;
        for table in TABLES {
            let statement = format!("TRUNCATE {}.{table}", self.name());
            session.query_unpaged(statement, ()).await.expect("the table is emptied");
        }
    }
}

/// What tests write to.
const TABLES: [&str; 9] = [
    "inbox_events",
    "messages",
    "summaries",
    "conversations_by_account",
    "devices",
    "pending",
    "revocations",
    "shard_owner",
    "node_session",
];

/// A test process ends without a last word, so the next one clears up: in the background, once.
fn drop_those_of_earlier_runs() {
    static ONCE: Once = Once::new();
    let dead = |name: &str| {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next());
        process.is_some_and(|process| !std::path::Path::new("/proc").join(process).exists())
    };
    let clear = async move {
        let session = session().await;
        let keyspaces = session.query_unpaged("SELECT keyspace_name FROM system_schema.keyspaces", ()).await;
        let keyspaces = keyspaces.expect("a read").into_rows_result().expect("rows");
        for keyspace in keyspaces.rows::<(String,)>().expect("names") {
            let (name,) = keyspace.expect("a name");
            if dead(&name) {
                session.query_unpaged(format!("DROP KEYSPACE IF EXISTS {name}"), ()).await.expect("dropped");
            }
        }
    };
    ONCE.call_once(|| {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(clear);
        });
    });
}

impl Place for Keyspace {
    type Store = Held;

    async fn open(&self) -> Held {
        Held { store: self.store().await, _keyspace: self.clone() }
    }
}

/// A store that has its keyspace for as long as it is there.
pub(crate) struct Held {
    store: Cql,
    _keyspace: Keyspace,
}

impl Store for Held {
    fn shards(&self) -> u16 {
        self.store.shards()
    }
    fn write(&self, batch: Vec<Mutation>, stamp: Stamp) -> Answer<'static, ()> {
        self.store.write(batch, stamp)
    }
    fn rows_after<'a>(&'a self, log: &'a LogId, after: u64, upto: u64, limit: Limit) -> Answer<'a, Vec<Row>> {
        self.store.rows_after(log, after, upto, limit)
    }
    fn rows_before<'a>(&'a self, log: &'a LogId, before: u64, limit: Limit) -> Answer<'a, Vec<Row>> {
        self.store.rows_before(log, before, limit)
    }
    fn tail<'a>(&'a self, log: &'a LogId, summarised: u64, rows: usize) -> Answer<'a, Vec<Written>> {
        self.store.tail(log, summarised, rows)
    }
    fn row<'a>(&'a self, log: &'a LogId, n: u64) -> Answer<'a, Option<Row>> {
        self.store.row(log, n)
    }
    fn summary<'a>(&'a self, log: &'a LogId) -> Answer<'a, Option<Bytes>> {
        self.store.summary(log)
    }
    fn memberships<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<(ConversationId, Bytes)>> {
        self.store.memberships(account)
    }
    fn devices<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<(DeviceId, Bytes)>> {
        self.store.devices(account)
    }
    fn pending(&self, shard: ShardId) -> Answer<'_, Vec<Pending>> {
        self.store.pending(shard)
    }
    fn shards_with_pending(&self) -> Answer<'_, Vec<ShardId>> {
        self.store.shards_with_pending()
    }
    fn revocations(&self) -> Answer<'_, Vec<Revocation>> {
        self.store.revocations()
    }
    fn close(&self) -> Answer<'_, ()> {
        self.store.close()
    }
}

impl LeaseStore for Held {
    fn session<'a>(&'a self, node: &'a NodeId) -> Answer<'a, Option<Lease>> {
        self.store.session(node)
    }
    fn glance<'a>(&'a self, node: &'a NodeId) -> Answer<'a, Option<Lease>> {
        self.store.glance(node)
    }
    fn sessions(&self) -> Answer<'_, Vec<(NodeId, Lease)>> {
        self.store.sessions()
    }
    fn swap_session<'a>(
        &'a self,
        node: &'a NodeId,
        expected: Option<Lease>,
        wanted: Lease,
    ) -> Answer<'a, Swap> {
        self.store.swap_session(node, expected, wanted)
    }
    fn owners(&self, group: u16) -> Answer<'_, Vec<(ShardId, Ownership)>> {
        self.store.owners(group)
    }
    fn glance_owners(&self, group: u16) -> Answer<'_, Vec<(ShardId, Ownership)>> {
        self.store.glance_owners(group)
    }
    fn swap_owners(&self, group: u16, changes: Vec<(ShardId, Option<u64>, Ownership)>) -> Answer<'_, Swap> {
        self.store.swap_owners(group, changes)
    }
}

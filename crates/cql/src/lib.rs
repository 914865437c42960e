//! The store on ScyllaDB or Apache Cassandra: what several processes share.
//!
//! [`Cql`] is a [`Store`] and a [`LeaseStore`]. Every statement is prepared once and goes straight to a node that
//! holds its partition, at LOCAL_QUORUM. Every write of an owner bears the owner's timestamp, so whatever comes
//! late, or twice, changes nothing. It must never decide anything: who owns a shard, what a row means and when
//! one is to be written again is said by those above.

mod carrier;
mod changes;
mod faults;
mod lanes;
mod leases;
mod options;
mod reads;
mod records;
mod retries;
pub mod schema;
mod session;
mod statements;
mod usage;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use godwit_store::{
    Answer, Error, LeaseStore, Limit, Mutation, Ownership, Pending, Revocation, Row, Session, Store, Swap,
    Written,
};
use godwit_types::{AccountId, ConversationId, DeviceId, LogId, NodeId, ShardId, Stamp};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use carrier::Requests;
use changes::Split;
use lanes::Lanes;
use schema::{STEPS, Schema};
use statements::Statements;

pub use options::Options;
pub use schema::{Migration, migrate};
pub use usage::{Kind, describe};

/// First pause between two attempts to connect; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(250);

/// Longest pause: a database that is back is found within that time.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How often the log says that it still waits.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// The store. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Cql {
    lanes: Arc<Lanes<Requests>>,
    shards: u16,
    inbox_ttl_s: i32,
}

impl Cql {
    /// Connects, brings the schema up to date and prepares. As long as the database does not answer, it tries again,
    /// and `waiting` says what for; it is empty while there is nothing to wait for.
    ///
    /// # Errors
    /// [`Error::Refused`] for what waiting does not mend.
    pub async fn connect(options: Options, waiting: &watch::Sender<String>) -> Result<Self, Error> {
        let mut pause = PAUSE_FIRST;
        let mut said: Option<Instant> = None;
        loop {
            let error = match Self::attempt(&options, waiting).await {
                Ok(store) => {
                    waiting.send_replace(String::new());
                    if said.is_some() {
                        tracing::info!(nodes = options.place(), "the database answers");
                    }
                    return Ok(store);
                }
                Err(Error::Failed(text)) => text,
                Err(error) => return Err(error),
            };
            if said.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
                tracing::warn!(nodes = options.place(), error, "waiting for the database");
                said = Some(Instant::now());
            }
            waiting.send_replace(format!("the database at {} does not answer: {error}", options.place()));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn attempt(options: &Options, waiting: &watch::Sender<String>) -> Result<Self, Error> {
        let connected = session::connect(options).await?;
        let say = |text: String| {
            tracing::info!("{text}");
            waiting.send_replace(text);
        };
        Schema { connected: &connected, options, steps: STEPS }.migrate(false, &say).await?;
        // The driver routes by what it knows of the keyspace, which another program may just have made.
        let refreshed = connected.session.refresh_metadata().await;
        refreshed.map_err(|error| faults::failed("reading the cluster's layout", error))?;
        let statements =
            Statements::prepare(&connected.session, &options.keyspace, &connected.profiles).await?;
        let requests = Requests::new(connected.session, statements);
        let lanes = Lanes::new(requests, Handle::current());
        Ok(Self { lanes, shards: options.shards, inbox_ttl_s: options.inbox_ttl_s() })
    }

    /// Requests of that kind that this store has sent so far, and the statements in them.
    pub fn sent(&self, kind: Kind) -> (u64, u64) {
        self.requests().usage().of(kind)
    }

    fn requests(&self) -> &Requests {
        self.lanes.carrier()
    }

    fn open<'a, T>(&'a self, answer: impl Future<Output = Result<T, Error>> + Send + 'a) -> Answer<'a, T> {
        Box::pin(async move { if self.lanes.is_closed() { Err(Error::Closed) } else { answer.await } })
    }
}

impl Store for Cql {
    fn shards(&self) -> u16 {
        self.shards
    }

    fn write(&self, batch: Vec<Mutation>, stamp: Stamp) -> Answer<'static, ()> {
        let pushed = self.lanes.push(Split::of(batch, stamp, self.inbox_ttl_s));
        Box::pin(async move {
            let given_up = || Error::Failed("the program ends; the write was given up".to_owned());
            pushed?.await.unwrap_or_else(|_| Err(given_up()))
        })
    }

    fn rows_after<'a>(&'a self, log: &'a LogId, after: u64, upto: u64, limit: Limit) -> Answer<'a, Vec<Row>> {
        self.open(reads::rows_after(self.requests(), log, after, upto, limit))
    }

    fn rows_before<'a>(&'a self, log: &'a LogId, before: u64, limit: Limit) -> Answer<'a, Vec<Row>> {
        self.open(reads::rows_before(self.requests(), log, before, limit))
    }

    fn tail<'a>(&'a self, log: &'a LogId, summarised: u64, rows: usize) -> Answer<'a, Vec<Written>> {
        self.open(reads::tail(self.requests(), log, summarised, rows))
    }

    fn row<'a>(&'a self, log: &'a LogId, n: u64) -> Answer<'a, Option<Row>> {
        self.open(reads::row(self.requests(), log, n))
    }

    fn summary<'a>(&'a self, log: &'a LogId) -> Answer<'a, Option<Bytes>> {
        self.open(records::summary(self.requests(), log))
    }

    fn memberships<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<(ConversationId, Bytes)>> {
        self.open(records::memberships(self.requests(), account))
    }

    fn devices<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<(DeviceId, Bytes)>> {
        self.open(records::devices(self.requests(), account))
    }

    fn pending(&self, shard: ShardId) -> Answer<'_, Vec<Pending>> {
        self.open(records::pending(self.requests(), shard))
    }

    fn shards_with_pending(&self) -> Answer<'_, Vec<ShardId>> {
        self.open(records::shards_with_pending(self.requests(), self.shards))
    }

    fn revocations(&self) -> Answer<'_, Vec<Revocation>> {
        self.open(records::revocations(self.requests()))
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(self.lanes.close())
    }
}

impl LeaseStore for Cql {
    fn session<'a>(&'a self, node: &'a NodeId) -> Answer<'a, Option<Session>> {
        self.open(leases::session(self.requests(), node))
    }

    fn glance<'a>(&'a self, node: &'a NodeId) -> Answer<'a, Option<Session>> {
        self.open(leases::glance(self.requests(), node))
    }

    fn sessions(&self) -> Answer<'_, Vec<(NodeId, Session)>> {
        self.open(leases::sessions(self.requests()))
    }

    fn swap_session<'a>(
        &'a self,
        node: &'a NodeId,
        expected: Option<Session>,
        wanted: Session,
    ) -> Answer<'a, Swap> {
        self.open(leases::swap_session(self.requests(), node, expected, wanted))
    }

    fn owners(&self, group: u16) -> Answer<'_, Vec<(ShardId, Ownership)>> {
        self.open(leases::owners(self.requests(), group))
    }

    fn glance_owners(&self, group: u16) -> Answer<'_, Vec<(ShardId, Ownership)>> {
        self.open(leases::glance_owners(self.requests(), group))
    }

    fn swap_owners(&self, group: u16, changes: Vec<(ShardId, Option<u64>, Ownership)>) -> Answer<'_, Swap> {
        self.open(leases::swap_owners(self.requests(), group, changes))
    }
}

//! Opening the store that the configuration names, and what gives this node the right to write to it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use godwit_actors::Tenure;
use godwit_cql::Cql;
use godwit_store::{Embedded, LeaseStore, Store};
use godwit_types::{DEFAULT_SHARDS, NodeId};
use tokio::sync::watch;

use crate::config::{self, Config};

/// How much longer than the retention the rows of an inbox live in the database, so that none expires under
/// a reader to whom it was promised.
const EXPIRES_LATER: Duration = Duration::from_secs(24 * 60 * 60);

/// A store that is ready.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) tenure: Tenure,
    /// Whether rows of inboxes expire by themselves.
    pub(crate) inbox_expires: bool,
}

/// What a start waits for, for whoever asks; empty while it waits for nothing.
#[derive(Default)]
pub(crate) struct WaitsFor(watch::Sender<String>);

impl WaitsFor {
    pub(crate) fn reason(&self) -> String {
        let reason = self.0.borrow();
        if reason.is_empty() { "the store is being opened".to_owned() } else { reason.clone() }
    }
}

/// The node had to give up.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Ended(pub(crate) String);

/// Opens the store. A database that is merely away is waited for.
pub(crate) async fn open(config: &Config, waits_for: &WaitsFor) -> anyhow::Result<Opened> {
    match &config.store {
        config::Store::Embedded => {
            let options = godwit_store::Options::new(config.node.store_dir(), DEFAULT_SHARDS);
            let opening = tokio::task::spawn_blocking(move || Embedded::open(options));
            let store = opening.await.context("open the store")??;
            let tenure = Tenure::alone(store.epoch());
            Ok(Opened { store: Arc::new(store), tenure, inbox_expires: false })
        }
        config::Store::Cql(cql) => {
            let store = Cql::connect(options(config, cql), &waits_for.0).await?;
            let leases: Arc<dyn LeaseStore> = Arc::new(store.clone());
            let node = NodeId::new(&config.node.id).context("the node's id")?;
            let tenure = Tenure::leased(leases, node, DEFAULT_SHARDS, config.cluster.lease);
            Ok(Opened { store: Arc::new(store), tenure, inbox_expires: true })
        }
    }
}

/// What `godwit migrate` does.
pub(crate) async fn migrate(config: &Config, dry_run: bool) -> anyhow::Result<godwit_cql::Migration> {
    match &config.store {
        config::Store::Cql(cql) => Ok(godwit_cql::migrate(&options(config, cql), dry_run).await?),
        config::Store::Embedded => Err(crate::cli::Error::new(
            "migrate is for store.kind = \"cql\"; the embedded store brings itself up to date when it is opened",
        )
        .into()),
    }
}

fn options(config: &Config, cql: &config::Cql) -> godwit_cql::Options {
    let password = cql.login.as_ref().map(|(_, password)| password);
    godwit_cql::Options {
        nodes: cql.nodes.clone(),
        keyspace: cql.keyspace.clone(),
        datacenter: cql.datacenter.clone(),
        replication_factor: cql.replication_factor,
        user: cql.login.as_ref().map(|(user, _)| user.clone()),
        password: password
            .map(|password| String::from_utf8_lossy(password.expose()).into_owned())
            .unwrap_or_default(),
        tls_root: cql.tls_ca.clone(),
        request_timeout: cql.request_timeout,
        shards: DEFAULT_SHARDS,
        inbox_ttl: Some(config.retention.inbox + EXPIRES_LATER),
    }
}

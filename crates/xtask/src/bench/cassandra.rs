//! Apache Cassandra below a server that is measured: one node or three, with data that goes with them.

use std::ffi::OsStr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use godwit_servers::cassandra::{self, Options, Ring};
use tempfile::TempDir;

use super::Bench;
use super::server::Server;
use crate::services;

/// For a keyspace with all tables: three nodes agree on each of them.
const READY_MAX: Duration = Duration::from_secs(120);

/// A running ring, ended when this is dropped.
pub(crate) struct Database {
    ring: Ring,
    nodes: u8,
    /// Keyspaces that servers were given so far.
    keyspaces: u32,
    /// After the ring, so that it is removed when the nodes are gone.
    _data: TempDir,
}

impl Database {
    /// Starts so many nodes on empty directories, as an operator would: synced before each answer, all
    /// compilers on.
    ///
    /// # Errors
    /// When Cassandra cannot be fetched or started.
    pub(crate) fn start(nodes: u8) -> Result<Database> {
        let lib = services::cassandra_lib()?;
        let home = services::home();
        // Not where temporary files go: that may be memory, and syncs are measured.
        let data = tempfile::Builder::new().prefix("bench-").tempdir_in(&home);
        let data = data.with_context(|| format!("cannot make a directory in {}", home.display()))?;
        let ring = Ring::start_with(&lib, &data.path().join("ring"), &Options::nodes(nodes))?;
        Ok(Database { ring, nodes, keyspaces: 0, _data: data })
    }

    /// `one CQL node`, `three CQL nodes`: what rows begin with.
    pub(crate) fn name(&self) -> &'static str {
        if self.nodes == 1 { "one CQL node" } else { "three CQL nodes" }
    }

    /// Each row is on all nodes.
    pub(crate) fn replication(&self) -> u8 {
        self.nodes
    }

    /// A server that is ready, in a keyspace of its own.
    ///
    /// # Errors
    /// When it does not become ready within [`READY_MAX`].
    pub(crate) fn serve(&mut self, bench: &Bench) -> Result<Server> {
        self.keyspaces += 1;
        let keyspace = format!("bench_{}", self.keyspaces);
        let addresses: Vec<String> = self.ring.addresses().iter().map(ToString::to_string).collect();
        let (nodes, replication) = (addresses.join(","), self.replication().to_string());
        let password_file = self.ring.password_file();
        let variables: [(&str, &OsStr); 6] = [
            ("GODWIT_STORE__KIND", "cql".as_ref()),
            ("GODWIT_STORE__CQL__NODES", nodes.as_ref()),
            ("GODWIT_STORE__CQL__KEYSPACE", keyspace.as_ref()),
            ("GODWIT_STORE__CQL__REPLICATION_FACTOR", replication.as_ref()),
            ("GODWIT_STORE__CQL__USER", cassandra::USER.as_ref()),
            ("GODWIT_STORE__CQL__PASSWORD_FILE", password_file.as_ref()),
        ];
        let mut server = Server::start_with(&bench.program, &variables)?;
        server.wait_until_ready(READY_MAX)?;
        Ok(server)
    }

    /// Has all nodes write their tables to disk, so that reads come from there and not from what was
    /// just written.
    ///
    /// # Errors
    /// When a node does not do it.
    pub(crate) fn flush(&mut self) -> Result<()> {
        for node in self.ring.nodes() {
            node.nodetool(&["flush"])?;
        }
        Ok(())
    }

    /// Ends all nodes.
    ///
    /// # Errors
    /// When one does not end.
    pub(crate) fn stop(mut self) -> Result<()> {
        Ok(self.ring.stop()?)
    }
}

//! Apache Cassandra 5.0 on 127.0.0.1, 127.0.0.2 and 127.0.0.3: one node, or a ring of up to three.
//!
//! The jars come from Maven ([`fetch`]) and run on the machine's Java 17. A ring's nodes have
//! the same native port, as drivers assume. Passwords and permissions are on, and clients may use TLS
//! or not on the one port: `ca.pem` is the root for it. Data, logs and configuration are below the
//! ring's directory: `n1/log`, `n1/cassandra.yaml` and so on.

mod config;
mod jars;
mod node;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cql;
use crate::error::{self, Result};
use crate::ports::Port;
use crate::process::{LOOK_EVERY, Lifetime};
use node::Setup;

pub use config::java_program;
pub use jars::{VERSION, fetch};
pub use node::Node;

/// The superuser that every ring has at first.
pub const USER: &str = "cassandra";
/// Its password.
pub const PASSWORD: &str = "cassandra";

/// What the ring calls its one datacentre: `SimpleSnitch` knows no other.
pub const DATACENTER: &str = "datacenter1";

/// The certificate names so many addresses.
pub const NODES_MAX: u8 = 3;

/// From the moment at which the last node answers; the first has made the superuser by then.
const LOGIN_MAX: Duration = Duration::from_secs(60);

/// How a ring is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Nodes, 1 to [`NODES_MAX`].
    pub nodes: u8,
    /// Where clients connect, on every node; none: a free port.
    pub native_port: Option<u16>,
    /// Where nodes speak with each other; none: a free port. A ring that is started again on its data
    /// needs the one that it had.
    pub storage_port: Option<u16>,
    /// Java heap of a node in MiB; none: 1024 for one node, 512 for each of several.
    pub heap_mib: Option<u32>,
    /// The nodes stay behind when the handle goes, found by `nN/pid` in the ring's directory.
    pub detached: bool,
    /// `-Dcassandra.unsafesystem=true`: changes of the schema are not synced to disk before they are
    /// answered, so tables are made faster, and may be forgotten when the node is killed. For a node
    /// whose data nobody wants back.
    pub unsafe_system: bool,
    /// More lines of `cassandra.yaml`, such as `write_request_timeout: 500ms`.
    pub config: String,
    /// More options of the JVM.
    pub jvm: Vec<String>,
}

impl Options {
    /// So many nodes on free ports, ended with their handle.
    pub fn nodes(nodes: u8) -> Self {
        Self {
            nodes,
            native_port: None,
            storage_port: None,
            heap_mib: None,
            detached: false,
            unsafe_system: false,
            config: String::new(),
            jvm: Vec::new(),
        }
    }

    fn heap_mib(&self) -> u32 {
        self.heap_mib.unwrap_or(if self.nodes == 1 { 1024 } else { 512 })
    }
}

/// One node or several that belong together.
#[derive(Debug)]
pub struct Ring {
    nodes: Vec<Node>,
    native: Port,
    _storage: Port,
    dir: PathBuf,
}

impl Ring {
    /// Starts `nodes` nodes with the jars of `lib` and their data under `dir`, one after the other, and
    /// waits until all of them answer and the superuser can log in. 9 s for one, half a minute for three.
    ///
    /// # Errors
    /// When a port is taken, Java is missing, or a node does not answer; with the end of its log.
    pub fn start(lib: &Path, dir: &Path, nodes: u8) -> Result<Self> {
        Self::start_with(lib, dir, &Options::nodes(nodes))
    }

    /// As [`Self::start`], with everything said.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(lib: &Path, dir: &Path, options: &Options) -> Result<Self> {
        let count = options.nodes.clamp(1, NODES_MAX);
        let addresses: Vec<Ipv4Addr> = (1..=count).map(|number| Ipv4Addr::new(127, 0, 0, number)).collect();
        let native = Port::wanted_or_free(options.native_port, &addresses)?;
        let storage = Port::wanted_or_free(options.storage_port, &addresses)?;
        std::fs::create_dir_all(dir).map_err(error::file("make", dir))?;
        // Java resolves paths where it was started.
        let dir = dir.canonicalize().map_err(error::file("find", dir))?;
        let fresh = !dir.join("n1/data").exists();
        let password_file = dir.join("password");
        std::fs::write(&password_file, PASSWORD).map_err(error::file("write", &password_file))?;
        tls::make_certificate(&dir)?;
        let mut ring = Self { nodes: Vec::new(), native, _storage: storage, dir };
        for (number, address) in (1..).zip(&addresses) {
            // A seed does not fetch what is its own from the others: at first only node 1 is one.
            let seeds = if fresh { &addresses[..1] } else { &addresses };
            let setup = Setup {
                home: ring.dir.join(format!("n{number}")),
                lib: lib.to_owned(),
                address: *address,
                native_port: ring.native.number(),
                storage_port: ring._storage.number(),
                all: addresses.clone(),
                options: options.clone(),
            };
            let mut node = Node::new(setup)?;
            node.launch(seeds)?;
            ring.nodes.push(node);
            if number == 1 && fresh && count > 1 {
                ring.spread_accounts(count)?;
            }
        }
        ring.log_in()?;
        Ok(ring)
    }

    /// Has roles on every node, before there are others: each brings its copy along when it joins. With
    /// the one copy of the default nobody could log in while that node is down.
    fn spread_accounts(&self, copies: u8) -> Result<()> {
        let statement = format!(
            "ALTER KEYSPACE system_auth WITH replication = \
             {{'class': 'NetworkTopologyStrategy', '{DATACENTER}': {copies}}}"
        );
        self.log_in()?.run(&statement)
    }

    /// The superuser on node 1. It is made in the background of the first start.
    fn log_in(&self) -> Result<cql::Connection> {
        let began = Instant::now();
        loop {
            match cql::Connection::open(self.address(), USER, PASSWORD) {
                Ok(connection) => return Ok(connection),
                Err(error) if began.elapsed() > LOGIN_MAX => return Err(error),
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Where clients connect first: node 1.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.native.number()).into()
    }

    /// Where clients can connect, node by node.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// Node `number`, from 1 on as its address 127.0.0.`number`.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn node(&mut self, number: usize) -> &mut Node {
        let nodes = self.nodes.len();
        let node = number.checked_sub(1).and_then(|index| self.nodes.get_mut(index));
        node.unwrap_or_else(|| panic!("node {number} of {nodes}"))
    }

    /// All nodes, node 1 first.
    pub fn nodes(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// File with the password of [`USER`].
    pub fn password_file(&self) -> PathBuf {
        self.dir.join("password")
    }

    /// Root certificate of all nodes, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join(tls::CA_FILE)
    }

    /// Asks all nodes to end and waits for them. All at once: the last of them would wait up to a minute
    /// for an answer of those that are gone.
    ///
    /// # Errors
    /// When one does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(|node| node.process().ask_to_end())?;
        self.nodes.iter_mut().try_for_each(Node::stop)
    }
}

/// The end of a node's log and of what Java itself said.
fn tail(home: &Path) -> String {
    error::tail(&[&home.join("out"), &home.join("log")])
}

/// The lifetime that the options ask for.
fn lifetime(options: &Options) -> Lifetime {
    if options.detached { Lifetime::Detached } else { Lifetime::Handle }
}

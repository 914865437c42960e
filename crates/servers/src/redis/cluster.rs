//! Redis Cluster: three masters that share the slots, no replicas.

use std::path::Path;
use std::time::Duration;

use super::{Options, Reply, Server};
use crate::error::Result;
use crate::ports::Port;

/// As many as a majority that can lose one needs.
const MASTERS: usize = 3;

/// Redis Cluster's number of slots.
const SLOTS: usize = 16_384;

/// The nodes agree within a second or two of gossip.
const AGREE_MAX: Duration = Duration::from_secs(20);

/// Three masters; node 0 has the first third of the slots.
#[derive(Debug)]
pub struct Cluster {
    /// The masters, in the order of their slots.
    pub nodes: Vec<Server>,
    /// The nodes' own ports for gossip.
    _buses: Vec<Port>,
}

impl Cluster {
    /// Starts three masters with their files under `dir` and waits until each of them says that the
    /// cluster is complete.
    ///
    /// # Errors
    /// As [`Server::start`], and when they do not agree.
    pub fn start(dir: &Path, password: Option<&str>) -> Result<Self> {
        let mut cluster = Self { nodes: Vec::new(), _buses: Vec::new() };
        for number in 0..MASTERS {
            let bus = Port::free(&[std::net::Ipv4Addr::LOCALHOST])?;
            let options = Options { password: password.map(str::to_owned), ..Options::default() };
            let bus_number = bus.number().to_string();
            // A paused node counts as gone after two seconds, not fifteen.
            let more =
                ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", &bus_number];
            let home = dir.join(format!("node-{number}"));
            cluster.nodes.push(Server::start_as(&home, options, &more.map(str::to_owned))?);
            cluster._buses.push(bus);
        }
        cluster.join()?;
        Ok(cluster)
    }

    fn join(&mut self) -> Result<()> {
        for (index, node) in self.nodes.iter().enumerate() {
            let (first, last) = (SLOTS * index / MASTERS, SLOTS * (index + 1) / MASTERS - 1);
            node.ask(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()])?;
            // Epochs of their own, or the nodes would have to settle that first.
            node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()])?;
        }
        let (first, others) = self.nodes.split_at(1);
        for (node, bus) in others.iter().zip(&self._buses[1..]) {
            let port = node.address().port().to_string();
            first[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus.number().to_string()])?;
        }
        for node in &mut self.nodes {
            node.wait("in agreement", AGREE_MAX, is_complete)?;
        }
        Ok(())
    }

    /// The nodes as `redis://127.0.0.1:PORT`, without the password.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Server::url).collect()
    }
}

fn is_complete(node: &Server) -> bool {
    let info = node.ask(&["CLUSTER", "INFO"]).unwrap_or(Reply::Nil);
    let known = format!("cluster_known_nodes:{MASTERS}");
    let says = |line: &str| info.text().lines().any(|said| said == line);
    says("cluster_state:ok") && says(&known)
}

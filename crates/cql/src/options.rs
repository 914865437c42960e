//! What a program says about its database.

use std::fmt;
use std::time::Duration;

/// Where the database is, and how it is used.
#[derive(Clone)]
pub struct Options {
    /// Nodes to begin with, `host:port`; the others are learnt from them.
    pub nodes: Vec<String>,
    /// The keyspace: a lower-case letter, then up to 47 lower-case letters, digits and `_`.
    pub keyspace: String,
    /// The datacentre that all requests go to; `None`: the first node's.
    pub datacenter: Option<String>,
    /// Copies of each row in that datacentre, where the keyspace has to be created.
    pub replication_factor: u16,
    /// Who we are; `None` where the database asks for no password.
    pub user: Option<String>,
    /// The password.
    pub password: String,
    /// The authority that signed the nodes' certificates, as PEM; `None`: no TLS. A certificate has to
    /// name the address of its node: the driver knows nodes by address.
    pub tls_root: Option<Vec<u8>>,
    /// How long one request may take, retries included.
    pub request_timeout: Duration,
    /// The number of shards of the cluster, fixed for its life.
    pub shards: u16,
    /// How long a row of an inbox lives, in whole seconds; `None`: for ever.
    pub inbox_ttl: Option<Duration>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("nodes", &self.nodes)
            .field("keyspace", &self.keyspace)
            .field("datacenter", &self.datacenter)
            .field("user", &self.user)
            .field("tls", &self.tls_root.is_some())
            .finish_non_exhaustive()
    }
}

/// Longest name of a keyspace that both databases take.
const KEYSPACE_BYTES_MAX: usize = 48;

impl Options {
    /// Whether the keyspace's name may stand in a statement as it is.
    pub(crate) fn keyspace_is_a_name(&self) -> bool {
        let name = self.keyspace.as_bytes();
        name.len() <= KEYSPACE_BYTES_MAX
            && name.first().is_some_and(u8::is_ascii_lowercase)
            && name.iter().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'_')
    }

    /// The nodes as one text.
    pub(crate) fn place(&self) -> String {
        self.nodes.join(", ")
    }

    /// Seconds that a row of an inbox lives; 0 is for ever, as in CQL.
    pub(crate) fn inbox_ttl_s(&self) -> i32 {
        self.inbox_ttl.map_or(0, |ttl| ttl.as_secs().clamp(1, TTL_S_MAX) as i32)
    }
}

/// The longest TTL that both databases take: 20 years.
const TTL_S_MAX: u64 = 20 * 365 * 24 * 3600;

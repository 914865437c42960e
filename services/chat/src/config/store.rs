//! `[store]`: where everything that must survive is kept.

use std::fs;
use std::time::Duration;

use super::Mode;
use super::fields::Fields;
use super::key::{Absent, Key, Shape, Unit};
use super::secret::Secret;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "store.kind",
        shape: Shape::Choice(&["embedded", "cql"]),
        default: Absent::Is("embedded"),
        meaning: "Where data is kept: `embedded` in `node.data_dir`, `cql` in ScyllaDB or Apache Cassandra.",
    },
    Key {
        name: "store.cql.nodes",
        shape: Shape::Texts,
        default: Absent::Means("needed with `cql`"),
        meaning: "Some of the database's nodes, `host:port`; the others are found through them.",
    },
    Key {
        name: "store.cql.keyspace",
        shape: Shape::Text,
        default: Absent::Is("godwit"),
        meaning: "The keyspace; made if it is missing. 1 to 48 lower-case letters, digits and `_`.",
    },
    Key {
        name: "store.cql.datacenter",
        shape: Shape::Text,
        default: Absent::Means("that of the first node that answers"),
        meaning: "The database's datacentre that this node reads from and writes to, at LOCAL_QUORUM.",
    },
    Key {
        name: "store.cql.replication_factor",
        shape: Shape::Number { unit: Unit::Count, min: 1, max: 9 },
        default: Absent::Means("3, in `dev` 1"),
        meaning: "How many nodes of the datacentre hold each row. Read when the keyspace is made, and never again.",
    },
    Key {
        name: "store.cql.user",
        shape: Shape::Text,
        default: Absent::Means("no login"),
        meaning: "The role to log in as.",
    },
    Key {
        name: "store.cql.password_file",
        shape: Shape::Path,
        default: Absent::Means("no login"),
        meaning: "File with the role's password.",
    },
    Key {
        name: "store.cql.tls.ca_file",
        shape: Shape::Path,
        default: Absent::Means("no TLS"),
        meaning: "Certificates in PEM that the database's nodes are checked against; with it all traffic is TLS.",
    },
    Key {
        name: "store.cql.request_timeout_ms",
        shape: Shape::Number { unit: Unit::Milliseconds, min: 100, max: 60_000 },
        default: Absent::Is("2000"),
        meaning: "After this long a request counts as unanswered. Reads are tried again within the budget of retries, writes until they are known to be stored.",
    },
];

/// Longest name of a keyspace that both databases take.
const KEYSPACE_CHARS_MAX: usize = 48;
/// Copies of each row where nobody says otherwise: one may be away, one may be restarting.
const REPLICATION: u16 = 3;

/// Where everything that must survive is kept.
#[derive(Debug, Clone)]
pub enum Store {
    /// In this process, in [`super::Node::store_dir`].
    Embedded,
    /// In a database that speaks CQL.
    Cql(Cql),
}

/// `[store.cql]`.
#[derive(Debug, Clone)]
pub struct Cql {
    /// `host:port`.
    pub nodes: Vec<String>,
    /// A name that needs no quotes.
    pub keyspace: String,
    /// Whose replicas make up a quorum.
    pub datacenter: Option<String>,
    /// Copies of each row, where the keyspace is made.
    pub replication_factor: u16,
    /// Role and password.
    pub login: Option<(String, Secret)>,
    /// Roots in PEM.
    pub tls_ca: Option<Vec<u8>>,
    /// For one request.
    pub request_timeout: Duration,
}

impl Store {
    pub(super) fn read(fields: &mut Fields, mode: Mode) -> Self {
        let cql = Cql::read(fields, mode);
        let is_cql = fields.choice("store.kind") == Some("cql");
        if is_cql && cql.nodes.is_empty() && fields.sound(&["store.cql.nodes"]) {
            fields.problem(
                "store.cql.nodes",
                "is needed with store.kind = \"cql\"; name a node such as \"10.0.0.1:9042\"",
            );
        }
        if !is_cql && fields.is_given("store.cql.nodes") && fields.sound(&["store.kind"]) {
            fields.problem(
                "store.cql.nodes",
                "is read with store.kind = \"cql\" only; set that too, or remove this",
            );
        }
        if is_cql { Self::Cql(cql) } else { Self::Embedded }
    }
}

impl Cql {
    fn read(fields: &mut Fields, mode: Mode) -> Self {
        let nodes = fields.texts("store.cql.nodes");
        if let Some(wrong) = nodes.iter().find(|node| !is_host_and_port(node)) {
            let what = format!("has {wrong:?}, which is not host:port; write it as \"10.0.0.1:9042\"");
            fields.problem("store.cql.nodes", what);
        }
        let keyspace = fields.text("store.cql.keyspace").unwrap_or_default();
        if !is_keyspace(&keyspace) {
            let what = "must be 1 to 48 lower-case letters, digits and _, and begin with a letter";
            fields.problem("store.cql.keyspace", what);
        }
        let of_mode = if matches!(mode, Mode::Dev { .. }) { 1 } else { REPLICATION };
        let replication_factor = fields.optional_number("store.cql.replication_factor");
        Self {
            nodes,
            keyspace,
            datacenter: fields.text("store.cql.datacenter"),
            replication_factor: replication_factor
                .and_then(|number| u16::try_from(number).ok())
                .unwrap_or(of_mode),
            login: login(fields),
            tls_ca: certificates(fields),
            request_timeout: fields.duration("store.cql.request_timeout_ms"),
        }
    }
}

fn login(fields: &mut Fields) -> Option<(String, Secret)> {
    const USER: &str = "store.cql.user";
    const PASSWORD: &str = "store.cql.password_file";
    let user = fields.text(USER);
    let password = fields
        .path(PASSWORD)
        .and_then(|path| Secret::read(&path).map_err(|what| fields.problem(PASSWORD, what)).ok());
    match (user, password) {
        (Some(user), Some(password)) => Some((user, password)),
        (Some(_), None) if fields.sound(&[PASSWORD]) => {
            fields.problem(PASSWORD, format!("is needed with {USER}; name a file with the password"));
            None
        }
        (None, Some(_)) if fields.sound(&[USER]) => {
            fields.problem(USER, format!("is needed with {PASSWORD}; name the role"));
            None
        }
        _ => None,
    }
}

fn certificates(fields: &mut Fields) -> Option<Vec<u8>> {
    const CA: &str = "store.cql.tls.ca_file";
    let path = fields.path(CA)?;
    let unreadable = |error| format!("cannot be read ({error}); name a file of certificates in PEM");
    let pem = fs::read(path).map_err(|error| fields.problem(CA, unreadable(error))).ok()?;
    if !pem.windows(BEGIN.len()).any(|window| window == BEGIN) {
        fields.problem(CA, "holds no certificate in PEM; it has to have a line -----BEGIN CERTIFICATE-----");
    }
    Some(pem)
}

/// How a certificate begins (RFC 7468, section 5.1).
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn is_keyspace(name: &str) -> bool {
    name.len() <= KEYSPACE_CHARS_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_and_keyspaces_are_told_from_what_is_none() {
        for node in ["a:9042", "10.0.0.1:9042", "[::1]:1", "scylla.db.svc:65535"] {
            assert!(is_host_and_port(node), "{node}");
        }
        for node in ["", "a", "a:", ":9042", "a:0", "a:65536", "a:b"] {
            assert!(!is_host_and_port(node), "{node}");
        }
        assert!(is_keyspace("godwit") && is_keyspace("chat_2") && is_keyspace(&"a".repeat(48)));
        for name in ["", "_a", "Chat", "2a", "a-b", "a b", "ä", &"a".repeat(49)] {
            assert!(!is_keyspace(name), "{name}");
        }
    }
}

//! `[cluster]`: nodes that share a database.

use std::time::Duration;

use super::fields::Fields;
use super::key::{Absent, Key, Shape, Unit};

pub(super) const KEYS: &[Key] = &[Key {
    name: "cluster.lease_ms",
    shape: Shape::Number { unit: Unit::Milliseconds, min: 1_000, max: 60_000 },
    default: Absent::Is("5000"),
    meaning: "How long a node may be silent before another one declares it dead and takes its shards. The same on all nodes; for `store.kind = \"cql\"`.",
}];

/// Nodes that share a database.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// After this long, and a tenth, a silent node is declared dead.
    pub lease: Duration,
}

impl Cluster {
    pub(super) fn read(fields: &mut Fields) -> Self {
        Self { lease: fields.duration("cluster.lease_ms") }
    }
}

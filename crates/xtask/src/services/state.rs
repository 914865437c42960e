//! What `up` remembers: which servers it started and on which ports.

use std::io;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

const FILE: &str = "state.json";

/// What `up` started last. Whether it runs still, the pid files know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) redis_port: Option<u16>,
    pub(super) cql: Option<Cql>,
}

/// The servers that speak CQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cql {
    pub(super) kind: Kind,
    pub(super) nodes: u8,
    pub(super) port: u16,
}

/// Which program they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Cassandra,
    /// In a container of this engine.
    Scylla(String),
}

impl State {
    /// # Errors
    /// When the file is there and is not ours.
    pub(super) fn read(home: &Path) -> Result<State> {
        let file = home.join(FILE);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        let value: Value =
            serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
        let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
        let cql = || {
            let cql = &value["cql"];
            let kind = match cql["engine"].as_str() {
                Some(engine) => Kind::Scylla(engine.to_owned()),
                None => Kind::Cassandra,
            };
            let nodes = u8::try_from(number(&cql["nodes"])?).ok()?;
            Some(Cql { kind, nodes, port: number(&cql["port"])? })
        };
        Ok(State { redis_port: number(&value["redis"]["port"]), cql: cql() })
    }

    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&self, home: &Path) -> Result<()> {
        let cql = self.cql.as_ref().map(|cql| {
            let engine = match &cql.kind {
                Kind::Cassandra => None,
                Kind::Scylla(engine) => Some(engine),
            };
            json!({"engine": engine, "nodes": cql.nodes, "port": cql.port})
        });
        let value = json!({"redis": self.redis_port.map(|port| json!({"port": port})), "cql": cql});
        let file = home.join(FILE);
        std::fs::write(&file, format!("{value:#}\n"))
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

//! The configuration: one typed section for each subsystem, checked as a whole at start.
//!
//! A flag beats the environment, the environment beats the file, the file beats the default. Every
//! mistake is found at once, and each says in one line where it is, which field, its value, what
//! is wrong and what would be right. This is read field by field with code of our own and not by a
//! derived `Deserialize`: that stops at the first mistake, and knows neither the line of a merged
//! value nor what would be right.

mod auth;
mod cluster;
mod drain;
mod fields;
mod key;
mod layers;
mod limits;
mod node;
mod problem;
mod redis;
mod retention;
mod secret;
mod store;
mod stream;
mod telemetry;

use std::fmt;
use std::sync::LazyLock;

pub use auth::{Auth, KeySource, PemKey};
pub use cluster::Cluster;
pub use drain::Drain;
use fields::Fields;
pub use key::Key;
pub use layers::Sources;
pub use limits::Limits;
pub use node::Node;
pub use problem::{Place, Problem, Problems};
pub use redis::Redis;
pub use retention::Retention;
pub use secret::{SIGNING_SECRET_BYTES_MIN, Secret};
pub use store::{Cql, Store};
pub use stream::{Overflow, Stream};
pub use telemetry::Telemetry;

/// All keys, section by section.
pub static KEYS: LazyLock<Vec<&'static Key>> = LazyLock::new(|| {
    let sections = [
        node::KEYS,
        auth::KEYS,
        store::KEYS,
        cluster::KEYS,
        redis::KEYS,
        stream::KEYS,
        retention::KEYS,
        limits::KEYS,
        drain::KEYS,
        telemetry::KEYS,
    ];
    sections.into_iter().flatten().collect()
});

/// What the configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A node for real.
    Serve,
    /// A node to try things on: tokens for everybody.
    Dev {
        /// The operator knows what it means to let others reach it.
        i_know: bool,
    },
}

/// The whole configuration, found to be right.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[node]`.
    pub node: Node,
    /// `[auth]`.
    pub auth: Auth,
    /// `[store]`.
    pub store: Store,
    /// `[cluster]`.
    pub cluster: Cluster,
    /// `[redis]`.
    pub redis: Redis,
    /// `[stream]`.
    pub stream: Stream,
    /// `[retention]`.
    pub retention: Retention,
    /// `[limits]`.
    pub limits: Limits,
    /// `[drain]`.
    pub drain: Drain,
    /// `[telemetry]`.
    pub telemetry: Telemetry,
    /// Every key as it was given, to be shown. Secrets are in files, so that none is here.
    pub settings: Vec<Setting>,
}

/// One key as it is in force, and who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub name: &'static str,
    /// Its value as written; empty when there is none.
    pub value: String,
    /// Where it was written.
    pub place: Place,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value.as_str() {
            "" => write!(f, "# {} is not set", self.name),
            value => write!(f, "{} = {value}  # {}", self.name, self.place),
        }
    }
}

impl Config {
    /// Reads and checks everything, the files with secrets and keys included. Makes nothing and
    /// changes nothing. Errors: every mistake there is.
    pub fn load(sources: &Sources, mode: Mode) -> Result<Self, Problems> {
        let layers = layers::gather(sources, &KEYS);
        if layers.is_partial {
            return Err(Problems(layers.problems));
        }
        let mut fields = Fields::new(layers, &KEYS);
        let node = Node::read(&mut fields, mode);
        let auth = Auth::read(&mut fields, mode);
        let store = Store::read(&mut fields, mode);
        let redis = Redis::read(&mut fields);
        let cluster = Cluster::read(&mut fields);
        let stream = Stream::read(&mut fields);
        let retention = Retention::read(&mut fields);
        let limits = Limits::read(&mut fields, mode);
        let drain = Drain::read(&mut fields);
        let telemetry = Telemetry::read(&mut fields);
        let (settings, problems) = fields.finish();
        if problems.is_empty() {
            Ok(Self {
                node,
                auth,
                store,
                redis,
                cluster,
                stream,
                retention,
                limits,
                drain,
                telemetry,
                settings,
            })
        } else {
            Err(Problems(problems))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_right() {
        let config = Config::load(&Sources::default(), Mode::Dev { i_know: false }).unwrap();
        assert_eq!(config.node.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.limits.batch_bytes, 2 * 1024 * 1024);
        assert_eq!(config.settings.len(), KEYS.len());
    }

    #[test]
    fn no_key_is_there_twice() {
        let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KEYS.len());
    }

    /// Row by row, so that the page can neither lack a key nor say something else than the code.
    #[test]
    fn the_page_for_operators_has_every_key_as_it_is() {
        let page = include_str!("../../../docs/configuration.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let expected: Vec<String> = KEYS.iter().map(|key| key.row()).collect();
        for row in &expected {
            assert!(rows.contains(&row.as_str()), "docs/configuration.md lacks this row:\n{row}");
        }
        for row in &rows {
            assert!(
                expected.iter().any(|key| key == row),
                "docs/configuration.md has a row too many:\n{row}"
            );
        }
    }
}

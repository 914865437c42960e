//! Gathers what is given for each key, and by whom: a flag beats the environment, the environment
//! beats the file. Nothing is interpreted here but the names.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::Key;
use super::problem::{Place, Problem};

/// Before every variable of ours.
const PREFIX: &str = "GODWIT_";

/// Sections and keys that the design has and this release has not.
const LATER: &[&str] = &[
    "cluster.advertise",
    "cluster.cookie_file",
    "cluster.discovery",
    "cluster.listen",
    "cluster.name",
    "cluster.peers",
    "cluster.shards",
    "cluster.tls",
    "push",
    "telemetry.otlp",
    "telemetry.otlp_endpoint",
    "telemetry.sample",
    "tls",
];

/// Where the configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file, if one was named.
    pub file: Option<PathBuf>,
    /// The environment; variables of others are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags that were given: the flag, its key, its value.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    /// On the command line, in the environment, or as a default: a number, a text or a list.
    Words(String),
    /// A string of the file.
    Text(String),
    /// A whole number of the file.
    Integer(i64),
    /// A list of strings of the file.
    List(Vec<String>),
    /// Anything else in the file, which no key takes; as shown.
    Other(String),
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) raw: Raw,
    pub(super) place: Place,
}

/// What was given for the known keys, and the mistakes in names and syntax.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) values: BTreeMap<&'static str, Given>,
    pub(super) problems: Vec<Problem>,
    /// The file could not be read to its end: what seems to be missing may stand in it.
    pub(super) is_partial: bool,
}

pub(super) fn gather(sources: &Sources, keys: &[&'static Key]) -> Layers {
    let mut layers = Layers::default();
    if let Some(path) = &sources.file {
        layers.read_file(path, keys);
    }
    for (name, value) in &sources.environment {
        if let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) {
            layers.read_variable(name, value, keys);
        }
    }
    for (flag, key, value) in &sources.flags {
        layers.values.insert(key, Given { raw: Raw::Words(value.clone()), place: Place::Flag(flag) });
    }
    layers
}

impl Layers {
    fn read_file(&mut self, path: &Path, keys: &[&'static Key]) {
        let place = |line| Place::File { path: path.to_owned(), line };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let what = format!("cannot be read ({error}); name a TOML file that this user may read");
                self.is_partial = true;
                return self.problem(place(0), "", None, what);
            }
        };
        let line_of = |offset: usize| 1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count();
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in &errors {
            let line = error.span().map_or(0, |span| line_of(span.start));
            self.problem(place(line), "", None, format!("is no TOML: {}", error.message()));
        }
        // After a syntax error names stand in wrong places: complaints about them would mislead.
        self.is_partial = !errors.is_empty();
        if !self.is_partial {
            self.read_table(table.get_ref(), "", &|offset| place(line_of(offset)), keys);
        }
    }

    fn read_table(
        &mut self,
        table: &DeTable<'_>,
        within: &str,
        place_of: &dyn Fn(usize) -> Place,
        keys: &[&'static Key],
    ) {
        let is_key = |path: &str| keys.iter().any(|key| key.name == path);
        for (name, value) in table {
            let place = place_of(name.span().start);
            let path = if within.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{within}.{}", name.get_ref())
            };
            let is_section = keys.iter().any(|key| key.name.starts_with(&format!("{path}.")));
            match value.get_ref() {
                _ if is_later(&path) => self.later(place, &path),
                // Also in a section that nobody knows: its keys say best what was meant.
                DeValue::Table(inner) if is_section || !(inner.is_empty() || is_key(&path)) => {
                    self.read_table(inner, &path, place_of, keys);
                }
                other if is_section => {
                    let what = format!("is a section; write its keys below a line [{path}]");
                    self.problem(place, &path, Some(shown(other)), what);
                }
                other => match keys.iter().find(|key| key.name == path) {
                    Some(key) => {
                        self.values.insert(key.name, Given { raw: raw(other), place });
                    }
                    None => self.unknown(place, &path, keys),
                },
            }
        }
    }

    fn read_variable(&mut self, name: &str, value: &OsString, keys: &[&'static Key]) {
        if is_service_link(name) {
            return;
        }
        let place = Place::Variable(name.to_owned());
        let path = name[PREFIX.len()..].replace("__", ".").to_lowercase();
        match (keys.iter().find(|key| key.variable() == name), value.to_str()) {
            (None, _) if is_later(&path) => self.later(place, &path),
            (None, _) => {
                let nearest = nearest(&path, keys).variable();
                let what = format!("is no variable of this program; did you mean {nearest}?");
                self.problem(place, "", None, what);
            }
            (Some(key), None) => {
                self.problem(place, key.name, None, "is not UTF-8; write it in UTF-8".into());
            }
            (Some(key), Some(value)) => {
                self.values.insert(key.name, Given { raw: Raw::Words(value.to_owned()), place });
            }
        }
    }

    fn later(&mut self, place: Place, path: &str) {
        self.problem(place, path, None, "is not in this release; remove it".into());
    }

    fn unknown(&mut self, place: Place, path: &str, keys: &[&'static Key]) {
        let nearest = nearest(path, keys).name;
        self.problem(place, path, None, format!("is no known key; did you mean {nearest}?"));
    }

    fn problem(&mut self, place: Place, field: &str, value: Option<String>, what: String) {
        self.problems.push(Problem { place, field: field.to_owned(), value, what });
    }
}

fn is_later(path: &str) -> bool {
    LATER
        .iter()
        .any(|later| path == *later || path.strip_prefix(later).is_some_and(|rest| rest.starts_with('.')))
}

/// Kubernetes gives every container variables for the services of its namespace. For a service
/// `godwit` or `godwit-…` they begin like ours: `GODWIT_SERVICE_HOST`, `GODWIT_PORT`,
/// `GODWIT_PORT_8080_TCP_ADDR`. No variable of ours looks like that: they all have `__`.
fn is_service_link(name: &str) -> bool {
    let protocol = |text: &str| ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| text.contains(protocol));
    !name.contains("__")
        && (name.ends_with("_SERVICE_HOST")
            || name.ends_with("_SERVICE_PORT")
            || name.contains("_SERVICE_PORT_")
            || name.ends_with("_PORT")
            || name.split_once("_PORT_").is_some_and(|(_, rest)| protocol(rest)))
}

/// The known key that looks most like `path`; a right name in a wrong section counts as near.
fn nearest(path: &str, keys: &[&'static Key]) -> &'static Key {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |key: &&&'static Key| {
        let whole = strsim::damerau_levenshtein(path, key.name);
        let moved = strsim::damerau_levenshtein(&last(path), &last(key.name)) + 2;
        whole.min(moved)
    };
    keys.iter().min_by_key(distance).copied().expect("there are keys")
}

fn raw(value: &DeValue<'_>) -> Raw {
    let strings = |list: &[Spanned<DeValue<'_>>]| {
        list.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
    };
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Raw::Integer(number),
            Err(_) => Raw::Other(shown(value)),
        },
        DeValue::Array(list) => strings(list).map_or_else(|| Raw::Other(shown(value)), Raw::List),
        _ => Raw::Other(shown(value)),
    }
}

/// The value as an error shows it.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "[…]".to_owned(),
        DeValue::Table(_) => "{…}".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_kubernetes_are_not_ours() {
        for name in [
            "GODWIT_SERVICE_HOST",
            "GODWIT_SERVICE_PORT",
            "GODWIT_SERVICE_PORT_HTTP",
            "GODWIT_PORT",
            "GODWIT_PORT_8080_TCP",
            "GODWIT_PORT_8080_TCP_ADDR",
            "GODWIT_CHAT_PORT_9090_UDP_PORT",
        ] {
            assert!(is_service_link(name), "{name}");
        }
        for name in ["GODWIT_STORE_KIND", "GODWIT_NODE__ADMIN_PORT", "GODWIT_LISTEN"] {
            assert!(!is_service_link(name), "{name}");
        }
    }

    #[test]
    fn the_nearest_key() {
        let nearest = |path| nearest(path, &super::super::KEYS).name;
        assert_eq!(nearest("store.knid"), "store.kind");
        assert_eq!(nearest("stroe.kind"), "store.kind");
        assert_eq!(nearest("node.heartbeat_ms"), "stream.heartbeat_ms");
        assert_eq!(nearest("store_kind"), "store.kind");
        assert_eq!(nearest("listen"), "node.listen");
    }
}

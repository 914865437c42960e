//! `[redis]`: where the nodes of a cluster share what may be lost.

use std::fs;

use godwit_cache::{Options, OptionsError, Settings};

use super::fields::Fields;
use super::key::{Absent, Key, Shape, Unit};
use super::secret::Secret;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "redis.url",
        shape: Shape::Texts,
        default: Absent::Means("none: presence, rates and the push queue are in the process"),
        meaning: "`redis://host:port`, `rediss://…` for TLS, or `unix:///path`; of a cluster or of sentinels several. \
                  No password in it.",
    },
    Key {
        name: "redis.cluster",
        shape: Shape::Switch,
        default: Absent::Is("false"),
        meaning: "Whether the addresses are nodes of a Redis cluster.",
    },
    Key {
        name: "redis.sentinel_master",
        shape: Shape::Text,
        default: Absent::Means("none"),
        meaning: "The addresses are sentinels, and they know the master by this name.",
    },
    Key {
        name: "redis.user",
        shape: Shape::Text,
        default: Absent::Means("Redis's own `default`"),
        meaning: "Whom to log in as.",
    },
    Key {
        name: "redis.password_file",
        shape: Shape::Path,
        default: Absent::Means("no password"),
        meaning: "File with the password of the Redis servers.",
    },
    Key {
        name: "redis.tls.ca_file",
        shape: Shape::Path,
        default: Absent::Means("the system's"),
        meaning: "PEM file with the certificates that may sign the servers', for `rediss://`.",
    },
    Key {
        name: "redis.prefix",
        shape: Shape::Text,
        default: Absent::Is("godwit:"),
        meaning: "What every key in Redis begins with. The same on all nodes of a cluster.",
    },
    Key {
        name: "redis.timeout_ms",
        shape: Shape::Number { unit: Unit::Milliseconds, min: 1, max: 10_000 },
        default: Absent::Is("250"),
        meaning: "Time for one command. No request waits for Redis for longer.",
    },
];

/// Keys that mean nothing without `redis.url`, and `redis.cluster` when it is true.
const OF_A_SERVER: [&str; 4] =
    ["redis.sentinel_master", "redis.user", "redis.password_file", "redis.tls.ca_file"];

/// Where what may be lost is shared. None: nowhere, it is in the process.
#[derive(Debug, Clone)]
pub struct Redis(pub Option<Options>);

impl Redis {
    pub(super) fn read(fields: &mut Fields) -> Self {
        let settings = Settings {
            urls: fields.texts("redis.url"),
            cluster: fields.switch("redis.cluster"),
            sentinel_master: fields.text("redis.sentinel_master"),
            user: fields.text("redis.user"),
            password: password(fields),
            roots_pem: roots(fields),
            prefix: fields.text("redis.prefix").unwrap_or_default(),
            timeout: fields.duration("redis.timeout_ms"),
            ..Settings::default()
        };
        if !fields.is_given("redis.url") {
            let given = OF_A_SERVER.into_iter().filter(|name| fields.is_given(name));
            let lonely: Vec<_> = given.chain(settings.cluster.then_some("redis.cluster")).collect();
            for name in lonely {
                fields.problem(name, "needs redis.url beside it");
            }
            return Self(None);
        }
        if !fields.sound(&["redis.url"]) {
            return Self(None);
        }
        // The effective configuration is shown, and with it this.
        if settings.urls.iter().any(|url| has_password(url)) {
            let what = "must have no password; write it into a file that redis.password_file names";
            fields.problem_hiding_value("redis.url", what);
            return Self(None);
        }
        let checked = Options::parse(&settings).map_err(|error| note(fields, &error));
        Self(checked.ok())
    }
}

fn note(fields: &mut Fields, error: &OptionsError) {
    let name = match error {
        OptionsError::Url(_) => return fields.problem_hiding_value("redis.url", error.to_string()),
        OptionsError::SentinelMaster(_) => "redis.sentinel_master",
        OptionsError::Roots(_) => "redis.tls.ca_file",
        OptionsError::Prefix(_) => "redis.prefix",
        OptionsError::Timeout(_) => "redis.timeout_ms",
    };
    fields.problem(name, error.to_string());
}

/// Whether the part before an `@` has a colon, whatever the rest of the address looks like.
fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.rsplit_once('@').is_some_and(|(login, _)| login.contains(':'))
}

fn password(fields: &mut Fields) -> Option<String> {
    let path = fields.path("redis.password_file")?;
    let read = Secret::read(&path).and_then(|secret| {
        String::from_utf8(secret.expose().to_vec())
            .map_err(|_| "is not UTF-8; write the password into it".into())
    });
    read.map_err(|what: String| fields.problem("redis.password_file", what)).ok()
}

fn roots(fields: &mut Fields) -> Option<Vec<u8>> {
    let path = fields.path("redis.tls.ca_file")?;
    let unreadable = |error| format!("cannot be read ({error}); name a PEM file that this user may read");
    fs::read(path).map_err(|error| fields.problem("redis.tls.ca_file", unreadable(error))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_found_in_any_address() {
        for url in ["redis://:hunter2@a", "redis://u:p@a:1", "u:p@a", "redis://u:p@ss@a"] {
            assert!(has_password(url), "{url}");
        }
        for url in ["redis://a:6379", "redis://user@a:6379", "unix:///run/redis.sock"] {
            assert!(!has_password(url), "{url}");
        }
    }
}

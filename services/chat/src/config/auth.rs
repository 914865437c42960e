//! `[auth]`: whose tokens this node believes.

mod pem;

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use jsonwebtoken::Algorithm;

use super::Mode;
use super::fields::Fields;
use super::key::{Absent, Key, Shape, Unit};
use super::secret::Secret;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "auth.secret_file",
        shape: Shape::Paths,
        default: Absent::Means("`dev` makes one at first start"),
        meaning: "File with the secret that signs tokens (HS256), at least 32 bytes. Several while secrets are rotated: \
                  each is believed.",
    },
    Key {
        name: "auth.key_files",
        shape: Shape::Paths,
        default: Absent::Means("none"),
        meaning: "PEM files with public keys (RSA, P-256, Ed25519). A file's name without its ending is the `kid`.",
    },
    Key {
        name: "auth.jwks_url",
        shape: Shape::Url,
        default: Absent::Means("none"),
        meaning: "Address of a JSON Web Key Set.",
    },
    Key {
        name: "auth.algorithms",
        shape: Shape::Choices(&["HS256", "RS256", "ES256", "EdDSA"]),
        default: Absent::Means("all that fit the source of the keys"),
        meaning: "Signature algorithms that are believed: HS256 with secrets, the others with keys.",
    },
    Key {
        name: "auth.issuer",
        shape: Shape::Text,
        default: Absent::Means("any"),
        meaning: "What `iss` of a token must be.",
    },
    Key {
        name: "auth.audience",
        shape: Shape::Texts,
        default: Absent::Means("any"),
        meaning: "What `aud` of a token must be or have; one of these.",
    },
    Key {
        name: "auth.leeway_s",
        shape: Shape::Number { unit: Unit::Seconds, min: 0, max: 300 },
        default: Absent::Is("30"),
        meaning: "By how much the clocks of this node and of the tokens' issuer may differ.",
    },
];

/// Exactly one of these is a node's source of keys.
const SOURCES: [&str; 3] = ["auth.secret_file", "auth.key_files", "auth.jwks_url"];

/// Whose tokens this node believes.
#[derive(Debug, Clone)]
pub struct Auth {
    /// Where its keys come from.
    pub keys: KeySource,
    /// Algorithms that are believed; never empty, and all of the kind of `keys`.
    pub algorithms: Vec<Algorithm>,
    /// What `iss` must be, if anything.
    pub issuer: Option<String>,
    /// One of these `aud` must be; empty: any.
    pub audience: Vec<String>,
    /// How far clocks may differ.
    pub leeway: Duration,
}

/// Where the keys come from that tokens are checked with.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// Shared secrets, for HS256; never empty.
    Secrets(Vec<Secret>),
    /// Public keys out of files; never empty.
    Pem(Vec<PemKey>),
    /// The address of a key set.
    Jwks(Uri),
    /// `dev` without any of these: a secret in the data directory, see [`crate::dev::secret`].
    Development,
}

/// A public key.
#[derive(Debug, Clone)]
pub struct PemKey {
    /// Its `kid`: the file's name without its ending.
    pub kid: String,
    /// The text of the file.
    pub pem: Vec<u8>,
    /// The one algorithm this key is for.
    pub algorithm: Algorithm,
}

impl Auth {
    pub(super) fn read(fields: &mut Fields, mode: Mode) -> Self {
        let keys = read_keys(fields, mode);
        let algorithms = read_algorithms(fields, &keys);
        Self {
            keys,
            algorithms,
            issuer: fields.text("auth.issuer"),
            audience: fields.texts("auth.audience"),
            leeway: fields.duration("auth.leeway_s"),
        }
    }
}

fn read_keys(fields: &mut Fields, mode: Mode) -> KeySource {
    let given: Vec<&'static str> = SOURCES.into_iter().filter(|name| fields.is_given(name)).collect();
    if let [first, second, ..] = given[..] {
        fields.problem(second, format!("cannot stand beside {first}; keep one of {}", SOURCES.join(", ")));
    }
    if let (Mode::Dev { .. }, Some(name)) = (mode, given.iter().find(|name| **name != "auth.secret_file")) {
        fields.problem(name, "is not for `dev`, which signs tokens itself; use auth.secret_file, or `serve`");
    }
    match given.first() {
        Some(&"auth.secret_file") => KeySource::Secrets(read_secrets(fields)),
        Some(&"auth.key_files") => KeySource::Pem(read_pems(fields)),
        Some(&"auth.jwks_url") => read_url(fields).map_or(KeySource::Development, KeySource::Jwks),
        _ => {
            if mode == Mode::Serve {
                fields.problem(
                    "auth",
                    format!(
                        "says nothing of the keys that tokens are checked with; give one of {}",
                        SOURCES.join(", ")
                    ),
                );
            }
            KeySource::Development
        }
    }
}

fn read_secrets(fields: &mut Fields) -> Vec<Secret> {
    read_files(fields, "auth.secret_file", Secret::read_for_signing)
}

fn read_pems(fields: &mut Fields) -> Vec<PemKey> {
    read_files(fields, "auth.key_files", |path| {
        let text = Secret::read(path)?;
        let algorithm = pem::algorithm(text.expose())?;
        let kid = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(PemKey { kid, pem: text.expose().to_vec(), algorithm })
    })
}

fn read_files<T>(
    fields: &mut Fields,
    name: &'static str,
    read: impl Fn(&Path) -> Result<T, String>,
) -> Vec<T> {
    let paths: Vec<PathBuf> = fields.paths(name);
    let mut found = Vec::new();
    for path in &paths {
        match read(path) {
            Ok(value) => found.push(value),
            Err(what) if paths.len() == 1 => fields.problem(name, what),
            Err(what) => fields.problem(name, format!("{} {what}", path.display())),
        }
    }
    found
}

/// Whoever can change the answer of this address can sign tokens: so not in the clear.
fn read_url(fields: &mut Fields) -> Option<Uri> {
    let name = "auth.jwks_url";
    let text = fields.text(name)?;
    let Ok(url) = text.parse::<Uri>() else {
        fields.problem_hiding_value(name, "is no address; write https://host/path");
        return None;
    };
    let Some(authority) = url.authority() else {
        fields.problem(name, "names no host; write https://host/path");
        return None;
    };
    if authority.as_str().contains('@') {
        fields.problem_hiding_value(
            name,
            "has a user or password in it; a key set is public, write https://host/path",
        );
        return None;
    }
    let host = authority.host().trim_matches(['[', ']']);
    let is_loopback =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.scheme_str() {
        Some("https") => Some(url),
        Some("http") if is_loopback => Some(url),
        _ => {
            fields.problem(name, "is not https; whoever can change the answer on its way can sign tokens");
            None
        }
    }
}

fn read_algorithms(fields: &mut Fields, keys: &KeySource) -> Vec<Algorithm> {
    let name = "auth.algorithms";
    let asymmetric = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    let fitting: &[Algorithm] = match keys {
        KeySource::Secrets(_) | KeySource::Development => &[Algorithm::HS256],
        KeySource::Pem(_) | KeySource::Jwks(_) => &asymmetric,
    };
    let chosen: Vec<Algorithm> =
        fields.choices(name).into_iter().filter_map(|word| word.parse().ok()).collect();
    if chosen.is_empty() || !fields.sound(&SOURCES) {
        return fitting.to_vec();
    }
    if let Some(wrong) = chosen.iter().find(|algorithm| !fitting.contains(algorithm)) {
        let fitting: Vec<String> = fitting.iter().map(|algorithm| format!("{algorithm:?}")).collect();
        let what =
            format!("has {wrong:?}, which does not fit the source of the keys; here: {}", fitting.join(", "));
        fields.problem(name, what);
    } else if let KeySource::Pem(keys) = keys
        && let Some(key) = keys.iter().find(|key| !chosen.contains(&key.algorithm))
    {
        let what = format!(
            "lacks {:?}, the algorithm of the key {:?}; add it or remove the key",
            key.algorithm, key.kid
        );
        fields.problem(name, what);
    }
    chosen
}

//! `[node]`: who this node is and where it listens.

use std::net::SocketAddr;
use std::path::PathBuf;

use godwit_types::DeviceId;

use super::Mode;
use super::fields::Fields;
use super::key::{Absent, Key, Shape};
use super::secret::Secret;

/// Fewest bytes of the operator's token: 128 bits in hexadecimal would be 32, in base64 22.
const ADMIN_TOKEN_BYTES_MIN: usize = 22;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "node.id",
        shape: Shape::Id,
        default: Absent::Means("the host's name"),
        meaning: "What this node is called in logs and on the operator's page.",
    },
    Key {
        name: "node.zone",
        shape: Shape::Text,
        default: Absent::Means("none"),
        meaning: "The zone the node runs in. For placement, which is not in this release.",
    },
    Key {
        name: "node.region",
        shape: Shape::Text,
        default: Absent::Means("none"),
        meaning: "The region the node runs in. For placement, which is not in this release.",
    },
    Key {
        name: "node.listen",
        shape: Shape::Address,
        default: Absent::Is("127.0.0.1:8080"),
        meaning: "Where clients connect. Port 0: a free one, which the log names.",
    },
    Key {
        name: "node.admin_listen",
        shape: Shape::Address,
        default: Absent::Is("127.0.0.1:9090"),
        meaning: "The operator's port; not for clients.",
    },
    Key {
        name: "node.admin_token_file",
        shape: Shape::Path,
        default: Absent::Means("no `/admin/…` with `serve`; open with `dev`"),
        meaning: "File with the bearer token for `/admin/…`, at least 22 printable ASCII characters.",
    },
    Key {
        name: "node.data_dir",
        shape: Shape::Path,
        default: Absent::Means("`./godwit-data` with `dev`; `serve` needs it"),
        meaning: "Directory of this node's data; made when missing. The store is in `store` within it.",
    },
    Key {
        name: "node.cors_origins",
        shape: Shape::Origins,
        default: Absent::Means("none"),
        meaning: "Web origins whose pages may call this node from a browser (CORS).",
    },
];

/// Who this node is and where it listens.
#[derive(Debug, Clone)]
pub struct Node {
    /// Name of the node. It has the alphabet of a device id.
    pub id: String,
    /// Zone, for the operator.
    pub zone: Option<String>,
    /// Region, for the operator.
    pub region: Option<String>,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// The operator's port.
    pub admin_listen: SocketAddr,
    /// Bearer token for `/admin/…`.
    pub admin_token: Option<Secret>,
    /// Directory of all data; see [`Node::store_dir`].
    pub data_dir: PathBuf,
    /// Web origins that may call, each `scheme://host[:port]`.
    pub cors_origins: Vec<String>,
}

impl Node {
    /// The store's own directory: it refuses one that holds anything else.
    pub fn store_dir(&self) -> PathBuf {
        self.data_dir.join("store")
    }

    pub(super) fn read(fields: &mut Fields, mode: Mode) -> Self {
        let node = Self {
            id: fields.id("node.id").as_ref().map_or_else(host_name, DeviceId::to_string),
            zone: fields.text("node.zone"),
            region: fields.text("node.region"),
            listen: fields.address("node.listen"),
            admin_listen: fields.address("node.admin_listen"),
            admin_token: admin_token(fields),
            data_dir: data_dir(fields, mode),
            cors_origins: cors_origins(fields),
        };
        if fields.sound(&["node.listen", "node.admin_listen"]) {
            node.check_addresses(fields, mode);
        }
        node
    }

    fn check_addresses(&self, fields: &mut Fields, mode: Mode) {
        if self.listen == self.admin_listen && self.listen.port() != 0 {
            fields.problem(
                "node.admin_listen",
                "is node.listen too; give the operator's port an address of its own",
            );
        }
        if mode != (Mode::Dev { i_know: false }) {
            return;
        }
        for (name, address) in [("node.listen", self.listen), ("node.admin_listen", self.admin_listen)] {
            if !address.ip().is_loopback() {
                fields.problem(
                    name,
                    "is not a loopback address, and `dev` gives tokens for every account to anyone who asks; \
                     listen on 127.0.0.1, use `serve`, or add --i-know",
                );
            }
        }
    }
}

fn data_dir(fields: &mut Fields, mode: Mode) -> PathBuf {
    let given = fields.path("node.data_dir");
    // Only `dev` may choose for itself: a server that was started in another directory than the
    // day before would come up empty.
    if given.is_none() && mode == Mode::Serve && fields.sound(&["node.data_dir"]) {
        fields.problem("node.data_dir", "is missing; name the directory for this node's data");
    }
    given.unwrap_or_else(|| PathBuf::from("./godwit-data"))
}

fn admin_token(fields: &mut Fields) -> Option<Secret> {
    let name = "node.admin_token_file";
    let token = Secret::read(&fields.path(name)?);
    let sendable = |secret: &Secret| {
        secret.expose().len() >= ADMIN_TOKEN_BYTES_MIN && secret.expose().iter().all(u8::is_ascii_graphic)
    };
    match token {
        Ok(token) if sendable(&token) => return Some(token),
        Ok(_) => fields.problem(
            name,
            format!(
                "must hold at least {ADMIN_TOKEN_BYTES_MIN} printable ASCII characters without spaces; make them with: \
                 openssl rand -hex 32"
            ),
        ),
        Err(what) => fields.problem(name, what),
    }
    None
}

fn cors_origins(fields: &mut Fields) -> Vec<String> {
    let name = "node.cors_origins";
    let origins = fields.texts(name);
    if let Some(wrong) = origins.iter().find(|origin| !is_origin(origin)) {
        let what = format!("has {wrong:?}, which is no origin; write scheme://host[:port] without a path");
        fields.problem(name, what);
    }
    origins
}

/// What a browser sends as `Origin` (RFC 6454, 6.2): lower case, no path, no user.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let authority = rest.and_then(|rest| rest.parse::<http::uri::Authority>().ok());
    authority.is_some_and(|authority| {
        !authority.as_str().contains('@') && !text.chars().any(|c| c.is_ascii_uppercase())
    })
}

/// The kernel's name for this host, when that can be an id; else `node`.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    DeviceId::new(name.trim()).map_or_else(|_| "node".to_owned(), |id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for right in ["https://chat.example.org", "http://127.0.0.1:8080", "http://[::1]:8080"] {
            assert!(is_origin(right), "{right}");
        }
        for wrong in
            ["", "*", "chat.example.org", "https://", "https://a/", "https://a/b", "https://u@a", "https://A"]
        {
            assert!(!is_origin(wrong), "{wrong}");
        }
    }
}

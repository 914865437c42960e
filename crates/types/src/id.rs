//! Identifiers. Cheap to clone: the text is shared, never copied.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// Longest account id, in bytes.
const ACCOUNT_ID_BYTES_MAX: usize = 128;
/// Longest of every other id, in bytes.
const ID_BYTES_MAX: usize = 64;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// Longer than the kind of id allows.
    #[error("must be at most {max} characters long, but has {len}")]
    TooLong {
        /// Length found, in bytes.
        len: usize,
        /// Length allowed, in bytes.
        max: usize,
    },
    /// A character outside the alphabet of this kind of id.
    #[error("must consist of {alphabet}, but has {found:?} at offset {at}")]
    Character {
        /// The character found.
        found: char,
        /// Its byte offset.
        at: usize,
        /// What is allowed, in words.
        alphabet: &'static str,
    },
    /// `.` and `..` would be eaten by every URL normaliser on the way.
    #[error("must not be \".\" or \"..\"")]
    Dots,
}

fn check_id(text: &str) -> Result<(), IdError> {
    check(text, ID_BYTES_MAX, "A-Z a-z 0-9 . _ ~ -", |c| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '-')
    })
}

fn check_account(text: &str) -> Result<(), IdError> {
    check(text, ACCOUNT_ID_BYTES_MAX, "printable ASCII", |c| c.is_ascii_graphic() || c == ' ')
}

fn check(
    text: &str,
    max: usize,
    alphabet: &'static str,
    allowed: impl Fn(char) -> bool,
) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > max {
        return Err(IdError::TooLong { len: text.len(), max });
    }
    if let Some((at, found)) = text.char_indices().find(|&(_, c)| !allowed(c)) {
        return Err(IdError::Character { found, at, alphabet });
    }
    if text == "." || text == ".." {
        return Err(IdError::Dots);
    }
    Ok(())
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes the text. Errors say which rule of `docs/api.md` it breaks.
            pub fn new(text: &str) -> Result<Self, IdError> {
                $check(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id!(
    /// Who: whatever `sub` of a token says. Up to 128 printable ASCII bytes.
    AccountId, check_account
);
text_id!(
    /// One of an account's devices: `dev` of a token.
    DeviceId, check_id
);
text_id!(
    /// A conversation. Made by the server, see [`conversation_id`].
    ConversationId, check_id
);
text_id!(
    /// A node of the cluster: `node.id` of its configuration.
    NodeId, check_id
);
text_id!(
    /// What a sender calls its message, so that sending it again is no second message.
    ClientId, check_id
);

/// Deterministic conversation ids: two nodes that open one at the same instant mean the same one.
pub mod conversation_id {
    use super::{AccountId, ClientId, ConversationId, digest, text};

    /// The direct conversation of two accounts, in whichever order they are named.
    pub fn direct(a: &AccountId, b: &AccountId) -> ConversationId {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        ConversationId(text('d', &digest("direct", &[low.as_str(), high.as_str()])))
    }

    /// The group that `creator` made under `client_id`.
    pub fn group(creator: &AccountId, client_id: &ClientId) -> ConversationId {
        ConversationId(text('g', &digest("group", &[creator.as_str(), client_id.as_str()])))
    }
}

/// SHA-256 over a domain and parts, each preceded by its length (u32, big endian), so that no two
/// different lists of parts are one byte string.
fn digest(domain: &str, parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in std::iter::once(&domain).chain(parts) {
        hasher.update((part.len() as u32).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// `kind` and the first 125 bits of a digest as 25 characters of lower-case base32 (RFC 4648, section 6).
fn text(kind: char, digest: &[u8; 32]) -> Arc<str> {
    let mut out = String::with_capacity(26);
    out.push(kind);
    for i in 0..25 {
        out.push(char::from(BASE32[usize::from(bits5(digest, i))]));
    }
    Arc::from(out)
}

/// The `i`-th group of five bits.
pub(crate) fn bits5(bytes: &[u8], i: usize) -> u8 {
    let bit = i * 5;
    let word = u16::from(bytes[bit / 8]) << 8 | u16::from(*bytes.get(bit / 8 + 1).unwrap_or(&0));
    ((word >> (11 - bit % 8)) & 31) as u8
}

pub(crate) fn base32(value: u8) -> char {
    char::from(BASE32[usize::from(value & 31)])
}

/// A message's identity: a UUIDv8 (RFC 9562, section 5.8) made from who said it, where, and what the
/// sender calls it. A retry has the same one whatever happened to the first attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId([u8; 16]);

impl MessageId {
    /// SHA-256 of the three, cut to 128 bits, with version and variant set.
    pub fn of(conversation: &ConversationId, sender: &AccountId, client_id: &ClientId) -> Self {
        let full = digest("message", &[conversation.as_str(), sender.as_str(), client_id.as_str()]);
        let mut id = [0; 16];
        id.copy_from_slice(&full[..16]);
        id[6] = id[6] & 0x0f | 0x80;
        id[8] = id[8] & 0x3f | 0x80;
        Self(id)
    }

    /// The 8 bytes by which a log recognises the message again: the digest's own, without the bits
    /// that a UUID fixes. Never 0, which in a row says "no key".
    pub fn key(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes[..6].copy_from_slice(&self.0[..6]);
        bytes[6..].copy_from_slice(&self.0[9..11]);
        u64::from_be_bytes(bytes).max(1)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Text where a person reads it (JSON), 16 bytes in the compact stored form.
impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { self.0.serialize(s) }
    }
}

/// From the stored form only: no request brings a message id.
impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <[u8; 16]>::deserialize(d).map(Self)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One stream, as long as it lives. Unique in the cluster: the edge draws it at random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(text: &str) -> AccountId {
        AccountId::new(text).unwrap()
    }

    #[test]
    fn an_id_says_what_is_wrong_with_it() {
        assert_eq!(DeviceId::new(""), Err(IdError::Empty));
        assert_eq!(DeviceId::new(".."), Err(IdError::Dots));
        assert_eq!(DeviceId::new(&"x".repeat(65)), Err(IdError::TooLong { len: 65, max: 64 }));
        let wrong = DeviceId::new("ab/c").unwrap_err();
        assert_eq!(wrong.to_string(), "must consist of A-Z a-z 0-9 . _ ~ -, but has '/' at offset 2");
        assert!(DeviceId::new("a.B_1~-").is_ok());
    }

    #[test]
    fn an_account_may_be_what_identity_providers_say() {
        assert!(AccountId::new("auth0|507f1f77").is_ok());
        assert!(AccountId::new("u@example.org:x").is_ok());
        assert!(AccountId::new("ü").is_err());
        assert!(AccountId::new("a\nb").is_err());
    }

    #[test]
    fn a_direct_conversation_has_one_id_from_both_ends() {
        let (a, b) = (account("ann"), account("bob"));
        assert_eq!(conversation_id::direct(&a, &b), conversation_id::direct(&b, &a));
        assert_eq!(conversation_id::direct(&a, &b).as_str(), "d2z36bprmimpeyzk6ytt6bzocj");
        assert_ne!(
            conversation_id::direct(&account("a"), &account("bc")),
            conversation_id::direct(&account("ab"), &account("c"))
        );
    }

    #[test]
    fn a_message_id_is_a_uuid_of_version_8_and_repeats() {
        let conversation = ConversationId::new("c1").unwrap();
        let client = ClientId::new("k1").unwrap();
        let id = MessageId::of(&conversation, &account("u7"), &client);
        assert_eq!(id, MessageId::of(&conversation, &account("u7"), &client));
        assert_ne!(id, MessageId::of(&conversation, &account("u8"), &client));
        let text = id.to_string();
        assert_eq!(text, "791085a5-f6a6-8080-a3c3-5326bb87b2b8", "made with Python's hashlib and uuid");
        assert_ne!(id.key(), 0);
    }
}

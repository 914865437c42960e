//! Who is calling: bearer tokens (JWT, RFC 7519) and the keys that they are checked with.
//!
//! A key's type fixes the one algorithm that it verifies, so that a token cannot choose: an RSA key is
//! never the secret of an HMAC, and `none` is no algorithm at all (RFC 8725, sections 2.1 and 3.1).

mod cache;
mod jwks;
mod key;
mod token;

use std::sync::Arc;
use std::time::Duration;

use godwit_types::{AccountId, DeviceId, Timestamp};
use godwit_wire::{Code, Problem};
use http::Uri;
use jsonwebtoken::Algorithm;
use parking_lot::RwLock;

use cache::VerifiedTokens;
use jwks::{Phase, Refresh};
use key::KeyRing;
pub use key::{KeyError, PemKey};
use token::Token;

/// Longest token, in bytes. With 128 bytes of `sub` and a signature by a 4096-bit key a token has under
/// 1.5 KiB; the rest is room for claims that are none of ours.
pub const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// How long a request waits for keys that are being fetched. Shorter than what a phone's HTTP client
/// waits for an answer, longer than a fetch across an ocean.
const KEYS_WAIT: Duration = Duration::from_secs(3);

/// Whose tokens are believed.
#[derive(Clone)]
pub struct Config {
    /// Where the keys come from.
    pub keys: KeySource,
    /// Algorithms that are believed, of HS256, RS256, ES256 and EdDSA.
    pub algorithms: Vec<Algorithm>,
    /// What `iss` must be, if anything.
    pub issuer: Option<String>,
    /// One of these `aud` must name; empty: any.
    pub audience: Vec<String>,
    /// By how much the issuer's clock and this node's may differ.
    pub leeway: Duration,
}

/// Where the keys come from.
#[derive(Clone)]
pub enum KeySource {
    /// Shared secrets for HS256, each at least 32 bytes; every one of them is believed.
    Secrets(Vec<Vec<u8>>),
    /// Public keys.
    Pem(Vec<PemKey>),
    /// The address of a JSON Web Key Set (RFC 7517, section 5): https, or http on a loopback address.
    Jwks(Uri),
}

/// Whom a token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `sub`.
    pub account: AccountId,
    /// `dev`.
    pub device: DeviceId,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`, without the leeway.
    pub expires_at: Timestamp,
}

/// Why a token was not believed.
enum Unverified {
    /// It is wrong, and stays so.
    Refused(Problem),
    /// It names a key that is not known, or no key is known yet.
    KeyUnknown,
}

impl Unverified {
    fn invalid(detail: &'static str) -> Self {
        Self::Refused(Problem::new(Code::TokenInvalid, detail))
    }
}

/// Checks tokens. One for the whole node, shared by all connections.
pub struct Authenticator {
    rules: token::Rules,
    keys: RwLock<Arc<KeyRing>>,
    /// Only for public keys, see [`cache`]. With secrets a check is as cheap as remembering it.
    verified: Option<VerifiedTokens>,
    refresh: Option<Refresh>,
}

impl Authenticator {
    /// Reads the keys. Those of an address are fetched by [`keep_keys`](Self::keep_keys). Errors name the
    /// key and what is wrong with it.
    pub fn new(config: Config) -> Result<Self, KeyError> {
        let remembers = !matches!(config.keys, KeySource::Secrets(_));
        let (keys, refresh) = match config.keys {
            KeySource::Secrets(secrets) => (KeyRing::of_secrets(&secrets)?, None),
            KeySource::Pem(pems) => (KeyRing::of_pems(&pems)?, None),
            KeySource::Jwks(url) => (KeyRing::default(), Some(Refresh::new(url)?)),
        };
        Ok(Self {
            rules: token::Rules {
                algorithms: config.algorithms,
                issuer: config.issuer,
                audience: config.audience,
                leeway_ms: config.leeway.as_millis() as u64,
            },
            keys: RwLock::new(Arc::new(keys)),
            verified: remembers.then(VerifiedTokens::default),
            refresh,
        })
    }

    /// Whether there is any key: without one, no call can be answered.
    pub fn has_keys(&self) -> bool {
        !self.keys.read().is_empty()
    }

    /// Fetches the key set of an address, again and again. Never returns; to be spawned once. For keys
    /// that came with the configuration there is nothing to do.
    pub async fn keep_keys(&self) {
        match &self.refresh {
            Some(refresh) => refresh.run(|keys| self.replace_keys(keys)).await,
            None => std::future::pending().await,
        }
    }

    /// Whom the token names, at `now`. Waits up to 3 s while the keys that it may need are being fetched.
    ///
    /// Errors: 401 `token_invalid` or `token_expired`; 503 `overloaded` while no key is known.
    pub async fn identify(&self, token: &str, now: Timestamp) -> Result<Identity, Problem> {
        let Some(refresh) = &self.refresh else {
            return self.verify(token, now);
        };
        match self.try_verify(token, now) {
            Err(Unverified::KeyUnknown) => {}
            Err(Unverified::Refused(problem)) => return Err(problem),
            Ok(identity) => return Ok(identity),
        }
        if refresh.phase() != Phase::Resting {
            refresh.wait(KEYS_WAIT).await;
        }
        self.verify(token, now)
    }

    /// Whom the token names, by the keys that are known. Errors as in [`identify`](Self::identify).
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, Problem> {
        self.try_verify(token, now).map_err(|unverified| match unverified {
            Unverified::Refused(problem) => problem,
            Unverified::KeyUnknown if self.has_keys() => {
                Problem::new(Code::TokenInvalid, "it names a key that is not known")
            }
            Unverified::KeyUnknown => {
                Problem::new(Code::Overloaded, "the keys that tokens are checked with are not there yet")
            }
        })
    }

    fn try_verify(&self, text: &str, now: Timestamp) -> Result<Identity, Unverified> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Unverified::invalid("it is longer than 4 KiB"));
        }
        if let Some(identity) = self.verified.as_ref().and_then(|verified| verified.find(text)) {
            self.rules.check_expiry(identity.expires_at, now)?;
            return Ok(identity);
        }
        let token = Token::split(text)?;
        let keys = Arc::clone(&self.keys.read());
        keys.check(&token, &self.rules.algorithms)?;
        let identity = token.identity(&self.rules, now)?;
        if let Some(verified) = &self.verified {
            verified.remember(text, &identity, || Arc::ptr_eq(&keys, &self.keys.read()));
        }
        Ok(identity)
    }

    fn replace_keys(&self, keys: KeyRing) {
        if **self.keys.read() == keys {
            return;
        }
        *self.keys.write() = Arc::new(keys);
        // A token of a key that was withdrawn must not live on here.
        if let Some(verified) = &self.verified {
            verified.clear();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! Keys: what type each has, and with it the one algorithm that it verifies.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

use super::Unverified;
use super::token::Token;

/// Shortest secret: as many bytes as the hash has (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// Shortest RSA modulus (RFC 7518, section 3.3).
const RSA_BITS_MIN: usize = 2048;
/// Most keys of a source. Issuers show two to ten; more is a mistake, and each costs memory.
const KEYS_MAX: usize = 64;
/// Most keys that one token is tried with, when it names none: one RSA verification is dear.
const TRIED_MAX: usize = 8;
/// A point on P-256, uncompressed and compressed (SEC 1, section 2.3.3).
const P256_POINT_BYTES: [usize; 2] = [65, 33];
/// An Ed25519 public key (RFC 8032, section 5.1.5).
const ED25519_BYTES: usize = 32;

/// A public key from a file.
#[derive(Debug, Clone)]
pub struct PemKey {
    /// What a token calls it.
    pub kid: String,
    /// `-----BEGIN PUBLIC KEY-----` and so on: RSA, P-256 or Ed25519.
    pub pem: Vec<u8>,
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not one key.
    #[error("there is no key to check tokens with")]
    None,
    /// More keys than make sense.
    #[error("there are more than {KEYS_MAX} keys")]
    TooMany,
    /// A secret that can be guessed.
    #[error("a secret must have at least {SECRET_BYTES_MIN} bytes")]
    ShortSecret,
    /// A key that cannot be read or is of no use here.
    #[error("the key {kid:?} {what}")]
    Unusable {
        /// Which.
        kid: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// An address that must not be believed.
    #[error("the address of the key set must be https, or http on a loopback address")]
    Address,
}

/// One key.
#[derive(Clone)]
struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
    /// The key's public form, to tell one from another; empty for a secret.
    bytes: Vec<u8>,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.kid == other.kid && self.algorithm == other.algorithm && self.bytes == other.bytes
    }
}

/// All keys that are believed at the same time.
#[derive(Default, PartialEq)]
pub(super) struct KeyRing {
    keys: Vec<Key>,
}

impl KeyRing {
    /// Shared secrets. They have no names: every one is tried.
    pub(super) fn of_secrets(secrets: &[Vec<u8>]) -> Result<Self, KeyError> {
        if secrets.iter().any(|secret| secret.len() < SECRET_BYTES_MIN) {
            return Err(KeyError::ShortSecret);
        }
        let key = |secret: &Vec<u8>| Key {
            kid: None,
            algorithm: Algorithm::HS256,
            key: DecodingKey::from_secret(secret),
            bytes: Vec::new(),
        };
        Self::of(secrets.iter().map(key).collect())
    }

    /// Public keys from files.
    pub(super) fn of_pems(pems: &[PemKey]) -> Result<Self, KeyError> {
        let read = |pem: &PemKey| {
            public_key(&pem.pem)
                .map(|(algorithm, key)| Key {
                    kid: Some(pem.kid.clone()),
                    algorithm,
                    key,
                    bytes: pem.pem.clone(),
                })
                .map_err(|what| KeyError::Unusable { kid: pem.kid.clone(), what })
        };
        Self::of(pems.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// The keys of a set that can be used: what is of another type, for another use or too weak is left
    /// out, as RFC 7517, section 5, asks. A set with none left is an error.
    pub(super) fn of_jwks(json: &[u8]) -> Result<Self, KeyError> {
        #[derive(serde::Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let unusable = |what| KeyError::Unusable { kid: "set".into(), what };
        let set: Set = serde_json::from_slice(json).map_err(|_| unusable("is no JSON Web Key Set"))?;
        let mut keys = Vec::new();
        for value in set.keys {
            match serde_json::from_value::<Jwk>(value).map_err(|_| "cannot be read").and_then(of_jwk) {
                Ok(key) => keys.push(key),
                Err(what) => tracing::debug!(what, "left out a key of the key set"),
            }
        }
        Self::of(keys)
    }

    fn of(keys: Vec<Key>) -> Result<Self, KeyError> {
        match keys.len() {
            0 => Err(KeyError::None),
            1..=KEYS_MAX => Ok(Self { keys }),
            _ => Err(KeyError::TooMany),
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether one of the keys that the token may mean made its signature.
    pub(super) fn check(&self, token: &Token<'_>, allowed: &[Algorithm]) -> Result<(), Unverified> {
        let named = |key: &&Key| match (&key.kid, &token.kid) {
            (Some(name), Some(wanted)) => name == wanted,
            _ => true,
        };
        let mut meant = self.keys.iter().filter(named).peekable();
        if meant.peek().is_none() {
            return Err(Unverified::KeyUnknown);
        }
        if !allowed.contains(&token.algorithm) {
            return Err(Unverified::invalid("its algorithm is not believed here"));
        }
        let fitting = meant.filter(|key| key.algorithm == token.algorithm).take(TRIED_MAX);
        for key in fitting {
            // An error is a signature that cannot be read: as good as a wrong one.
            let good = jsonwebtoken::crypto::verify(
                token.signature,
                token.signed.as_bytes(),
                &key.key,
                key.algorithm,
            );
            if good.unwrap_or(false) {
                return Ok(());
            }
        }
        Err(Unverified::invalid("its signature is not by a key that is believed"))
    }
}

fn public_key(pem: &[u8]) -> Result<(Algorithm, DecodingKey), &'static str> {
    if pem.windows(16).any(|at| at == b"PRIVATE KEY-----") {
        return Err("is a private key, and only public ones belong here");
    }
    if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        let jwk = Jwk::from_decoding_key(&key, None).map_err(|_| "cannot be read")?;
        check_rsa(&jwk.algorithm)?;
        return Ok((Algorithm::RS256, key));
    }
    if let Ok(key) = DecodingKey::from_ed_pem(pem) {
        return Ok((Algorithm::EdDSA, key));
    }
    let key =
        DecodingKey::from_ec_pem(pem).map_err(|_| "is no public key of RSA, P-256 or Ed25519 in PEM")?;
    check_length(&key, &P256_POINT_BYTES)?;
    Ok((Algorithm::ES256, key))
}

fn of_jwk(jwk: Jwk) -> Result<Key, &'static str> {
    if jwk.common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
        return Err("is not for signatures");
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| "cannot be read")?;
    let algorithm = match &jwk.algorithm {
        rsa @ AlgorithmParameters::RSA(_) => {
            check_rsa(rsa)?;
            Algorithm::RS256
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            check_length(&key, &P256_POINT_BYTES)?;
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(ed) if ed.curve == EllipticCurve::Ed25519 => {
            check_length(&key, &[ED25519_BYTES])?;
            Algorithm::EdDSA
        }
        // A secret that anyone can fetch is none.
        _ => return Err("is of a type that is not taken"),
    };
    if jwk.common.key_algorithm.is_some_and(|said| said != KeyAlgorithm::from(algorithm)) {
        return Err("is for an algorithm that is not taken");
    }
    let bytes = serde_json::to_vec(&jwk.algorithm).map_err(|_| "cannot be read")?;
    Ok(Key { kid: jwk.common.key_id, algorithm, key, bytes })
}

fn check_rsa(parameters: &AlgorithmParameters) -> Result<(), &'static str> {
    let AlgorithmParameters::RSA(rsa) = parameters else { return Err("is no RSA key") };
    let modulus = URL_SAFE_NO_PAD.decode(&rsa.n).map_err(|_| "has a modulus that cannot be read")?;
    let first = modulus.iter().position(|&byte| byte != 0).unwrap_or(modulus.len());
    let bits =
        (modulus.len() - first) * 8 - modulus.get(first).map_or(0, |byte| byte.leading_zeros() as usize);
    if bits < RSA_BITS_MIN { Err("is an RSA key of fewer than 2048 bits") } else { Ok(()) }
}

fn check_length(key: &DecodingKey, allowed: &[usize]) -> Result<(), &'static str> {
    match key.try_get_as_bytes() {
        Ok(bytes) if allowed.contains(&bytes.len()) => Ok(()),
        _ => Err("is on a curve that is not taken; P-256 and Ed25519 are"),
    }
}

//! Keys, tokens and key sets that tests of other modules use too.

mod jwks;
mod property;
mod refused;
mod speed;

use std::collections::BTreeMap;

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::*;

/// A secret for tests.
pub(crate) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// A moment for tests: 2023-11-14T22:13:20Z.
pub(crate) const NOW_S: u64 = 1_700_000_000;

const RSA: &[u8] = include_bytes!("tests/keys/rsa.pem");
const RSA_PUB: &[u8] = include_bytes!("tests/keys/rsa.pub.pem");
const OTHER_RSA: &[u8] = include_bytes!("tests/keys/other-rsa.pem");
const OTHER_RSA_PUB: &[u8] = include_bytes!("tests/keys/other-rsa.pub.pem");
const P256: &[u8] = include_bytes!("tests/keys/p256.pem");
const P256_PUB: &[u8] = include_bytes!("tests/keys/p256.pub.pem");
const ED25519: &[u8] = include_bytes!("tests/keys/ed25519.pem");
const ED25519_PUB: &[u8] = include_bytes!("tests/keys/ed25519.pub.pem");

pub(crate) fn now() -> Timestamp {
    Timestamp::from_ms(NOW_S * 1000)
}

fn config(keys: KeySource) -> Config {
    let algorithms = match &keys {
        KeySource::Secrets(_) => vec![Algorithm::HS256],
        _ => vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
    };
    Config { keys, algorithms, issuer: None, audience: Vec::new(), leeway: Duration::from_secs(30) }
}

/// Believes HS256 by [`SECRET`].
pub(crate) fn by_secret() -> Authenticator {
    Authenticator::new(config(KeySource::Secrets(vec![SECRET.to_vec()]))).unwrap()
}

fn by_pems(pems: &[(&str, &[u8])]) -> Authenticator {
    let pems = pems.iter().map(|(kid, pem)| PemKey { kid: (*kid).into(), pem: pem.to_vec() }).collect();
    Authenticator::new(config(KeySource::Pem(pems))).unwrap()
}

fn claims() -> BTreeMap<String, Value> {
    let claims = json!({"sub": "u1", "dev": "phone", "iat": NOW_S - 60, "exp": NOW_S + 3600, "jti": "x"});
    serde_json::from_value(claims).unwrap()
}

fn claims_with(name: &str, value: Value) -> BTreeMap<String, Value> {
    let mut claims = claims();
    claims.insert(name.into(), value);
    claims
}

fn sign(
    algorithm: Algorithm,
    key: &EncodingKey,
    kid: Option<&str>,
    claims: &BTreeMap<String, Value>,
) -> String {
    let header = Header { kid: kid.map(Into::into), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

fn by_rsa(pem: &[u8], kid: Option<&str>) -> String {
    sign(Algorithm::RS256, &EncodingKey::from_rsa_pem(pem).unwrap(), kid, &claims())
}

fn hs256(claims: &BTreeMap<String, Value>) -> String {
    sign(Algorithm::HS256, &EncodingKey::from_secret(SECRET), None, claims)
}

/// A token of [`SECRET`] for an account and a device, good from a minute before `now` for an hour.
pub(crate) fn token_of(account: &str, device: &str, now: Timestamp) -> String {
    let now_s = now.as_ms() / 1000;
    let claims = json!({"sub": account, "dev": device, "iat": now_s - 60, "exp": now_s + 3600});
    hs256(&serde_json::from_value(claims).unwrap())
}

fn code(result: Result<Identity, Problem>) -> Code {
    result.unwrap_err().code
}

#[test]
fn a_token_of_each_algorithm_names_its_bearer() {
    let es256 = sign(Algorithm::ES256, &EncodingKey::from_ec_pem(P256).unwrap(), Some("p"), &claims());
    let eddsa = sign(Algorithm::EdDSA, &EncodingKey::from_ed_pem(ED25519).unwrap(), Some("e"), &claims());
    let public = by_pems(&[("r", RSA_PUB), ("p", P256_PUB), ("e", ED25519_PUB)]);
    let cases = [
        (&by_secret(), hs256(&claims())),
        (&public, by_rsa(RSA, Some("r"))),
        (&public, by_rsa(RSA, None)),
        (&public, es256),
        (&public, eddsa),
    ];
    for (authenticator, token) in cases {
        for attempt in ["first", "from the cache"] {
            let who = authenticator.verify(&token, now()).unwrap();
            assert_eq!((who.account.as_str(), who.device.as_str()), ("u1", "phone"), "{attempt}");
            assert_eq!(who.issued_at.as_ms(), (NOW_S - 60) * 1000);
            assert_eq!(who.expires_at.as_ms(), (NOW_S + 3600) * 1000);
        }
    }
}

#[test]
fn several_keys_are_believed_and_kid_chooses() {
    let both = by_pems(&[("old", RSA_PUB), ("new", OTHER_RSA_PUB)]);
    assert!(both.verify(&by_rsa(RSA, Some("old")), now()).is_ok());
    assert!(both.verify(&by_rsa(OTHER_RSA, Some("new")), now()).is_ok());
    assert!(both.verify(&by_rsa(OTHER_RSA, None), now()).is_ok());
    assert_eq!(code(both.verify(&by_rsa(OTHER_RSA, Some("old")), now())), Code::TokenInvalid);
    assert_eq!(code(both.verify(&by_rsa(RSA, Some("gone")), now())), Code::TokenInvalid);

    let secrets = vec![b"another secret of 32 bytes or so.".to_vec(), SECRET.to_vec()];
    let rotated = Authenticator::new(config(KeySource::Secrets(secrets))).unwrap();
    assert!(rotated.verify(&hs256(&claims()), now()).is_ok());
    let named = sign(Algorithm::HS256, &EncodingKey::from_secret(SECRET), Some("any"), &claims());
    assert!(rotated.verify(&named, now()).is_ok(), "a secret has no name");
}

#[test]
fn keys_that_are_too_weak_or_of_no_use_are_refused() {
    let new = |pem: &[u8]| {
        let pems = vec![PemKey { kid: "k".into(), pem: pem.to_vec() }];
        Authenticator::new(config(KeySource::Pem(pems))).err().unwrap().to_string()
    };
    assert_eq!(
        new(include_bytes!("tests/keys/weak-rsa.pub.pem")),
        "the key \"k\" is an RSA key of fewer than 2048 bits"
    );
    assert!(new(RSA).contains("private key"));
    assert!(new(include_bytes!("tests/keys/p384.pub.pem")).contains("curve"));
    assert!(new(b"hello").contains("no public key"));
    assert!(Authenticator::new(config(KeySource::Secrets(vec![b"short".to_vec()]))).is_err());
    assert!(Authenticator::new(config(KeySource::Pem(Vec::new()))).is_err());
    let plain = KeySource::Jwks(Uri::from_static("http://example.org/keys"));
    assert!(Authenticator::new(config(plain)).is_err(), "not in the clear");
}

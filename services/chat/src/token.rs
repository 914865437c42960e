//! Signs tokens, for `godwit token` and for `dev`. A real deployment has an identity service.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use godwit_types::{AccountId, DeviceId};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use crate::config::Secret;

/// The last second that RFC 3339 can write, 9999-12-31T23:59:59Z: no token is good for longer.
const EXPIRES_MAX_S: u64 = 253_402_300_799;

/// What `godwit token` was asked for, not yet checked.
#[derive(Debug)]
pub struct Wanted {
    /// Where the secret is.
    pub secret_file: PathBuf,
    /// Whose token.
    pub account: String,
    /// For which device.
    pub device: String,
    /// For how long, such as `1h`.
    pub ttl: String,
}

/// What is wrong with a wish for a token; one line that says what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

#[derive(Serialize)]
struct Claims<'t> {
    sub: &'t AccountId,
    dev: &'t DeviceId,
    iat: u64,
    exp: u64,
    jti: String,
}

/// Checks the wish and signs the token.
pub fn from_file(wanted: &Wanted) -> anyhow::Result<String> {
    let wrong = |flag: &str, value: &str, what: String| Error(format!("{flag} = {value:?}: {what}"));
    let file = &wanted.secret_file;
    let secret = Secret::read_for_signing(file)
        .map_err(|what| wrong("--secret-file", &file.display().to_string(), what))?;
    let account = AccountId::new(&wanted.account)
        .map_err(|error| wrong("--account", &wanted.account, error.to_string()))?;
    let device = DeviceId::new(&wanted.device)
        .map_err(|error| wrong("--device", &wanted.device, error.to_string()))?;
    let ttl =
        humantime::parse_duration(&wanted.ttl).ok().filter(|ttl| ttl.as_secs() > 0).ok_or_else(|| {
            wrong("--ttl", &wanted.ttl, "must be a time of at least 1s, such as 30m, 1h or 7d".into())
        })?;
    let now = SystemTime::now();
    if !in_time(now, ttl) {
        return Err(wrong("--ttl", &wanted.ttl, "ends after the year 9999; ask for less".into()).into());
    }
    sign(&secret, &account, &device, ttl, now)
}

/// An HS256 token that is good from `now` for `ttl`, at the longest to the year 9999, in whole
/// seconds. Fails only where signing itself does.
pub fn sign(
    secret: &Secret,
    account: &AccountId,
    device: &DeviceId,
    ttl: Duration,
    now: SystemTime,
) -> anyhow::Result<String> {
    let iat = seconds(now);
    let claims = Claims {
        sub: account,
        dev: device,
        iat,
        exp: iat.saturating_add(ttl.as_secs()).min(EXPIRES_MAX_S),
        // 128 bits: no two tokens share it, and a revocation can name it.
        jti: format!("{:032x}", rand::random::<u128>()),
    };
    let key = EncodingKey::from_secret(secret.expose());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}

fn in_time(now: SystemTime, ttl: Duration) -> bool {
    seconds(now).checked_add(ttl.as_secs()).is_some_and(|exp| exp <= EXPIRES_MAX_S)
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

//! A token's parts: JWS compact serialisation (RFC 7515, section 7.1) and the claims (RFC 7519, section 4).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use godwit_types::{AccountId, DeviceId, Timestamp};
use godwit_wire::{Code, Problem};
use jsonwebtoken::Algorithm;
use serde::Deserialize;

use super::{Identity, Unverified};

/// What a token's claims are held against.
pub(super) struct Rules {
    /// Algorithms that are believed.
    pub(super) algorithms: Vec<Algorithm>,
    /// What `iss` must be.
    pub(super) issuer: Option<String>,
    /// One of these `aud` must name; empty: any.
    pub(super) audience: Vec<String>,
    /// By how much clocks may differ.
    pub(super) leeway_ms: u64,
}

impl Rules {
    /// Whether a token of that `exp` still counts.
    pub(super) fn check_expiry(&self, expires_at: Timestamp, now: Timestamp) -> Result<(), Unverified> {
        if now >= expires_at.plus_ms(self.leeway_ms) {
            let detail = format!("its time was over at {expires_at}");
            return Err(Unverified::Refused(Problem::new(Code::TokenExpired, detail)));
        }
        Ok(())
    }
}

/// A token that was taken apart, and not yet believed.
pub(super) struct Token<'a> {
    /// What the signature is over.
    pub(super) signed: &'a str,
    /// The signature, as base64url.
    pub(super) signature: &'a str,
    /// `alg`.
    pub(super) algorithm: Algorithm,
    /// `kid`.
    pub(super) kid: Option<String>,
    claims: &'a str,
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    kid: Option<Cow<'a, str>>,
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    sub: Option<Cow<'a, str>>,
    #[serde(borrow)]
    dev: Option<Cow<'a, str>>,
    exp: Option<f64>,
    iat: Option<f64>,
    nbf: Option<f64>,
    #[serde(borrow)]
    iss: Option<Cow<'a, str>>,
    #[serde(borrow)]
    aud: Option<Audience<'a>>,
}

/// One or several (RFC 7519, section 4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience<'a> {
    One(#[serde(borrow)] Cow<'a, str>),
    Several(#[serde(borrow)] Vec<Cow<'a, str>>),
}

impl Audience<'_> {
    fn names(&self, wanted: &str) -> bool {
        match self {
            Self::One(name) => name == wanted,
            Self::Several(names) => names.iter().any(|name| name == wanted),
        }
    }
}

impl<'a> Token<'a> {
    /// Takes any text apart. Unsigned tokens and those with a critical extension end here (RFC 7515,
    /// section 4.1.11: what is not understood must be refused).
    pub(super) fn split(text: &'a str) -> Result<Self, Unverified> {
        let malformed = || Unverified::invalid("it is no signed JWT of three parts");
        let (signed, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        if signature.is_empty() || claims.contains('.') {
            return Err(malformed());
        }
        let header = decode(header).ok_or_else(malformed)?;
        let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| malformed())?;
        if header.crit.is_some() {
            return Err(Unverified::invalid("it has a critical extension, and none is known here"));
        }
        let algorithm = match &*header.alg {
            "HS256" => Algorithm::HS256,
            "RS256" => Algorithm::RS256,
            "ES256" => Algorithm::ES256,
            "EdDSA" => Algorithm::EdDSA,
            _ => return Err(Unverified::invalid("its algorithm is none of HS256, RS256, ES256 and EdDSA")),
        };
        Ok(Self { signed, signature, algorithm, kid: header.kid.map(Cow::into_owned), claims })
    }

    /// Whom it names. Only for a token whose signature was found good.
    pub(super) fn identity(&self, rules: &Rules, now: Timestamp) -> Result<Identity, Unverified> {
        let unreadable = || Unverified::invalid("its claims cannot be read");
        let json = decode(self.claims).ok_or_else(unreadable)?;
        let claims: Claims<'_> = serde_json::from_slice(&json).map_err(|_| unreadable())?;
        let expires_at = instant(claims.exp).ok_or(Unverified::invalid("it has no exp"))?;
        rules.check_expiry(expires_at, now)?;
        let issued_at = instant(claims.iat).ok_or(Unverified::invalid("it has no iat"))?;
        let latest = now.plus_ms(rules.leeway_ms);
        if issued_at > latest {
            return Err(Unverified::invalid("its iat is in the future"));
        }
        if claims.nbf.is_some() && instant(claims.nbf).is_none_or(|from| from > latest) {
            return Err(Unverified::invalid("its time has not begun: nbf"));
        }
        check_origin(&claims, rules)?;
        let account = claims.sub.ok_or(Unverified::invalid("it has no sub"))?;
        let device = claims.dev.ok_or(Unverified::invalid("it has no dev"))?;
        Ok(Identity {
            account: AccountId::new(&account).map_err(|_| Unverified::invalid("its sub is no account id"))?,
            device: DeviceId::new(&device).map_err(|_| Unverified::invalid("its dev is no device id"))?,
            issued_at,
            expires_at,
        })
    }
}

fn check_origin(claims: &Claims<'_>, rules: &Rules) -> Result<(), Unverified> {
    if rules.issuer.is_some() && claims.iss.as_deref() != rules.issuer.as_deref() {
        return Err(Unverified::invalid("it comes from another issuer"));
    }
    let meant = |aud: &Audience<'_>| rules.audience.iter().any(|wanted| aud.names(wanted));
    if !rules.audience.is_empty() && !claims.aud.as_ref().is_some_and(meant) {
        return Err(Unverified::invalid("it is for another audience"));
    }
    Ok(())
}

fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

/// NumericDate: seconds since 1970, which may have a fraction (RFC 7519, section 2).
fn instant(seconds: Option<f64>) -> Option<Timestamp> {
    let ms = seconds? * 1000.0;
    // The cast saturates, and `from_ms` stops at the year 9999.
    (ms.is_finite() && ms >= 0.0).then(|| Timestamp::from_ms(ms as u64))
}

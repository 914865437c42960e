//! Bearer tokens (RFC 7519), right ones and wrong ones, made by hand: the server's own library would
//! agree with itself.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Sha256, Sha512};

/// How long a token lives when nothing else is said, in seconds: beyond any test.
const TTL_S: i64 = 3600;

/// Signs tokens with the secret that the server under test was given.
#[derive(Clone)]
pub struct Tokens {
    secret: Vec<u8>,
}

impl Tokens {
    /// With the bytes of the shared secret.
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self { secret: secret.into() }
    }

    /// A token of an hour (HS256).
    pub fn sign(&self, account: &str, device: &str) -> String {
        self.sign_for(account, device, TTL_S)
    }

    /// A token that expires in `ttl_s` seconds; a negative number is one that has.
    pub fn sign_for(&self, account: &str, device: &str, ttl_s: i64) -> String {
        self.sign_claims(&claims(account, device, ttl_s))
    }

    /// A token with these very claims (HS256).
    pub fn sign_claims(&self, claims: &Value) -> String {
        let signed = signed_part("HS256", claims);
        let mac = hmac_sha256(&self.secret, &signed);
        format!("{signed}.{mac}")
    }

    /// Right in all but its signature, which another secret made.
    pub fn with_wrong_key(&self, account: &str, device: &str) -> String {
        let other = Self::new(b"0123456789abcdef0123456789abcdef-of-somebody-else".as_slice());
        other.sign(account, device)
    }

    /// `alg: none` and no signature (RFC 7519, section 6).
    pub fn unsigned(&self, account: &str, device: &str) -> String {
        format!("{}.", signed_part("none", &claims(account, device, TTL_S)))
    }

    /// Signed with the right secret by an algorithm that was not configured (HS512).
    pub fn with_wrong_algorithm(&self, account: &str, device: &str) -> String {
        let signed = signed_part("HS512", &claims(account, device, TTL_S));
        let mut mac = Hmac::<Sha512>::new_from_slice(&self.secret).expect("a MAC takes any key");
        mac.update(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    /// The head says `alg`, the signature is the HS256 one: a server that trusts the head might check it
    /// with the wrong kind of key.
    pub fn with_claimed_algorithm(&self, alg: &str, account: &str, device: &str) -> String {
        let signed = signed_part(alg, &claims(account, device, TTL_S));
        let mac = hmac_sha256(&self.secret, &signed);
        format!("{signed}.{mac}")
    }
}

/// `sub`, `dev`, `iat` and `exp`, the last `ttl_s` seconds from now.
pub fn claims(account: &str, device: &str, ttl_s: i64) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    // Issued before it expires, also when that is over.
    let issued = now.min(now + ttl_s - 1);
    json!({"sub": account, "dev": device, "iat": issued, "exp": now + ttl_s})
}

fn signed_part(alg: &str, claims: &Value) -> String {
    let head = json!({"alg": alg, "typ": "JWT"});
    let [head, claims] = [&head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("{head}.{claims}")
}

fn hmac_sha256(secret: &[u8], text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a MAC takes any key");
    mac.update(text.as_bytes());
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_rfc_7515() {
        // Appendix A.1 of RFC 7515: key, signing input and signature.
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let secret = URL_SAFE_NO_PAD.decode(key).unwrap();
        let input = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        assert_eq!(hmac_sha256(&secret, input), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn a_token_has_three_parts_and_its_claims() {
        let token = Tokens::new("secret").sign_for("ann", "phone", -60);
        let parts: Vec<&str> = token.split('.').collect();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        assert_eq!((parts.len(), &claims["sub"], &claims["dev"]), (3, &json!("ann"), &json!("phone")));
        assert!(claims["iat"].as_i64() < claims["exp"].as_i64());
    }
}

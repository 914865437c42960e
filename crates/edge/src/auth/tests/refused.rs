//! Tokens that must not be believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

fn refusal(token: &str) -> Code {
    code(by_secret().verify(token, now()))
}

fn unsigned(header: Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(&header), part(&json!(claims())))
}

#[test]
fn an_unsigned_token_is_refused() {
    for alg in ["none", "None", "NONE", "", "HS1", "RS512"] {
        assert_eq!(refusal(&unsigned(json!({"alg": alg}), "")), Code::TokenInvalid, "{alg}");
        assert_eq!(refusal(&unsigned(json!({"alg": alg}), "AAAA")), Code::TokenInvalid, "{alg}");
    }
    assert_eq!(refusal(&unsigned(json!({"alg": "HS256"}), "")), Code::TokenInvalid);
}

#[test]
fn the_key_fixes_the_algorithm() {
    let public = by_pems(&[("r", RSA_PUB)]);
    // The classic confusion: the public key, which everyone has, as the secret of an HMAC.
    for secret in [RSA_PUB, &RSA_PUB[..RSA_PUB.len() - 1]] {
        let confused = sign(Algorithm::HS256, &EncodingKey::from_secret(secret), Some("r"), &claims());
        assert_eq!(code(public.verify(&confused, now())), Code::TokenInvalid);
        let mut all = config(KeySource::Pem(vec![PemKey { kid: "r".into(), pem: RSA_PUB.to_vec() }]));
        all.algorithms.push(Algorithm::HS256);
        assert_eq!(code(Authenticator::new(all).unwrap().verify(&confused, now())), Code::TokenInvalid);
    }
    assert_eq!(refusal(&by_rsa(RSA, None)), Code::TokenInvalid);
    let ps256 = sign(Algorithm::PS256, &EncodingKey::from_rsa_pem(RSA).unwrap(), Some("r"), &claims());
    assert_eq!(code(public.verify(&ps256, now())), Code::TokenInvalid);
    assert_eq!(code(public.verify(&by_rsa(OTHER_RSA, Some("r")), now())), Code::TokenInvalid);
}

#[test]
fn an_algorithm_that_is_not_configured_is_refused() {
    let mut config = config(KeySource::Pem(vec![PemKey { kid: "r".into(), pem: RSA_PUB.to_vec() }]));
    config.algorithms = vec![Algorithm::ES256];
    let token = by_rsa(RSA, Some("r"));
    assert_eq!(code(Authenticator::new(config).unwrap().verify(&token, now())), Code::TokenInvalid);
}

#[test]
fn a_changed_token_is_refused() {
    let token = hs256(&claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let other = URL_SAFE_NO_PAD.encode(json!(claims_with("sub", json!("u2"))).to_string());
    assert_eq!(refusal(&format!("{header}.{other}.{signature}")), Code::TokenInvalid);
    assert_eq!(refusal(&format!("{signed}.{}", &signature[..signature.len() - 2])), Code::TokenInvalid);
    assert_eq!(refusal(&format!("{token}=")), Code::TokenInvalid);
    assert_eq!(refusal(&format!("{token}.x")), Code::TokenInvalid);
}

#[test]
fn every_claim_is_needed_and_checked() {
    for name in ["sub", "dev", "exp", "iat"] {
        let mut claims = claims();
        claims.remove(name);
        let problem = by_secret().verify(&hs256(&claims), now()).unwrap_err();
        assert_eq!((problem.code, &*problem.detail), (Code::TokenInvalid, &*format!("it has no {name}")));
    }
    for (name, value) in [
        ("sub", json!("")),
        ("sub", json!("a\nb")),
        ("sub", json!("x".repeat(129))),
        ("sub", json!(7)),
        ("dev", json!("a b")),
        ("dev", json!("..")),
        ("exp", json!("tomorrow")),
        ("exp", json!(-1)),
        ("iat", json!(NOW_S + 31)),
        ("nbf", json!(NOW_S + 31)),
        ("nbf", json!(-1)),
    ] {
        assert_eq!(refusal(&hs256(&claims_with(name, value.clone()))), Code::TokenInvalid, "{name}: {value}");
    }
}

#[test]
fn times_have_a_leeway_and_expiry_holds_in_the_cache_too() {
    assert_eq!(refusal(&hs256(&claims_with("exp", json!(NOW_S - 30)))), Code::TokenExpired);
    let authenticator = by_secret();
    for (name, value) in [("exp", json!(NOW_S - 29)), ("nbf", json!(NOW_S + 30)), ("iat", json!(NOW_S + 30))]
    {
        assert!(authenticator.verify(&hs256(&claims_with(name, value)), now()).is_ok(), "{name}");
    }
    let token = hs256(&claims_with("exp", json!(NOW_S as f64 + 0.5)));
    assert_eq!(authenticator.verify(&token, now()).unwrap().expires_at.as_ms(), NOW_S * 1000 + 500);
    assert!(authenticator.verify(&token, now().plus_ms(30_499)).is_ok());
    assert_eq!(code(authenticator.verify(&token, now().plus_ms(30_500))), Code::TokenExpired);
    let remembering = by_pems(&[("r", RSA_PUB)]);
    let token = by_rsa(RSA, Some("r"));
    assert!(remembering.verify(&token, now().plus_ms(3_629_999)).is_ok());
    assert_eq!(code(remembering.verify(&token, now().plus_ms(3_630_000))), Code::TokenExpired);
}

#[test]
fn issuer_and_audience_are_checked_when_configured() {
    let mut config = config(KeySource::Secrets(vec![SECRET.to_vec()]));
    config.issuer = Some("https://id.example".into());
    config.audience = vec!["chat".into(), "talk".into()];
    let authenticator = Authenticator::new(config).unwrap();
    let verify = |iss: Value, aud: Value| {
        let mut claims = claims();
        claims.insert("iss".into(), iss);
        claims.insert("aud".into(), aud);
        authenticator.verify(&hs256(&claims), now())
    };
    assert!(verify(json!("https://id.example"), json!("chat")).is_ok());
    assert!(verify(json!("https://id.example"), json!(["other", "talk"])).is_ok());
    for (iss, aud) in [
        (json!("https://id.example"), json!("other")),
        (json!("https://id.example"), json!([])),
        (json!("https://id.example"), json!(null)),
        (json!("https://other.example"), json!("chat")),
        (json!(null), json!("chat")),
    ] {
        assert_eq!(code(verify(iss.clone(), aud.clone())), Code::TokenInvalid, "{iss} {aud}");
    }
}

#[test]
fn a_long_token_and_a_critical_extension_are_refused() {
    let long = hs256(&claims_with("more", json!("x".repeat(4096))));
    assert!(long.len() > TOKEN_BYTES_MAX);
    assert_eq!(refusal(&long), Code::TokenInvalid);
    let mut header = Header::new(Algorithm::HS256);
    header.crit = Some(vec!["b64".into()]);
    let token = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(SECRET)).unwrap();
    assert_eq!(refusal(&token), Code::TokenInvalid);
}

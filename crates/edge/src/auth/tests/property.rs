//! Any bytes are an answer.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn any_text_is_refused_and_never_panics(text in ".{0,300}") {
        prop_assert!(by_secret().verify(&text, now()).is_err());
    }

    #[test]
    fn any_parts_are_refused_and_never_panic(
        header in prop_oneof![
            Just(r#"{"alg":"HS256"}"#.to_owned()),
            Just(r#"{"alg":"RS256","kid":"r"}"#.to_owned()),
            Just(r#"{"alg":"ES256","kid":"p"}"#.to_owned()),
            Just(r#"{"alg":"EdDSA","kid":"e"}"#.to_owned()),
            ".{0,40}",
        ],
        claims in prop::collection::vec(any::<u8>(), 0..100),
        signature in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        use base64::Engine;
        let part = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        let token = format!("{}.{}.{}", part(header.as_bytes()), part(&claims), part(&signature));
        prop_assert!(by_secret().verify(&token, now()).is_err());
        let public = by_pems(&[("r", RSA_PUB), ("p", P256_PUB), ("e", ED25519_PUB)]);
        prop_assert!(public.verify(&token, now()).is_err());
    }

    #[test]
    fn signed_claims_of_any_form_never_panic(claims in ".{0,200}") {
        use base64::Engine;
        let part = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", part(r#"{"alg":"HS256"}"#), part(&claims));
        let key = EncodingKey::from_secret(SECRET);
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
        let _ = by_secret().verify(&format!("{signed}.{signature}"), now());
    }

    #[test]
    fn any_key_set_is_an_answer(json in prop::collection::vec(any::<u8>(), 0..200), n in ".{0,60}", e in ".{0,6}") {
        let _ = KeyRing::of_jwks(&json);
        let set = json!({"keys": [{"kty": "RSA", "n": n, "e": e}, {"kty": "EC", "crv": "P-256", "x": n, "y": e},
            {"kty": "OKP", "crv": "Ed25519", "x": n}, {"kty": "oct", "k": n}]});
        let _ = KeyRing::of_jwks(set.to_string().as_bytes());
    }
}

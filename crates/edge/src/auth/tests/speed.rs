//! A token that is known says the same as one that is verified, and what each costs: the reason for the cache.
//! `cargo test --release -p godwit-edge speed -- --nocapture` prints the times.

use std::hint::black_box;
use std::time::Instant;

use super::*;

fn measure(name: &str, runs: u32, mut once: impl FnMut()) {
    once();
    let start = Instant::now();
    (0..runs).for_each(|_| once());
    println!("{name}: {:.2} µs", start.elapsed().as_secs_f64() * 1e6 / f64::from(runs));
}

#[test]
fn what_is_known_says_the_same() {
    let public = by_pems(&[("r", RSA_PUB), ("p", P256_PUB), ("e", ED25519_PUB)]);
    let secret = by_secret();
    let es256 = sign(Algorithm::ES256, &EncodingKey::from_ec_pem(P256).unwrap(), Some("p"), &claims());
    let eddsa = sign(Algorithm::EdDSA, &EncodingKey::from_ed_pem(ED25519).unwrap(), Some("e"), &claims());
    let cases = [
        ("HS256", &secret, hs256(&claims())),
        ("RS256", &public, by_rsa(RSA, Some("r"))),
        ("ES256", &public, es256),
        ("EdDSA", &public, eddsa),
    ];
    for (name, authenticator, token) in cases {
        let verified = authenticator.verify(&token, now()).unwrap();
        measure(name, 50, || {
            authenticator.verified.iter().for_each(VerifiedTokens::clear);
            black_box(authenticator.verify(&token, now()).unwrap());
        });
        if authenticator.verified.is_some() {
            measure(&format!("{name} from the cache"), 5_000, || {
                assert_eq!(black_box(authenticator.verify(&token, now()).unwrap()), verified);
            });
        }
    }
}

//! Key sets of an address: a tiny server stands in for the issuer.

use std::sync::atomic::{AtomicUsize, Ordering};

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn jwk(kid: &str, pem: &[u8]) -> Jwk {
    let key = DecodingKey::from_rsa_pem(pem).unwrap();
    let mut jwk = Jwk::from_decoding_key(&key, Some(Algorithm::RS256)).unwrap();
    jwk.common.key_id = Some(kid.into());
    jwk
}

fn set(keys: Vec<Jwk>) -> String {
    serde_json::to_string(&JwkSet { keys }).unwrap()
}

/// Answers what it was last told to, and counts.
struct Issuer {
    answer: Mutex<(u16, String)>,
    asked: AtomicUsize,
}

impl Issuer {
    async fn start(status: u16, body: String) -> (Arc<Self>, Uri) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap()).parse().unwrap();
        let issuer = Arc::new(Self { answer: Mutex::new((status, body)), asked: AtomicUsize::new(0) });
        let served = Arc::clone(&issuer);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = [0; 1024];
                let _ = socket.read(&mut head).await;
                served.asked.fetch_add(1, Ordering::Relaxed);
                let (status, body) = served.answer.lock().clone();
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        (issuer, url)
    }

    fn answer(&self, status: u16, body: String) {
        *self.answer.lock() = (status, body);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn by_address(url: Uri) -> Arc<Authenticator> {
    let authenticator = Arc::new(Authenticator::new(config(KeySource::Jwks(url))).unwrap());
    let kept = Arc::clone(&authenticator);
    tokio::spawn(async move { kept.keep_keys().await });
    authenticator
}

/// Moves the paused clock. The sockets are real: the short real sleeps let the fetch go through.
async fn pass(duration: Duration) {
    settle().await;
    tokio::time::advance(duration).await;
    settle().await;
}

async fn settle() {
    tokio::time::resume();
    tokio::time::sleep(Duration::from_millis(50)).await;
    tokio::time::pause();
}

#[tokio::test]
async fn keys_are_fetched_and_a_new_kid_fetches_again() {
    let (issuer, url) = Issuer::start(200, set(vec![jwk("old", RSA_PUB)])).await;
    let authenticator = by_address(url);
    assert!(
        authenticator.identify(&by_rsa(RSA, Some("old")), now()).await.is_ok(),
        "waits for the first fetch"
    );
    assert!(authenticator.has_keys());

    issuer.answer(200, set(vec![jwk("new", OTHER_RSA_PUB)]));
    let new = by_rsa(OTHER_RSA, Some("new"));
    assert_eq!(code(authenticator.identify(&new, now()).await), Code::TokenInvalid, "too soon to ask again");
    assert_eq!(issuer.asked(), 1);
    tokio::time::pause();
    pass(Duration::from_secs(10)).await;
    assert_eq!(issuer.asked(), 1, "nothing asked for more");
    tokio::time::resume();
    assert!(authenticator.identify(&new, now()).await.is_ok());
    assert_eq!(issuer.asked(), 2);
    let withdrawn = by_rsa(RSA, Some("old"));
    assert_eq!(
        code(authenticator.identify(&withdrawn, now()).await),
        Code::TokenInvalid,
        "also from the cache"
    );
}

#[tokio::test]
async fn made_up_kids_do_not_become_requests() {
    let (issuer, url) = Issuer::start(200, set(vec![jwk("k", RSA_PUB)])).await;
    let authenticator = by_address(url);
    for i in 0..50 {
        let token = by_rsa(RSA, Some(&format!("made-up-{i}")));
        assert_eq!(code(authenticator.identify(&token, now()).await), Code::TokenInvalid);
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn keys_stay_while_the_address_is_away() {
    let (issuer, url) = Issuer::start(200, set(vec![jwk("k", RSA_PUB)])).await;
    let authenticator = by_address(url);
    assert!(authenticator.identify(&by_rsa(RSA, Some("k")), now()).await.is_ok());
    tokio::time::pause();
    for (status, body) in [(500, String::new()), (200, "<html>".into()), (200, r#"{"keys":[]}"#.into())] {
        issuer.answer(status, body);
        let asked = issuer.asked();
        pass(Duration::from_secs(11)).await;
        pass(Duration::from_secs(600)).await;
        assert!(issuer.asked() > asked, "{status}");
        assert!(authenticator.verify(&by_rsa(RSA, Some("k")), now()).is_ok());
    }
}

#[tokio::test]
async fn without_keys_it_is_not_the_tokens_fault() {
    let (issuer, url) = Issuer::start(503, String::new()).await;
    let authenticator = by_address(url);
    let token = by_rsa(RSA, Some("k"));
    assert_eq!(code(authenticator.identify(&token, now()).await), Code::Overloaded);
    assert_eq!(code(authenticator.identify("no token", now()).await), Code::TokenInvalid);
    issuer.answer(200, set(vec![jwk("k", RSA_PUB)]));
    tokio::time::pause();
    pass(Duration::from_secs(1)).await;
    assert!(authenticator.identify(&token, now()).await.is_ok());
}

#[test]
fn what_is_no_key_for_tokens_is_left_out_of_a_set() {
    let mut for_encryption = jwk("enc", RSA_PUB);
    for_encryption.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Encryption);
    let mut for_ps256 = jwk("ps", RSA_PUB);
    for_ps256.common.key_algorithm = Some(jsonwebtoken::jwk::KeyAlgorithm::PS256);
    let weak = jwk("weak", include_bytes!("keys/weak-rsa.pub.pem"));
    for jwk in [for_encryption, for_ps256, weak] {
        assert!(KeyRing::of_jwks(set(vec![jwk]).as_bytes()).is_err());
    }
    let oct = json!({"keys": [{"kty": "oct", "k": "AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8"}]});
    assert!(KeyRing::of_jwks(oct.to_string().as_bytes()).is_err(), "a secret that anyone can fetch");
    let odd = json!({"keys": [{"kty": "new", "x": 1}, 7, serde_json::to_value(jwk("k", RSA_PUB)).unwrap()]});
    assert!(KeyRing::of_jwks(odd.to_string().as_bytes()).is_ok());
}

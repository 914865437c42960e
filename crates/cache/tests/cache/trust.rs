//! Passwords and certificates.

use godwit_cache::{Options, Settings, Standing};
use godwit_servers::redis::{self, Tls};
use rcgen::{CertificateParams, Issuer, KeyPair};

use crate::support::{PATIENCE, cluster, open, server_with, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_wrong_password_is_a_refusal_and_the_right_one_is_not() {
    let options = redis::Options { password: Some("right".to_owned()), ..redis::Options::default() };
    let Some(server) = server_with(options) else { return };
    for password in [None, Some("wrong")] {
        let settings = Settings { password: password.map(str::to_owned), ..settings(vec![server.url()]) };
        let standing = open(&settings).settled(PATIENCE).await;
        let Standing::Refused(reason) = &standing else { panic!("{password:?}: {standing:?}") };
        assert!(!reason.contains("wrong\""), "no password in it: {reason}");
    }
    let right = Settings { password: Some("right".to_owned()), ..settings(vec![server.url()]) };
    assert_eq!(open(&right).settled(PATIENCE).await, Standing::Up);
    let in_url = settings(vec![format!("redis://:right@{}", server.address())]);
    let cache = open(&in_url);
    assert_eq!(cache.settled(PATIENCE).await, Standing::Up);
    assert!(!Options::parse(&in_url).unwrap().address().contains("right"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_clusters_refusal_is_one_too() {
    let Some(servers) = cluster(Some("right")) else { return };
    let cluster = Settings { cluster: true, ..settings(servers.urls()) };
    let wrong = Settings { password: Some("wrong".to_owned()), ..cluster.clone() };
    let standing = open(&wrong).settled(PATIENCE).await;
    assert!(matches!(standing, Standing::Refused(_)), "{standing:?}");
    let right = Settings { password: Some("right".to_owned()), ..cluster };
    assert_eq!(open(&right).settled(PATIENCE).await, Standing::Up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_certificate_is_checked_against_the_given_roots() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let root = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();

    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let tls = Tls {
        certificate: file("cert.pem", leaf.pem()),
        key: file("key.pem", leaf_key.serialize_pem()),
        root: file("ca.pem", root.pem()),
    };
    let options = redis::Options { tls: Some(tls), ..redis::Options::default() };
    let Some(server) = server_with(options) else { return };

    let port = server.tls_port().unwrap();
    let url = |host: &str| vec![format!("rediss://{host}:{port}")];
    let trusting = |host| Settings { roots_pem: Some(root.pem().into()), ..settings(url(host)) };
    assert_eq!(open(&trusting("localhost")).settled(PATIENCE).await, Standing::Up);
    // Another name than the certificate's, and roots that did not sign it.
    for settings in [trusting("127.0.0.1"), settings(url("localhost"))] {
        let standing = open(&settings).settled(PATIENCE).await;
        assert!(matches!(&standing, Standing::Away(_)), "{standing:?}");
    }
}

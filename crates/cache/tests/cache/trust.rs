//! Passwords and certificates.

use godwit_cache::{Options, Settings, Standing};
use rcgen::{CertificateParams, Issuer, KeyPair};

use crate::support::{PATIENCE, Server, open, port, settings};

#[tokio::test]
async fn a_wrong_password_is_a_refusal_and_the_right_one_is_not() {
    let server = Server::with(&["--requirepass", "right"]).await;
    for password in [None, Some("wrong")] {
        let settings = Settings { password: password.map(str::to_owned), ..settings(vec![server.url()]) };
        let standing = open(&settings).settled(PATIENCE).await;
        let Standing::Refused(reason) = &standing else { panic!("{password:?}: {standing:?}") };
        assert!(!reason.contains("wrong\""), "no password in it: {reason}");
    }
    let right = Settings { password: Some("right".to_owned()), ..settings(vec![server.url()]) };
    assert_eq!(open(&right).settled(PATIENCE).await, Standing::Up);
    let in_url = settings(vec![format!("redis://:right@127.0.0.1:{}", server.port)]);
    let cache = open(&in_url);
    assert_eq!(cache.settled(PATIENCE).await, Standing::Up);
    assert!(!Options::parse(&in_url).unwrap().address().contains("right"));
}

#[tokio::test]
async fn a_clusters_refusal_is_one_too() {
    let servers = crate::support::cluster().await;
    for server in &servers {
        let () = server.ask(&["CONFIG", "SET", "requirepass", "right"]).await;
    }
    let urls: Vec<String> = servers.iter().map(Server::url).collect();
    let cluster = Settings { cluster: true, ..settings(urls) };
    let wrong = Settings { password: Some("wrong".to_owned()), ..cluster.clone() };
    let standing = open(&wrong).settled(PATIENCE).await;
    assert!(matches!(standing, Standing::Refused(_)), "{standing:?}");
    let right = Settings { password: Some("right".to_owned()), ..cluster };
    assert_eq!(open(&right).settled(PATIENCE).await, Standing::Up);
}

#[tokio::test]
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
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("ca.pem"), root.pem()).unwrap();
    std::fs::write(path("cert.pem"), leaf.pem()).unwrap();
    std::fs::write(path("key.pem"), leaf_key.serialize_pem()).unwrap();
    let tls = port().to_string();
    let _server = Server::with(&[
        "--tls-port",
        &tls,
        "--tls-cert-file",
        &path("cert.pem"),
        "--tls-key-file",
        &path("key.pem"),
        "--tls-ca-cert-file",
        &path("ca.pem"),
        "--tls-auth-clients",
        "no",
    ])
    .await;

    let url = |host: &str| vec![format!("rediss://{host}:{tls}")];
    let trusting = |host| Settings { roots_pem: Some(root.pem().into()), ..settings(url(host)) };
    assert_eq!(open(&trusting("localhost")).settled(PATIENCE).await, Standing::Up);
    // Another name than the certificate's, and roots that did not sign it.
    for settings in [trusting("127.0.0.1"), settings(url("localhost"))] {
        let standing = open(&settings).settled(PATIENCE).await;
        assert!(matches!(&standing, Standing::Away(_)), "{standing:?}");
    }
}

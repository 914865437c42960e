//! Load over TLS with a given root: the server behind a relay that ends TLS.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use godwit_loadgen::measure::Count;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

#[allow(dead_code)] // Each test file uses a part.
#[path = "support/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "support/server.rs"]
mod server;

use program::{Program, report};

/// An authority, and a certificate by it for this host's loopback.
struct Authority {
    directory: TempDir,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = authority.self_signed(&key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("root.pem"), root.pem()).unwrap();
        let issuer = Issuer::new(authority, key);
        let names = ["localhost", "127.0.0.1"].map(str::to_owned).to_vec();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let chain = vec![certificate.der().clone()];
        Self { directory, chain, key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) }
    }

    /// For `--ca-file`.
    fn root(&self) -> PathBuf {
        self.directory.path().join("root.pem")
    }

    fn acceptor(&self, protocols: &[&str]) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(self.chain.clone(), self.key.clone_key());
        let mut config = config.unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Takes TLS off what comes and hands it to a server. Ends when dropped.
struct Relay {
    port: u16,
    task: JoinHandle<()>,
}

impl Relay {
    async fn start(acceptor: TlsAcceptor, to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(relay(acceptor.clone(), socket, to));
            }
        });
        Self { port, task }
    }

    fn target(&self, host: &str) -> String {
        format!("https://{host}:{}", self.port)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client that refuses TLS or goes away is its own business.
async fn relay(acceptor: TlsAcceptor, socket: TcpStream, to: SocketAddr) -> std::io::Result<()> {
    let mut client = acceptor.accept(socket).await?;
    let mut server = TcpStream::connect(to).await?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

#[tokio::test]
async fn chat_works_over_tls_with_the_root_that_was_given() {
    let (server, authority) = (server::start(), Authority::new());
    let relay = Relay::start(authority.acceptor(&["h2", "http/1.1"]), server.address()).await;
    let root = authority.root();
    for (http, host) in [("1.1", "127.0.0.1"), ("2", "localhost")] {
        let load = ["--streams", "20", "--rate", "100", "--seconds", "2", "--account-prefix", http];
        let way =
            ["chat", "--target", &relay.target(host), "--ca-file", root.to_str().unwrap(), "--http", http];
        let (report, _) = report(0, &[&way[..], &load].concat()).await;
        let all = &report.all.counts;
        assert_eq!(report.all.errors.total(), 0, "{:?}", report.all.errors);
        assert_eq!((all[Count::Opened], all[Count::Conversation]), (20, 10));
        assert!(all[Count::Due] > 100, "{all:?}");
        assert_eq!((all[Count::Acknowledged], all[Count::Arrived]), (all[Count::Due], all[Count::Owed]));
    }
}

#[tokio::test]
async fn a_root_that_is_unknown_is_not_believed() {
    let (server, authority) = (server::start(), Authority::new());
    let relay = Relay::start(authority.acceptor(&["http/1.1"]), server.address()).await;
    let refused = async |args: &[&str]| {
        let load = ["chat", "--target", &relay.target("127.0.0.1"), "--streams", "4", "--seconds", "1"];
        let ended = Program::start([&load[..], args].concat()).end().await;
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{}", ended.stderr);
        ended.stderr.lines().last().unwrap().to_owned()
    };
    let stranger = Authority::new();
    for roots in [vec![], vec!["--ca-file".to_owned(), stranger.root().display().to_string()]] {
        let said = refused(&roots.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert!(said.contains("--ca-file"), "{roots:?}: {said}");
    }
    let root = authority.root();
    let said = refused(&["--ca-file", root.to_str().unwrap(), "--http", "2"]).await;
    assert!(said.contains("HTTP/2") && said.contains("--http"), "no HTTP/2 behind that: {said}");
}

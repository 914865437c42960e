//! One Cassandra node through all that can be done to it, and a ring through a node that is killed.

use std::net::TcpStream;
use std::sync::Arc;

use godwit_servers::cassandra::{Options, PASSWORD, Ring, USER};
use godwit_servers::cql::{self, Connection};
use godwit_servers::{Error, environment};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};

type TlsConnection = Connection<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>;

#[test]
fn a_node_ends_pauses_and_comes_back_with_its_data() {
    let Some(lib) = environment::cassandra_lib("servers: cassandra") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut ring = Ring::start(&lib, dir.path(), 1).unwrap();
    let address = ring.address();

    let mut plain = Connection::open(address, USER, PASSWORD).unwrap();
    plain
        .run("CREATE KEYSPACE k WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}")
        .unwrap();
    plain.run("CREATE TABLE k.t (a int PRIMARY KEY)").unwrap();
    plain.run("INSERT INTO k.t (a) VALUES (1)").unwrap();
    let refused = Connection::open(address, USER, "wrong").unwrap_err();
    assert!(matches!(&refused, Error::Refused { message } if message.contains("password")), "{refused:?}");
    let nobody = Connection::open(address, "nobody", PASSWORD);
    assert!(matches!(nobody, Err(Error::Refused { .. })));

    let mut secret = over_tls(&ring);
    secret.run("INSERT INTO k.t (a) VALUES (2)").unwrap();

    assert!(ring.node(1).nodetool(&["status"]).unwrap().contains("127.0.0.1"));
    let other = Options { native_port: Some(address.port()), ..Options::nodes(1) };
    let taken = Ring::start_with(&lib, &dir.path().join("other"), &other).unwrap_err();
    let who = format!("java (process {})", ring.node(1).process().pid());
    assert!(matches!(&taken, Error::PortTaken { by, .. } if *by == who), "{taken}");

    ring.node(1).pause().unwrap();
    ring.node(1).resume().unwrap();
    plain.run("INSERT INTO k.t (a) VALUES (3)").unwrap();

    // What was answered is on disk, also the table.
    ring.node(1).kill9().unwrap();
    assert!(!cql::answers(address));
    ring.node(1).start().unwrap();
    assert_eq!(ring.address(), address);
    let mut again = Connection::open(address, USER, PASSWORD).unwrap();
    again.run("SELECT a FROM k.t").unwrap();

    ring.stop().unwrap();
    assert!(!ring.node(1).process().is_running());
}

/// The certificate's names and its root hold for a client that checks them.
fn over_tls(ring: &Ring) -> TlsConnection {
    let mut roots = rustls::RootCertStore::empty();
    let root = CertificateDer::from_pem_file(ring.ca_file()).expect("a certificate");
    roots.add(root).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions that ring has")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::from(ring.address().ip());
    let session = rustls::ClientConnection::new(Arc::new(config), name).expect("a session");
    let stream = TcpStream::connect(ring.address()).expect("a connection");
    let stream = rustls::StreamOwned::new(session, stream);
    Connection::over(stream, ring.address(), USER, PASSWORD).expect("logged in over TLS")
}

#[test]
fn a_ring_of_three_goes_on_without_any_one_of_them() {
    let Some(lib) = environment::cassandra_lib("servers: ring of three") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut ring = Ring::start(&lib, dir.path(), 3).unwrap();
    let addresses = ring.addresses();
    for address in &addresses {
        Connection::open(*address, USER, PASSWORD).unwrap();
    }
    // The seed; the others let clients in without it, since each has the roles.
    ring.node(1).kill9().unwrap();
    for address in &addresses[1..] {
        Connection::open(*address, USER, PASSWORD).unwrap();
    }
    // A node comes back while the seed is down.
    ring.node(3).stop().unwrap();
    ring.node(3).start().unwrap();
    Connection::open(addresses[2], USER, PASSWORD).unwrap();
    ring.node(1).start().unwrap();
    Connection::open(addresses[0], USER, PASSWORD).unwrap();
}

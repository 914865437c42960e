//! What can never work is said in one line; what may yet work is waited for.

use std::time::Duration;

use godwit_cql::{Cql, Options};
use godwit_store::Error;
use tokio::sync::watch;

use crate::database::{self, Keyspace, connect};

/// The one line.
async fn refused(options: Options) -> String {
    let (waiting, _) = watch::channel(String::new());
    let answer = tokio::time::timeout(Duration::from_secs(20), Cql::connect(options, &waiting)).await;
    match answer.expect("it does not wait").map(drop) {
        Err(Error::Refused(text)) => {
            assert!(!text.contains('\n'), "{text}");
            println!("{text}");
            text
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_a_missing_one() {
    if !database::there() {
        return;
    }
    let options = database::options("never_made");
    let wrong = refused(Options { password: "not it".to_owned(), ..options.clone() }).await;
    assert!(wrong.contains(&options.nodes[0]) && wrong.contains("does not accept the user and password"));
    let missing = refused(Options { user: None, ..options }).await;
    assert!(missing.contains("asks for a user and password"), "{missing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_datacentre_is_answered_with_those_that_exist() {
    if !database::there() {
        return;
    }
    let text =
        refused(Options { datacenter: Some("atlantis".to_owned()), ..database::options("never_made") }).await;
    assert!(text.contains("\"atlantis\"") && text.contains("there are: datacenter1"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_number_of_shards() {
    if !database::there() {
        return;
    }
    let keyspace = Keyspace::fresh();
    let options = keyspace.options();
    drop(connect(options.clone()).await);
    let text = refused(Options { shards: 128, ..options }).await;
    assert!(text.contains("64 shards") && text.contains("128 are configured"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_none() {
    if !database::there() {
        return;
    }
    for name in ["", "Upper", "a-b", "1a", "x; DROP KEYSPACE y", &"a".repeat(49)] {
        assert!(refused(database::options(name)).await.contains("no name for a keyspace"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_rights() {
    if !database::there() {
        return;
    }
    let session = database::session().await;
    let role = database::name();
    let run = async |text: String| session.query_unpaged(text, ()).await.map(drop).expect("done");
    run(format!("CREATE ROLE {role} WITH PASSWORD = 'secret' AND LOGIN = true")).await;
    let with_role =
        |options: Options| Options { user: Some(role.clone()), password: "secret".to_owned(), ..options };
    // Nothing is there, and it may not be made.
    let text = refused(with_role(database::options("never_made"))).await;
    assert!(text.contains("CREATE") && text.contains(&role), "{text}");
    // It is there, and may not be read.
    let keyspace = Keyspace::fresh();
    drop(connect(keyspace.options()).await);
    let text = refused(with_role(keyspace.options())).await;
    assert!(text.contains("SELECT") && text.contains(keyspace.name()), "{text}");
    // Where the keyspace is there, the right to make keyspaces is not asked for.
    for right in ["SELECT", "MODIFY"] {
        run(format!("GRANT {right} ON KEYSPACE {} TO {role}", keyspace.name())).await;
    }
    // What the database remembers of rights is a second or two old.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    drop(connect(with_role(keyspace.options())).await);
    run(format!("DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_there_is_waited_for() {
    if !database::there() {
        return;
    }
    // A port on which nobody listens: taken, and not listened on.
    let taken = tokio::net::TcpSocket::new_v4().expect("a socket");
    taken.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let options = Options { nodes: vec![address.clone()], ..database::options("never_made") };
    let (waiting, mut says) = watch::channel(String::new());
    let connecting = tokio::spawn(async move { Cql::connect(options, &waiting).await });
    let said = tokio::time::timeout(Duration::from_secs(10), says.wait_for(|text| !text.is_empty())).await;
    assert!(said.expect("in time").expect("it waits").contains(&address));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!connecting.is_finished());
    connecting.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_authority_that_is_no_text_of_one() {
    if !database::there() {
        return;
    }
    for text in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let options = Options { tls_root: Some(text.into()), ..database::options("never_made") };
        assert!(refused(options).await.contains("certificate authority"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_the_root_of_the_nodes_certificates_and_with_no_other() {
    let Some(root) = database::tls_root() else { return };
    let keyspace = Keyspace::fresh();
    drop(connect(Options { tls_root: Some(root), ..keyspace.options() }).await);
    let other = rcgen::generate_simple_self_signed(["other".to_owned()]).expect("a certificate").cert.pem();
    let options = Options { tls_root: Some(other.into_bytes()), ..keyspace.options() };
    let (waiting, mut says) = watch::channel(String::new());
    let connecting = tokio::spawn(async move { Cql::connect(options, &waiting).await });
    let said = tokio::time::timeout(Duration::from_secs(10), says.wait_for(|text| !text.is_empty())).await;
    let said = said.expect("in time").expect("it waits").clone();
    assert!(said.contains("certificate"), "{said}");
    connecting.abort();
}

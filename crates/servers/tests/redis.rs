//! Redis servers are started, ended, paused and started again, alone and together.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use godwit_servers::redis::{Cluster, Options, Reply, Sentinel, Server, Temporary};
use godwit_servers::{Error, Process, environment};

#[test]
fn a_server_ends_pauses_and_comes_back_on_its_port() {
    if environment::redis("servers: redis").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), Options::default()).unwrap();
    let url = server.url();
    server.ask(&["SET", "a", "1"]).unwrap();
    assert_eq!(server.ask(&["GET", "a"]).unwrap().text(), "1");

    server.pause().unwrap();
    assert!(matches!(server.ask(&["PING"]), Err(Error::Connection { .. })));
    server.resume().unwrap();
    assert_eq!(server.ask(&["GET", "a"]).unwrap().text(), "1");

    server.kill9().unwrap();
    assert!(matches!(server.ask(&["PING"]), Err(Error::Connection { .. })));
    server.restart().unwrap();
    assert_eq!(server.url(), url);
    assert_eq!(server.ask(&["GET", "a"]).unwrap(), Reply::Nil);

    let taken = Options { port: Some(server.address().port()), ..Options::default() };
    let error = Server::start(&dir.path().join("other"), taken).unwrap_err();
    let who = format!("redis-server (process {})", server.process().pid());
    assert!(matches!(&error, Error::PortTaken { by, .. } if *by == who), "{error}");
    server.stop().unwrap();
    assert!(!server.process().is_running());
}

#[test]
fn a_detached_server_outlives_its_handle_and_is_found_by_its_pid_file() {
    if environment::redis("servers: detached redis").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let options = Options { detached: true, ..Options::default() };
    let pid = Server::start(dir.path(), options).unwrap().process().pid();
    let mut found = Process::recorded(&dir.path().join("pid")).unwrap().expect("it runs");
    assert_eq!(found.pid(), pid);
    found.stop(Duration::from_secs(10)).unwrap();
    assert!(Process::recorded(&dir.path().join("pid")).unwrap().is_none());
}

#[test]
fn a_temporary_server_leaves_no_files() {
    if environment::redis("servers: temporary redis").is_none() {
        return;
    }
    let server = Temporary::server(Options::default()).unwrap();
    let Reply::List(said) = server.ask(&["CONFIG", "GET", "dir"]).unwrap() else { panic!("a list") };
    let home = PathBuf::from(said[1].text());
    assert!(home.join("log").exists(), "{}", home.display());
    drop(server);
    assert!(!home.exists(), "{}", home.display());
}

#[test]
fn a_password_is_asked_for_and_a_bad_configuration_is_in_the_error() {
    if environment::redis("servers: redis with a password").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let options = Options { password: Some("secret".to_owned()), ..Options::default() };
    let server = Server::start(dir.path(), options).unwrap();
    assert_eq!(server.ask(&["PING"]).unwrap().text(), "PONG");
    let config = server.ask(&["CONFIG", "GET", "requirepass"]).unwrap();
    assert_eq!(
        config,
        Reply::List(["requirepass", "secret"].map(|text| Reply::Text(text.to_owned())).into())
    );
    // A directory that a file is in the way of.
    std::fs::write(dir.path().join("file"), "").unwrap();
    assert!(matches!(Server::start(&dir.path().join("file"), Options::default()), Err(Error::File { .. })));
}

#[test]
fn three_masters_are_a_cluster() {
    if environment::redis("servers: redis cluster").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), Some("secret")).unwrap();
    // The slot of `foo`, 12182, is in the last third.
    let moved = cluster.nodes[0].ask(&["SET", "foo", "1"]);
    let to = cluster.nodes[2].address();
    let expected = format!("MOVED 12182 {to}");
    assert!(matches!(&moved, Err(Error::Refused { message }) if *message == expected), "{moved:?}");
    cluster.nodes[2].ask(&["SET", "foo", "1"]).unwrap();
    // A node comes back into the cluster that it was in.
    cluster.nodes[1].restart().unwrap();
    within(Duration::from_secs(20), || {
        let info = cluster.nodes[1].ask(&["CLUSTER", "INFO"]).unwrap();
        info.text().contains("cluster_state:ok")
    });
}

#[test]
fn a_sentinel_makes_the_replica_master() {
    if environment::redis("servers: redis sentinel").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut set_up = Sentinel::start(dir.path(), Some("secret")).unwrap();
    assert_eq!(set_up.master_port().unwrap(), Some(set_up.master.address().port()));
    set_up.master.kill9().unwrap();
    let replica = set_up.replica.address().port();
    within(Duration::from_secs(30), || set_up.master_port().unwrap() == Some(replica));
    within(Duration::from_secs(10), || set_up.replica.ask(&["SET", "a", "1"]).is_ok());
}

fn within(time: Duration, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < time, "not within {time:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

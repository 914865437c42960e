//! A server on three database nodes, of which one and then two are stopped, frozen, killed and brought back
//! under load: nothing is lost, streams stay open, and what cannot be stored is answered with "come back".
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use std::time::{Duration, Instant};

use godwit_loadgen::measure::Count;
use godwit_loadgen::report::Report;
use godwit_servers::cassandra::{self, Ring};
use godwit_servers::environment::{self, CqlServer};
use godwit_testkit::server::keyspace;
use godwit_testkit::{Client, Launch, Server};
use rustix::process::Signal;

#[allow(dead_code)] // Each test file uses a part.
#[path = "support/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "support/server.rs"]
mod server;

use program::{Program, until};
use server::{stored, streams, target};

const STREAMS: usize = 24;
/// Messages a second: the ring, the server and the load share the machine, and the ring gets most of it.
const RATE: &str = "40";
/// Longer than the faults take; their end ends the load.
const LOAD_S: &str = "600";
/// How long a fault lasts.
const FAULT: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_nodes_of_the_database_come_and_go() {
    let Some(lib) = environment::cassandra_lib("a database of three nodes that come and go") else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut ring = Ring::start(&lib, directory.path(), 3).unwrap();
    let database = CqlServer {
        address: ring.address(),
        user: cassandra::USER.to_owned(),
        password: cassandra::PASSWORD.to_owned(),
        ca_file: None,
    };
    let nodes: Vec<_> = ring.addresses().iter().map(ToString::to_string).collect();
    let launch = Launch::dev(server::godwit()).cql(&database, &keyspace("quorum"), 3);
    let server = launch.env("GODWIT_STORE__CQL__NODES", nodes.join(",")).start();
    // The database is away again and again: the server says so, and goes on.
    server.expect_log("the database does not answer");

    let url = target(&server);
    let json = directory.path().join("report.json");
    let streams = STREAMS.to_string();
    let load = ["verify", "--target", &url, "--scenario", "chat", "--seconds", LOAD_S, "--streams", &streams];
    let more = ["--rate", RATE, "--groups", "2:3,4:1", "--settle-s", "60", "--quiet", "--json"];
    let program = Program::start([&load[..], &more, &[json.to_str().unwrap()]].concat());
    until("messages flow", async || stored(&server).await >= 50.0).await;
    let began = Instant::now();
    one_node_at_a_time(&mut ring, &server).await;
    two_nodes_away(&mut ring, &server).await;
    println!("faults for {:?}", began.elapsed());
    program.signal(Signal::INT);
    let ended = program.end().await;
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    let report: Report = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    println!("{:?}\n{:?}\n{:?}", report.verdict, report.all.counts, report.all.errors);
    let verdict = report.verdict.clone().expect("it was judged");
    assert_eq!((&verdict.violation, &verdict.inconclusive), (&None, &None));
    assert!(verdict.messages > 1_000, "{verdict:?}\n{}", ended.stdout);
    assert_eq!(
        report.all.counts[Count::Acknowledged],
        report.all.counts[Count::Due],
        "errors were retryable"
    );
    assert_eq!(report.all.counts[Count::Ended], 0, "the server has ended a stream");
}

/// With one of three away everything goes on.
async fn one_node_at_a_time(ring: &mut Ring, server: &Server) {
    flows(server, "one is stopped", |ring| ring.node(2).stop().unwrap(), ring).await;
    blocking(|| ring.node(2).start().unwrap());
    flows(server, "one is frozen", |ring| ring.node(3).pause().unwrap(), ring).await;
    blocking(|| ring.node(3).resume().unwrap());
    flows(server, "one is killed", |ring| ring.node(2).kill9().unwrap(), ring).await;
    blocking(|| ring.node(2).start().unwrap());
}

/// Makes a fault, lets it last, and sees that messages are stored meanwhile.
async fn flows(server: &Server, what: &str, fault: impl FnOnce(&mut Ring), ring: &mut Ring) {
    blocking(|| fault(ring));
    let before = stored(server).await;
    tokio::time::sleep(FAULT).await;
    until(&format!("messages are stored while {what}"), async || stored(server).await > before + 20.0).await;
}

/// With two of three away nothing can be stored: POSTs say so, streams stay, and all goes on by itself.
async fn two_nodes_away(ring: &mut Ring, server: &Server) {
    let ann = server.client("ann", "phone");
    let conversation = ann.open_direct("bob").await;
    ann.say(&conversation, "before", "hello").await.expect(201);
    blocking(|| {
        ring.node(2).kill9().unwrap();
        ring.node(3).kill9().unwrap();
    });
    refused_until_it_can_be_stored(&ann, &conversation).await;
    assert!(streams(server).await >= STREAMS as f64, "streams stay open");
    blocking(|| {
        ring.node(2).start().unwrap();
        ring.node(3).start().unwrap();
    });
    let stored_again = async || ann.say(&conversation, "during", "hello").await.status < 300;
    until("messages are stored again", stored_again).await;
    assert!(streams(server).await >= STREAMS as f64, "streams stayed open");
}

async fn refused_until_it_can_be_stored(ann: &Client, conversation: &str) {
    let began = Instant::now();
    let mut refused = 0;
    while began.elapsed() < FAULT * 2 {
        let answer = ann.say(conversation, "during", "hello").await;
        assert_eq!(answer.status, 503, "it is stored nowhere: {answer:?}");
        assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
        refused += 1;
    }
    assert!(refused > 1, "{refused} in {:?}", began.elapsed());
}

fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

//! Ends before the time: Ctrl-C, a coordinator or a worker that is killed, and two runs that do not mind
//! each other.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use godwit_loadgen::measure::{Count, Phase};
use godwit_loadgen::report::Report;
use godwit_testkit::Server;
use rustix::process::Signal;

#[allow(dead_code)] // Each test file uses a part.
#[path = "support/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "support/server.rs"]
mod server;

use program::{ORPHANED_MAX, Program, report, send, until};
use server::{stored, streams, target};

/// A run that would take long, by two workers.
const LONG: [&str; 8] = ["--streams", "20", "--rate", "100", "--seconds", "600", "--workers", "2"];

/// A run that is ended waits for what is under way, which takes milliseconds, and not for its time.
const ENDED_MAX: Duration = Duration::from_secs(20);

/// A run that is in the middle of its load.
async fn under_way(server: &Server, scenario: &[&str], args: &[&str]) -> Program {
    let before = stored(server).await;
    let program = Program::start([scenario, &["--target", &target(server)], &LONG, args].concat());
    until("the load runs", async || stored(server).await > before + 50.0).await;
    assert_eq!(program.workers().len(), 2);
    program
}

fn read(file: &Path) -> Report {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

#[tokio::test]
async fn ctrl_c_ends_the_load_and_the_report_is_written() {
    let (server, directory) = (server::start(), tempfile::tempdir().unwrap());
    let (json, html) = (directory.path().join("report.json"), directory.path().join("report.html"));
    let files = ["--json", json.to_str().unwrap(), "--html", html.to_str().unwrap()];
    let program = under_way(&server, &["chat"], &files).await;
    program.signal(Signal::INT);
    let ended = program.end().await.done();
    assert!(ended.took < ENDED_MAX, "{:?}", ended.took);
    assert!(ended.stdout.contains("ended before its time"), "{}", ended.stdout);
    assert!(ended.stderr.contains("stopping"), "{}", ended.stderr);
    let report = read(&json);
    assert!(report.interrupted);
    assert_eq!(report.phases.last().unwrap().phase, Phase::Settle);
    assert_eq!(report.all.errors.total(), 0, "{:?}", report.all.errors);
    assert!(report.all.counts[Count::Due] > 50);
    assert_eq!(report.all.counts[Count::Acknowledged], report.all.counts[Count::Due], "all were answered");
    assert!(std::fs::read_to_string(html).unwrap().contains("</html>"));
    until("its streams are gone", async || streams(&server).await == 0.0).await;
}

#[tokio::test]
async fn ctrl_c_in_verify_still_judges() {
    let (server, directory) = (server::start(), tempfile::tempdir().unwrap());
    let json = directory.path().join("report.json");
    let verify = ["verify", "--scenario", "flap", "--life-s", "1"];
    let program = under_way(&server, &verify, &["--json", json.to_str().unwrap()]).await;
    program.signal(Signal::INT);
    let ended = program.end().await.done();
    assert!(ended.stdout.contains("0 violations in"), "{}", ended.stdout);
    let report = read(&json);
    let verdict = report.verdict.unwrap();
    assert!(report.interrupted && verdict.messages > 50, "{verdict:?}");
    assert_eq!((verdict.violation, verdict.inconclusive), (None, None));
}

#[tokio::test]
async fn the_second_ctrl_c_waits_no_longer() {
    let (mut server, directory) = (server::start(), tempfile::tempdir().unwrap());
    let json = directory.path().join("report.json");
    let program = under_way(&server, &["chat"], &["--json", json.to_str().unwrap()]).await;
    // What is under way now is never answered.
    server.kill9();
    program.signal(Signal::INT);
    until("it waits for the end", async || program.said().contains("phase settle ")).await;
    program.signal(Signal::INT);
    let ended = program.end().await.done();
    assert!(ended.took < ENDED_MAX, "{:?}", ended.took);
    let report = read(&json);
    assert!(report.interrupted && report.all.errors.total() > 0, "{:?}", report.all.errors);
}

#[tokio::test]
async fn ctrl_c_before_the_load_leaves_nothing() {
    // It takes connections and says nothing: setting up waits for it.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let program = Program::start([&["chat", "--target", &url], &LONG[..]].concat());
    // Both workers have connected: all that there is runs.
    let accepted = tokio::task::spawn_blocking(move || {
        let both = [silent.accept().unwrap(), silent.accept().unwrap()];
        (silent, both)
    });
    let _held = accepted.await.unwrap();
    program.signal(Signal::INT);
    let ended = program.end().await;
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopped before the load began"), "{}", ended.stderr);
    assert!(ended.took < ENDED_MAX, "{:?}", ended.took);
}

#[tokio::test]
async fn workers_end_with_their_coordinator() {
    let server = server::start();
    let program = under_way(&server, &["chat"], &[]).await;
    // Sees that they are gone within their time.
    program.kill9().await;
    until("their streams are gone", async || streams(&server).await == 0.0).await;
}

#[tokio::test]
async fn workers_that_set_up_end_with_their_coordinator() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let program = Program::start([&["chat", "--target", &url], &LONG[..]].concat());
    until("workers run", async || program.workers().len() == 2).await;
    program.kill9().await;
}

#[tokio::test]
async fn a_load_without_one_of_its_workers_is_none() {
    let server = server::start();
    let program = under_way(&server, &["chat"], &[]).await;
    send(program.workers()[0], Signal::KILL);
    let ended = program.end().await;
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{}", ended.stderr);
    let sentence = ended.stderr.lines().last().unwrap();
    assert!(sentence.contains("worker ") && sentence.contains("ended before its time"), "{}", ended.stderr);
    assert!(ended.took < ENDED_MAX + ORPHANED_MAX, "{:?}", ended.took);
    until("their streams are gone", async || streams(&server).await == 0.0).await;
}

#[tokio::test]
async fn two_loads_at_once_are_two_loads() {
    let server = server::start();
    let url = target(&server);
    let load = |prefix: &'static str| {
        let own = ["--account-prefix", prefix, "--streams", "20", "--rate", "100", "--seconds", "3"];
        let all = [&["verify", "--scenario", "chat", "--target", &url], &own[..]].concat();
        async move { report(0, &all).await.0 }
    };
    let (one, other) = tokio::join!(load("one-"), load("other-"));
    for report in [one, other] {
        let (counts, verdict) = (&report.all.counts, report.verdict.unwrap());
        assert_eq!(report.all.errors.total(), 0, "{:?}", report.all.errors);
        assert_eq!(verdict.messages, counts[Count::Due], "{verdict:?}");
        // Its own and no others: each message comes to both members of its conversation.
        assert_eq!(verdict.deliveries, 2 * verdict.messages, "{verdict:?}");
        assert_eq!(counts[Count::Arrived], counts[Count::Owed]);
    }
}

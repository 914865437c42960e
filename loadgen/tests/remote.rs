//! Workers that listen for coordinators of other hosts: let in who knows the secret, and keep theirs.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use std::path::PathBuf;

use godwit_loadgen::measure::Count;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

#[allow(dead_code)] // Each test file uses a part.
#[path = "support/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "support/server.rs"]
mod server;

use program::{Program, listener, report, until};
use server::{stored, streams, target};

const SMALL: [&str; 6] = ["--streams", "20", "--rate", "100", "--seconds", "2"];

/// A file with a secret.
fn secret(directory: &TempDir, text: &str) -> String {
    let path: PathBuf = directory.path().join(text);
    std::fs::write(&path, format!("{text}-of-coordinator-and-workers\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The sentence by which a load is refused.
async fn refused(args: &[&str]) -> String {
    let ended = Program::start(args).end().await;
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{}", ended.stderr);
    let said: Vec<&str> = ended.stderr.lines().filter(|line| !line.starts_with("phase setup ")).collect();
    let [sentence] = said[..] else { panic!("one sentence: {}", ended.stderr) };
    sentence.to_owned()
}

#[tokio::test]
async fn two_listeners_share_a_load() {
    let (server, directory) = (server::start(), tempfile::tempdir().unwrap());
    let known = secret(&directory, "known");
    let args = ["--worker-secret-file", &known];
    let ((mut one, at_one), (_two, at_two)) = tokio::join!(listener(&args), listener(&args));
    let (url, workers) = (target(&server), format!("{at_one},{at_two}"));
    let load = [&["chat", "--target", &url, "--workers", &workers], &args[..], &SMALL].concat();
    // One after the other: a listener serves more than one run.
    for _ in 0..2 {
        let (report, _) = report(0, &load).await;
        let all = &report.all.counts;
        assert_eq!((report.workers, all[Count::Opened], all[Count::Conversation]), (2, 20, 10));
        assert_eq!(report.all.errors.total(), 0, "{:?}", report.all.errors);
        assert!(all[Count::Due] > 100);
        assert_eq!((all[Count::Acknowledged], all[Count::Arrived]), (all[Count::Due], all[Count::Owed]));
        assert!(report.generators.is_empty(), "they are processes of other hosts");
        let ended = one.says().await;
        assert!(ended.starts_with("a worker for 127.0.0.1:") && ended.ends_with("has ended"), "{ended}");
    }
}

#[tokio::test]
async fn who_does_not_know_the_secret_is_refused() {
    let (server, directory) = (server::start(), tempfile::tempdir().unwrap());
    let (known, guessed) = (secret(&directory, "known"), secret(&directory, "guessed"));
    let (mut worker, address) = listener(&["--worker-secret-file", &known]).await;
    let url = target(&server);
    let load = [&["chat", "--target", &url, "--workers", &address], &SMALL[..]].concat();
    let said = refused(&[&load[..], &["--worker-secret-file", &guessed]].concat()).await;
    assert!(said.contains(&address) && said.contains("another secret than --worker-secret-file"), "{said}");
    assert!(worker.says().await.ends_with("the coordinator has another secret"));
    let said = refused(&load).await;
    assert!(said.contains("wants a secret: name it with --worker-secret-file"), "{said}");
    assert_eq!((streams(&server).await, stored(&server).await), (0.0, 0.0));
    // It still serves who knows it.
    worker.says().await;
    report(0, &[&load[..], &["--worker-secret-file", &known]].concat()).await;
}

#[tokio::test]
async fn a_listener_that_anybody_could_use_is_refused() {
    let said = refused(&["worker", "--listen", "0.0.0.0:0"]).await;
    assert!(
        said.contains("--listen 0.0.0.0:0 is open to others") && said.contains("--worker-secret-file"),
        "{said}"
    );
    let directory = tempfile::tempdir().unwrap();
    let short = directory.path().join("short");
    std::fs::write(&short, "swordfish\n").unwrap();
    let short = short.to_str().unwrap();
    let said = refused(&["worker", "--listen", "0.0.0.0:0", "--worker-secret-file", short]).await;
    assert!(said.contains(short) && said.contains("22 characters"), "{said}");
    let used = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = used.local_addr().unwrap().to_string();
    let said = refused(&["worker", "--listen", &address]).await;
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
}

#[tokio::test]
async fn tokens_come_from_the_workers_own_host() {
    let server = server::start();
    let (url, secret) = (target(&server), server.secret_file());
    let tokens = ["--token-secret-file", secret.to_str().unwrap()];
    let load = [&["chat", "--target", &url], &SMALL[..], &tokens].concat();
    let (_without, address) = listener(&[]).await;
    let said = refused(&[&load[..], &["--workers", &address]].concat()).await;
    assert!(
        said.contains("this worker's host has no tokens") && said.contains("--token-secret-file"),
        "{said}"
    );
    let (_with, address) = listener(&tokens).await;
    let (report, _) = report(0, &[&load[..], &["--workers", &address]].concat()).await;
    assert!(report.all.counts[Count::Acknowledged] > 100);
}

#[tokio::test]
async fn the_secret_of_tokens_does_not_travel() {
    let server = server::start();
    let file = server.secret_file();
    let secret = std::fs::read_to_string(&file).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let url = target(&server);
    let tokens = ["--token-secret-file", file.to_str().unwrap(), "--workers", &address];
    let program = Program::start([&["chat", "--target", &url], &SMALL[..], &tokens].concat());
    let (socket, _) = listener.accept().await.unwrap();
    let mut socket = BufReader::new(socket);
    socket.write_all(b"open\n").await.unwrap();
    let mut plan = String::new();
    socket.read_line(&mut plan).await.unwrap();
    assert!(plan.contains(&url), "{plan}");
    assert!(!plan.contains(secret.trim()), "{plan}");
    drop(socket);
    let ended = program.end().await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("worker 0 ended before its time"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_worker_ends_when_its_coordinator_is_gone() {
    let server = server::start();
    let (mut worker, address) = listener(&[]).await;
    let url = target(&server);
    let load = ["chat", "--target", &url, "--workers", &address, "--streams", "20", "--seconds", "600"];
    let program = Program::start(load);
    until("the load runs", async || stored(&server).await > 50.0).await;
    program.signal(Signal::KILL);
    // The worker may have time to say so itself.
    let mut said = worker.says().await;
    while said.contains("the coordinator is gone") {
        said = worker.says().await;
    }
    assert!(said.starts_with("a worker for 127.0.0.1:"), "{said}");
    until("its streams are gone", async || streams(&server).await == 0.0).await;
    assert_eq!(program.end().await.code, None);
}

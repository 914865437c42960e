//! What cannot be done is said in one sentence that names it, soon, and nothing is left behind.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use godwit_testkit::{Launch, Server};
use tempfile::TempDir;
use tokio::process::Command;

#[allow(dead_code)] // Each test file uses a part.
#[path = "support/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "support/server.rs"]
mod server;

use program::{Ended, PROGRAM, Program};
use server::{godwit, streams, target};

/// Nobody waits longer than this to learn of a mistake. Most take milliseconds.
const SOON: Duration = Duration::from_secs(10);

/// The load could not be made.
const NO_LOAD: i32 = 2;
/// A flag is wrong.
const USAGE: i32 = 64;

const SMALL: [&str; 4] = ["--streams", "4", "--seconds", "1"];

/// The one sentence by which this load is refused.
async fn refused(args: &[&str]) -> String {
    sentence(Program::start(args).end().await)
}

/// The same for a small load on a target.
async fn refused_by(target: &str, args: &[&str]) -> String {
    refused(&[&["chat", "--target", target], &SMALL[..], args].concat()).await
}

#[track_caller]
fn sentence(ended: Ended) -> String {
    let Ended { code, stdout, stderr, took } = ended;
    assert_eq!((code, &*stdout), (Some(NO_LOAD), ""), "{stderr}");
    assert!(took < SOON, "{took:?}: {stderr}");
    // The live view may have begun by then; not so the load.
    let said: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("phase setup ")).collect();
    let [line] = said[..] else { panic!("one sentence: {stderr}") };
    let sentence = line.strip_prefix("godwit-loadgen: ").unwrap_or_else(|| panic!("{line}"));
    assert!(sentence.len() < 500, "one sentence: {sentence}");
    sentence.to_owned()
}

/// It has all of these words.
#[track_caller]
fn names(sentence: &str, words: &[&str]) {
    for word in words {
        assert!(sentence.contains(word), "{word:?} is not in: {sentence}");
    }
}

/// Of a refused load the server has seen nothing that lasts.
async fn untouched(server: &Server) {
    assert_eq!((streams(server).await, server::stored(server).await), (0.0, 0.0));
}

/// A file of this text.
fn file(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An address of loopback where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Greets whoever connects as an SSH server does.
fn no_http_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let _ = socket.and_then(|mut socket| socket.write_all(b"SSH-2.0-OpenSSH_9.2\r\n"));
        }
    });
    address.to_string()
}

#[tokio::test]
async fn a_target_that_is_none() {
    let url = format!("http://{}", nobody());
    names(&refused_by(&url, &[]).await, &[&url, "refused", "--target"]);
    for workers in ["2", "3"] {
        names(&refused_by(&url, &["--workers", workers]).await, &[&url]);
    }
    names(&refused_by("http://no-such-host.invalid", &[]).await, &["no-such-host.invalid", "--target"]);
    names(&refused_by("127.0.0.1:80", &[]).await, &["127.0.0.1:80", "http://HOST:PORT"]);
    names(&refused_by("http://127.0.0.1:80/path", &[]).await, &["path", "http://HOST:PORT"]);
}

#[tokio::test]
async fn a_server_of_another_kind() {
    let url = format!("http://{}", no_http_server());
    names(&refused_by(&url, &[]).await, &[&url, "HTTP/1.1", "--target"]);
    names(&refused_by(&url, &["--http", "2"]).await, &[&url, "HTTP/2", "--http"]);
    let url = format!("https://{}", no_http_server());
    names(&refused_by(&url, &[]).await, &[&url, "TLS", "--ca-file"]);
}

#[tokio::test]
async fn a_port_that_is_the_operators() {
    let server = server::start();
    let url = format!("http://{}", server.admin());
    names(&refused_by(&url, &[]).await, &[&url, "404", "public port"]);
    let secret = server.secret_file();
    names(&refused_by(&url, &["--token-secret-file", text(&secret)]).await, &[&url, "404", "public port"]);
}

#[tokio::test]
async fn tls_to_a_server_that_has_none() {
    let server = server::start();
    let url = format!("https://{}", server.address());
    names(&refused_by(&url, &[]).await, &[&url, "TLS"]);
    untouched(&server).await;
}

#[tokio::test]
async fn http_2_to_a_server_that_does_not_speak_it() {
    let nchan = nchan::Nchan::start();
    let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/nchan.toml");
    let said = refused_by(&nchan.target(), &["--http", "2", "--profile", text(&profile)]).await;
    names(&said, &[&nchan.target(), "HTTP/2", "--http"]);
}

#[allow(dead_code)]
#[path = "support/nchan.rs"]
mod nchan;

#[tokio::test]
async fn a_token_that_is_not_believed() {
    let (server, directory) = (server::start(), tempfile::tempdir().unwrap());
    let url = target(&server);
    let secret = file(&directory, "secret", "another-secret-than-the-servers-0123456789abcdef");
    let said = refused_by(&url, &["--token-secret-file", text(&secret)]).await;
    names(&said, &[&url, "401", "--token-secret-file"]);
    let missing = directory.path().join("missing");
    names(
        &refused_by(&url, &["--token-secret-file", text(&missing)]).await,
        &[text(&missing), "No such file"],
    );
    untouched(&server).await;
}

#[tokio::test]
async fn a_server_that_gives_no_tokens_away() {
    let server = Launch::serve(godwit(), "").start();
    let said = refused_by(&target(&server), &[]).await;
    names(&said, &["/dev/token", "godwit dev", "--token-secret-file"]);
}

#[tokio::test]
async fn tokens_that_do_not_do() {
    let (server, directory) = (server::start(), tempfile::tempdir().unwrap());
    let (url, signed) = (target(&server), server.tokens());
    let tokens: Vec<String> = (0..3).map(|n| signed.sign(&format!("ann{n}"), "phone")).collect();
    let few = file(&directory, "few", &tokens.join("\n"));
    names(&refused_by(&url, &["--tokens", text(&few)]).await, &[text(&few), "line 4", "--streams"]);
    let nonsense = file(&directory, "nonsense", &format!("{}\nswordfish\n", tokens.join("\n")));
    let said = refused_by(&url, &["--tokens", text(&nonsense)]).await;
    names(&said, &[text(&nonsense), "line 4", "JWT"]);
    assert!(!said.contains("swordfish"), "what may be a secret is not shown: {said}");
    let missing = directory.path().join("missing");
    names(&refused_by(&url, &["--tokens", text(&missing)]).await, &["--tokens", text(&missing)]);
    untouched(&server).await;
}

#[tokio::test]
async fn files_that_are_not_what_they_should_be() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("https://{}", nobody());
    let nothing = file(&directory, "nothing.pem", "no certificate at all\n");
    names(&refused_by(&url, &["--ca-file", text(&nothing)]).await, &["--ca-file", "certificate"]);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let broken = file(&directory, "broken.pem", broken);
    names(&refused_by(&url, &["--ca-file", text(&broken)]).await, &["--ca-file", "root"]);
    let missing = directory.path().join("missing");
    names(&refused_by(&url, &["--ca-file", text(&missing)]).await, &[text(&missing)]);
    let profile = file(&directory, "mistake.toml", "name = \"x\"\n[subscribe]\nurll = \"{target}/\"\n");
    names(&refused_by(&url, &["--profile", text(&profile)]).await, &[text(&profile), "urll"]);
    names(&refused_by(&url, &["--profile", text(&missing)]).await, &[text(&missing)]);
}

#[tokio::test]
async fn too_few_file_descriptors() {
    let server = server::start();
    let mut shell = Command::new("bash");
    let limited = "ulimit -n 100 && exec \"$0\" \"$@\"";
    shell.args(["-c", limited, PROGRAM, "idle", "--target", &target(&server), "--streams", "500"]);
    let said = sentence(Program::start_as(shell).end().await);
    names(&said, &["open files", "100", "ulimit -n", "--workers", "--http 2"]);
    untouched(&server).await;
}

#[tokio::test]
async fn too_few_ports() {
    let server = server::start();
    let common = ["idle", "--target", &target(&server), "--streams", "70000", "--workers", "70"];
    let said = refused(&[&common[..], &["--source", "127.0.0.9"]].concat()).await;
    names(&said, &["70070 connections from 127.0.0.9", "ip_local_port_range", "--source", "--http 2"]);
    untouched(&server).await;
}

#[tokio::test]
async fn outputs_and_watches_that_cannot_be() {
    let (server, directory) = (server::start(), tempfile::tempdir().unwrap());
    let url = target(&server);
    let nowhere = directory.path().join("missing/report");
    for flag in ["--json", "--html"] {
        names(&refused_by(&url, &[flag, text(&nowhere)]).await, &[text(&nowhere), "cannot write"]);
    }
    // Above the kernel's largest number of a process.
    names(&refused_by(&url, &["--pid", "4194305"]).await, &["no process 4194305"]);
    let metrics = format!("http://{}/metrics", nobody());
    names(&refused_by(&url, &["--metrics", &metrics]).await, &[&metrics, "refused"]);
    let history = file(&directory, "file", "");
    let verify = ["verify", "--scenario", "chat", "--target", &url, "--history", text(&history)];
    let said = refused(&[&verify[..], &SMALL].concat()).await;
    names(&said, &["history", text(&history)]);
}

#[tokio::test]
async fn workers_that_are_none() {
    let server = server::start();
    let address = nobody();
    let said = refused_by(&target(&server), &["--workers", &address]).await;
    names(&said, &[&address, "worker --listen"]);
    let said = refused_by(&target(&server), &["--workers", "5"]).await;
    names(&said, &["--streams 4", "5 workers"]);
    untouched(&server).await;
}

#[tokio::test]
async fn flags_that_are_wrong() {
    let url = format!("http://{}", nobody());
    let wrong: [(&[&str], &str); 10] = [
        (&["chat", "--nonsense"], "--nonsense"),
        (&["chat", "--rate", "0"], "--rate"),
        (&["chat", "--rate", "NaN"], "--rate"),
        (&["chat", "--seconds=-1"], "--seconds"),
        (&["chat", "--groups", "1"], "--groups"),
        (&["chat", "--storm-every-s", "3"], "--storm-every-s is for storm"),
        (&["idle", "--rate", "5"], "--rate"),
        (&["verify", "--scenario", "chat", "--life-s", "3"], "--life-s is for flap and mixed"),
        (&["chat", "--tokens", "a", "--token-secret-file", "b"], "--token"),
        (&["chatter"], "chatter"),
    ];
    for (args, named) in wrong {
        let ended = Program::start([args, &["--target", &url]].concat()).end().await;
        assert_eq!((ended.code, &*ended.stdout), (Some(USAGE), ""), "{args:?}: {}", ended.stderr);
        names(&ended.stderr, &[named]);
        assert!(ended.took < SOON);
    }
}

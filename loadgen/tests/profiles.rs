//! The profiles that ship, against the servers that they are for.

// The functions that tests share are tests too.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use godwit_loadgen::profile::{KEYS, Placeholder, Profile, Ready, Values};
use tokio::net::TcpListener;

#[path = "support/nchan.rs"]
mod nchan;
// The programs' own entry points are not called here.
#[allow(dead_code)]
#[path = "../examples/plain_sse.rs"]
mod plain_sse;
#[allow(dead_code)]
#[path = "../examples/try_profile.rs"]
mod try_profile;

use nchan::Nchan;
use try_profile::{Events, check, post};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles").join(name)
}

/// A shipped profile, with the variables that its comment asks for.
fn shipped(name: &str) -> Profile {
    let path = file(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let variable = |name: &str| {
        assert!(text.matches(name).count() > 1, "{name} is used and not explained");
        Some("secret".to_owned())
    };
    Profile::parse(&path, &text, &variable).unwrap_or_else(|error| panic!("{error}"))
}

/// Values with characters that a URL, a form or JSON must encode.
fn values(target: &str) -> Values<'_> {
    Values {
        target,
        account: "anna",
        channel: "room 1/ä?&=%2F",
        id: "m \"1\" \\",
        sent_us: 1_700_000_000_000_001,
        text: "x=1&y=\"ä\"\n\u{1}+",
        token: "token",
    }
}

#[tokio::test]
async fn nchan_delivers_what_the_profile_posts() {
    let nchan = Nchan::start();
    check(&shipped("nchan.toml"), &values(&nchan.target())).await.unwrap();
    let name = std::fs::read_to_string(format!("/proc/{}/comm", nchan.pid())).unwrap();
    assert_eq!(name, "nginx\n", "the process to watch");
    // A warning may tell of the machine's limits.
    let written = nchan.written();
    assert!(written.lines().all(|line| line.contains("[warn]")), "{written}");
}

#[tokio::test]
async fn nchan_sends_again_what_a_stream_missed() {
    let (nchan, profile) = (Nchan::start(), shipped("nchan.toml"));
    let target = nchan.target();
    let first = values(&target);
    let events = check(&profile, &first).await.unwrap();
    let last = events.last_id.clone().expect("nchan gives ids");
    drop(events);
    let missed = Values { id: "missed", sent_us: 2, ..first };
    post(&profile, &missed).await.unwrap();
    assert!(profile.resumes());
    let request = profile.subscribe(&first, Some(&last)).unwrap();
    let seen = Events::open(request).await.unwrap().message(&profile).await.unwrap();
    assert_eq!(seen, ("missed".to_owned(), 2));
}

#[tokio::test]
async fn a_plain_axum_server_delivers_what_the_profile_posts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async { axum::serve(listener, plain_sse::router()).await });
    check(&shipped("axum.toml"), &values(&target)).await.unwrap();
    server.abort();
}

#[test]
fn mercure_gets_a_form_with_json_in_it() {
    let profile = shipped("mercure.toml");
    let values = values("http://hub");
    let channel = "room%201%2F%C3%A4%3F%26%3D%252F";
    let request = profile.subscribe(&values, Some("urn:uuid:1")).unwrap();
    assert_eq!(request.uri().to_string(), format!("http://hub/.well-known/mercure?topic={channel}"));
    assert_eq!(request.headers()["last-event-id"], "urn:uuid:1");
    let request = profile.publish(&values).unwrap();
    assert_eq!(request.uri(), "http://hub/.well-known/mercure");
    assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(request.headers()["authorization"], "Bearer secret");
    let body = std::str::from_utf8(request.body()).unwrap();
    let (topic, data) = body.split_once('&').unwrap();
    assert_eq!(topic, format!("topic={channel}"));
    let data = percent_decoded(data.strip_prefix("data=").unwrap());
    let seen = profile.message(&data).unwrap();
    assert_eq!((&*seen.id, seen.sent_us), (values.id, values.sent_us));
}

#[test]
fn centrifugo_gets_an_envelope_and_answers_in_one() {
    let profile = shipped("centrifugo.toml");
    let values = values("http://c");
    let request = profile.subscribe(&values, Some("1")).unwrap();
    assert_eq!(request.headers().len(), 1);
    let query = percent_decoded(request.uri().query().unwrap());
    let connect: serde_json::Value =
        serde_json::from_str(query.strip_prefix("cf_connect=").unwrap()).unwrap();
    assert_eq!(connect, serde_json::json!({"subs": {(values.channel): {}}}));
    let request = profile.publish(&values).unwrap();
    assert_eq!(
        (request.uri().path(), &request.headers()["x-api-key"]),
        ("/api/publish", &"secret".parse().unwrap())
    );
    let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(body["channel"], values.channel);
    // What it sends, by its protocol: https://centrifugal.dev/docs/transports/uni_client_protocol
    let push = serde_json::json!({"channel": values.channel, "pub": {"data": body["data"]}}).to_string();
    let seen = profile.message(&push).unwrap();
    assert_eq!((&*seen.id, seen.sent_us), (values.id, values.sent_us));
    assert_eq!(profile.ready(), Ready::FirstEvent);
    for frame in ["{}", r#"{"connect":{"client":"c","version":"6.0.0","subs":{"x":{}},"ping":25}}"#] {
        assert_eq!(profile.message(frame), None, "{frame}");
    }
}

#[test]
fn every_profile_that_ships_is_tried_here() {
    let ships: BTreeSet<String> = std::fs::read_dir(file(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    let tried = ["axum.toml", "centrifugo.toml", "mercure.toml", "nchan.toml"];
    assert_eq!(ships, tried.map(str::to_owned).into());
}

#[test]
fn the_reference_names_each_key_and_placeholder() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/loadgen-profiles.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name))
        .collect();
    let known: BTreeSet<&str> =
        KEYS.iter().copied().chain(Placeholder::ALL.map(Placeholder::shown)).collect();
    assert_eq!(rows, known, "the tables' first column and the code");
}

/// As a server decodes a query's or a form's value.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let code = (byte == b'%').then(|| std::str::from_utf8(&after[..2]).unwrap());
        bytes.push(code.map_or(byte, |code| u8::from_str_radix(code, 16).unwrap()));
        rest = if byte == b'%' { &rest[2..] } else { rest };
    }
    String::from_utf8(bytes).unwrap()
}

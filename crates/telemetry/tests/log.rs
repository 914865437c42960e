//! The log of a whole process: this test runs itself again and reads what that writes.
#![allow(missing_docs, clippy::unwrap_used)]

use std::process::Command;

use godwit_telemetry::log::{self, Format};

const CHILD: &str = "GODWIT_TELEMETRY_TEST_FORMAT";
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.q0_-tHWk";

fn child(format: Format) {
    let filter = "info,log::quiet=off".parse().unwrap();
    let _flush = log::init(&filter, format).unwrap();
    tracing::info!(url = %format_args!("/v1/events?access_token={TOKEN}"), "opened");
    tracing::debug!("not written");
    tracing::error!(target: "log::quiet", "not written either");
}

fn run(format: &str) -> Vec<String> {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    let output =
        command.args(["--exact", "writes_lines", "--nocapture"]).env(CHILD, format).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn writes_lines() {
    match std::env::var(CHILD).as_deref() {
        Ok("text") => return child(Format::Text),
        Ok(_) => return child(Format::Json),
        Err(_) => {}
    }
    let text = run("text");
    assert_eq!(text.len(), 1, "{text:?}");
    assert!(text[0].contains(" INFO log: opened url=/v1/events?access_token=[token]"), "{text:?}");
    let json = run("json");
    assert_eq!(json.len(), 1, "{json:?}");
    assert!(json[0].starts_with('{') && json[0].ends_with('}'), "{json:?}");
    for part in [r#""level":"INFO""#, r#""message":"opened""#, r#""url":"/v1/events?access_token=[token]""#] {
        assert!(json[0].contains(part), "{part} in {json:?}");
    }
}

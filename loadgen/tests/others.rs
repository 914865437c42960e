//! The same load on servers that are not godwit, by the profiles that ship.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use std::path::Path;

use godwit_loadgen::measure::Count;
use godwit_loadgen::report::Report;
use tokio::net::TcpListener;

#[allow(dead_code)] // Each test file uses a part.
#[path = "support/nchan.rs"]
mod nchan;
// The program's own entry point is not called here.
#[allow(dead_code)]
#[path = "../examples/plain_sse.rs"]
mod plain_sse;
#[allow(dead_code)]
#[path = "support/program.rs"]
mod program;

use nchan::Nchan;
use program::{Program, report};

/// Streams that are held, or a load of messages, on a server by its profile.
async fn load(target: &str, profile: &str, args: &[&str]) -> Report {
    let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles").join(profile);
    let server = ["--target", target, "--profile", profile.to_str().unwrap()];
    let (report, _) = report(0, &[&args[..1], &server, &args[1..]].concat()).await;
    assert_eq!(report.all.errors.total(), 0, "{:?}", report.all.errors);
    assert_eq!(report.all.counts[Count::Conversation], 0, "it has channels only");
    report
}

/// All that was accepted came, and it took time.
fn all_arrived(report: &Report, rate: f64, seconds: f64) {
    let all = |count| report.all.counts[count];
    let (due, expected) = (report.run.counts[Count::Due] as f64, rate * seconds);
    assert!((due - expected).abs() < 5.0 * expected.sqrt(), "{due} messages, expected {expected}");
    assert_eq!((all(Count::Acknowledged), all(Count::Arrived)), (all(Count::Due), all(Count::Owed)));
    for name in ["acknowledged", "arrived"] {
        let timed = report.run.timings.iter().find(|timed| timed.name == name).unwrap();
        assert!(
            timed.count as f64 > due * 0.95 && timed.p50_us > 0 && timed.p50_us <= timed.p99_us,
            "{timed:?}"
        );
    }
}

#[tokio::test]
async fn nchan_takes_a_chat() {
    let nchan = Nchan::start();
    let args = ["chat", "--streams", "60", "--rate", "200", "--seconds", "3", "--groups", "2:2,6:1"];
    let pid = nchan.pid().to_string();
    let report =
        load(&nchan.target(), "nchan.toml", &[&args[..], &["--workers", "2", "--pid", &pid]].concat()).await;
    assert_eq!((&*report.server, report.workers), ("nchan", 2));
    all_arrived(&report, 200.0, 3.0);
    assert!(report.cpu.unwrap().server_cores.is_some(), "nginx was watched");
}

#[tokio::test]
async fn nchan_holds_idle_streams() {
    let nchan = Nchan::start();
    let report = load(&nchan.target(), "nchan.toml", &["idle", "--streams", "500", "--seconds", "2"]).await;
    assert_eq!(report.all.counts[Count::Opened], 500);
    assert!(report.series.iter().any(|second| second.streams == 500));
}

#[tokio::test]
async fn nchan_resumes_what_a_storm_cut() {
    let nchan = Nchan::start();
    let args = ["storm", "--streams", "40", "--rate", "100", "--seconds", "4", "--storm-every-s", "1.5"];
    let report = load(&nchan.target(), "nchan.toml", &args).await;
    let all = |count| report.all.counts[count];
    assert!(all(Count::Cut) >= 80 && all(Count::Cut).is_multiple_of(40), "{:?}", report.all.counts);
    assert_eq!(all(Count::Opened), all(Count::Cut) + 40);
    all_arrived(&report, 100.0, 4.0);
}

#[tokio::test]
async fn a_plain_axum_server_takes_the_same_chat() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async { axum::serve(listener, plain_sse::router()).await });
    let args = ["chat", "--streams", "60", "--rate", "200", "--seconds", "3"];
    let report = load(&target, "axum.toml", &args).await;
    assert_eq!(report.server, "plain axum");
    all_arrived(&report, 200.0, 3.0);
    server.abort();
}

#[tokio::test]
async fn what_only_godwit_has_is_not_asked_of_others() {
    let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/nchan.toml");
    let common = ["--target", "http://127.0.0.1:9", "--profile", profile.to_str().unwrap(), "--seconds", "1"];
    let wrong: [(&[&str], i32, &str); 3] = [
        (&["verify", "--scenario", "chat"], 2, "verify knows the guarantees of godwit"),
        (&["chat", "--conversations", "2"], 64, "--conversations"),
        (&["chat", "--outbox", "5"], 64, "--outbox"),
    ];
    for (args, code, said) in wrong {
        let ended = Program::start([args, &common].concat()).end().await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(said), "{ended:?}");
    }
}

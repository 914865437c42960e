//! `verify` against the real server: healthy, killed again and again, gone, and with each guarantee broken.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use godwit_loadgen::measure::Count;
use godwit_loadgen::report::{Report, Verdict};
use godwit_testkit::Server;
use rustix::process::Signal;
use serde_json::Value;

#[allow(dead_code)] // Each test file uses a part.
#[path = "support/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "support/server.rs"]
mod server;

use program::{Ended, Program, report, send, until};
use server::{stored, target};

/// Messages of everybody, to one and to some.
const LOAD: [&str; 6] = ["--streams", "24", "--rate", "100", "--groups", "2:3,4:1"];

/// And streams that end in each way, and resumes.
const FLAP: [&str; 4] = ["--scenario", "flap", "--life-s", "2"];

/// How long the server runs between two kills.
const UPTIME: Duration = Duration::from_secs(1);

async fn verify(code: i32, server: &Server, args: &[&str]) -> (Report, Ended) {
    report(code, &[&["verify", "--target", &target(server)], &LOAD[..], args].concat()).await
}

/// The verdict of a run that found nothing.
#[track_caller]
fn clean(report: &Report, ended: &Ended) -> Verdict {
    let verdict = report.verdict.clone().expect("it was judged");
    assert_eq!((&verdict.violation, &verdict.inconclusive), (&None, &None));
    assert!(ended.stdout.contains("0 violations in"), "{}", ended.stdout);
    verdict
}

/// So many messages have been stored since the server's last start.
async fn messages_flow(server: &Server, messages: f64) {
    until("messages are sent", async || stored(server).await >= messages).await;
}

#[tokio::test]
async fn a_healthy_server_keeps_its_word_when_phones_flap() {
    let (server, directory) = (server::start(), tempfile::tempdir().unwrap());
    let history = directory.path().join("history");
    let args = ["--seconds", "5", "--workers", "2", "--history", history.to_str().unwrap()];
    let (report, ended) = verify(0, &server, &[&FLAP[..], &args].concat()).await;
    let verdict = clean(&report, &ended);
    assert_eq!(report.scenario, "verify flap");
    assert_eq!(verdict.messages, report.all.counts[Count::Acknowledged], "each was looked for");
    assert!(verdict.deliveries > verdict.messages, "the sender's own inbox is one of them: {verdict:?}");
    assert_eq!(
        (verdict.streams, verdict.resumes),
        (report.all.counts[Count::Opened], report.all.counts[Count::Resumed])
    );
    assert!(verdict.resumes > 20 && report.all.counts[Count::Arrived] >= report.all.counts[Count::Owed]);
    assert_eq!(verdict.history.len(), 2, "{:?}", verdict.history);
    let kinds = verdict.history.iter().map(|file| kinds(Path::new(file)));
    let all = kinds.fold(HashMap::new(), |mut all: HashMap<String, u64>, one| {
        one.into_iter().for_each(|(kind, count)| *all.entry(kind).or_default() += count);
        all
    });
    assert_eq!((all["acknowledged"], all["opened"]), (verdict.messages, verdict.streams), "{all:?}");
    assert!(all["message"] + all.get("change").unwrap_or(&0) >= verdict.events, "{all:?}");
}

/// How many records of each kind a file has. Each is a line of JSON with its number.
fn kinds(file: &Path) -> HashMap<String, u64> {
    let text = std::fs::read_to_string(file).unwrap();
    let mut kinds = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(record["record"], number);
        *kinds.entry(record["kind"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    kinds
}

#[tokio::test]
async fn a_healthy_server_keeps_its_word_on_a_quiet_evening() {
    let server = server::start();
    let args = ["--scenario", "mixed", "--seconds", "4", "--active-share", "0.5"];
    let (report, ended) = verify(0, &server, &args).await;
    assert!(clean(&report, &ended).messages > 200);
}

#[tokio::test]
async fn a_server_that_is_killed_every_second_keeps_its_word() {
    let mut server = server::start();
    let url = target(&server);
    let load = [&["verify", "--target", &url, "--seconds", "15"], &LOAD[..], &FLAP].concat();
    let running = report(0, &load);
    let killing = async {
        messages_flow(&server, 50.0).await;
        let began = Instant::now();
        let mut kills = 0;
        while began.elapsed() < Duration::from_secs(13) {
            server.kill9();
            server.restart();
            kills += 1;
            tokio::time::sleep(UPTIME).await;
        }
        kills
    };
    let ((report, ended), kills) = tokio::join!(running, killing);
    let verdict = clean(&report, &ended);
    assert!(kills >= 6, "{kills} kills in 13 s");
    assert!(verdict.messages > 500 && verdict.resumes > kills * 5, "{verdict:?}");
    assert!(report.all.counts[Count::Repeated] > 0, "{:?}", report.all.counts);
    assert_eq!(report.all.counts[Count::Acknowledged], report.all.counts[Count::Due]);
}

#[tokio::test]
async fn of_a_server_that_is_gone_nothing_is_said() {
    let (mut server, directory) = (server::start(), tempfile::tempdir().unwrap());
    let (url, json) = (target(&server), directory.path().join("report.json"));
    let json = json.to_str().unwrap();
    let args = ["--scenario", "chat", "--seconds", "2", "--settle-s", "3", "--json", json];
    let program = Program::start([&["verify", "--target", &url], &LOAD[..], &args].concat());
    messages_flow(&server, 50.0).await;
    // It stands still, so that the run cannot come to its end before the kill.
    send(server.pid(), Signal::STOP);
    until("the load is over", async || program.said().contains("phase settle ")).await;
    server.kill9();
    let ended = program.end().await;
    assert_eq!(ended.code, Some(2), "{}\n{}", ended.stdout, ended.stderr);
    let report: Report = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let verdict = report.verdict.unwrap();
    assert_eq!(verdict.violation, None, "what is missing may be there still");
    let why = verdict.inconclusive.expect("it says why");
    assert!(why.contains("24 devices"), "{why}");
    assert!(ended.stdout.contains(&format!("NO VERDICT: {why}")), "{}", ended.stdout);
}

/// A run against a server that breaks a guarantee as soon as messages flow; what is to happen then.
async fn broken(fault: &str, args: &[&str], then: impl AsyncFnOnce(&mut Server)) -> (Report, Ended) {
    let mut server = server::start();
    let url = target(&server);
    let load = [&["verify", "--target", &url, "--settle-s", "5"], &LOAD[..], args].concat();
    let running = report(3, &load);
    let breaking = async {
        messages_flow(&server, 20.0).await;
        server.break_on_purpose(Some(fault)).await;
        then(&mut server).await;
    };
    tokio::join!(running, breaking).0
}

/// It was named, shown by a few records, and the end of the run.
#[track_caller]
fn caught(rules: &[&str], (report, ended): (Report, Ended)) {
    let violation = report.verdict.unwrap().violation.unwrap();
    let (sentence, excerpt) = violation.split_once('\n').expect("a sentence and records");
    let rule = rules.iter().find(|rule| sentence.starts_with(&format!("{rule}: ")));
    let rule = rule.unwrap_or_else(|| panic!("{rules:?}: {violation}"));
    let records: Vec<Value> = excerpt.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!((1..=4).contains(&records.len()), "{violation}");
    assert!(ended.stdout.contains("VIOLATION of the guarantees:"), "{}", ended.stdout);
    assert!(ended.stdout.contains(&format!("{rule}: ")), "{}", ended.stdout);
    assert!(report.interrupted && ended.took < Duration::from_secs(40), "it ends the run: {:?}", ended.took);
}

/// Streams stay open: one that is cut just then shows some of the faults in another way.
const HELD: [&str; 4] = ["--scenario", "chat", "--seconds", "20"];

/// One test for each fault: its name for the server, and the rule that it breaks.
macro_rules! caught {
    ($($test:ident: $fault:literal, $rule:literal;)*) => {$(
        #[tokio::test]
        async fn $test() {
            caught(&[$rule], broken($fault, &HELD, async |_| {}).await);
        }
    )*};
}

caught! {
    a_message_that_never_comes_is_lost: "lost", "Lost";
    a_message_that_is_in_an_inbox_twice_is_doubled: "doubled", "Doubled";
    an_event_that_an_open_stream_leaves_out_is_skipped: "skipped_live", "Skipped";
    events_in_each_others_place_are_out_of_order: "out_of_order", "OutOfOrder";
    another_message_at_a_number_is_a_disagreement: "disagreement", "Disagreement";
    a_message_before_an_earlier_one_of_its_sender_is_seen: "sender_order", "SenderOrder";
    an_event_that_comes_twice_is_repeated: "repeated", "Repeated";
    an_event_without_its_id_is_malformed: "malformed_id", "Malformed";
    an_event_without_a_field_is_malformed: "malformed_data", "Malformed";
}

#[tokio::test]
async fn an_event_that_a_resume_leaves_out_is_skipped() {
    let args = [&FLAP[..], &["--seconds", "20"]].concat();
    caught(&["Skipped"], broken("skipped_resume", &args, async |_| {}).await);
}

#[tokio::test]
async fn a_message_that_was_answered_and_not_stored_is_lost() {
    let kill = async |server: &mut Server| {
        // Where others were written behind it, it leaves a hole, and its conversation is not served again.
        server.expect_log("follow a hole");
        // The fault acts on every fiftieth message, and leaves a second for the kill.
        let before = stored(server).await;
        messages_flow(server, before + 60.0).await;
        server.kill9();
        server.restart();
    };
    let args = ["--scenario", "chat", "--seconds", "4"];
    // Where none was, its number is given to the next one: both were acknowledged there.
    caught(&["Lost", "Disagreement"], broken("unstored", &args, kill).await);
}

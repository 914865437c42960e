//! Each scenario for some seconds against the real server: what the report says is what must have been.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use godwit_loadgen::measure::{Count, Phase};
use godwit_loadgen::report::{Report, Summary, Totals};
use godwit_testkit::Server;

#[allow(dead_code)] // Each test file uses a part.
#[path = "support/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "support/server.rs"]
mod server;

use program::{Program, report};
use server::target;

/// One worker's sums follow its clock, the coordinator's phases its own: so far apart a second may be.
const SECOND_MAX: f64 = 3.0;

/// Runs a scenario on a server of its own to its end.
async fn run(scenario: &str, args: &[&str]) -> Report {
    let server = server::start();
    run_on(&server, scenario, args).await
}

async fn run_on(server: &Server, scenario: &str, args: &[&str]) -> Report {
    let (target, pid) = (target(server), server.pid().to_string());
    let all = [&[scenario, "--target", &target, "--pid", &pid], args].concat();
    let (report, ended) = report(0, &all).await;
    assert!(ended.stdout.contains(&format!("{scenario} against godwit")), "{}", ended.stdout);
    assert_eq!((&*report.scenario, &*report.server, report.interrupted), (scenario, "godwit", false));
    assert_eq!(report.targets, [target]);
    phases_follow_each_other(&report);
    the_series_covers_all(&report);
    processes_were_watched(&report);
    assert_eq!(report.all.errors.total(), 0, "{:?}", report.all.errors);
    assert!(report.verdict.is_none());
    report
}

fn phases_follow_each_other(report: &Report) {
    let phases: Vec<Phase> = report.phases.iter().map(|time| time.phase).collect();
    let mut wanted = Phase::ALL.to_vec();
    wanted.retain(|phase| *phase != Phase::WarmUp || report.command.contains("--warm-up-s"));
    assert_eq!(phases, wanted);
    let mut at_s = 0.0;
    for phase in &report.phases {
        assert!((phase.at_s - at_s).abs() < 1e-3, "{:?}", report.phases);
        at_s += phase.seconds;
    }
    assert!((report.all.seconds - at_s).abs() < 1e-3, "{at_s} of {} s", report.all.seconds);
}

fn the_series_covers_all(report: &Report) {
    let ends: Vec<f64> = report.series.iter().map(|second| second.at_s).collect();
    let gap = ends.windows(2).map(|two| two[1] - two[0]).fold(ends[0], f64::max);
    assert!(ends.is_sorted() && gap < SECOND_MAX, "{ends:?}");
    assert!((report.all.seconds - ends.last().unwrap()).abs() < SECOND_MAX, "{ends:?}");
    assert!(report.series.is_sorted_by_key(|second| second.phase));
    for &count in Count::ALL {
        let sum = |phase: Option<Phase>| -> u64 {
            let seconds =
                report.series.iter().filter(|second| phase.is_none_or(|phase| phase == second.phase));
            seconds.map(|second| second.counts[count]).sum()
        };
        assert_eq!(sum(None), report.all.counts[count], "{count:?}");
        assert!(sum(Some(Phase::Run)) <= report.run.counts[count], "{count:?}");
    }
}

fn processes_were_watched(report: &Report) {
    let cpu = report.cpu.as_ref().unwrap();
    assert!(cpu.server_cores.unwrap() < 16.0 && cpu.generator_cores.unwrap() < 16.0, "{cpu:?}");
    assert_eq!(report.servers.len(), 1);
    assert_eq!(report.generators.len() as u64, report.workers);
    for watched in report.servers.iter().chain(&report.generators) {
        let looks = watched.samples.len() as f64;
        assert!(looks > report.all.seconds / 2.0 && looks < report.all.seconds + 2.0, "{watched:?}");
    }
}

/// As many streams were open all the time.
fn streams_were_held(report: &Report, streams: u64) {
    assert_eq!(report.all.counts[Count::Opened], streams);
    let run = report.series.iter().filter(|second| second.phase == Phase::Run);
    assert!(run.map(|second| second.streams).eq([streams].into_iter().cycle().take(run_points(report))));
    assert_eq!(timed(&report.all, "opened").count, streams);
}

/// There were enough of them to say what one costs, at both ends.
fn streams_have_a_price(report: &Report, streams: u64) {
    let memory = report.memory.unwrap();
    assert_eq!(memory.streams, streams);
    for bytes in [memory.server_bytes_per_stream, memory.generator_bytes_per_stream] {
        assert!((1.0..200_000.0).contains(&bytes.unwrap()), "{memory:?}");
    }
}

fn run_points(report: &Report) -> usize {
    report.series.iter().filter(|second| second.phase == Phase::Run).count()
}

/// Messages went out at the rate that was asked for, and all of them came to all.
fn messages_arrived(report: &Report, rate: f64, seconds: f64) {
    let expected = rate * seconds;
    let run = report.phases.iter().find(|time| time.phase == Phase::Run).unwrap();
    // It is told by what the slowest worker said, which is read when there is time for it.
    assert!((seconds - 1.0..seconds + 2.0).contains(&run.seconds), "{run:?}");
    // A Poisson process is within five standard deviations but for one run in a million.
    let due = report.run.counts[Count::Due] as f64;
    assert!((due - expected).abs() < 5.0 * expected.sqrt(), "{due} messages, expected {expected}");
    let all = |count| report.all.counts[count];
    // Conversations have a last message each, besides those that are drawn.
    assert_eq!(all(Count::Acknowledged), all(Count::Due));
    assert_eq!(all(Count::Arrived), all(Count::Owed));
    assert!(all(Count::Due) >= report.run.counts[Count::Due] + all(Count::Conversation));
    for name in ["acknowledged", "arrived", "sent_late"] {
        let timed = timed(&report.all, name);
        assert!(timed.count as f64 >= due * 0.95, "{timed:?}");
    }
    let (late, acknowledged) = (timed(&report.run, "sent_late"), timed(&report.run, "acknowledged"));
    assert!(late.mean_us < acknowledged.mean_us, "sent after it was answered");
}

/// How long something took; its figures fit together.
fn timed(totals: &Totals, name: &str) -> Summary {
    let timed = totals.timings.iter().find(|timed| timed.name == name);
    let timed = timed.unwrap_or_else(|| panic!("{name} was not timed")).clone();
    let Summary { min_us, p50_us, p90_us, p99_us, p999_us, max_us, .. } = timed;
    let figures = [min_us, p50_us, p90_us, p99_us, p999_us, max_us];
    assert!(figures.is_sorted() && min_us > 0 && timed.count > 0, "{timed:?}");
    assert!((min_us as f64 * 0.98..max_us as f64 * 1.02).contains(&timed.mean_us), "{timed:?}");
    assert!(timed.curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{timed:?}");
    timed
}

#[tokio::test]
async fn idle_streams_are_held_over_http_1() {
    let report = run("idle", &["--streams", "600", "--seconds", "4"]).await;
    streams_were_held(&report, 600);
    streams_have_a_price(&report, 600);
    assert_eq!(report.all.counts[Count::Due], 0);
    assert_eq!(report.all.counts[Count::Conversation], 0);
}

#[tokio::test]
async fn idle_streams_are_held_over_http_2_by_three_workers() {
    let args = ["--streams", "601", "--seconds", "4", "--http", "2", "--workers", "3"];
    let report = run("idle", &[&args[..], &["--streams-per-connection", "20"]].concat()).await;
    assert_eq!(report.workers, 3);
    streams_were_held(&report, 601);
    streams_have_a_price(&report, 601);
}

#[tokio::test]
async fn chat_reaches_all_members_of_all_conversations() {
    let shape = ["--streams", "90", "--conversations", "3", "--groups", "2:60,5:30,20:10"];
    let report = run("chat", &[&shape[..], &["--rate", "200", "--seconds", "4"]].concat()).await;
    streams_were_held(&report, 90);
    messages_arrived(&report, 200.0, 4.0);
    let (owed, due) = (report.all.counts[Count::Owed], report.all.counts[Count::Due]);
    assert!(owed > due * 2, "there are groups: {owed} deliveries of {due} messages");
}

#[tokio::test]
async fn chat_works_over_http_2_with_three_workers() {
    let args = ["--streams", "60", "--rate", "200", "--seconds", "4", "--http", "2", "--workers", "3"];
    let report = run("chat", &[&args[..], &["--warm-up-s", "1"]].concat()).await;
    streams_were_held(&report, 60);
    messages_arrived(&report, 200.0, 4.0);
    assert!(report.all.counts[Count::Due] > report.run.counts[Count::Due] + 100, "it warmed up");
}

#[tokio::test]
async fn a_storm_cuts_every_stream_and_every_stream_resumes() {
    let args = ["--streams", "100", "--rate", "100", "--seconds", "5", "--storm-every-s", "1.5"];
    let report = run("storm", &args).await;
    messages_arrived(&report, 100.0, 5.0);
    let all = |count| report.all.counts[count];
    let storms = all(Count::Cut) / 100;
    assert!((2..=3).contains(&storms), "{storms} storms in 5 s");
    assert_eq!(all(Count::Cut), 100 * storms, "each cuts all");
    assert_eq!((all(Count::Resumed), all(Count::Opened)), (100 * storms, 100 * (storms + 1)));
    assert_eq!(timed(&report.all, "caught_up").count, 100 * storms);
    assert_eq!((all(Count::Gap), all(Count::Ended), all(Count::Left)), (0, 0, 0));
}

#[tokio::test]
async fn phones_that_flap_miss_nothing() {
    let args = ["--streams", "60", "--rate", "100", "--seconds", "6", "--life-s", "1.5"];
    let report = run("flap", &args).await;
    messages_arrived(&report, 100.0, 6.0);
    let all = |count| report.all.counts[count];
    assert!(all(Count::Left) > 20 && all(Count::Cut) > 20, "{:?}", report.all.counts);
    // Each stream that ended was followed by another one, in the load or after it.
    assert_eq!(all(Count::Resumed), all(Count::Left) + all(Count::Cut));
    assert_eq!(all(Count::Opened), all(Count::Resumed) + 60);
    // What this server does not have yet it says so.
    assert!(all(Count::Ack) + all(Count::NotImplemented) > 60, "{:?}", report.all.counts);
    assert_eq!(all(Count::Gap), 0);
}

#[tokio::test]
async fn slow_readers_hold_up_nobody_and_get_all_in_the_end() {
    let args = ["--streams", "60", "--rate", "200", "--seconds", "4", "--text-bytes", "2000"];
    let report =
        run("slow", &[&args[..], &["--slow-share", "0.3", "--slow-bytes-per-s", "100"]].concat()).await;
    messages_arrived(&report, 200.0, 4.0);
    let arrived = timed(&report.all, "arrived");
    // A message of two kilobytes needs 20 s at that pace: slow ones wait for the end of the load.
    assert!(arrived.max_us > 1_000_000, "{arrived:?}");
    assert!(arrived.p50_us < 1_000_000, "the others do not wait: {arrived:?}");
}

#[tokio::test]
async fn a_quiet_evening_has_few_that_write() {
    let args = ["--streams", "200", "--rate", "60", "--seconds", "4", "--active-share", "0.1"];
    let report = run("mixed", &[&args[..], &["--life-s", "10"]].concat()).await;
    messages_arrived(&report, 60.0, 4.0);
    let all = |count| report.all.counts[count];
    assert!((1..200).contains(&(all(Count::Left) + all(Count::Cut))), "{:?}", report.all.counts);
}

#[tokio::test]
async fn an_outbox_carries_many_messages_in_a_request() {
    let args = ["--streams", "20", "--rate", "500", "--seconds", "3", "--outbox", "10"];
    let report = run("chat", &args).await;
    let (due, all) = (report.run.counts[Count::Due], &report.all.counts);
    // Requests come at random: their number varies, and the messages' ten times as much.
    assert!((1000..2000).contains(&due) && due.is_multiple_of(10), "{due}");
    assert_eq!((all[Count::Acknowledged], all[Count::Arrived]), (all[Count::Due], all[Count::Owed]));
}

#[tokio::test]
async fn a_closed_loop_sends_as_fast_as_it_is_answered() {
    let args = ["--streams", "20", "--closed-loop", "--connections", "8", "--seconds", "3"];
    let report = run("chat", &args).await;
    let all = &report.all.counts;
    assert!(report.run.counts[Count::Acknowledged] > 300, "{all:?}");
    assert_eq!((all[Count::Acknowledged], all[Count::Arrived]), (all[Count::Due], all[Count::Owed]));
}

#[tokio::test]
async fn one_seed_is_one_load() {
    let server = server::start();
    let due = async |seed| {
        let args = ["--streams", "20", "--rate", "300", "--seconds", "2", "--workers", "2", "--seed", seed];
        let report = run_on(&server, "chat", &args).await;
        assert_eq!(report.seed.to_string(), seed);
        report.all.counts[Count::Due]
    };
    // The second run finds the accounts, the conversations and the messages of the first.
    let first = due("7").await;
    assert_eq!(due("7").await, first);
    assert_ne!(due("8").await, first);
}

#[tokio::test]
async fn the_report_is_written_as_a_page_and_as_json() {
    let (server, directory) = (server::start(), tempfile::tempdir().unwrap());
    let page = directory.path().join("report.html");
    let common = ["chat", "--target", &target(&server), "--streams", "10", "--rate", "50", "--seconds", "1"];
    let html = ["--json", "-", "--html", page.to_str().unwrap()];
    let ended = Program::start(common.iter().chain(&html)).end().await.done();
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).expect("nothing but JSON");
    serde_json::from_value::<Report>(json.clone()).expect("a report");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, behind) = page.split_once(r#"<script type="application/json" id="report">"#).unwrap();
    let (embedded, _) = behind.split_once("</script").unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(embedded).unwrap(), json, "one report, twice");
    let command = json["command"].as_str().unwrap();
    assert!(command.ends_with(&format!(" --seed {}", json["seed"])), "it can be asked for again: {command}");
}

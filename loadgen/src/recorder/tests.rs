use std::time::{Duration, SystemTime};

use super::*;
use crate::measure::{Count, ErrorKind, Timed};

fn meta() -> Meta {
    Meta {
        version: "0.1.0".into(),
        scenario: "chat".into(),
        server: "godwit".into(),
        targets: vec!["http://127.0.0.1:8080".into()],
        command: "godwit-loadgen chat".into(),
        seed: 7,
        workers: 2,
        started: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        machine: "2 cores".into(),
    }
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn tick(due: u64, us: u64, streams: u64) -> Tick {
    let mut tick = Tick { streams, ..Tick::default() };
    tick.counts[Count::Due] = due;
    tick.timings.record(Timed::Arrived, us);
    tick
}

fn sample(at_s: f64, resident_bytes: u64) -> Sample {
    Sample { at_s, resident_bytes, private_bytes: None, cpu_s: Some(at_s / 2.0) }
}

fn recorded() -> Recorder {
    recorded_with(10)
}

/// Setup 0–2 s, open 2–4, warm-up 4–5, run 5–8, settle 8–9; a tick a second with so many messages.
fn recorded_with(due: u64) -> Recorder {
    let mut recorder = Recorder::new(meta());
    let begins =
        [(0, Phase::Setup), (2, Phase::Open), (4, Phase::WarmUp), (5, Phase::Run), (8, Phase::Settle)];
    for at in 0..9 {
        let at_s = at as f64;
        recorder.watched("pid 1", true, sample(at_s, 1_000_000 + 50_000 * at));
        recorder.watched("worker 0", false, sample(at_s, 300_000 + 1_000 * at));
        let phase = begins.iter().rfind(|begin| begin.0 <= at).expect("setup begins at 0");
        if phase.0 == at {
            recorder.phase(s(at), phase.1);
        }
        let mut tick = tick(due, 100 * (at + 1), 100 * at);
        if phase.1 == Phase::Open {
            tick.errors.push(ErrorKind::Connect, || "connection refused".into());
        }
        recorder.tick(s(at + 1), phase.1, &tick);
    }
    recorder
}

#[test]
fn the_run_is_the_run_and_what_of_it_came_afterwards() {
    let report = recorded().finish(false, None);
    assert_eq!(report.started_at, "2023-11-14T22:13:20Z");
    let lengths: Vec<_> = report.phases.iter().map(|time| (time.phase, time.at_s, time.seconds)).collect();
    let expected = [
        (Phase::Setup, 0.0, 2.0),
        (Phase::Open, 2.0, 2.0),
        (Phase::WarmUp, 4.0, 1.0),
        (Phase::Run, 5.0, 3.0),
        (Phase::Settle, 8.0, 1.0),
    ];
    assert_eq!(lengths, expected);
    assert_eq!((report.run.seconds, report.run.counts[Count::Due], report.run.errors.total()), (3.0, 30, 0));
    assert_eq!((report.all.seconds, report.all.counts[Count::Due], report.all.errors.total()), (9.0, 90, 2));
    // Three ticks of the run and one of settling, the slowest of all.
    assert_eq!((report.run.timings[0].count, report.run.timings[0].min_us), (4, 600));
    assert!(report.run.timings[0].max_us >= 900);
    assert_eq!((report.all.timings[0].count, report.series.len()), (9, 9));
    assert_eq!((report.series[5].phase, report.series[5].streams), (Phase::Run, 500));
}

#[test]
fn memory_is_growth_while_streams_were_opened_and_held() {
    assert!(recorded().finish(false, None).memory.is_none(), "messages leave more behind than streams");
    let report = recorded_with(0).finish(false, None);
    let memory = report.memory.expect("both were watched");
    // From the look at 2 s to the one at 8 s, by the 700 streams of the last tick of the run.
    assert_eq!(memory.streams, 700);
    assert_eq!(memory.server_bytes_per_stream, Some(300_000.0 / 700.0));
    assert_eq!(memory.generator_bytes_per_stream, Some(6_000.0 / 700.0));
    let cpu = report.cpu.expect("both were watched");
    assert_eq!((cpu.server_cores, cpu.generator_cores), (Some(0.5), Some(0.5)));
}

#[test]
fn a_run_that_ends_before_its_run_has_no_figures_of_it() {
    let mut recorder = Recorder::new(meta());
    recorder.phase(s(0), Phase::Setup);
    recorder.watched("pid 1", true, sample(0.0, 5));
    recorder.tick(s(1), Phase::Setup, &tick(0, 5, 0));
    let report = recorder.finish(true, None);
    assert!(report.interrupted && report.memory.is_none() && report.cpu.is_none());
    assert_eq!((report.run.seconds, report.run.timings.len(), report.all.timings.len()), (0.0, 0, 1));
    let nothing = Recorder::new(meta()).finish(true, None);
    assert!(nothing.phases.is_empty() && nothing.series.is_empty());
}

#[test]
fn the_view_of_the_moment_looks_back_five_seconds() {
    let mut recorder = Recorder::new(meta());
    recorder.expect(Expected { streams: 400, conversations: 0, phases: vec![(Phase::Run, s(60))] });
    let before = recorder.live();
    assert_eq!((before.phase, before.rate(Count::Due), before.done()), (Phase::Setup, 0.0, None));
    recorder.phase(s(0), Phase::Open);
    recorder.tick(s(1), Phase::Open, &tick(0, 9, 100));
    assert_eq!(recorder.live().done(), Some(0.25), "streams tell how far it is");
    recorder.phase(s(2), Phase::Run);
    for at in 3..=20 {
        let due = if at > 15 { 40 } else { 10 };
        recorder.tick(s(at), Phase::Run, &tick(due, if at > 15 { 5_000 } else { 100 }, 300));
    }
    recorder.watched("pid 1", true, sample(18.0, 1_000));
    recorder.watched("pid 1", true, sample(20.0, 2_000));
    recorder.watched("pid 2", true, sample(3.0, 4_000));
    let live = recorder.live();
    assert_eq!((live.elapsed, live.planned, live.total), (s(18), Some(s(60)), s(20)));
    assert_eq!(live.rate(Count::Due), 40.0, "the last five seconds only");
    assert_eq!((live.recent[0].count, live.so_far[0].count), (5, 18), "so far is since the run began");
    assert!(live.recent[0].p50_us >= 5_000 && live.so_far[0].p50_us < 200);
    assert_eq!((live.streams, live.streams_wanted, live.done()), (300, 400, Some(0.3)));
    // The second one was not seen for a while.
    assert_eq!(live.server, Some(Usage { resident_bytes: 2_000, cores: Some(0.5) }));
    assert_eq!(live.generator, None);
}

//! Made-up reports for the tests of what is made from them.

use std::time::{Duration, SystemTime};

use super::{Report, Sample, Verdict};
use crate::measure::{Count, ErrorKind, Phase, Tick, Timed};
use crate::recorder::{Expected, Live, Meta, Recorder};

/// When phases begin, in seconds, and the end.
const BEGINS: [(u64, Phase); 5] =
    [(0, Phase::Setup), (4, Phase::Open), (14, Phase::WarmUp), (19, Phase::Run), (109, Phase::Settle)];
const END: u64 = 112;

/// When the server is killed and started again.
const KILLED: u64 = 70;

/// Numbers that look drawn, the same in each run: xorshift.
struct Draw(u64);

impl Draw {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A time with a long tail.
    fn us(&mut self, median: f64) -> u64 {
        let bell: f64 = (0..6).map(|_| self.unit()).sum::<f64>() / 3.0 - 1.0;
        (median * (bell * 2.2).exp()) as u64
    }
}

fn meta() -> Meta {
    Meta {
        version: "0.1.0".into(),
        scenario: "chat".into(),
        server: "godwit".into(),
        targets: vec!["http://127.0.0.1:8080".into(), "http://127.0.0.1:8081".into()],
        command: "godwit-loadgen verify --scenario chat --target http://127.0.0.1:8080 --rate 1000".into(),
        seed: 4_711,
        workers: 2,
        started: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        machine: "2 cores (AMD EPYC), 24 GiB of memory, Linux 6.18.44".into(),
    }
}

/// What all workers did in the second before `at`.
fn tick(at: u64, phase: Phase, draw: &mut Draw) -> Tick {
    let mut tick = Tick::default();
    let down = (KILLED..KILLED + 3).contains(&at);
    tick.streams = if down { 0 } else { (at.saturating_sub(4) * 200).min(2_000) };
    tick.counts[Count::Heartbeat] = tick.streams / 25;
    let opened = match phase {
        Phase::Setup => {
            tick.counts[Count::Conversation] = 250;
            0
        }
        Phase::Open => 200,
        _ if at == KILLED + 3 => 2_000,
        _ => 4 + (draw.unit() * 8.0) as u64,
    };
    tick.counts[Count::Opened] = opened;
    if phase > Phase::Open {
        tick.counts[Count::Resumed] = opened;
        tick.counts[Count::Cut] = if down { 0 } else { opened.min(12) };
    }
    (0..opened).for_each(|_| tick.timings.record(Timed::Opened, draw.us(1_400.0)));
    if phase > Phase::Open {
        (0..opened).for_each(|_| tick.timings.record(Timed::CaughtUp, draw.us(2_600.0)));
    }
    if at == KILLED {
        tick.counts[Count::Ended] = 2_000;
    }
    if down {
        (0..40 + at % 7).for_each(|_| tick.errors.push(ErrorKind::Connect, || "connection refused".into()));
        (0..25).for_each(|_| {
            tick.errors.push(ErrorKind::NoAnswer, || "POST /v1/outbox: connection reset".into())
        });
    }
    if matches!(phase, Phase::WarmUp | Phase::Run) {
        messages(at, down, &mut tick, draw);
    }
    tick
}

fn messages(at: u64, down: bool, tick: &mut Tick, draw: &mut Draw) {
    let due = 950 + (draw.unit() * 100.0) as u64;
    let taken = if down {
        0
    } else if at == KILLED + 3 {
        due * 3
    } else {
        due
    };
    tick.counts[Count::Due] = due;
    tick.counts[Count::Acknowledged] = taken;
    tick.counts[Count::Arrived] = taken * 3;
    tick.counts[Count::Event] = taken * 4;
    tick.queued = if down { due * (at - KILLED + 1) } else { at % 4 };
    let late = if at == KILLED + 3 {
        900_000.0
    } else if at.is_multiple_of(23) {
        9_000.0
    } else {
        700.0
    };
    for message in 0..taken {
        let tail = if message.is_multiple_of(400) { 8.0 } else { 1.0 };
        let us = draw.us(late * tail);
        tick.timings.record(Timed::Acknowledged, us);
        tick.timings.record(Timed::Arrived, us + draw.us(300.0));
        tick.timings.record(Timed::SentLate, draw.us(90.0));
    }
}

fn recorded(until: u64) -> Recorder {
    let mut recorder = Recorder::new(meta());
    recorder.expect(Expected {
        streams: 2_000,
        conversations: 1_000,
        phases: vec![(Phase::Run, Duration::from_secs(90))],
    });
    let mut draw = Draw(0x9e37_79b9_7f4a_7c15);
    for at in 0..until {
        let (begin, phase) = *BEGINS.iter().rfind(|begin| begin.0 <= at).expect("it begins at 0");
        if begin == at {
            recorder.phase(Duration::from_secs(at), phase);
        }
        let tick = tick(at, phase, &mut draw);
        let resident = 15_100_000 + tick.streams * 6_842 + at * 9_000;
        if !(KILLED..KILLED + 3).contains(&at) {
            let since = if at >= KILLED + 3 { at - KILLED - 3 } else { at };
            let cpu_s = Some(since as f64 * 0.41 + draw.unit() * 0.2);
            let sample = Sample {
                at_s: at as f64,
                resident_bytes: resident,
                private_bytes: Some(resident - 4_000_000),
                cpu_s,
            };
            recorder.watched("pid 4711", true, sample);
        }
        for worker in ["pid 4720", "pid 4721"] {
            let cpu_s = Some(at as f64 * 0.07 + draw.unit() * 0.03);
            let resident_bytes = 5_200_000 + tick.streams * 390;
            recorder.watched(
                worker,
                false,
                Sample { at_s: at as f64, resident_bytes, private_bytes: None, cpu_s },
            );
        }
        recorder.tick(Duration::from_secs(at + 1), phase, &tick);
    }
    recorder
}

/// Chat at 1,000 messages a second with all that can be seen, over a restart of the server.
pub(crate) fn busy() -> Report {
    let mut report = recorded(END).finish(false, Some(verdict()));
    // The restart makes growth of memory unknown; here it is to be seen.
    report.memory = Some(super::Memory {
        streams: 2_000,
        server_bytes_per_stream: Some(6_842.3),
        generator_bytes_per_stream: Some(612.4),
    });
    report
}

/// The middle of such a run.
pub(crate) fn live() -> Live {
    let mut recorder = recorded(60);
    recorder.checked(crate::recorder::Checked { messages: 40_000, events: 160_000, violations: 0 });
    recorder.live()
}

fn verdict() -> Verdict {
    Verdict {
        messages: 92_114,
        deliveries: 276_342,
        events: 368_456,
        streams: 4_817,
        resumes: 2_817,
        ..Verdict::default()
    }
}

/// A run that was ended by a violation, with text in it that tries to be more than text.
pub(crate) fn failed() -> Report {
    let hostile =
        "</script><script>alert(1)</script> <img src=x onerror=alert(2)> <!-- \u{2028} \u{1b}[2J\r &amp;";
    let mut recorder = recorded(40);
    let mut tick = Tick::default();
    tick.errors.push(ErrorKind::Refused, || hostile.to_owned());
    recorder.tick(Duration::from_secs(41), Phase::Run, &tick);
    let violation = format!(
        "G1: an acknowledged message was not delivered\n  \
         acknowledged at 12.301 s: conversation c-17, message m-4711, n 208, text {hostile}\n  \
         inbox of a-93 read to its end at 41.772 s: n 206, n 207, n 209"
    );
    let verdict =
        Verdict { violation: Some(violation), history: vec!["history-0.jsonl".into()], ..verdict() };
    let mut report = recorder.finish(true, Some(verdict));
    report.scenario = hostile.to_owned();
    report
}

/// A run that was ended before anything happened.
pub(crate) fn nothing() -> Report {
    Recorder::new(meta()).finish(true, None)
}

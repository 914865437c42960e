//! A view of the moment, for people who watch.

use std::time::Duration;

use super::{Named, Recorder, WINDOW, summary, usage};
use crate::measure::{Count, Counts, Errors, Phase, Timed, Timings};

/// What happens now and happened so far.
#[derive(Debug, Clone)]
pub struct Live {
    /// What the run is doing.
    pub phase: Phase,
    /// For how long.
    pub elapsed: Duration,
    /// For how long it is to, if that is known.
    pub planned: Option<Duration>,
    /// Since the first phase began.
    pub total: Duration,
    /// Streams that are open.
    pub streams: u64,
    /// Streams that are to be open; 0 if that is not known.
    pub streams_wanted: u64,
    /// Conversations that are to be set up; 0 if that is not known.
    pub conversations_wanted: u64,
    /// Messages that wait for a connection.
    pub queued: u64,
    /// What happened so far, in all phases.
    pub counts: Counts,
    /// What happened in the last seconds.
    pub recent_counts: Counts,
    /// How many seconds those are; 0 before anything was told.
    pub recent_s: f64,
    /// How long things took in the last seconds.
    pub recent: Vec<Percentiles>,
    /// How long things took so far: in the run, as soon as that has begun.
    pub so_far: Vec<Percentiles>,
    /// What went wrong so far.
    pub errors: Errors,
    /// All servers together.
    pub server: Option<Usage>,
    /// All workers together.
    pub generator: Option<Usage>,
    /// What the checker has looked at, in a run of `verify`.
    pub checked: Option<Checked>,
}

/// How long something took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentiles {
    /// What.
    pub timed: Timed,
    /// How often.
    pub count: u64,
    /// Median, in microseconds.
    pub p50_us: u64,
    /// 99th percentile, in microseconds.
    pub p99_us: u64,
    /// Most, in microseconds.
    pub max_us: u64,
}

/// What processes use now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Resident memory.
    pub resident_bytes: u64,
    /// Busy cores over the last seconds, if all of them say.
    pub cores: Option<f64>,
}

/// What the checker of the guarantees has looked at so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Acknowledged messages.
    pub messages: u64,
    /// Events on all streams.
    pub events: u64,
    /// Violations.
    pub violations: u64,
}

impl Live {
    /// How often a second something happens now.
    pub fn rate(&self, count: Count) -> f64 {
        if self.recent_s > 0.0 { self.recent_counts[count] as f64 / self.recent_s } else { 0.0 }
    }

    /// How much of the phase is done, from 0 to 1, if that can be said.
    pub fn done(&self) -> Option<f64> {
        let of = |done: u64, wanted: u64| (wanted > 0).then(|| done as f64 / wanted as f64);
        let part = match (self.phase, self.planned) {
            (_, Some(planned)) if !planned.is_zero() => {
                Some(self.elapsed.as_secs_f64() / planned.as_secs_f64())
            }
            (Phase::Setup, _) => of(self.counts[Count::Conversation], self.conversations_wanted),
            (Phase::Open, _) => of(self.streams, self.streams_wanted),
            _ => None,
        };
        part.map(|part| part.clamp(0.0, 1.0))
    }
}

impl Recorder {
    /// What happens now.
    pub fn live(&self) -> Live {
        let (phase, begun) = self.phases.last().copied().unwrap_or((Phase::Setup, Duration::ZERO));
        let planned = self.expected.phases.iter().find(|(named, _)| *named == phase).map(|x| x.1);
        let (mut recent_counts, mut recent) = (Counts::default(), Timings::default());
        for (_, tick) in &self.window {
            recent_counts.add(&tick.counts);
            recent.add(&tick.timings);
        }
        let last = self.window.back().map(|(_, tick)| tick);
        let sum = if phase >= Phase::Run { &self.run } else { &self.all };
        Live {
            phase,
            elapsed: self.now.saturating_sub(begun),
            planned,
            total: self.now,
            streams: last.map_or(0, |tick| tick.streams),
            streams_wanted: self.expected.streams,
            conversations_wanted: self.expected.conversations,
            queued: last.map_or(0, |tick| tick.queued),
            counts: self.all.counts.clone(),
            recent_counts,
            recent_s: self.window_s(),
            recent: percentiles(&recent),
            so_far: percentiles(&sum.timings),
            errors: self.all.errors.clone(),
            server: self.usage(&self.servers),
            generator: self.usage(&self.generators),
            checked: self.checked,
        }
    }

    /// How much time the ticks of the window tell of: from the tick before them until the newest.
    fn window_s(&self) -> f64 {
        let newest = self.window.back().map_or(self.window_begin, |(at, _)| *at);
        newest.saturating_sub(self.window_begin).as_secs_f64()
    }

    fn usage(&self, watched: &[Named]) -> Option<Usage> {
        let now_s = self.now.as_secs_f64();
        let from_s = now_s - WINDOW.as_secs_f64();
        // What was not seen of late is gone: a server that was killed uses nothing.
        let looks = watched.iter().map(|named| named.samples.as_slice());
        let alive: Vec<_> = looks
            .filter_map(|looks| looks.last().map(|last| (looks, last.sample)))
            .filter(|(_, last)| last.at_s >= from_s)
            .collect();
        if alive.is_empty() {
            return None;
        }
        // A look may be a moment newer than the last tick.
        let cores = alive
            .iter()
            .map(|(looks, _)| usage::cores(looks.iter().map(|look| &look.sample), from_s, f64::INFINITY));
        Some(Usage {
            resident_bytes: alive.iter().map(|(_, last)| last.resident_bytes).sum(),
            cores: cores.sum(),
        })
    }
}

fn percentiles(timings: &Timings) -> Vec<Percentiles> {
    let all = summary::recorded(timings).map(|(timed, times)| Percentiles {
        timed,
        count: times.len(),
        p50_us: summary::quantile_us(times, 0.5),
        p99_us: summary::quantile_us(times, 0.99),
        max_us: times.max(),
    });
    all.collect()
}

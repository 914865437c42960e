//! How long things take: HDR histograms, in microseconds.
//!
//! Every time counts from the moment that something was *to be* done, drawn before the run, so that a
//! server that pauses shows in all that it held up (no coordinated omission).

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest time that is told apart: an hour. What takes longer counts as that.
const LONGEST_US: u64 = 3_600_000_000;

/// Digits that are kept: a time is known to 1 %. A third digit would cost eight times the memory.
const DIGITS: u8 = 2;

/// Something that takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timed {
    /// From a message's time until it was acknowledged.
    Acknowledged,
    /// From a message's time until a member who is not its sender had it on a stream.
    Arrived,
    /// From the wish for a stream until its first event; attempts that failed are in it.
    Opened,
    /// From the wish for a stream after an event id until it had caught up.
    CaughtUp,
    /// From a message's time until a connection took it: what this generator itself adds.
    SentLate,
}

impl Timed {
    /// All of them.
    pub const ALL: [Timed; 5] =
        [Timed::Acknowledged, Timed::Arrived, Timed::Opened, Timed::CaughtUp, Timed::SentLate];

    /// Its name in reports, stable.
    pub fn name(self) -> &'static str {
        match self {
            Timed::Acknowledged => "acknowledged",
            Timed::Arrived => "arrived",
            Timed::Opened => "opened",
            Timed::CaughtUp => "caught_up",
            Timed::SentLate => "sent_late",
        }
    }
}

/// A histogram for each.
#[derive(Debug, Clone, PartialEq)]
pub struct Timings([Histogram<u64>; Timed::ALL.len()]);

impl Default for Timings {
    fn default() -> Self {
        let empty = || Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("these bounds are valid");
        Self(std::array::from_fn(|_| empty()))
    }
}

impl Timings {
    /// Records that something took so long.
    pub fn record(&mut self, timed: Timed, us: u64) {
        self.0[timed as usize].saturating_record(us.max(1));
    }

    /// The histogram, in microseconds.
    pub fn of(&self, timed: Timed) -> &Histogram<u64> {
        &self.0[timed as usize]
    }

    /// Adds others.
    pub fn add(&mut self, other: &Timings) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            // A histogram of the same bounds always fits.
            let _ = mine.add(theirs);
        }
    }
}

/// A histogram as `[value, count]` pairs: what a second holds is little, and the rest zeros.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Sparse(Vec<(u64, u64)>);

impl From<&Histogram<u64>> for Sparse {
    fn from(histogram: &Histogram<u64>) -> Self {
        let recorded = histogram.iter_recorded();
        Self(recorded.map(|step| (step.value_iterated_to(), step.count_since_last_iteration())).collect())
    }
}

impl Serialize for Timings {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let recorded = Timed::ALL.iter().map(|&timed| (timed.name(), self.of(timed)));
        serializer.collect_map(recorded.filter(|x| !x.1.is_empty()).map(|x| (x.0, Sparse::from(x.1))))
    }
}

impl<'de> Deserialize<'de> for Timings {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = std::collections::HashMap::<String, Sparse>::deserialize(deserializer)?;
        let mut timings = Timings::default();
        for timed in Timed::ALL {
            for &(us, count) in named.get(timed.name()).map_or(&[][..], |sparse| &sparse.0) {
                timings.0[timed as usize].saturating_record_n(us, count);
            }
        }
        Ok(timings)
    }
}

//! What is counted and timed. Workers send it second by second, the coordinator adds it up.

mod count;
mod error;
mod timing;

pub use count::{Count, Counts};
pub use error::{ErrorKind, Errors};
pub use timing::{Timed, Timings};

use serde::{Deserialize, Serialize};

/// What a run is doing. In this order, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Accounts get their conversations, at the server's pace.
    Setup,
    /// Streams are opened.
    Open,
    /// Load that does not count yet.
    WarmUp,
    /// Load that counts.
    Run,
    /// No new load; what is under way arrives.
    Settle,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Phase; 5] = [Phase::Setup, Phase::Open, Phase::WarmUp, Phase::Run, Phase::Settle];

    /// As a person reads it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Setup => "setup",
            Phase::Open => "open",
            Phase::WarmUp => "warm-up",
            Phase::Run => "run",
            Phase::Settle => "settle",
        }
    }
}

/// What one worker, or all of them, did since the last tick.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tick {
    /// Things that happened.
    pub counts: Counts,
    /// How long some of them took.
    pub timings: Timings,
    /// What went wrong.
    pub errors: Errors,
    /// Streams that are open now.
    pub streams: u64,
    /// Messages that are to be sent and wait for a connection, now.
    pub queued: u64,
}

impl Tick {
    /// Adds the tick of another worker, of the same moment.
    pub fn add(&mut self, other: &Tick) {
        self.accumulate(other);
        self.streams += other.streams;
        self.queued += other.queued;
    }

    /// Adds a later tick of the same workers: what happened adds up, what is now is replaced.
    pub fn follow(&mut self, later: &Tick) {
        self.accumulate(later);
        (self.streams, self.queued) = (later.streams, later.queued);
    }

    fn accumulate(&mut self, other: &Tick) {
        self.counts.add(&other.counts);
        self.timings.add(&other.timings);
        self.errors.add(&other.errors);
    }
}

//! What a run found, in the shape of `--json`; text and page are made from it.

pub(crate) mod figure;
mod html;
#[cfg(test)]
pub(crate) mod sample;
mod text;

pub use html::html;
pub use text::text;

use serde::{Deserialize, Serialize};

use crate::measure::{Counts, Errors, Phase};

/// A whole run. Field names are stable: once released, only added to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The version of this program.
    pub version: String,
    /// `chat`, `idle` …
    pub scenario: String,
    /// What kind of server: `godwit`, or the name of a profile.
    pub server: String,
    /// Where the load went.
    pub targets: Vec<String>,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Cores, processor, memory and kernel of the coordinator's host.
    pub machine: String,
    /// What was asked for, as a command line.
    pub command: String,
    /// What the run's random choices were drawn from.
    pub seed: u64,
    /// Worker processes.
    pub workers: u64,
    /// The run was ended before its time, by Ctrl-C or by a violation.
    pub interrupted: bool,
    /// How long each phase took.
    pub phases: Vec<PhaseTime>,
    /// What happened in the phase [`Phase::Run`], and what of that arrived afterwards.
    pub run: Totals,
    /// What happened in all phases.
    pub all: Totals,
    /// Second by second over all phases.
    pub series: Vec<Second>,
    /// Servers that were watched.
    pub servers: Vec<Watched>,
    /// The worker processes on this host.
    pub generators: Vec<Watched>,
    /// What idle streams cost, where servers or workers could be watched.
    pub memory: Option<Memory>,
    /// What of the processors was used, where servers or workers could be watched.
    pub cpu: Option<Cpu>,
    /// What the checker of the guarantees found, in a run of `verify`.
    pub verdict: Option<Verdict>,
}

/// The report as `--json` writes it: pretty, with a line feed at its end.
pub fn json(report: &Report) -> String {
    // Only maps with keys that are no strings and failing `Serialize`s can go wrong: there are none.
    let mut text = serde_json::to_string_pretty(report).expect("a report is plain data");
    text.push('\n');
    text
}

/// A phase and its length.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PhaseTime {
    /// Which.
    pub phase: Phase,
    /// When it began, in seconds from the start of the first phase.
    pub at_s: f64,
    /// How long it took.
    pub seconds: f64,
}

/// Sums over some time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Totals {
    /// The length of that time.
    pub seconds: f64,
    /// What happened.
    pub counts: Counts,
    /// What went wrong.
    pub errors: Errors,
    /// How long things took, by the names of [`crate::measure::Timed`]; only those that occurred.
    pub timings: Vec<Summary>,
}

/// How long something took. All times are microseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// The name of a [`crate::measure::Timed`].
    pub name: String,
    /// How often it was timed.
    pub count: u64,
    /// Mean.
    pub mean_us: f64,
    /// Least.
    pub min_us: u64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// Most.
    pub max_us: u64,
    /// The percentile curve: `(quantile from 0 to 1, time)`, ascending.
    pub curve: Vec<(f64, u64)>,
}

/// About a second of a run; in one of more than two hours, some of them taken together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Second {
    /// Its end, in seconds from the start of the first phase.
    pub at_s: f64,
    /// The phase that it belongs to.
    pub phase: Phase,
    /// Open streams at its end.
    pub streams: u64,
    /// Messages that waited for a connection at its end.
    pub queued: u64,
    /// What happened in it.
    pub counts: Counts,
    /// What went wrong in it.
    pub errors: Errors,
    /// How long things took that were done in it: name, median, 99th percentile, most, in microseconds.
    /// Of seconds taken together, each is the largest of theirs.
    pub timings: Vec<(String, u64, u64, u64)>,
}

/// A process that was looked at once a second.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Watched {
    /// `pid 4711`, or an address of metrics.
    pub name: String,
    /// What was seen, in order of time.
    pub samples: Vec<Sample>,
}

/// A look at a process.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds from the start of the first phase.
    pub at_s: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Of it, private and written to; not known by metrics.
    pub private_bytes: Option<u64>,
    /// Processor time since the process began, in seconds; not known by metrics that do not say.
    pub cpu_s: Option<f64>,
}

/// What streams cost: the growth of memory while they were opened, by their number.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Memory {
    /// Open streams at the end of the phase [`Phase::Run`].
    pub streams: u64,
    /// Growth of all servers' resident memory, for each stream.
    pub server_bytes_per_stream: Option<f64>,
    /// Growth of all workers' resident memory, for each stream.
    pub generator_bytes_per_stream: Option<f64>,
}

/// Cores that were busy in the phase [`Phase::Run`]: 1 is one core all the time.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Cpu {
    /// With all servers together; only known if every one of them says.
    pub server_cores: Option<f64>,
    /// With all workers together.
    pub generator_cores: Option<f64>,
}

/// What the checker found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Acknowledged messages that were looked for.
    pub messages: u64,
    /// Times that one of them was looked for in a reader's inbox, and found.
    pub deliveries: u64,
    /// Stored events on all streams.
    pub events: u64,
    /// Streams.
    pub streams: u64,
    /// Of them, after an event id.
    pub resumes: u64,
    /// Why nothing can be said, if so: readers that never came back, a history that was full.
    pub inconclusive: Option<String>,
    /// The first violation: rule, sentence and the fewest records that show it, as lines of text.
    pub violation: Option<String>,
    /// Files with the whole history, JSON lines, where it was asked for.
    pub history: Vec<String>,
}

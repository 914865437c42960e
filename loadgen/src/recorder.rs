//! Adds up what happens in a run: ticks and samples go in, a view of the moment and the report come out.
//!
//! It has no clock. All times are given, counted from the start of the first phase.

mod live;
mod machine;
mod series;
mod summary;
mod usage;

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

pub use live::{Checked, Live, Percentiles, Usage};
pub use machine::machine;

use crate::measure::{Count, Counts, Errors, Phase, Tick, Timings};
use crate::report::{PhaseTime, Report, Sample, Second, Totals, Verdict, Watched};
use series::Series;

/// What "now" means in the live view: long enough for a 99th percentile, short enough to follow.
const WINDOW: Duration = Duration::from_secs(5);

/// Ticks that are kept for the window. One a second is five; more only if ticks come faster than that.
const WINDOW_TICKS_MAX: usize = 16;

/// What is known of a run before it starts.
#[derive(Debug, Clone)]
pub struct Meta {
    /// The version of this program.
    pub version: String,
    /// `chat`, `idle` …
    pub scenario: String,
    /// What kind of server: `godwit`, or the name of a profile.
    pub server: String,
    /// Where the load goes.
    pub targets: Vec<String>,
    /// What was asked for, as a command line, without secrets.
    pub command: String,
    /// What the run's random choices are drawn from.
    pub seed: u64,
    /// Worker processes.
    pub workers: u64,
    /// When the run starts, by the clock on the wall.
    pub started: SystemTime,
    /// The coordinator's host, as [`machine`] says it.
    pub machine: String,
}

/// What is to come, as far as it is known: only the live view needs it.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Streams that are to be open at once.
    pub streams: u64,
    /// Conversations that are to be set up.
    pub conversations: u64,
    /// How long phases are to take; one that is not named takes as long as it takes.
    pub phases: Vec<(Phase, Duration)>,
}

/// Adds up a run.
#[derive(Debug)]
pub struct Recorder {
    meta: Meta,
    expected: Expected,
    /// The latest time that was given.
    now: Duration,
    phases: Vec<(Phase, Duration)>,
    run: Sum,
    all: Sum,
    window: VecDeque<(Duration, Tick)>,
    /// The tick before the window's first: what that one counts began then.
    window_begin: Duration,
    series: Series<Second>,
    servers: Vec<Named>,
    generators: Vec<Named>,
    checked: Option<Checked>,
}

/// What adds up over a time.
#[derive(Debug, Default)]
struct Sum {
    counts: Counts,
    errors: Errors,
    timings: Timings,
}

/// A watched process and its samples.
#[derive(Debug)]
struct Named {
    name: String,
    samples: Series<Look>,
}

/// A sample with the phase that it was taken in: the last one of each phase is kept in runs of any length.
#[derive(Debug)]
struct Look {
    phase: Option<Phase>,
    sample: Sample,
}

impl Recorder {
    /// Nothing has happened yet.
    pub fn new(meta: Meta) -> Self {
        Self {
            meta,
            expected: Expected::default(),
            now: Duration::ZERO,
            phases: Vec::new(),
            run: Sum::default(),
            all: Sum::default(),
            window: VecDeque::new(),
            window_begin: Duration::ZERO,
            series: Series::default(),
            servers: Vec::new(),
            generators: Vec::new(),
            checked: None,
        }
    }

    /// Says what is to come, for [`Live`].
    pub fn expect(&mut self, expected: Expected) {
        self.expected = expected;
    }

    /// A phase begins, and the one before it ends.
    pub fn phase(&mut self, at: Duration, phase: Phase) {
        self.now = self.now.max(at);
        self.phases.push((phase, at));
    }

    /// What all workers did since the last tick; about one a second.
    ///
    /// Counts and errors of the phase [`Phase::Run`] are those of the run. Timings of
    /// [`Phase::Settle`] are too: workers time only messages that were due in the run, and those that
    /// took longest arrive last.
    pub fn tick(&mut self, at: Duration, phase: Phase, tick: &Tick) {
        self.now = self.now.max(at);
        self.all.counts.add(&tick.counts);
        self.all.errors.add(&tick.errors);
        self.all.timings.add(&tick.timings);
        if phase == Phase::Run {
            self.run.counts.add(&tick.counts);
            self.run.errors.add(&tick.errors);
        }
        if matches!(phase, Phase::Run | Phase::Settle) {
            self.run.timings.add(&tick.timings);
        }
        self.series.push(summary::second(at, phase, tick));
        self.window.push_back((at, tick.clone()));
        while let Some((oldest, _)) = self.window.front()
            && (*oldest + WINDOW <= at || self.window.len() > WINDOW_TICKS_MAX)
        {
            self.window_begin = *oldest;
            self.window.pop_front();
        }
    }

    /// A look at a server, or at a worker.
    pub fn watched(&mut self, name: &str, of_server: bool, sample: Sample) {
        let known = if of_server { &mut self.servers } else { &mut self.generators };
        let index = known.iter().position(|named| named.name == name).unwrap_or_else(|| {
            known.push(Named { name: name.to_owned(), samples: Series::default() });
            known.len() - 1
        });
        let phase =
            self.phases.iter().rfind(|(_, at)| at.as_secs_f64() <= sample.at_s).map(|(phase, _)| *phase);
        known[index].samples.push(Look { phase, sample });
    }

    /// What the checker of the guarantees has looked at so far, for [`Live`].
    pub fn checked(&mut self, checked: Checked) {
        self.checked = Some(checked);
    }

    /// Ends the run and says what it found.
    pub fn finish(self, interrupted: bool, verdict: Option<Verdict>) -> Report {
        let phases = phase_times(&self.phases, self.now);
        let run_time = phases.iter().find(|time| time.phase == Phase::Run).copied();
        let series = self.series.into_vec();
        let [servers, generators] = [self.servers, self.generators]
            .map(|all| all.into_iter().map(Named::into_watched).collect::<Vec<_>>());
        Report {
            // Among messages the growth is that of what they leave behind.
            memory: (self.run.counts[Count::Due] == 0)
                .then(|| usage::memory(&phases, &series, &servers, &generators))
                .flatten(),
            cpu: run_time.and_then(|run| usage::cpu(run, &servers, &generators)),
            run: self.run.totals(run_time.map_or(0.0, |run| run.seconds)),
            all: self.all.totals(self.now.as_secs_f64()),
            version: self.meta.version,
            scenario: self.meta.scenario,
            server: self.meta.server,
            targets: self.meta.targets,
            started_at: humantime::format_rfc3339_seconds(self.meta.started).to_string(),
            machine: self.meta.machine,
            command: self.meta.command,
            seed: self.meta.seed,
            workers: self.meta.workers,
            interrupted,
            phases,
            series,
            servers,
            generators,
            verdict,
        }
    }
}

impl Sum {
    fn totals(self, seconds: f64) -> Totals {
        let timings = summary::summaries(&self.timings);
        Totals { seconds, counts: self.counts, errors: self.errors, timings }
    }
}

impl Named {
    fn into_watched(self) -> Watched {
        let samples = self.samples.into_vec().into_iter().map(|look| look.sample).collect();
        Watched { name: self.name, samples }
    }
}

/// Each phase ends where the next begins, the last one at `end`.
fn phase_times(begun: &[(Phase, Duration)], end: Duration) -> Vec<PhaseTime> {
    let ends = begun.iter().skip(1).map(|(_, at)| *at).chain([end]);
    let times = begun.iter().zip(ends).map(|((phase, at), end)| PhaseTime {
        phase: *phase,
        at_s: at.as_secs_f64(),
        seconds: end.saturating_sub(*at).as_secs_f64(),
    });
    times.collect()
}

#[cfg(test)]
mod tests;

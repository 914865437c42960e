//! Looks at servers and workers once a second: memory and processor time.
//!
//! Each target has a thread of its own. Reading what a large process occupies takes the kernel
//! milliseconds, and metrics may not answer at all: neither may hold up the load, nor each other.

mod metrics;
mod process;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

pub use metrics::Metrics;
pub use process::Process;

use crate::report::Sample;

/// Between two looks at one target.
const INTERVAL: Duration = Duration::from_secs(1);

/// Samples that wait to be collected: somebody collects once a second, and a hundred targets may be
/// watched. What does not fit is dropped, as is a look that failed.
const SAMPLES_MAX: usize = 1_024;

/// Something that can be looked at.
#[derive(Debug, Clone)]
pub enum Target {
    /// A process of this host.
    Process(Process),
    /// A process that says of itself what it uses.
    Metrics(Metrics),
}

/// A sample and whose it is.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `pid 4711`, or the address of the metrics.
    pub name: Arc<str>,
    /// A server; otherwise a worker.
    pub of_server: bool,
    /// What was seen.
    pub sample: Sample,
}

/// Why a target cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A process is not there.
    #[error("there is no process {pid}: give the number of the process that takes the load")]
    NoProcess {
        /// Its number.
        pid: u32,
    },
    /// A process is there and may not be looked at.
    #[error("what process {pid} uses cannot be read: watch it as its own user or as root")]
    Process {
        /// Its number.
        pid: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An address of metrics is none.
    #[error("metrics cannot be at `{url}`: give a whole address, as http://127.0.0.1:9090/metrics")]
    Address {
        /// What was given.
        url: String,
    },
    /// A token cannot be sent.
    #[error("the token for {url} holds characters that no header may hold: give it as one line of text")]
    Token {
        /// The address that it is for.
        url: String,
    },
    /// Nothing answers.
    #[error("no metrics come from {url}: see that the server runs and listens there, or watch it by its pid")]
    NoAnswer {
        /// The address.
        url: String,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// Something else than metrics answers.
    #[error("{url} answers with status {status}{}", advice(*status))]
    Status {
        /// The address.
        url: String,
        /// What it answered.
        status: u16,
    },
    /// What answers does not say what is wanted.
    #[error("{url} does not tell `{}`: give the address of a server's Prometheus metrics", metrics::RESIDENT)]
    NotTold {
        /// The address.
        url: String,
    },
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => ": its metrics need a bearer token, give the right one",
        404 => ": metrics are mostly at the path /metrics",
        _ => ", not with metrics",
    }
}

/// What one look finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Looked {
    pub(crate) resident_bytes: u64,
    pub(crate) private_bytes: Option<u64>,
    pub(crate) cpu_s: Option<f64>,
}

impl Target {
    /// A process of this host, by its number. It is there, and may be looked at.
    pub fn process(pid: u32) -> Result<Self, Error> {
        Process::find(pid).map(Self::Process)
    }

    /// Prometheus' text at an `http://` address, with a bearer token if one is needed. It answers now;
    /// this takes up to a second, and a host name as long as it takes to resolve.
    pub fn metrics(url: &str, token: Option<&str>) -> Result<Self, Error> {
        let metrics = Metrics::new(url, token)?;
        metrics.look()?;
        Ok(Self::Metrics(metrics))
    }

    /// `pid 4711`, or the address of the metrics.
    pub fn name(&self) -> Arc<str> {
        match self {
            Self::Process(process) => format!("pid {}", process.pid()).into(),
            Self::Metrics(metrics) => metrics.url().into(),
        }
    }

    fn look(&self) -> Result<Looked, Error> {
        match self {
            Self::Process(process) => process.look(),
            Self::Metrics(metrics) => metrics.look(),
        }
    }
}

/// Looks at targets until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    start: Instant,
    samples: Receiver<Seen>,
    seen: SyncSender<Seen>,
    /// Threads end when these are dropped.
    stops: Vec<Sender<()>>,
}

impl Watcher {
    /// Watches nothing yet. Times of samples count from `start`, the beginning of the first phase.
    pub fn new(start: Instant) -> Self {
        let (seen, samples) = mpsc::sync_channel(SAMPLES_MAX);
        Self { start, samples, seen, stops: Vec::new() }
    }

    /// Looks at a target from now on, the first time at once. A process that ends is looked at no more;
    /// metrics that do not answer are asked again a second later, so that a server that is started again
    /// goes on to be watched.
    ///
    /// # Errors
    ///
    /// The system gives no more threads.
    pub fn watch(&mut self, target: Target, of_server: bool) -> io::Result<()> {
        let (stop, stopped) = mpsc::channel();
        let (start, seen, name) = (self.start, self.seen.clone(), target.name());
        let look = move || {
            for at in beats(&stopped) {
                match target.look() {
                    Ok(looked) => {
                        let sample = sample(at.saturating_duration_since(start), looked);
                        // Nobody collects: there are newer samples to come.
                        let _ = seen.try_send(Seen { name: name.clone(), of_server, sample });
                    }
                    Err(_) if matches!(target, Target::Process(_)) => break,
                    Err(_) => {}
                }
            }
        };
        thread::Builder::new().name("watch".into()).spawn(look)?;
        self.stops.push(stop);
        Ok(())
    }

    /// What was seen since the last call. Never waits.
    pub fn seen(&self) -> impl Iterator<Item = Seen> {
        self.samples.try_iter()
    }
}

/// The moments at which to look, until the watcher is dropped. One that is missed is left out.
fn beats(stopped: &Receiver<()>) -> impl Iterator<Item = Instant> {
    let mut next = Instant::now();
    std::iter::from_fn(move || {
        let wait = next.saturating_duration_since(Instant::now());
        if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            return None;
        }
        let now = Instant::now();
        while next <= now {
            next += INTERVAL;
        }
        Some(now)
    })
}

fn sample(at: Duration, looked: Looked) -> Sample {
    let Looked { resident_bytes, private_bytes, cpu_s } = looked;
    Sample { at_s: at.as_secs_f64(), resident_bytes, private_bytes, cpu_s }
}

#[cfg(test)]
mod tests;

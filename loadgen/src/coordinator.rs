//! The one process that a person starts: it starts the workers, hands out the plan, and adds up.

mod workers;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::groups;
use crate::link::{Command, Said};
use crate::measure::{Count, Phase, Tick};
use crate::plan::Plan;
use crate::recorder::{Checked, Expected, Meta, Recorder};
use crate::report::{Report, Verdict};
use crate::terminal::View;
use crate::watch::{self, Watcher};
use workers::Workers;

pub use workers::Place;

/// Between two looks at what workers have said.
const TICK: Duration = Duration::from_secs(1);

/// Between two pictures of the live view.
const PICTURE: Duration = Duration::from_millis(250);

/// After the second Ctrl-C, or the first one that nothing answers, for so long.
const STOP_MAX: Duration = Duration::from_secs(90);

/// What a run is that was ended before its load.
const STOPPED_EARLY: &str = "stopped before the load began";

/// What is to be run.
pub struct Run {
    /// A plan for each worker, and where it runs.
    pub plans: Vec<(Place, Plan)>,
    /// What the report says of it.
    pub meta: Meta,
    /// Servers that are watched beside it.
    pub watched: Vec<watch::Target>,
    /// What people look at.
    pub view: View,
}

/// What is known of the workers.
struct State {
    began: Instant,
    phase: Phase,
    /// Of each worker.
    phases: Vec<Phase>,
    ready: usize,
    /// What each said since the last look.
    ticks: Vec<Tick>,
    done: usize,
    /// What the judges have seen so far, if there are some.
    judged: Option<Checked>,
    verdict: Option<Verdict>,
    watcher: Watcher,
    recorder: Recorder,
}

/// Runs it from the first phase to the last.
///
/// # Errors
/// When the load cannot be made: a sentence that says why. Nothing is left running.
pub async fn run(run: Run) -> Result<Report> {
    let Run { plans, meta, watched, mut view } = run;
    let count = plans.len();
    let mut recorder = Recorder::new(meta);
    recorder.expect(expected(&plans));
    let verify = plans.iter().any(|(_, plan)| plan.verify.is_some());
    // From the beginning, and one for all the time: what comes between two looks is not lost.
    let mut interrupts = signal(SignalKind::interrupt()).context("Ctrl-C cannot be noticed")?;
    let (mut workers, mut said) = tokio::select! {
        started = Workers::start(plans) => started?,
        _ = interrupts.recv() => bail!(STOPPED_EARLY),
    };
    let began = Instant::now();
    let mut watcher = Watcher::new(began);
    for target in watched {
        watcher.watch(target, true).context("no thread to watch a server with")?;
    }
    for pid in workers.pids() {
        // A worker that is gone already says so itself.
        if let Ok(target) = watch::Target::process(pid) {
            watcher.watch(target, false).context("no thread to watch a worker with")?;
        }
    }
    let mut state = State {
        began,
        phase: Phase::Setup,
        phases: vec![Phase::Setup; count],
        ready: 0,
        ticks: vec![Tick::default(); count],
        done: 0,
        judged: verify.then(Checked::default),
        verdict: None,
        watcher,
        recorder,
    };
    state.recorder.phase(Duration::ZERO, Phase::Setup);
    let followed = state.follow(&mut workers, &mut said, &mut interrupts, &mut view).await;
    view.end();
    workers.end().await;
    let interrupted = followed?;
    if let (Some(verdict), Some(judged)) = (&mut state.verdict, state.judged)
        && verdict.violation.is_some()
    {
        // A judge that found something does not go on to count.
        (verdict.messages, verdict.events) = (judged.messages, judged.events);
    }
    Ok(state.recorder.finish(interrupted, state.verdict))
}

/// What the live view should know of what is to come.
fn expected(plans: &[(Place, Plan)]) -> Expected {
    let times = plans.first().map(|(_, plan)| plan.times);
    let seconds = Duration::from_secs_f64;
    Expected {
        streams: plans.iter().map(|(_, plan)| u64::from(plan.accounts.count)).sum(),
        conversations: plans.iter().map(|(_, plan)| groups::count(plan)).sum(),
        phases: times.map_or_else(Vec::new, |times| {
            vec![(Phase::WarmUp, seconds(times.warm_up_s)), (Phase::Run, seconds(times.run_s))]
        }),
    }
}

impl State {
    /// Until all workers are done; whether the run was ended before its time.
    async fn follow(
        &mut self,
        workers: &mut Workers,
        said: &mut mpsc::Receiver<(usize, Said)>,
        interrupts: &mut Signal,
        view: &mut View,
    ) -> Result<bool> {
        let mut seconds = tokio::time::interval_at((Instant::now() + TICK).into(), TICK);
        let mut pictures = tokio::time::interval(PICTURE);
        let mut stopping: Option<Instant> = None;
        while self.done < workers.count() {
            tokio::select! {
                word = said.recv() => {
                    let (worker, word) = word.context("all workers have ended before their time")?;
                    self.take(workers, worker, word).await?;
                }
                _ = seconds.tick() => self.look(),
                _ = pictures.tick() => view.show(&self.recorder.live()),
                _ = interrupts.recv() => {
                    ensure!(self.ready == workers.count(), STOPPED_EARLY);
                    view.line("stopping: what is under way is waited for; again to wait no longer");
                    stopping = stopping.or(Some(Instant::now()));
                    workers.tell_all(&Command::Stop).await;
                }
            }
            if stopping.is_some_and(|since| since.elapsed() > STOP_MAX) {
                bail!("the workers do not stop");
            }
        }
        self.look();
        let violated = self.verdict.as_ref().is_some_and(|verdict| verdict.violation.is_some());
        Ok(stopping.is_some() || violated)
    }

    /// What a worker said.
    async fn take(&mut self, workers: &mut Workers, worker: usize, said: Said) -> Result<()> {
        match said {
            Said::Hello { version } => ensure!(
                version == env!("CARGO_PKG_VERSION"),
                "worker {worker} is of version {version}, and this is {}",
                env!("CARGO_PKG_VERSION")
            ),
            Said::Problem(problem) => bail!("{problem}"),
            Said::Tick(tick) => self.ticks[worker].follow(&tick),
            Said::Phase(phase) => {
                self.phases[worker] = phase;
                // The run is where its slowest worker is.
                let slowest = self.phases.iter().copied().min().unwrap_or(phase);
                if slowest > self.phase {
                    // What was said until now belongs to the phase before.
                    self.look();
                    self.phase = slowest;
                    self.recorder.phase(self.began.elapsed(), slowest);
                }
            }
            Said::Ready => {
                self.ready += 1;
                if self.ready == workers.count() {
                    workers.tell_all(&Command::Go).await;
                }
            }
            Said::Done(verdict) => {
                self.done += 1;
                if let Some(verdict) = verdict {
                    if verdict.violation.is_some() {
                        // The others need not go on.
                        workers.tell_all(&Command::Stop).await;
                    }
                    add(self.verdict.get_or_insert_default(), *verdict);
                }
            }
        }
        Ok(())
    }

    /// Adds up what all workers said since the last time, and what was seen of the processes.
    fn look(&mut self) {
        let mut all = Tick::default();
        for tick in &mut self.ticks {
            all.add(tick);
            *tick = Tick { streams: tick.streams, queued: tick.queued, ..Tick::default() };
        }
        if let Some(judged) = &mut self.judged {
            judged.messages += all.counts[Count::Acknowledged];
            judged.events += all.counts[Count::Event];
            self.recorder.checked(*judged);
        }
        self.recorder.tick(self.began.elapsed(), self.phase, &all);
        for seen in self.watcher.seen() {
            self.recorder.watched(&seen.name, seen.of_server, seen.sample);
        }
    }
}

/// Adds the verdict of another worker, which judged conversations of its own.
fn add(all: &mut Verdict, one: Verdict) {
    all.messages += one.messages;
    all.deliveries += one.deliveries;
    all.events += one.events;
    all.streams += one.streams;
    all.resumes += one.resumes;
    all.inconclusive = all.inconclusive.take().or(one.inconclusive);
    all.violation = all.violation.take().or(one.violation);
    all.history.extend(one.history);
}

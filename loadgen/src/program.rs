//! From a command line to an exit code.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context as _, Result};

use crate::cli::{self, Cli, Command, Load, Scenario, Verify, Worker};
use crate::coordinator::{self, Run};
use crate::limits::{self, Limits};
use crate::plan::Plan;
use crate::recorder::{self, Meta};
use crate::remote::{self, Listen, Secret};
use crate::report::{self, Report};
use crate::terminal::{Mode, View};
use crate::watch::Target;
use crate::worker;

/// A bug.
const BUG: u8 = 1;
/// The load could not be made.
const NO_LOAD: u8 = 2;
/// A guarantee was found broken.
const VIOLATION: u8 = 3;
/// A flag is wrong (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

/// What a command line that cannot be read leads to; asking for help is none of those.
pub fn refuse(error: &clap::Error) -> ExitCode {
    // If standard error is closed nobody reads it anyway.
    let _ = error.print();
    if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS }
}

/// Does what was asked for.
pub fn main(cli: Cli) -> ExitCode {
    let (scenario, load, verify) = match cli.command {
        Command::Worker(Worker { listen: None, .. }) => return exit(worker::main().map(|()| 0), BUG),
        Command::Worker(worker) => return exit(listen(&worker).map(|()| 0), NO_LOAD),
        Command::Idle(load) => (Scenario::Idle, load, None),
        Command::Chat(load) => (Scenario::Chat, load, None),
        Command::Storm(load) => (Scenario::Storm, load, None),
        Command::Flap(load) => (Scenario::Flap, load, None),
        Command::Slow(load) => (Scenario::Slow, load, None),
        Command::Mixed(load) => (Scenario::Mixed, load, None),
        Command::Verify(verify) => (verify.scenario, Box::new(verify.load.clone()), Some(verify)),
    };
    if let Err(error) = cli::fits(scenario, &load) {
        return exit(Err(error), USAGE);
    }
    exit(run(scenario, &load, verify.as_deref()), NO_LOAD)
}

fn exit(done: Result<u8>, failed: u8) -> ExitCode {
    match done {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("godwit-loadgen: {error:#}");
            failed.into()
        }
    }
}

/// Makes a load and writes what came of it.
fn run(scenario: Scenario, load: &Load, verify: Option<&Verify>) -> Result<u8> {
    let seed = load.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let plans = cli::plans(scenario, load, verify, seed)?;
    let here: Vec<&Plan> = plans.iter().filter(|(place, _)| place.is_here()).map(|(_, plan)| plan).collect();
    limits::check(&here, Limits::of_host())?;
    // What cannot be written should show before the load, and not after it.
    for file in [&load.json, &load.html].into_iter().flatten() {
        writable(file)?;
    }
    if let Some(directory) = verify.and_then(|verify| verify.history.as_ref()).filter(|_| !here.is_empty()) {
        let made = fs::create_dir_all(directory);
        made.with_context(|| format!("cannot write a history to {}", directory.display()))?;
    }
    let pids = load.pids.iter().map(|&pid| Target::process(pid));
    let metrics = load.metrics.iter().map(|url| Target::metrics(url, None));
    let watched = pids.chain(metrics).collect::<Result<_, _>>()?;
    let meta = Meta {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: match verify {
            Some(_) => format!("verify {}", scenario.name()),
            None => scenario.name().to_owned(),
        },
        server: plans[0].1.server.name()?,
        targets: load.targets.clone(),
        command: command_line(seed, load.seed.is_some()),
        seed,
        workers: plans.len() as u64,
        started: SystemTime::now(),
        machine: recorder::machine(),
    };
    let view = View::new(Mode::fitting(load.quiet));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let report = runtime.block_on(coordinator::run(Run { plans, meta, watched, view }))?;
    write(load, &report)?;
    Ok(code(&report))
}

/// What a run leads to.
fn code(report: &Report) -> u8 {
    match &report.verdict {
        Some(verdict) if verdict.violation.is_some() => VIOLATION,
        Some(verdict) if verdict.inconclusive.is_some() => NO_LOAD,
        _ => 0,
    }
}

/// What was asked for, so that it can be asked for again.
fn command_line(seed: u64, given: bool) -> String {
    let mut words: Vec<String> = std::env::args().collect();
    if !given {
        words.extend(["--seed".to_owned(), seed.to_string()]);
    }
    words.join(" ")
}

fn is_standard_output(file: &Path) -> bool {
    file == Path::new("-")
}

fn writable(file: &Path) -> Result<()> {
    if is_standard_output(file) {
        return Ok(());
    }
    let opened = fs::OpenOptions::new().create(true).append(true).open(file);
    opened.map(drop).with_context(|| format!("cannot write {}", file.display()))
}

fn write(load: &Load, report: &Report) -> Result<()> {
    let mut output = std::io::stdout().lock();
    // A summary among JSON would be of no use to who reads it.
    if !load.json.as_deref().is_some_and(is_standard_output) {
        writeln!(output, "{}", report::text(report)).context("cannot write the summary")?;
    }
    for (file, text) in [(&load.json, report::json(report)), (&load.html, report::html(report))] {
        match file {
            Some(file) if is_standard_output(file) => writeln!(output, "{text}").context("cannot write")?,
            Some(file) => {
                fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?
            }
            None => {}
        }
    }
    Ok(())
}

/// A worker for other hosts.
fn listen(worker: &Worker) -> Result<()> {
    let Some(address) = worker.listen else { return Ok(()) };
    Limits::of_host();
    let secret = worker.worker_secret_file.as_ref().map(Secret::read).transpose()?;
    let tokens = cli::token_source(worker.token_secret_file.as_deref(), worker.tokens.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(remote::listen(Listen { address, secret, tokens }))
}

//! What coordinator and worker say to one another: lines of JSON, over pipes or a connection.

use std::io::{BufRead as _, Write as _};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::measure::{Phase, Tick};
use crate::plan::Plan;
use crate::report::Verdict;

/// The longest line: a tick has a few thousand figures, a plan a few megabytes of root certificates.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// Commands that wait for a worker: there are three in a run.
const COMMANDS_MAX: usize = 8;

/// To a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// This is your share; begin.
    Plan(Box<Plan>),
    /// All workers are ready: the load begins.
    Go,
    /// End the load now, and say what came of it.
    Stop,
}

/// From a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// I am here.
    Hello {
        /// The version of the program.
        version: String,
    },
    /// A phase has begun.
    Phase(Phase),
    /// What happened in about a second.
    Tick(Box<Tick>),
    /// All is set up and open.
    Ready,
    /// The load cannot be made.
    Problem(String),
    /// That was all.
    Done(Option<Box<Verdict>>),
}

/// Says something on standard output.
///
/// # Errors
/// When nobody listens any more.
pub fn say(said: &Said) -> Result<()> {
    let line = serde_json::to_string(said).context("what a worker says is JSON")?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).context("the coordinator is gone")
}

/// The commands on standard input, read by a thread of its own. Ends when the coordinator does.
pub fn commands() -> mpsc::Receiver<Command> {
    let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let command = line.ok().and_then(|line| serde_json::from_str(&line).ok());
            let Some(command) = command else { return };
            if sender.blocking_send(command).is_err() {
                return;
            }
        }
    });
    receiver
}

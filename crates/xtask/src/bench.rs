//! `cargo xtask bench`: measures the program that ships and writes `docs/benchmarks.md`.
//!
//! A measurement is a module with one function: it gets the program, starts the servers that
//! it needs, and returns rows of the table. No number in the document comes from anywhere else.

mod client;
mod environment;
mod idle;
mod latency;
mod messages;
mod process;
mod report;
mod server;
mod size;
mod startup;
mod streams;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::{command, dist};
use report::Row;

/// What a measurement works with.
pub(crate) struct Bench {
    /// The stripped release program.
    pub(crate) program: PathBuf,
    /// The clients, `godwit-bench`.
    pub(crate) client: PathBuf,
}

struct Measurement {
    name: &'static str,
    run: fn(&Bench) -> Result<Vec<Row>>,
}

const MEASUREMENTS: &[Measurement] = &[
    Measurement { name: "size", run: size::measure },
    Measurement { name: "startup", run: startup::measure },
    Measurement { name: "idle", run: idle::measure },
    Measurement { name: "messages", run: messages::measure },
    Measurement { name: "latency", run: latency::measure },
    Measurement { name: "streams", run: streams::measure },
];

/// Runs the measurements that the arguments name, or all.
///
/// Only a run of all of them writes the document: its rows belong to one program on one machine.
///
/// # Errors
/// For arguments that make no sense, and when the program cannot be built or measured.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let mut only: Vec<&str> = Vec::new();
    let mut arguments = arguments.iter().map(String::as_str);
    while let Some(argument) = arguments.next() {
        match argument {
            "--list" => {
                MEASUREMENTS.iter().for_each(|measurement| println!("{}", measurement.name));
                return Ok(());
            }
            "--only" => only.push(known(arguments.next().context("--only wants a name")?)?),
            other => bail!("unknown argument {other:?}"),
        }
    }
    let bench = Bench { program: dist::build()?.program, client: client::build()? };
    let mut rows = Vec::new();
    for measurement in MEASUREMENTS {
        if only.is_empty() || only.contains(&measurement.name) {
            println!("measuring {} …", measurement.name);
            rows.extend((measurement.run)(&bench).with_context(|| measurement.name.to_owned())?);
        }
    }
    let table = report::table(&environment::line()?, &rows);
    println!("\n{table}");
    if only.is_empty() {
        report::write(&command::root().join("docs/benchmarks.md"), &table)?;
    }
    Ok(())
}

fn known(name: &str) -> Result<&str> {
    if MEASUREMENTS.iter().any(|measurement| measurement.name == name) {
        return Ok(name);
    }
    bail!("no measurement is called {name:?}; --list shows them")
}

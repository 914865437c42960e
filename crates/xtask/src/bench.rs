//! `cargo xtask bench`: measures the program that ships and writes `docs/benchmarks.md`.
//!
//! A measurement is a module with one function: it gets the program and the load generator, starts
//! the servers that it needs, and returns rows of the table. No number in the document comes from
//! anywhere else.

mod beside;
mod cassandra;
mod cost;
mod database;
mod density;
mod environment;
mod http;
mod idle;
mod latency;
mod load;
mod messages;
mod nchan;
mod process;
mod report;
mod resume;
mod server;
mod size;
mod startup;
mod storm;
mod streams;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::tools::{self, Tool};
use crate::{command, dist};
use report::{Row, Table};

/// What a measurement works with.
pub(crate) struct Bench {
    /// The stripped release program.
    pub(crate) program: PathBuf,
    /// The load generator, built for release too.
    pub(crate) loadgen: PathBuf,
    /// Only to see that the measurements work.
    quick: bool,
}

impl Bench {
    /// How much of something is measured: what the document says, or the little of `--quick`.
    pub(crate) fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

struct Measurement {
    name: &'static str,
    /// Of another server than ours: what its rows stand under.
    beside: bool,
    needs: &'static [Tool],
    run: fn(&Bench) -> Result<Vec<Row>>,
}

impl Measurement {
    const fn own(name: &'static str, run: fn(&Bench) -> Result<Vec<Row>>) -> Measurement {
        Measurement { name, beside: false, needs: &[], run }
    }
}

/// What brings and runs it.
const CASSANDRA: &[Tool] = &[Tool::Java, Tool::Maven];

const MEASUREMENTS: &[Measurement] = &[
    Measurement::own("size", size::measure),
    Measurement::own("startup", startup::measure),
    Measurement::own("idle", idle::measure),
    Measurement::own("messages", messages::measure),
    Measurement::own("latency", latency::measure),
    Measurement::own("streams", streams::measure),
    Measurement::own("density", density::measure),
    Measurement::own("storm", storm::measure),
    Measurement { name: "database", beside: false, needs: CASSANDRA, run: database::measure },
    Measurement { name: "resume", beside: false, needs: CASSANDRA, run: resume::measure },
    Measurement { name: "beside", beside: true, needs: &[Tool::Nchan], run: beside::measure },
];

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    list: bool,
    quick: bool,
    only: Vec<String>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Options> {
        let mut options = Options::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => options.list = true,
                "--quick" => options.quick = true,
                "--only" => {
                    let name = arguments.next().context("--only wants a name")?;
                    if !MEASUREMENTS.iter().any(|measurement| measurement.name == name) {
                        bail!("no measurement is called {name:?}; --list shows them");
                    }
                    options.only.push(name.clone());
                }
                other => bail!("unknown argument {other:?}"),
            }
        }
        Ok(options)
    }

    fn wants(&self, measurement: &Measurement) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == measurement.name)
    }

    /// The document's rows belong to one program on one machine, and were measured in full.
    fn writes(&self) -> bool {
        self.only.is_empty() && !self.quick
    }
}

/// Runs the measurements that the arguments name, or all. Only a full run of all of them writes the
/// document.
///
/// # Errors
/// For arguments that make no sense, and when the program cannot be built or measured.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    if options.list {
        MEASUREMENTS.iter().for_each(|measurement| println!("{}", measurement.name));
        return Ok(());
    }
    let chosen: Vec<&Measurement> = MEASUREMENTS.iter().filter(|one| options.wants(one)).collect();
    // Before the build and the first minutes, so that a missing tool shows at once.
    let needs: Vec<Tool> = chosen.iter().flat_map(|measurement| measurement.needs).copied().collect();
    tools::ensure(&needs)?;
    let bench = Bench { program: dist::build()?.program, loadgen: load::build()?, quick: options.quick };
    let mut table = Table { environment: environment::line()?, own: Vec::new(), beside: Vec::new() };
    for measurement in chosen {
        println!("measuring {} …", measurement.name);
        let rows = (measurement.run)(&bench).with_context(|| measurement.name.to_owned())?;
        if measurement.beside { table.beside.extend(rows) } else { table.own.extend(rows) }
    }
    if options.quick {
        println!("\na quick run: it shows that the measurements work, its figures say nothing");
    }
    println!("\n{table}");
    if options.writes() {
        report::write(&command::root().join("docs/benchmarks.md"), &table.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options> {
        Options::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_are_checked() {
        let options = parse("--only size --only density --quick").unwrap();
        assert_eq!(options.only, ["size", "density"]);
        assert!(options.quick && !options.list);
        for bad in ["--only", "--only nothing", "size"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_full_run_of_all_writes_the_document() {
        assert!(parse("").unwrap().writes());
        assert!(!parse("--quick").unwrap().writes());
        assert!(!parse("--only size").unwrap().writes());
    }

    #[test]
    fn measurements_have_names_of_their_own() {
        let mut names: Vec<&str> = MEASUREMENTS.iter().map(|measurement| measurement.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), MEASUREMENTS.len());
    }
}

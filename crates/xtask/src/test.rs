//! `cargo xtask test`: every check that a change must pass, stage after stage.

mod stages;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::tools;
use stages::{STAGES, Stage};

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    NotRun,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Outcome::Passed => "ok",
            Outcome::Failed => "FAILED",
            Outcome::NotRun => "not run",
        }
    }
}

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    list: bool,
    keep_going: bool,
    only: Vec<String>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Options> {
        let mut options = Options::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => options.list = true,
                "--keep-going" => options.keep_going = true,
                "--only" => match arguments.next() {
                    Some(name) if STAGES.iter().any(|stage| stage.name == name) => {
                        options.only.push(name.clone());
                    }
                    Some(name) => bail!("no stage is called {name:?}; --list shows them"),
                    None => bail!("--only wants the name of a stage"),
                },
                other => bail!("unknown argument {other:?}"),
            }
        }
        Ok(options)
    }

    fn wants(&self, stage: &Stage) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == stage.name)
    }
}

/// Runs what the arguments ask for.
///
/// # Errors
/// For arguments that make no sense, a tool that cannot be had, and a stage that failed.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    if options.list {
        for stage in STAGES {
            println!("{:<8}  {}", stage.name, stage.about);
        }
        return Ok(());
    }
    let chosen: Vec<&Stage> = STAGES.iter().filter(|stage| options.wants(stage)).collect();
    // Before the first stage, so that a missing tool shows at once and not after the build.
    let needs: Vec<tools::Tool> = chosen.iter().flat_map(|stage| stage.needs).copied().collect();
    tools::ensure(&needs)?;
    let results = run_stages(&chosen, options.keep_going);
    println!("\n{}", summary(&results));
    let failed: Vec<&str> = results
        .iter()
        .filter(|(_, outcome, _)| *outcome == Outcome::Failed)
        .map(|(name, ..)| *name)
        .collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

type StageResult = (&'static str, Outcome, Duration);

fn run_stages(stages: &[&Stage], keep_going: bool) -> Vec<StageResult> {
    let mut results = Vec::with_capacity(stages.len());
    let mut stopped = false;
    for stage in stages {
        if stopped {
            results.push((stage.name, Outcome::NotRun, Duration::ZERO));
            continue;
        }
        println!("\n=== {}: {} ===", stage.name, stage.about);
        let began = Instant::now();
        let outcome = match (stage.run)() {
            Ok(()) => Outcome::Passed,
            Err(error) => {
                eprintln!("{}: {error:#}", stage.name);
                stopped = !keep_going;
                Outcome::Failed
            }
        };
        println!("=== {}: {} in {} ===", stage.name, outcome.word(), clock(began.elapsed()));
        results.push((stage.name, outcome, began.elapsed()));
    }
    results
}

/// The closing table: a line per stage and one for all.
fn summary(results: &[StageResult]) -> String {
    let mut lines = vec![format!("{:<8}  {:<7}  {:>6}", "stage", "result", "m:ss")];
    let row = |(name, outcome, took): &StageResult| {
        format!("{name:<8}  {:<7}  {:>6}", outcome.word(), clock(*took))
    };
    lines.extend(results.iter().map(row));
    let all = results.iter().map(|(.., took)| *took).sum();
    lines.push(format!("{:<8}  {:<7}  {:>6}", "all", "", clock(all)));
    lines.join("\n")
}

/// Minutes and seconds: `3:07`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &'static str, run: fn() -> Result<()>) -> Stage {
        Stage { name, about: "a test", needs: &[], run }
    }

    fn outcomes(results: &[StageResult]) -> Vec<Outcome> {
        results.iter().map(|(_, outcome, _)| *outcome).collect()
    }

    #[test]
    fn stops_at_the_first_failure_unless_told_to_go_on() {
        let stages = [stage("a", || Ok(())), stage("b", || bail!("broken")), stage("c", || Ok(()))];
        let stages: Vec<&Stage> = stages.iter().collect();
        use Outcome::{Failed, NotRun, Passed};
        assert_eq!(outcomes(&run_stages(&stages, false)), [Passed, Failed, NotRun]);
        assert_eq!(outcomes(&run_stages(&stages, true)), [Passed, Failed, Passed]);
    }

    #[test]
    fn the_table_shows_every_stage() {
        let results = [
            ("unit", Outcome::Passed, Duration::from_secs(187)),
            ("browser", Outcome::NotRun, Duration::ZERO),
        ];
        let expected = "stage     result     m:ss\n\
                        unit      ok         3:07\n\
                        browser   not run    0:00\n\
                        all                  3:07";
        assert_eq!(summary(&results), expected);
    }

    #[test]
    fn arguments_are_checked() {
        let parse =
            |text: &str| Options::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let options = parse("--only unit --only doc --keep-going").unwrap();
        assert_eq!(options.only, ["unit", "doc"]);
        assert!(options.keep_going);
        assert!(parse("--only nothing").is_err());
        assert!(parse("--only").is_err());
        assert!(parse("unit").is_err());
    }

    #[test]
    fn stages_have_names_of_their_own() {
        let mut names: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STAGES.len());
    }
}

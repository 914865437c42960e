//! A run of the load generator as a child process, looked at from beside, and what it reported.

mod report;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Bench, process};
use crate::command;

use report::BUSY;
pub(crate) use report::{Memory, Report, When, Whose};

/// Between two looks at the machine; the generator looks at processes as often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How soon the generator's end is noticed. What runs at the same time is measured, so not sooner.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Builds the generator as it is measured with: for release.
///
/// # Errors
/// When cargo fails.
pub(crate) fn build() -> Result<PathBuf> {
    command::run(command::cargo().args(["build", "--release", "--locked", "--package", "godwit-loadgen"]))?;
    Ok(command::target_dir().join("release/godwit-loadgen"))
}

/// A running generator.
pub(crate) struct Load {
    child: Child,
    began: Instant,
    next_look: Instant,
    /// Time in which the machine's processors were busy.
    busy: Looks<Duration>,
    /// Where its report will be; removed when this is.
    directory: tempfile::TempDir,
}

/// What was seen of something, again and again: each with the seconds since the load was started.
#[derive(Debug)]
pub(crate) struct Looks<T>(Vec<(f64, T)>);

impl<T> Default for Looks<T> {
    fn default() -> Self {
        Looks(Vec::new())
    }
}

impl<T> Looks<T> {
    /// Adds a look, which must be the latest one.
    pub(crate) fn push(&mut self, at_s: f64, seen: T) {
        self.0.push((at_s, seen));
    }

    /// The first and the last one between two moments.
    pub(crate) fn ends(&self, from_s: f64, until_s: f64) -> Option<[&(f64, T); 2]> {
        let mut inside = self.0.iter().filter(|(at_s, _)| (from_s..=until_s).contains(at_s));
        let first = inside.next()?;
        Some([first, inside.next_back()?])
    }

    /// The last one that was not after this moment.
    pub(crate) fn last_until(&self, until_s: f64) -> Option<&T> {
        self.0.iter().rfind(|(at_s, _)| *at_s <= until_s).map(|(_, seen)| seen)
    }
}

impl Load {
    /// Starts a scenario with its flags, which are separated by spaces, against what `target` names.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(bench: &Bench, target: &[OsString], scenario: &str) -> Result<Load> {
        let directory = tempfile::tempdir().context("cannot make a directory for a report")?;
        let mut command = Command::new(&bench.loadgen);
        command.args(scenario.split_whitespace()).args(target);
        command.arg("--quiet").arg("--json").arg(directory.path().join(REPORT));
        // What goes wrong it says on standard error, which is ours.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().context("the load generator cannot be started")?;
        let began = Instant::now();
        Ok(Load { child, began, next_look: began, busy: Looks::default(), directory })
    }

    /// Runs a load from its start to its end.
    ///
    /// # Errors
    /// As [`Load::goes_on`] and [`Load::finish`].
    pub(crate) fn run(bench: &Bench, target: &[OsString], scenario: &str) -> Result<Report> {
        let mut load = Load::start(bench, target, scenario)?;
        while load.goes_on()? {}
        load.finish()
    }

    /// Waits until it is time to look at something again, every second; false when the load is over.
    ///
    /// # Errors
    /// When the generator did not end well, or the kernel does not say what the machine does.
    pub(crate) fn goes_on(&mut self) -> Result<bool> {
        loop {
            if let Some(status) = self.child.try_wait().context("the load generator cannot be waited for")? {
                if status.success() {
                    return Ok(false);
                }
                bail!("the load generator ended with {status}");
            }
            if Instant::now() >= self.next_look {
                self.next_look += LOOK_EVERY;
                self.busy.push(self.seconds(), process::machine_busy()?);
                return Ok(true);
            }
            std::thread::sleep(ASK_EVERY);
        }
    }

    /// Seconds since the start. The generator's own clock begins when its workers have started, some
    /// milliseconds later.
    pub(crate) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// The report of a load that is over.
    ///
    /// # Errors
    /// When there is none, and when anything went wrong on the way: a figure is given for a whole load
    /// or not at all.
    pub(crate) fn finish(self) -> Result<Report> {
        let report = self.read()?;
        report.ensure_clean(&[])?;
        Ok(report)
    }

    /// As [`Load::finish`], but requests may have been answered 503 and sent again: see
    /// [`Report::answered_busy`], which belongs to the figures then.
    ///
    /// # Errors
    /// When there is no report, and when anything else went wrong.
    pub(crate) fn finish_though_busy(self) -> Result<Report> {
        let report = self.read()?;
        report.ensure_clean(&[BUSY])?;
        Ok(report)
    }

    fn read(mut self) -> Result<Report> {
        Report::read(&self.directory.path().join(REPORT), std::mem::take(&mut self.busy))
    }
}

/// The name of the report's file.
const REPORT: &str = "report.json";

impl Drop for Load {
    fn drop(&mut self) {
        // After its end both calls only say that it is gone. Its workers end by themselves.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_found_by_their_time() {
        let mut looks = Looks::default();
        (0..5u32).for_each(|at| looks.push(f64::from(at), at * 10));
        assert_eq!(looks.ends(0.5, 3.5), Some([&(1.0, 10), &(3.0, 30)]));
        assert_eq!(looks.ends(0.5, 1.5), None, "one look is no time");
        assert_eq!(looks.last_until(2.9), Some(&20));
        assert_eq!(looks.last_until(-1.0), None);
    }

    #[test]
    fn a_generator_that_fails_is_an_error_and_no_report() {
        let bench = Bench { program: "false".into(), loadgen: "false".into(), quick: true };
        let error = Load::run(&bench, &[], "idle").err().unwrap();
        assert!(error.to_string().starts_with("the load generator ended with"), "{error:#}");
    }
}

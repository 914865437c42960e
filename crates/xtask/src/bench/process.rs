//! What the kernel says about a running process.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// `USER_HZ`: the unit of times in `/proc/PID/stat`, the same on every Linux that we build for.
const TICKS_PER_SECOND: u64 = 100;

/// One look at a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Resident memory in KiB (`Rss`).
    pub(crate) resident_kb: u64,
    /// Of it what is written to and its own (`Private_Dirty`), in KiB: what more load adds to.
    pub(crate) private_kb: u64,
    /// Threads.
    pub(crate) threads: u64,
    /// Time on a processor since its start, in user and kernel mode; steps of 10 ms.
    pub(crate) cpu: Duration,
}

impl Sample {
    /// Looks at the process with this id.
    ///
    /// # Errors
    /// When there is no such process, or it may not be looked at.
    pub(crate) fn of(pid: u32) -> Result<Sample> {
        let read = |name: &str| {
            let path = PathBuf::from(format!("/proc/{pid}/{name}"));
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let (status, memory) = (read("status")?, read("smaps_rollup")?);
        Ok(Sample {
            resident_kb: number(&memory, "Rss")?,
            private_kb: number(&memory, "Private_Dirty")?,
            threads: number(&status, "Threads")?,
            cpu: cpu(&read("stat")?)?,
        })
    }
}

/// Time in which the machine's processors were not idle since it was started, all of them together.
///
/// # Errors
/// When the kernel does not say.
pub(crate) fn machine_busy() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    busy(&text)
}

/// What the kernel has for itself in small pieces, sockets among them, on the whole machine.
///
/// # Errors
/// When the kernel does not say.
pub(crate) fn kernel_slab_bytes() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    Ok(number(&text, "Slab")? * 1024)
}

/// The first line of proc_stat(5) without idle and iowait, fields 4 and 5, and without the guests' time,
/// which user time has in it already.
fn busy(stat: &str) -> Result<Duration> {
    let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("no cpu line")?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).filter_map(|field| field.parse().ok()).collect();
    let &[user, nice, system, _idle, _iowait, irq, softirq, steal] = ticks.as_slice() else {
        bail!("a short cpu line: {line:?}");
    };
    Ok(Duration::from_millis((user + nice + system + irq + softirq + steal) * 1000 / TICKS_PER_SECOND))
}

/// The first number of a `Name: 123 kB` line.
fn number(text: &str, name: &str) -> Result<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("no {name} in the kernel's figures"))
}

/// utime and stime, fields 14 and 15 of proc_pid_stat(5).
fn cpu(stat: &str) -> Result<Duration> {
    // The command's name, field 2, stands in brackets and may hold anything, also brackets.
    let (_, rest) = stat.rsplit_once(')').context("a stat line without a name")?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next().and_then(|text| text.parse::<u64>().ok());
    let ticks = next().zip(next()).map(|(user, system)| user + system).context("a short stat line")?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_fields_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 25 17 0 0 20 0 3 0 99 1000 50";
        assert_eq!(cpu(stat).unwrap(), Duration::from_millis(420));
        assert!(cpu("7 (a) S 1").is_err());
    }

    #[test]
    fn idle_time_is_not_busy() {
        let stat = "cpu  10 1 5 9000 800 2 3 4 7 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy(stat).unwrap(), Duration::from_millis(250));
        assert!(busy("cpu  10 1\n").is_err());
        assert!(machine_busy().unwrap() > Duration::ZERO);
        assert!(kernel_slab_bytes().unwrap() > 0);
    }

    #[test]
    fn sees_this_process() {
        let sample = Sample::of(std::process::id()).unwrap();
        assert!(sample.threads >= 1);
        assert!(sample.resident_kb > sample.private_kb && sample.private_kb > 0, "{sample:?}");
    }
}

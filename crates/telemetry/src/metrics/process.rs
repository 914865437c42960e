//! What the operating system knows of this process, under the names that Prometheus' own client
//! libraries use. Read from `/proc/self`, where there is none not recorded, and from the process's clock.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Seconds of processor time, user and system, of all threads since the start.
pub const CPU_SECONDS: &str = "process_cpu_seconds_total";
/// Bytes of memory that the process occupies.
pub const RESIDENT_MEMORY_BYTES: &str = "process_resident_memory_bytes";
/// Open file descriptors: sockets, files of the store.
pub const OPEN_FDS: &str = "process_open_fds";
/// File descriptors that the process may have open.
pub const MAX_FDS: &str = "process_max_fds";
/// Threads.
pub const THREADS: &str = "process_threads";

pub(super) fn describe() {
    metrics::describe_gauge!(RESIDENT_MEMORY_BYTES, "Bytes of memory that the process occupies.");
    metrics::describe_gauge!(OPEN_FDS, "Open file descriptors.");
    metrics::describe_gauge!(MAX_FDS, "File descriptors that the process may have open.");
    metrics::describe_gauge!(THREADS, "Threads of the process.");
}

pub(super) fn record() {
    let proc = Path::new("/proc/self");
    if let Ok(status) = fs::read_to_string(proc.join("status")) {
        set(RESIDENT_MEMORY_BYTES, number_after(&status, "VmRSS:").map(|kib| kib * 1024));
        set(THREADS, number_after(&status, "Threads:"));
    }
    set(OPEN_FDS, open_fds(&proc.join("fd")));
    if let Ok(limits) = fs::read_to_string(proc.join("limits")) {
        set(MAX_FDS, number_after(&limits, "Max open files"));
    }
}

/// [`CPU_SECONDS`] in Prometheus' text format. The recorder's counters are whole numbers, too coarse to tell
/// the load of ten seconds.
pub(super) fn render_cpu_seconds() -> String {
    let seconds = cpu_time().as_secs_f64();
    format!(
        "# HELP {CPU_SECONDS} Seconds of processor time, user and system.\n\
         # TYPE {CPU_SECONDS} counter\n\
         {CPU_SECONDS} {seconds}\n\n"
    )
}

/// What `utime` and `stime` of `/proc/self/stat` are together, in nanoseconds instead of ticks of 10 ms.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // Both count up from 0, and the nanoseconds stay below a second.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn set(name: &'static str, value: Option<u64>) {
    if let Some(value) = value {
        metrics::gauge!(name).set(value as f64);
    }
}

/// Since Linux 6.2 the size of the directory is the number of descriptors. Before, it is 0 and
/// they have to be listed: 5 ms or so at 20,000 connections.
fn open_fds(dir: &Path) -> Option<u64> {
    match fs::metadata(dir).ok()?.len() {
        0 => fs::read_dir(dir).ok().map(|entries| entries.count() as u64),
        count => Some(count),
    }
}

/// The first number behind `label` in the line that begins with it.
fn number_after(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let status = "Name:\tgodwit\nVmRSS:\t   12345 kB\nThreads:\t7\n";
        assert_eq!(number_after(status, "VmRSS:"), Some(12_345));
        assert_eq!(number_after(status, "Threads:"), Some(7));
        let limits = "Max cpu time  unlimited\nMax open files            20000                20000  files\n";
        assert_eq!(number_after(limits, "Max open files"), Some(20_000));
        assert_eq!(number_after("Max open files   unlimited\n", "Max open files"), None);
        assert_eq!(number_after("", "VmRSS:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn processor_time_is_what_the_kernel_counts() {
        /// User and system time, which are fields 14 and 15 (proc_pid_stat(5)), in ticks of 10 ms.
        fn ticks() -> u64 {
            let stat = fs::read_to_string("/proc/self/stat").unwrap();
            let behind_the_name = stat.rsplit(')').next().unwrap();
            let fields: Vec<_> = behind_the_name.split_whitespace().collect();
            fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
        }
        let began = cpu_time();
        while cpu_time() - began < Duration::from_millis(200) {}
        // Two numbers of whole ticks, each rounded down, and each thread's as of the last tick it was seen in.
        let (before, ticks, after) = (cpu_time(), ticks(), cpu_time());
        let millis = u128::from(ticks) * 10;
        assert!(millis + 100 >= before.as_millis() && millis <= after.as_millis(), "{before:?} {ticks}");
        let page = render_cpu_seconds();
        let value = page.lines().find_map(|line| line.strip_prefix("process_cpu_seconds_total "));
        let value: f64 = value.unwrap().parse().unwrap();
        assert!((0.2..after.as_secs_f64() + 1.0).contains(&value), "{page}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn counts_descriptors() {
        let dir = Path::new("/proc/self/fd");
        let before = open_fds(dir).unwrap();
        let files: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let after = open_fds(dir).unwrap();
        // Other tests of this process open and close files meanwhile.
        assert!(after >= before + 40, "{before} then {after}");
        drop(files);
    }
}

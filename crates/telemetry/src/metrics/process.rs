//! What the operating system knows of this process, under the names that Prometheus' own client
//! libraries use. Read from `/proc/self`; where there is none, nothing is recorded.

use std::fs;
use std::path::Path;

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

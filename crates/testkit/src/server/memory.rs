//! What a process costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

/// Between two looks: often enough to see what a queue of some megabytes does.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The highest resident memory of a process while this lives.
#[derive(Debug)]
pub struct Peak {
    bytes: Arc<AtomicU64>,
    watcher: JoinHandle<()>,
}

impl Peak {
    pub(super) fn watch(pid: u32) -> Self {
        let bytes = Arc::new(AtomicU64::new(0));
        let highest = bytes.clone();
        let watcher = tokio::spawn(async move {
            while let Some(now) = resident_bytes(pid) {
                highest.fetch_max(now, Ordering::Relaxed);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Self { bytes, watcher }
    }

    /// The highest so far, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// Resident memory of a process, in bytes; none once it has ended (proc(5), `VmRSS` of `status`).
pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024)
}

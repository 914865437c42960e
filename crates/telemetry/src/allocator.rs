//! jemalloc as this process uses it: its options, its statistics, and heap profiles on demand.
//!
//! The binary declares jemalloc as its global allocator and shows it [`CONF`]. In a process that
//! does not (a test of a library), statistics say little and [`Profiling::start`] fails; nothing
//! breaks.

mod ctl;

use std::fs;
use std::io;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use tikv_jemalloc_ctl::{epoch, stats};

/// jemalloc's options, for the binary's `_rjem_malloc_conf`; ends in NUL as C wants it.
///
/// - `prof:true,prof_active:false`: heap profiling is ready and off. It cannot be made ready
///   later. While it is off nothing is sampled, but it is not quite free: a loop that does nothing
///   but allocate and free took 16.5 ns a turn instead of 15.0 (medians of nine runs each, taken in
///   turn on a busy machine; 26 ns while sampling).
/// - `background_thread:true`: memory that was freed goes back to the kernel by a thread of
///   jemalloc's. Without it only a thread that allocates gives memory back, and a node that has
///   gone quiet after a storm of reconnects would keep all that the storm took.
/// - `dirty_decay_ms:5000,muzzy_decay_ms:0`: freed pages are kept for 5 s, half of jemalloc's own
///   time, for the next burst, and then really go back, so that `process_resident_memory_bytes`
///   says what the node needs and not what it once needed.
pub const CONF: &[u8; 88] =
    b"prof:true,prof_active:false,background_thread:true,dirty_decay_ms:5000,muzzy_decay_ms:0\0";

/// Bytes that the program has allocated.
pub const ALLOCATED_BYTES: &str = "godwit_allocator_allocated_bytes";
/// Bytes in pages that hold at least one allocation; less [`ALLOCATED_BYTES`], this is fragmentation.
pub const ACTIVE_BYTES: &str = "godwit_allocator_active_bytes";
/// Bytes that the allocator holds in physical memory, freed pages that it keeps included.
pub const RESIDENT_BYTES: &str = "godwit_allocator_resident_bytes";

/// Why there is no heap profile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process does not run on jemalloc with profiling, or it was switched off by
    /// `_RJEM_MALLOC_CONF`.
    #[error("heap profiling is not available in this process")]
    Unavailable(#[source] tikv_jemalloc_ctl::Error),
    /// Somebody profiles already.
    #[error("a heap profile is being taken already")]
    Busy,
    /// jemalloc could not write the profile.
    #[error("the heap profile could not be written")]
    Dump(#[source] tikv_jemalloc_ctl::Error),
    /// The file could not be read back.
    #[error("the heap profile could not be read")]
    Read(#[source] io::Error),
}

/// Whether a [`Profiling`] is alive: jemalloc has one switch for the whole process.
static PROFILING: AtomicBool = AtomicBool::new(false);

/// Allocations are being sampled, about one in 512 KiB allocated, until this is dropped.
#[derive(Debug)]
pub struct Profiling(());

impl Profiling {
    /// Begins to sample. Only one at a time ([`Error::Busy`]).
    pub fn start() -> Result<Self, Error> {
        if PROFILING.swap(true, Ordering::Acquire) {
            return Err(Error::Busy);
        }
        // From here on the drop switches it off, also when what follows fails.
        let profiling = Self(());
        ctl::set_profiling(true).map_err(Error::Unavailable)?;
        Ok(profiling)
    }

    /// The heap profile: what was allocated since [`Profiling::start`] and is still held, by call
    /// stack, in jemalloc's own format, which `jeprof` reads together with the binary:
    /// `jeprof --text godwit heap.prof`.
    ///
    /// jemalloc writes profiles to files only. The file is made in `scratch`, a directory that no
    /// other user can write to, and removed again. Blocks for some milliseconds: not for a thread
    /// of an asynchronous runtime.
    pub fn dump(&self, scratch: &Path) -> Result<Vec<u8>, Error> {
        let file = scratch.join(format!("heap-{}.prof", process::id()));
        let written = ctl::dump_profile(&file).map_err(Error::Dump);
        let profile = written.and_then(|()| fs::read(&file).map_err(Error::Read));
        // Whatever went wrong above says more than a file that cannot be removed.
        let _ = fs::remove_file(&file);
        profile
    }
}

impl Drop for Profiling {
    fn drop(&mut self) {
        // Fails only where it could not be switched on either.
        let _ = ctl::set_profiling(false);
        PROFILING.store(false, Ordering::Release);
    }
}

/// Whether this process could take a heap profile: it runs on jemalloc, with [`CONF`].
pub fn profiling_ready() -> bool {
    ctl::profiling_ready()
}

pub(crate) fn describe() {
    metrics::describe_gauge!(ALLOCATED_BYTES, "Bytes that the program has allocated.");
    metrics::describe_gauge!(ACTIVE_BYTES, "Bytes in pages that hold at least one allocation.");
    metrics::describe_gauge!(RESIDENT_BYTES, "Bytes of physical memory that the allocator holds.");
}

pub(crate) fn record() {
    // jemalloc shows the statistics of its last epoch; this begins a new one.
    if epoch::advance().is_err() {
        return;
    }
    let gauges = [
        (ALLOCATED_BYTES, stats::allocated::read()),
        (ACTIVE_BYTES, stats::active::read()),
        (RESIDENT_BYTES, stats::resident::read()),
    ];
    for (name, value) in gauges {
        if let Ok(value) = value {
            metrics::gauge!(name).set(value as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_one_c_string() {
        let text = std::ffi::CStr::from_bytes_with_nul(CONF).unwrap().to_str().unwrap();
        assert!(text.split(',').all(|option| option.contains(':')));
    }
}

//! The two calls to jemalloc for which `tikv_jemalloc_ctl` has no safe function.
//!
//! This is the only module of the crate with `unsafe`. The danger in `mallctl` is that it reads as
//! many bytes from the pointer it is given as the named value has, whatever type we meant. So each
//! call below stands beside the type that jemalloc's manual (`jemalloc(3)`, MALLCTL NAMESPACE)
//! gives for its name.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tikv_jemalloc_ctl::{Error, raw};

/// Switches the sampling of allocations on or off, for all threads.
pub(super) fn set_profiling(on: bool) -> Result<(), Error> {
    // SAFETY: `prof.active (bool) rw`; Rust's `bool` is C's.
    unsafe { raw::write(b"prof.active\0", on) }
}

/// Whether the process was started with `prof:true`.
pub(super) fn profiling_ready() -> bool {
    // SAFETY: `opt.prof (bool) r-`; jemalloc writes 0 or 1.
    unsafe { raw::read::<bool>(b"opt.prof\0") }.unwrap_or(false)
}

/// Writes the profile to `file`.
pub(super) fn dump_profile(file: &Path) -> Result<(), Error> {
    // A path with a NUL in it ends there for C, and jemalloc then fails to make that file.
    let bytes: Vec<u8> = file.as_os_str().as_bytes().iter().copied().take_while(|&b| b != 0).collect();
    let name = CString::new(bytes).unwrap_or_default();
    let pointer: *const c_char = name.as_ptr();
    // SAFETY: `prof.dump (const char *) -w`; `name` outlives the call, and jemalloc keeps no
    // pointer to it.
    unsafe { raw::write(b"prof.dump\0", pointer) }
}

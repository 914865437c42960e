//! `godwit-loadgen`: load, and the judge of what came back. See `docs/loadgen.md`.

use std::process::ExitCode;

use clap::Parser as _;
use godwit_loadgen::cli::Cli;
use godwit_loadgen::program;
use tikv_jemallocator::Jemalloc;

/// Many thousand small objects that live long: a stream costs a fifth less than with the system's.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => program::main(cli),
        Err(error) => program::refuse(&error),
    }
}

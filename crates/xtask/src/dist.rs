//! `cargo xtask dist`: the program that ships, and its line tables in a file beside it.
//!
//! rustc could split them itself (`split-debuginfo = "packed"`), but on ELF only the
//! descriptions of types and functions move; `.debug_line` and `.debug_ranges`, which are most
//! of it here, stay in the program. So objcopy does it: `godwit` is stripped and carries a link
//! (`.gnu_debuglink`) by which gdb, perf and addr2line find `godwit.debug` in the same folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::tools::{self, Tool};

/// The program may not grow beyond this unnoticed: it is pulled on every node's start. It was
/// 15 MB before the drivers of the database and of Redis came, and 18 MB is where it should be again.
const PROGRAM_BYTES_MAX: u64 = 25_000_000;

/// What `dist` made.
pub(crate) struct Dist {
    /// The stripped program.
    pub(crate) program: PathBuf,
    /// Its line tables and symbols.
    pub(crate) debug: PathBuf,
}

/// Builds the program that ships and prints the sizes.
///
/// # Errors
/// As [`build`].
pub(crate) fn main() -> Result<()> {
    let dist = build()?;
    for file in [&dist.program, &dist.debug] {
        println!("{:>8.2} MB  {}", megabytes(bytes(file)?), file.display());
    }
    Ok(())
}

/// Builds the release program and takes it apart into `target/dist`.
///
/// # Errors
/// When a tool is missing or fails, when the line tables are not where they belong, and when
/// the program is larger than [`PROGRAM_BYTES_MAX`].
pub(crate) fn build() -> Result<Dist> {
    tools::ensure(&[Tool::Compiler, Tool::Binutils])?;
    command::run(command::cargo().args(["build", "--release", "--locked", "--package", "godwit-chat"]))?;
    let dir = command::target_dir().join("dist");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let built = command::target_dir().join("release/godwit");
    split(&built, &dir)?;
    let dist = Dist { program: dir.join("godwit"), debug: dir.join("godwit.debug") };
    check(&dist)?;
    Ok(dist)
}

/// Makes `godwit` and `godwit.debug` in `dir` out of the program as it was built.
fn split(built: &Path, dir: &Path) -> Result<()> {
    // The link holds a bare file name, so these run in the folder itself.
    let run = |program: &str, arguments: &[&str]| {
        command::run(Command::new(program).args(arguments).current_dir(dir))
    };
    let built = built.to_str().context("the target folder's name is not UTF-8")?;
    run("objcopy", &["--only-keep-debug", built, "godwit.debug"])?;
    run("strip", &["--strip-all", "-o", "godwit", built])?;
    run("objcopy", &["--add-gnu-debuglink=godwit.debug", "godwit"])
}

fn check(dist: &Dist) -> Result<()> {
    let (program, debug) = (sections(&dist.program)?, sections(&dist.debug)?);
    if program.contains(".debug_line") || !program.contains(".gnu_debuglink") {
        bail!("{} still has its line tables, or no link to them", dist.program.display());
    }
    if !debug.contains(".debug_line") {
        bail!("{} has no line tables: look at the release profile", dist.debug.display());
    }
    let bytes = bytes(&dist.program)?;
    if bytes > PROGRAM_BYTES_MAX {
        bail!("the program has {bytes} bytes, more than {PROGRAM_BYTES_MAX}");
    }
    Ok(())
}

fn sections(file: &Path) -> Result<String> {
    command::output(Command::new("objdump").arg("--section-headers").arg(file))
}

/// The size of a file in bytes.
///
/// # Errors
/// When it cannot be looked at.
pub(crate) fn bytes(file: &Path) -> Result<u64> {
    Ok(std::fs::metadata(file).with_context(|| format!("cannot look at {}", file.display()))?.len())
}

/// Bytes in millions.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

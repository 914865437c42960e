//! The stages of `cargo xtask test`, in the order in which they run: the quick ones first.
//!
//! All that compile use the same profile, the whole workspace and the same features, so that
//! nothing is built twice; only clippy and rustdoc, which check and do not build, come on top.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::tools::{self, Tool};
use crate::{command, layers, services};

/// One check, run by name.
pub(crate) struct Stage {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// What it holds, in half a line.
    pub(crate) about: &'static str,
    /// What must be on the system.
    pub(crate) needs: &'static [Tool],
    /// Fails when the check does not hold.
    pub(crate) run: fn() -> Result<()>,
}

/// Every stage.
pub(crate) const STAGES: &[Stage] = &[
    Stage { name: "format", about: "the code is as rustfmt writes it", needs: &[], run: format },
    Stage { name: "layers", about: "dependencies point one way", needs: &[], run: layers::check },
    Stage { name: "clippy", about: "no warning of rustc or clippy", needs: &[Tool::Compiler], run: clippy },
    Stage {
        name: "doc",
        about: "the documentation builds, no link is broken",
        needs: &[Tool::Compiler],
        run: doc,
    },
    Stage { name: "deny", about: "licences, banned crates, sources", needs: &[Tool::Compiler], run: deny },
    Stage {
        name: "unit",
        about: "unit, property, contract and process tests",
        needs: &[Tool::Compiler, Tool::Nchan, Tool::Redis, Tool::Java, Tool::Maven],
        run: unit,
    },
    Stage {
        name: "clients",
        about: "clients that others wrote: curl, npm eventsource, Python httpx-sse",
        needs: &[Tool::Compiler, Tool::Curl, Tool::Node, Tool::Npm, Tool::Python],
        run: clients,
    },
    Stage {
        name: "browser",
        about: "the demo page in chromium",
        needs: &[Tool::Compiler, Tool::Node, Tool::Npm, Tool::Chromium],
        run: browser,
    },
];

/// Everything in the workspace, with the features that only tests switch on.
const WORKSPACE: &[&str] = &["--workspace", "--locked", "--features", "godwit-chat/faults"];

fn format() -> Result<()> {
    command::run(command::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    command::run(command::cargo().arg("clippy").args(WORKSPACE).args([
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn doc() -> Result<()> {
    // Not RUSTFLAGS: those are part of every crate's fingerprint and would build all anew.
    command::run(
        command::cargo().env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--no-deps"]).args(WORKSPACE),
    )
}

fn deny() -> Result<()> {
    let program = tools::cargo_deny()?;
    let mut deny = Command::new(program);
    deny.current_dir(command::root());
    // Advisories are not among them: `deny.toml` says why.
    command::run(deny.args([
        "--log-level",
        "error",
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ]))
}

fn unit() -> Result<()> {
    let build = || command::run(command::cargo().arg("test").args(WORKSPACE).arg("--no-run"));
    // The servers take their ten seconds beside the compilation.
    let (servers, built) = std::thread::scope(|scope| {
        let servers = scope.spawn(services::ForTests::start);
        let built = build();
        (servers.join(), built)
    });
    built?;
    let Ok(servers) = servers else { bail!("starting the servers of the tests panicked") };
    let servers = servers?;
    command::run(command::cargo().arg("test").args(WORKSPACE).envs(servers.environment()))
}

fn clients() -> Result<()> {
    let scripts = scripts()?;
    let python = tools::python_with(&scripts.join("clients/requirements.txt"))?;
    let here = tools::npm_packages(&scripts.join("clients"))?;
    let program = program()?;
    let node = |arguments: &[&str]| {
        let mut node = Command::new("node");
        node.args(arguments).current_dir(&here).env("GODWIT_BIN", &program);
        node
    };
    command::run(&mut node(&["eventsource.mjs"]))?;
    command::run(&mut node(&["with-server.mjs", "bash", "curl.sh"]))?;
    command::run(node(&["with-server.mjs"]).arg(python).arg("sse_httpx.py"))
}

fn browser() -> Result<()> {
    let here = tools::npm_packages(&scripts()?.join("browser"))?;
    let mut node = Command::new("node");
    // What the browser showed, for a person to look at when something failed.
    let screenshots = command::target_dir().join("browser");
    node.arg("browser.mjs").arg(screenshots).current_dir(here).env("GODWIT_BIN", program()?);
    command::run(&mut node)
}

/// The scripts of the testkit, copied under `target/`; those of the browser use the clients'.
///
/// Copied because node looks for packages beside the script that imports them, and what a run
/// installs stays out of the source tree.
fn scripts() -> Result<PathBuf> {
    let copy = command::target_dir().join("testkit");
    for name in ["clients", "browser"] {
        tools::copy_folder(&command::root().join("crates/testkit").join(name), &copy.join(name))?;
    }
    Ok(copy)
}

/// The program under test, as the process tests built it.
///
/// By `cargo test --no-run`: `cargo build` leaves out what only tests depend on, so it would
/// choose other features for some crates and compile them, and all above them, again.
fn program() -> Result<PathBuf> {
    command::run(command::cargo().arg("test").args(WORKSPACE).arg("--no-run"))?;
    let program = command::target_dir().join("debug/godwit");
    if !program.exists() {
        bail!("{} was not built", program.display());
    }
    Ok(program)
}

//! The tools that stages need: found, or installed, or named in an error.
//!
//! No stage is left out because a tool is missing: on a Debian system apt-get brings it,
//! elsewhere the run ends with one line that says what to install.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;

/// The cargo-deny that is built when none is found; `deny.toml` is written for its format.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// The oldest minor version of cargo-deny 0.x that is taken as it is.
const CARGO_DENY_MINOR_MIN: u32 = 18;

/// The oldest node that playwright-core starts on and the scripts are written for; Debian has it
/// since version 13.
const NODE_MAJOR_MIN: u32 = 20;

/// What Cassandra 5.0 runs on; `crates/servers` gives it the options of this one.
const JAVA_MAJOR: u32 = 17;

/// Where Debian puts nchan; `loadgen/profiles/nchan.nginx.conf` loads it from there.
const NCHAN_MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// A program of the system that a stage starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// A C compiler and linker, for the crates that compile C.
    Compiler,
    /// objcopy, objdump and strip.
    Binutils,
    /// The curl command.
    Curl,
    /// node, at least [`NODE_MAJOR_MIN`].
    Node,
    /// npm, which comes with node or by itself.
    Npm,
    /// python3 with the modules that make a virtual environment.
    Python,
    /// Debian's chromium.
    Chromium,
    /// redis-server, 7.0 or newer.
    Redis,
    /// Java 17 with keytool: Cassandra 5.0 knows no newer one.
    Java,
    /// Maven, which brings Cassandra's jars.
    Maven,
    /// nginx with the nchan module, an SSE server that the load generator is tried on.
    Nchan,
}

impl Tool {
    /// The Debian packages that bring it.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Tool::Compiler => &["build-essential"],
            Tool::Binutils => &["binutils"],
            Tool::Curl => &["curl", "ca-certificates"],
            Tool::Node => &["nodejs"],
            Tool::Npm => &["npm"],
            Tool::Python => &["python3", "python3-venv"],
            Tool::Chromium => &["chromium"],
            Tool::Redis => &["redis-server", "redis-tools"],
            Tool::Java => &["openjdk-17-jre-headless"],
            Tool::Maven => &["maven"],
            Tool::Nchan => &["nginx", "libnginx-mod-nchan"],
        }
    }

    fn is_present(self) -> bool {
        let version = |program: &str| command::succeeds(Command::new(program).arg("--version"));
        match self {
            Tool::Compiler => version("cc"),
            Tool::Binutils => ["objcopy", "objdump", "strip"].into_iter().all(version),
            Tool::Curl => version("curl"),
            Tool::Node => node_major().is_some_and(|major| major >= NODE_MAJOR_MIN),
            Tool::Npm => version("npm"),
            Tool::Python => {
                command::succeeds(Command::new("python3").args(["-c", "import ensurepip, ssl, venv"]))
            }
            Tool::Chromium => version("chromium"),
            Tool::Redis => version("redis-server"),
            Tool::Java => java_major() == Some(JAVA_MAJOR),
            Tool::Maven => version("mvn"),
            Tool::Nchan => {
                Path::new(NCHAN_MODULE).exists() && command::succeeds(Command::new("nginx").arg("-v"))
            }
        }
    }
}

fn node_major() -> Option<u32> {
    let output = Command::new("node").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// The major version of the Java that servers are started with.
fn java_major() -> Option<u32> {
    let output =
        Command::new(godwit_servers::cassandra::java_program("java")).arg("-version").output().ok()?;
    let keytool = Command::new(godwit_servers::cassandra::java_program("keytool")).arg("-help").output();
    keytool.ok()?;
    java_major_of(&String::from_utf8_lossy(&output.stderr))
}

/// The 17 of `openjdk version "17.0.15" 2025-04-15`.
fn java_major_of(text: &str) -> Option<u32> {
    text.split_once("version \"")?.1.split(['.', '"']).next()?.parse().ok()
}

/// Makes sure that these tools are there, installing what is missing.
///
/// # Errors
/// When one is missing and cannot be installed; the error names the packages.
pub(crate) fn ensure(tools: &[Tool]) -> Result<()> {
    let missing = missing(tools);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|tool| tool.packages()).copied().collect();
    println!("missing: {missing:?}");
    apt_install(&packages).with_context(|| format!("install these first: {}", packages.join(" ")))?;
    let still = self::missing(tools);
    if !still.is_empty() {
        bail!(
            "{still:?} not usable after installing {} (node: {NODE_MAJOR_MIN} or newer; \
             Java: {JAVA_MAJOR}, found on the path or by JAVA_HOME)",
            packages.join(" ")
        );
    }
    Ok(())
}

fn missing(tools: &[Tool]) -> Vec<Tool> {
    let mut found: Vec<Tool> = Vec::new();
    for tool in tools {
        if !found.contains(tool) && !tool.is_present() {
            found.push(*tool);
        }
    }
    found
}

fn apt_install(packages: &[&str]) -> Result<()> {
    if !command::succeeds(Command::new("apt-get").arg("--version")) {
        bail!("this system has no apt-get");
    }
    let root = command::output(Command::new("id").arg("-u"))?.trim() == "0";
    let apt_get = || {
        // `sudo -n` never asks for a password: a run without a person fails instead of waiting.
        let mut command = if root { Command::new("env") } else { Command::new("sudo") };
        if !root {
            command.args(["-n", "env"]);
        }
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command
    };
    command::run(apt_get().args(["update", "-q"]))?;
    command::run(apt_get().args(["install", "-y", "-q", "--no-install-recommends"]).args(packages))
}

/// The cargo-deny to use: the one on the path, or one that is built under `target/`.
///
/// # Errors
/// When there is none and it cannot be built.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    let home = command::target_dir().join("tools");
    let build = home.join("build");
    let own = home.join("bin/cargo-deny");
    for candidate in [Path::new("cargo-deny"), own.as_path()] {
        if cargo_deny_is_usable(candidate) {
            return Ok(candidate.to_path_buf());
        }
    }
    // Unoptimised: it runs for a second, and builds in one minute on two cores.
    command::run(
        command::cargo()
            .args(["install", "cargo-deny", "--locked", "--debug", "--version", CARGO_DENY_VERSION])
            .arg("--root")
            .arg(&home)
            .arg("--target-dir")
            .arg(&build),
    )?;
    // 700 MB that nothing reads again.
    std::fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
    Ok(own)
}

fn cargo_deny_is_usable(program: &Path) -> bool {
    let Ok(output) = Command::new(program).arg("--version").output() else { return false };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    deny_minor(&text).is_some_and(|minor| minor >= CARGO_DENY_MINOR_MIN)
}

/// The 20 of `cargo-deny 0.20.2`.
fn deny_minor(text: &str) -> Option<u32> {
    text.trim().strip_prefix("cargo-deny 0.")?.split('.').next()?.parse().ok()
}

/// Installs the npm packages of a folder into it, as its lock file says; returns the folder.
///
/// # Errors
/// When it has no lock file, or npm fails.
pub(crate) fn npm_packages(project: &Path) -> Result<PathBuf> {
    once_for(&project.join("package-lock.json"), &project.join("node_modules/.installed-for"), || {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(project);
        command::run(&mut npm)
    })?;
    Ok(project.to_path_buf())
}

/// The python of a virtual environment under `target/` that holds these requirements.
///
/// # Errors
/// When python or pip fails.
pub(crate) fn python_with(requirements: &Path) -> Result<PathBuf> {
    let home = command::target_dir().join("python");
    let python = home.join("bin/python");
    once_for(requirements, &home.join(".installed-for"), || {
        command::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        command::run(pip.arg(requirements))
    })?;
    Ok(python)
}

/// Does `install` unless `stamp` says that it was done for the same content of `wanted`.
fn once_for(wanted: &Path, stamp: &Path, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let content = std::fs::read(wanted).with_context(|| format!("{} is missing", wanted.display()))?;
    if std::fs::read(stamp).is_ok_and(|done| done == content) {
        return Ok(());
    }
    install()?;
    std::fs::write(stamp, content).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Copies a folder with all that is in it, but for the packages that npm put there.
///
/// # Errors
/// When something cannot be read or written.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let entries = std::fs::read_dir(from).with_context(|| format!("{} is missing", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name() == "node_modules" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            std::fs::copy(&source, &target).with_context(|| format!("cannot copy {}", source.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version_of_cargo_deny() {
        assert_eq!(deny_minor("cargo-deny 0.20.2\n"), Some(20));
        assert_eq!(deny_minor("cargo-deny 1.0.0\n"), None);
        assert_eq!(deny_minor(""), None);
    }

    #[test]
    fn reads_the_version_of_java() {
        assert_eq!(java_major_of("openjdk version \"17.0.15\" 2025-04-15\n"), Some(17));
        assert_eq!(java_major_of("openjdk version \"25\" 2025-09-16\n"), Some(25));
        assert_eq!(java_major_of("java: not found"), None);
    }

    #[test]
    fn installs_again_only_when_the_wanted_content_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (wanted, stamp) = (dir.path().join("lock"), dir.path().join("stamp"));
        let runs = std::cell::Cell::new(0);
        let install = || {
            runs.set(runs.get() + 1);
            Ok(())
        };
        std::fs::write(&wanted, "a").unwrap();
        once_for(&wanted, &stamp, install).unwrap();
        once_for(&wanted, &stamp, install).unwrap();
        assert_eq!(runs.get(), 1);
        std::fs::write(&wanted, "b").unwrap();
        once_for(&wanted, &stamp, install).unwrap();
        assert_eq!(runs.get(), 2);
    }

    #[test]
    fn a_failed_installation_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let (wanted, stamp) = (dir.path().join("lock"), dir.path().join("stamp"));
        std::fs::write(&wanted, "a").unwrap();
        assert!(once_for(&wanted, &stamp, || bail!("no network")).is_err());
        let mut ran = false;
        once_for(&wanted, &stamp, || {
            ran = true;
            Ok(())
        })
        .unwrap();
        assert!(ran);
    }

    #[test]
    fn copies_a_folder_without_what_npm_installed() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir_all(from.join("node_modules")).unwrap();
        std::fs::create_dir_all(from.join("pages")).unwrap();
        std::fs::write(from.join("node_modules/x"), "").unwrap();
        std::fs::write(from.join("pages/run.mjs"), "1").unwrap();
        copy_folder(&from, &to).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("pages/run.mjs")).unwrap(), "1");
        assert!(!to.join("node_modules").exists());
    }
}

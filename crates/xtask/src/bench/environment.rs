//! What the figures were measured on, in one line.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;

/// Cores, processor, memory, kernel and compiler.
///
/// # Errors
/// When the system does not say one of them.
pub(crate) fn line() -> Result<String> {
    let cores = std::thread::available_parallelism().context("the number of cores")?;
    let processor = field(&read("/proc/cpuinfo")?, "model name").unwrap_or("unnamed processor").to_owned();
    let memory_kb: u64 = field(&read("/proc/meminfo")?, "MemTotal")
        .and_then(|text| text.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .context("/proc/meminfo has no MemTotal")?;
    let kernel = read("/proc/sys/kernel/osrelease")?;
    let compiler = command::output(Command::new("rustc").arg("--version").current_dir(command::root()))?;
    Ok(format!(
        "{cores} cores ({processor}), {:.0} GiB of memory, Linux {}, {}",
        memory_kb as f64 / (1024.0 * 1024.0),
        kernel.trim(),
        compiler.trim()
    ))
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// The value of the first `name: value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_field() {
        let text = "processor\t: 0\nmodel name\t: Fast One\nmodel name\t: Other\n";
        assert_eq!(field(text, "model name"), Some("Fast One"));
        assert_eq!(field(text, "bogomips"), None);
    }
}

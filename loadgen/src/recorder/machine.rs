//! What a host is, in one line, as figures need it beside them.

use std::fs;
use std::thread::available_parallelism;

/// Cores, processor, memory and kernel: `2 cores (AMD EPYC), 24 GiB of memory, Linux 6.18.44`. What the
/// system does not say is left out.
pub fn machine() -> String {
    let cores = available_parallelism().map_or(1, |cores| cores.get());
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let mut line = match processor {
        Some((_, name)) => format!("{cores} cores ({})", name.trim()),
        None => format!("{cores} cores"),
    };
    let total = rustix::system::sysinfo();
    let memory = total.totalram as u128 * u128::from(total.mem_unit);
    line += &format!(", {} GiB of memory", (memory + (1 << 29)) >> 30);
    let uname = rustix::system::uname();
    format!("{line}, {} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_machine_is_one_line_with_its_parts() {
        let line = super::machine();
        assert!(line.contains(" cores") && line.contains(" GiB of memory, Linux "), "{line}");
        assert!(!line.contains(" 0 GiB") && !line.contains('\n'), "{line}");
    }
}

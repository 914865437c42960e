//! A process of this host, by `/proc`.

use std::{fs, io};

use super::{Error, Looked};

/// A process that was there when it was first looked for.
#[derive(Debug, Clone)]
pub struct Process {
    pid: u32,
    /// When it began, in ticks since the host did. A number may be given to another process later.
    began: u64,
}

impl Process {
    pub(super) fn find(pid: u32) -> Result<Self, Error> {
        let process = Self { pid, began: Stat::read(pid)?.began };
        process.look()?;
        Ok(process)
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn look(&self) -> Result<Looked, Error> {
        let (pid, stat) = (self.pid, Stat::read(self.pid)?);
        if stat.began != self.began {
            return Err(Error::NoProcess { pid });
        }
        let (resident_bytes, private_bytes) = memory(pid)?;
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        Ok(Looked {
            resident_bytes,
            private_bytes,
            cpu_s: Some(stat.busy_ticks as f64 / ticks_per_second as f64),
        })
    }
}

/// Resident bytes and, of them, those that are private and written to.
///
/// What is shared and only read, as the program itself, is in the first number but costs nothing when a
/// second process runs it. The second one needs the rights of a debugger.
fn memory(pid: u32) -> Result<(u64, Option<u64>), Error> {
    match fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
        Ok(rollup) => {
            let kib = |label| bytes_of_kib(&rollup, label);
            // Without memory it is a kernel thread, or about to be gone.
            let resident = kib("Rss:").ok_or(Error::NoProcess { pid })?;
            Ok((resident, kib("Private_Dirty:")))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let statm = fs::read_to_string(format!("/proc/{pid}/statm")).map_err(|e| unread(pid, e))?;
            let pages: Option<u64> = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok());
            let pages = pages.ok_or_else(|| unread(pid, io::ErrorKind::InvalidData.into()))?;
            Ok((pages * rustix::param::page_size() as u64, None))
        }
        Err(error) => Err(unread(pid, error)),
    }
}

/// A line such as `Rss:  4711 kB`.
fn bytes_of_kib(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1_024)
}

/// What `/proc/N/stat` tells: proc_pid_stat(5).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    busy_ticks: u64,
    began: u64,
}

impl Stat {
    fn read(pid: u32) -> Result<Self, Error> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|e| unread(pid, e))?;
        Self::parse(&text).ok_or(Error::NoProcess { pid })
    }

    /// Nothing for a process that has ended and whose parent has not yet asked how.
    fn parse(text: &str) -> Option<Self> {
        // The name, field 2, is in brackets and may hold anything, brackets too. Field 3 follows it.
        let (_, behind) = text.rsplit_once(')')?;
        let fields: Vec<&str> = behind.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let ended = matches!(fields.first(), Some(&("Z" | "X")));
        (!ended).then_some(Self { busy_ticks: number(14)? + number(15)?, began: number(22)? })
    }
}

fn unread(pid: u32, source: io::Error) -> Error {
    // A process that ends while it is looked at.
    let gone = source.kind() == io::ErrorKind::NotFound
        || source.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error());
    if gone { Error::NoProcess { pid } } else { Error::Process { pid, source } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let rest = "S 1 1 1 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 8841 1000000 200";
        let expected = Some(Stat { busy_ticks: 300, began: 8841 });
        assert_eq!(Stat::parse(&format!("77 (a) Z 1 (b) {rest}\n")), expected);
        assert_eq!(Stat::parse("77 (gone) Z 1 1 1 0 -1 0 1 0 0 0 250 50 0 0 20 0 1 0 8841 0 0"), None);
        assert_eq!(Stat::parse("77 (cut off) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }
}

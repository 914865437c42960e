//! One server process: started, signalled, ended, and found again by its pid file.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::{self, Error, Result};

/// Between two looks at something that takes tens of milliseconds or more.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Who decides when a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// The handle: it ends when that is dropped, and when the process that started it ends in
    /// whatever way.
    Handle,
    /// Whoever finds its pid file. It is in a session of its own, so that neither the handle nor the
    /// terminal takes it along.
    Detached,
}

/// A process, told from a later one with the same id by the time at which it was started.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    /// Field 22 of proc_pid_stat(5): ticks since the machine's start.
    started: u64,
    /// There when this process is its parent, and has to wait for it.
    child: Option<Child>,
    lifetime: Lifetime,
}

impl Process {
    /// Starts a program, its input empty and all that it says appended to the file `output`.
    pub(crate) fn start(
        program: &str,
        arguments: &[OsString],
        output: &Path,
        lifetime: Lifetime,
    ) -> Result<Self> {
        let file = File::options().create(true).append(true).open(output);
        let file = file.map_err(error::file("write", output))?;
        let both = file.try_clone().map_err(error::file("write", output))?;
        // Both wrappers become the program: its id is the child's.
        let mut command = match lifetime {
            Lifetime::Handle => Command::new("setpriv"),
            Lifetime::Detached => Command::new("setsid"),
        };
        if lifetime == Lifetime::Handle {
            command.args(["--pdeathsig", "KILL"]);
        }
        command.arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(file).stderr(both);
        let failed = |source| Error::Start { program: program.to_owned(), source };
        let mut child = spawn(command).map_err(failed)?;
        let pid = child.id();
        let Some(started) = started(pid) else {
            // Not waited for yet, so it would be there even if it had ended.
            let _ = child.kill();
            return Err(failed(io::Error::other("the kernel does not know it")));
        };
        Ok(Self { pid, started, child: Some(child), lifetime })
    }

    /// The process that a pid file names, unless it has ended.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or is not one that [`Self::record`] wrote.
    pub fn recorded(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(error::file("read", path)(source)),
        };
        let (pid, started) = text
            .trim()
            .split_once(' ')
            .and_then(|(pid, started)| Some((pid.parse().ok()?, started.parse().ok()?)))
            .ok_or_else(|| Error::PidFile { path: path.to_owned() })?;
        let mut process = Self { pid, started, child: None, lifetime: Lifetime::Detached };
        Ok(process.is_running().then_some(process))
    }

    /// Writes the pid file: the process id and its start in ticks.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record(&self, path: &Path) -> Result<()> {
        std::fs::write(path, format!("{} {}\n", self.pid, self.started)).map_err(error::file("write", path))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has not ended; a paused one has not.
    pub fn is_running(&mut self) -> bool {
        if let Some(child) = &mut self.child {
            return matches!(child.try_wait(), Ok(None));
        }
        started(self.pid) == Some(self.started)
    }

    /// Resident memory in KiB, or none when it has ended.
    pub fn resident_kb(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// Stops it where it is (SIGSTOP): its sockets stay open and nothing answers.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// When it has ended.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it to end (SIGTERM) without waiting, for several that end at once. One that is paused does it
    /// when it is resumed, and one that has ended is no error.
    ///
    /// # Errors
    /// When the kernel does not allow it.
    pub fn ask_to_end(&mut self) -> Result<()> {
        if self.is_running() { self.signal_unless_gone(Signal::TERM) } else { Ok(()) }
    }

    /// Asks it to end (SIGTERM), paused or not, and waits. One that has ended is no error.
    ///
    /// # Errors
    /// When it has not ended within that time. It is left as it is.
    pub fn stop(&mut self, within: Duration) -> Result<()> {
        self.end(Signal::TERM, within)
    }

    /// Ends it at once (SIGKILL) and waits until it is gone. One that has ended is no error.
    ///
    /// # Errors
    /// When the kernel does not do it.
    pub fn kill9(&mut self) -> Result<()> {
        /// The kernel frees the memory of the largest process here in a tenth of that.
        const KILL_MAX: Duration = Duration::from_secs(10);
        self.end(Signal::KILL, KILL_MAX)
    }

    fn end(&mut self, signal: Signal, within: Duration) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        self.signal_unless_gone(signal)?;
        self.signal_unless_gone(Signal::CONT)?;
        let began = Instant::now();
        while self.is_running() {
            if began.elapsed() > within {
                let server = format!("process {}", self.pid);
                return Err(Error::Late { server, what: "ended", within, output: String::new() });
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// It may end by itself between a look and a signal. While its last threads go the kernel knows it no
    /// more, and does not let its parent have it yet either: that is only waited for.
    fn signal_unless_gone(&self, signal: Signal) -> Result<()> {
        let gone = |error: &Error| matches!(error, Error::Signal { source, .. } if is_gone(source));
        self.signal(signal).or_else(|error| if gone(&error) { Ok(()) } else { Err(error) })
    }

    /// By a file descriptor of the process, so that its id cannot become another's in between.
    fn signal(&self, signal: Signal) -> Result<()> {
        let failed = |source: io::Error| Error::Signal { pid: self.pid, source };
        let gone = || failed(io::Error::from(rustix::io::Errno::SRCH));
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
        let handle = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| failed(error.into()))?;
        if started(self.pid) != Some(self.started) {
            return Err(gone());
        }
        pidfd_send_signal(handle, signal).map_err(|error| failed(error.into()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.lifetime == Lifetime::Handle {
            // After `stop` it is gone and this does nothing.
            let _ = self.kill9();
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// When the process with this id was started, unless it has ended.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    started_of(&stat)
}

/// Field 22 of proc_pid_stat(5), unless field 3 says that it is a zombie or dead.
fn started_of(stat: &str) -> Option<u64> {
    // The command's name, field 2, stands in brackets and may hold anything, also brackets.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

type Started = io::Result<Child>;
/// What to start, and where the outcome goes.
type Asked = (Command, SyncSender<Started>);

/// Spawns from one thread that lives as long as this process does.
///
/// The signal that ends a server with its parent (prctl(2), PR_SET_PDEATHSIG) comes when the thread
/// ends that started it, and a test is a thread.
fn spawn(command: Command) -> Started {
    static STARTER: LazyLock<Mutex<SyncSender<Asked>>> = LazyLock::new(|| {
        // Handed over, never queued: who asks waits for the answer.
        let (asked, asks) = sync_channel::<Asked>(0);
        let starter = std::thread::Builder::new().name("server-starter".to_owned());
        let run = move || {
            for (mut command, answer) in asks {
                // Who asked may have been a test that has panicked.
                let _ = answer.send(command.spawn());
            }
        };
        starter.spawn(run).expect("a thread can be started");
        Mutex::new(asked)
    });
    let gone = || io::Error::other("the thread that starts servers is gone");
    let (answer, answers) = sync_channel(1);
    let starter = STARTER.lock().map_err(|_| gone())?;
    starter.send((command, answer)).map_err(|_| gone())?;
    answers.recv().map_err(|_| gone())?
}

/// Runs a program to its end: Maven, keytool, a container engine. Its output comes back.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let program =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|source| Error::Start { program: program.clone(), source })?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    if !output.status.success() {
        return Err(Error::Failed { command: program, status: output.status, output: said });
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(dir: &Path, lifetime: Lifetime) -> Process {
        Process::start("sleep", &["60".into()], &dir.join("out"), lifetime).unwrap()
    }

    #[test]
    fn ends_with_its_handle() {
        let dir = tempfile::tempdir().unwrap();
        let process = sleeper(dir.path(), Lifetime::Handle);
        let pid = process.pid();
        assert!(started(pid).is_some());
        drop(process);
        assert_eq!(started(pid), None);
    }

    #[test]
    fn a_server_outlives_the_thread_that_asked_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let mut process = std::thread::spawn(move || sleeper(&path, Lifetime::Handle)).join().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert!(process.is_running());
    }

    #[test]
    fn a_detached_one_is_found_again_by_its_pid_file_and_ended() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let process = sleeper(dir.path(), Lifetime::Detached);
        process.record(&file).unwrap();
        let pid = process.pid();
        drop(process);
        let mut found = Process::recorded(&file).unwrap().expect("it runs");
        assert_eq!(found.pid(), pid);
        found.pause().unwrap();
        found.stop(Duration::from_secs(5)).unwrap();
        assert!(Process::recorded(&file).unwrap().is_none());
    }

    #[test]
    fn another_process_with_the_same_id_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let mut process = sleeper(dir.path(), Lifetime::Handle);
        std::fs::write(&file, format!("{} {}\n", process.pid(), process.started - 1)).unwrap();
        assert!(Process::recorded(&file).unwrap().is_none());
        let other = Process { pid: process.pid(), started: 1, child: None, lifetime: Lifetime::Detached };
        assert!(matches!(other.pause(), Err(Error::Signal { .. })));
        assert!(process.is_running());
        std::fs::write(&file, "me").unwrap();
        assert!(matches!(Process::recorded(&file), Err(Error::PidFile { .. })));
    }

    #[test]
    fn a_program_that_is_not_there_ends_with_words() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("out");
        let mut process = Process::start("no-such-server", &[], &output, Lifetime::Handle).unwrap();
        while process.is_running() {
            std::thread::sleep(LOOK_EVERY);
        }
        assert!(error::tail(&[&output]).contains("no-such-server"));
    }

    #[test]
    fn reads_the_start_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 25 17 0 0 20 0 3 0 4321 1000 50";
        assert_eq!(started_of(stat), Some(4321));
        assert_eq!(started_of(&stat.replace(") S", ") Z")), None);
        assert_eq!(started_of("7 (a) S 1"), None);
    }
}

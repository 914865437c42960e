//! `godwit-loadgen` as a child process: started, watched, and seen to leave nothing behind.

use std::ffi::OsStr;
use std::fs;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use godwit_loadgen::report::Report;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_godwit-loadgen");

/// A run has ended by then, also the longest, of some minutes, on a machine that is busy with other things.
const RUN_MAX: Duration = Duration::from_secs(300);

/// What the coordinator has to say it says by then.
const WORD_MAX: Duration = Duration::from_secs(30);

/// Workers whose coordinator is gone are gone by then.
pub(crate) const ORPHANED_MAX: Duration = Duration::from_secs(2);

/// Between two looks at something that takes milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// In the environment of a process under test and of all that it starts.
const MARK: &str = "LOADGEN_UNDER_TEST";

/// A running load generator. Killed when dropped.
pub(crate) struct Program {
    child: Child,
    pid: u32,
    mark: String,
    began: Instant,
    stdout: Output,
    stderr: Output,
}

/// What is written to a pipe, as it comes.
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Ends with the pipe.
    reader: JoinHandle<()>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; none: a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Program {
    /// Starts it with these arguments.
    pub(crate) fn start<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(args);
        Self::start_as(command)
    }

    /// Starts it by a command that becomes it, such as a shell that sets a limit first.
    pub(crate) fn start_as(mut command: Command) -> Self {
        let mark = format!("{:016x}", rand::random::<u64>());
        command.env(MARK, &mark).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("the program can be started");
        let stdout = Output::read(child.stdout.take().expect("a pipe"));
        let stderr = Output::read(child.stderr.take().expect("a pipe"));
        let pid = child.id().expect("it was just started");
        Self { child, pid, mark, began: Instant::now(), stdout, stderr }
    }

    /// Its processes besides itself.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let mut marked = marked(&self.mark);
        marked.retain(|pid| *pid != self.pid);
        marked
    }

    /// What it has said on standard error so far.
    pub(crate) fn said(&self) -> String {
        self.stderr.text()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid, signal);
    }

    /// Waits for its end, which must come by itself, and sees that no worker is left.
    pub(crate) async fn end(mut self) -> Ended {
        let status = tokio::time::timeout(RUN_MAX, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("it did not end within {RUN_MAX:?}"));
        let took = self.began.elapsed();
        let left = marked(&self.mark);
        assert!(left.is_empty(), "it left processes behind: {left:?}");
        self.ended(status.expect("a child of ours").code(), took).await
    }

    /// `kill -9`; its workers must notice by themselves.
    pub(crate) async fn kill9(mut self) -> Ended {
        self.child.kill().await.expect("a child of ours");
        let killed = Instant::now();
        while !marked(&self.mark).is_empty() {
            let left = || marked(&self.mark);
            assert!(killed.elapsed() < ORPHANED_MAX, "{:?} outlive their coordinator", left());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let took = self.began.elapsed();
        self.ended(None, took).await
    }

    async fn ended(self, code: Option<i32>, took: Duration) -> Ended {
        let [stdout, stderr] = [self.stdout.all().await, self.stderr.all().await];
        let ended = Ended { code, stdout, stderr, took };
        assert!(!ended.stderr.contains("panicked at"), "{ended:?}");
        ended
    }
}

impl Output {
    fn read(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&bytes);
        let reader = tokio::spawn(async move {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut piece).await {
                read.lock().expect("no reader has failed").extend(&piece[..length]);
            }
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("no reader has failed")).into_owned()
    }

    /// All, once nobody holds the pipe any more.
    async fn all(mut self) -> String {
        let ended = tokio::time::timeout(WORD_MAX, &mut self.reader).await;
        ended.expect("nobody holds the pipe").expect("its output is read");
        self.text()
    }
}

impl Ended {
    /// It did what was asked for: exit code 0.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// Runs a load to its end and gives its report; panics when the exit code is another one.
pub(crate) async fn report(code: i32, args: &[&str]) -> (Report, Ended) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("report.json");
    let json = ["--quiet", "--json", file.to_str().expect("a path of text")];
    let ended = Program::start(args.iter().chain(&json)).end().await;
    assert_eq!(ended.code, Some(code), "{args:?}\n{}\n{}", ended.stdout, ended.stderr);
    let text = fs::read_to_string(&file).expect("a report");
    (serde_json::from_str(&text).expect("a report"), ended)
}

/// A worker for coordinators on other hosts, and where it listens.
pub(crate) async fn listener(args: &[&str]) -> (Listener, String) {
    let mut command = Command::new(PROGRAM);
    command.args(["worker", "--listen", "127.0.0.1:0"]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the program can be started");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let first = tokio::time::timeout(WORD_MAX, lines.next_line()).await.expect("it says where it listens");
    let first = first.expect("text").unwrap_or_default();
    let address = first.strip_prefix("listening on ").unwrap_or_else(|| panic!("{first:?}")).to_owned();
    (Listener { _child: child, lines }, address)
}

/// A worker that listens. Killed when dropped.
pub(crate) struct Listener {
    _child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>,
}

impl Listener {
    /// What it says next on standard error.
    pub(crate) async fn says(&mut self) -> String {
        let line = tokio::time::timeout(WORD_MAX, self.lines.next_line()).await.expect("it says something");
        line.expect("text").expect("it still runs")
    }
}

/// Sends a process a signal.
pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("a process of ours");
}

/// Waits until something is so, and says what for when it never is.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let waited = tokio::time::timeout(WORD_MAX, waiting).await;
    assert!(waited.is_ok(), "{what}: not within {WORD_MAX:?}");
}

/// Processes with this mark in their environment. One that has ended and was not waited for has none.
fn marked(mark: &str) -> Vec<u32> {
    let mark = format!("{MARK}={mark}").into_bytes();
    let has_mark = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    };
    let processes = fs::read_dir("/proc").expect("a system with /proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(has_mark).collect()
}

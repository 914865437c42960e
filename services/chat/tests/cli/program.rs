//! The binary under test, in a directory of its own with the files that configurations name.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// What the file `SECRET` holds.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef-test";

/// Longer than anything here takes on a busy machine; past it the test has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory with files to name. All paths in tests are relative to it.
pub(crate) struct Site(TempDir);

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        site.write("SECRET", &format!("{SECRET}\n"));
        site.write("OTHER_SECRET", &"x".repeat(32));
        site.write("SHORT", "short");
        site.write("EMPTY", "\n");
        site.write("RSA", include_str!("keys/rsa.pub.pem"));
        site.write("EC", include_str!("keys/ec.pub.pem"));
        site.write("ED", include_str!("keys/ed.pub.pem"));
        // Only the first line matters: no key is needed to see that it is none for this.
        site.write("PRIVATE", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        site.write("right.toml", &site.completed(""));
        site
    }

    /// The configuration with what `serve` needs, if it lacks it, added without moving a line.
    pub(crate) fn completed(&self, toml: &str) -> String {
        let mut toml = toml.to_owned();
        if !toml.contains("[auth]") {
            toml.push_str("\n[auth]\nsecret_file = \"SECRET\"\n");
        }
        match toml.find("[node]\n").map(|at| at + "[node]\n".len()) {
            // At the section's end, which in these tests is the next section or the end.
            Some(start) => {
                let end = toml[start..].find("\n[").map_or(toml.len(), |at| start + at + 1);
                let line = if toml[..end].ends_with('\n') {
                    "data_dir = \"data\"\n"
                } else {
                    "\ndata_dir = \"data\"\n"
                };
                toml.insert_str(end, line);
            }
            None if toml.contains("[node") => {}
            None => toml.push_str("\n[node]\ndata_dir = \"data\"\n"),
        }
        toml
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn files(&self) -> BTreeSet<PathBuf> {
        fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// The binary with these arguments, in this directory, without variables of ours.
    pub(crate) fn program(&self, arguments: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_godwit"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GODWIT_"))
        {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(self.0.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Program(command)
    }
}

/// A program that was not started yet.
pub(crate) struct Program(Command);

impl Program {
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Ended {
        self.start().end()
    }

    pub(crate) fn start(mut self) -> Running {
        let mut child = self.0.spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Running { child, out: lines(out), err: lines(err), seen: Vec::new().into(), began: Instant::now() }
    }
}

/// A program that runs; it is killed when the test forgets it.
pub(crate) struct Running {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
    seen: std::cell::RefCell<Vec<String>>,
    began: Instant,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Running {
    /// Waits for the line that says where it listens.
    pub(crate) fn listening(&self) -> Value {
        loop {
            let line = self.err.recv_timeout(PATIENCE).expect("a line that says where it listens");
            self.seen.borrow_mut().push(line.clone());
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["message"] == "listening" {
                return event;
            }
        }
    }

    pub(crate) fn stop(self) -> Ended {
        self.signal("TERM")
    }

    /// Sends the signal as soon as the program is ready for one, and waits for the end.
    pub(crate) fn signal(mut self, name: &str) -> Ended {
        if self.seen.borrow().is_empty() {
            self.listening();
        }
        let kill = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(kill.unwrap().success());
        self.began = Instant::now();
        self.end()
    }

    fn end(mut self) -> Ended {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(self.began.elapsed() < PATIENCE, "the program does not end");
            thread::sleep(Duration::from_millis(1));
        };
        let took = self.began.elapsed();
        let mut stderr = self.seen.take();
        stderr.extend(self.err.iter());
        let text = |lines: Vec<String>| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        // A signal that was not caught has no code.
        let code = status.code().unwrap_or(-1);
        Ended { code, stdout: text(self.out.iter().collect()), stderr: text(stderr), took }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            if send.send(line.unwrap()).is_err() {
                break;
            }
        }
    });
    lines
}

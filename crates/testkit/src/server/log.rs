//! The server's log, read as it is written.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// Lines kept; a server under test that says more than this has said enough.
const LINES_MAX: usize = 20_000;

/// What a server and those restarted after it wrote to standard error. Clones are the same log.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    all_read: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    expected: Vec<String>,
    /// Pipes that are still open.
    open: usize,
}

impl Log {
    /// Reads a process's output to its end, on a thread of its own.
    pub(super) fn follow(&self, output: impl Read + Send + 'static) {
        self.shared.state.lock().open += 1;
        let shared = self.shared.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let mut state = shared.state.lock();
                if state.lines.len() < LINES_MAX {
                    state.lines.push(String::from_utf8_lossy(&line).into_owned());
                }
            }
            shared.state.lock().open -= 1;
            shared.all_read.notify_all();
        });
    }

    pub(super) fn expect(&self, text: &str) {
        self.shared.state.lock().expected.push(text.to_owned());
    }

    /// All lines. While a process runs there may be more on their way.
    pub(super) fn text(&self) -> String {
        self.shared.state.lock().lines.join("\n")
    }

    /// Lines of WARN, ERROR or a panic that were not announced.
    pub(super) fn unexpected(&self) -> Vec<String> {
        let state = self.shared.state.lock();
        let unexpected = |line: &&String| {
            is_alarming(line) && !state.expected.iter().any(|text| line.contains(text.as_str()))
        };
        state.lines.iter().filter(unexpected).cloned().collect()
    }

    /// Waits until every process has closed its end: after a kill the pipe still holds its last lines.
    pub(super) fn wait_for_all(&self) {
        let mut state = self.shared.state.lock();
        while state.open > 0 {
            self.shared.all_read.wait(&mut state);
        }
    }
}

/// Whether a line of text (`2026-01-31T12:00:00Z  WARN target: …`) or JSON says that a person must look.
fn is_alarming(line: &str) -> bool {
    let level = line.split_whitespace().nth(1).unwrap_or_default();
    matches!(level, "WARN" | "ERROR")
        || line.contains(r#""level":"WARN""#)
        || line.contains(r#""level":"ERROR""#)
        || (line.starts_with("thread '") && line.contains("panicked at"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarming_lines_are_those_that_nobody_announced() {
        let log = Log::default();
        let lines = "2026-01-31T12:00:00.000000Z  INFO godwit: WARN is a word\n\
            2026-01-31T12:00:00.000000Z  WARN godwit: poisoned\n\
            2026-01-31T12:00:00.000000Z ERROR godwit: broken\n\
            {\"timestamp\":\"…\",\"level\":\"WARN\",\"message\":\"odd\"}\n\
            thread 'main' (7) panicked at src/main.rs:1:1:";
        log.follow(lines.as_bytes());
        log.wait_for_all();
        log.expect("poisoned");
        let unexpected = log.unexpected();
        assert_eq!(unexpected.len(), 3, "{unexpected:?}");
        assert!(unexpected[0].ends_with("broken") && unexpected[1].contains("odd"), "{unexpected:?}");
    }
}

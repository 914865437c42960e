//! A bounded queue of lines, and the thread that writes them.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::{Format, mask};

/// Lines that wait to be written, at most. At `info` a node writes a few lines a second; this
/// holds a burst of `debug` lines for as long as a collector may take to come back.
pub const QUEUE_LINES_MAX: usize = 8_192;
/// Bytes that wait to be written, at most: what the log may cost in memory when nobody reads it.
pub const QUEUE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Lines that were lost because the queue was full, since the process started.
pub const LOG_LINES_DROPPED: &str = "godwit_log_lines_dropped_total";

/// How long the end of the process waits for a reader that no longer reads.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

/// How long the thread waits for a line before it looks whether lines were lost meanwhile.
const REPORT_EVERY: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Shared {
    queued_bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// Where `tracing_subscriber` writes its lines: a clone for each, never waiting.
#[derive(Clone)]
pub struct Lines {
    queue: SyncSender<Item>,
    shared: Arc<Shared>,
}

enum Item {
    Line(Vec<u8>),
    End,
}

/// Writes what is queued when it is dropped, and ends the thread; waits a second at most.
#[derive(Debug)]
pub struct Flush {
    queue: SyncSender<Item>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a thread that writes lines to `out`; `format` is that of its own line about lost ones.
pub fn start(out: impl Write + Send + 'static, format: Format) -> (Lines, Flush) {
    let (queue, lines) = sync_channel(QUEUE_LINES_MAX);
    let shared = Arc::new(Shared::default());
    let of_thread = Arc::clone(&shared);
    // Without a thread (the process may have no more) there is no log, but there is a node.
    let thread =
        thread::Builder::new().name("log".into()).spawn(move || write_all(&lines, &of_thread, out, format));
    (Lines { queue: queue.clone(), shared }, Flush { queue, thread: thread.ok() })
}

fn write_all(lines: &Receiver<Item>, shared: &Shared, mut out: impl Write, format: Format) {
    let mut reported = 0;
    loop {
        let item = lines.recv_timeout(REPORT_EVERY);
        report_dropped(shared, &mut reported, &mut out, format);
        match item {
            Ok(Item::Line(line)) => {
                // A log that cannot be written has nowhere to say so.
                let _ = out.write_all(&line);
                shared.queued_bytes.fetch_sub(line.len(), Ordering::Relaxed);
            }
            Ok(Item::End) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    let _ = out.flush();
}

fn report_dropped(shared: &Shared, reported: &mut u64, out: &mut impl Write, format: Format) {
    let dropped = shared.dropped.load(Ordering::Relaxed);
    if dropped > *reported {
        metrics::counter!(LOG_LINES_DROPPED).absolute(dropped);
        let lines = dropped - *reported;
        let _ = match format {
            Format::Text => writeln!(out, " WARN godwit_telemetry: log lines lost lines={lines}"),
            Format::Json => {
                writeln!(out, r#"{{"level":"WARN","message":"log lines lost","lines":{lines}}}"#)
            }
        };
        *reported = dropped;
    }
}

impl Write for Lines {
    /// Takes one whole line: `tracing_subscriber` writes an event in one call.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut line = bytes.to_vec();
        mask::tokens(&mut line);
        let len = line.len();
        let queued = self.shared.queued_bytes.fetch_add(len, Ordering::Relaxed);
        let sent = queued + len <= QUEUE_BYTES_MAX
            && match self.queue.try_send(Item::Line(line)) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            };
        if !sent {
            self.shared.queued_bytes.fetch_sub(len, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let mut waited = Duration::ZERO;
        // The queue may be full and its reader gone for good: neither may keep the process.
        let mut end_sent = false;
        let step = Duration::from_millis(2);
        while !thread.is_finished() {
            end_sent = end_sent || self.queue.try_send(Item::End).is_ok();
            if waited >= FLUSH_WAIT {
                return;
            }
            thread::sleep(step);
            waited += step;
        }
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};
    use std::time::Instant;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Blocks at the first write until it is told to go on, and says that it blocks.
    struct Stuck {
        blocked: Sender<()>,
        go: Receiver<()>,
        page: Page,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.blocked.send(());
            let _ = self.go.recv();
            self.page.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn writes_in_order_and_masked_before_the_end() {
        let page = Page::default();
        let (mut lines, flush) = start(page.clone(), Format::Text);
        for n in 0..1_000 {
            lines.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        lines.write_all(b"got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.sig\n").unwrap();
        drop(flush);
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let expected: String = (0..1_000).map(|n| format!("line {n}\n")).collect();
        assert_eq!(text, expected + "got [token]\n");
    }

    #[test]
    fn a_reader_that_is_stuck_costs_lines_but_neither_time_nor_memory() {
        let (blocked, is_blocked) = channel();
        let (go, wait) = channel();
        let page = Page::default();
        let (mut lines, flush) = start(Stuck { blocked, go: wait, page: page.clone() }, Format::Json);
        let line = [b'x'; 1_024];
        lines.write_all(&line).unwrap();
        is_blocked.recv().unwrap();

        let began = Instant::now();
        for _ in 0..4_096 {
            lines.write_all(&line).unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(1), "took {:?}", began.elapsed());
        assert!(lines.shared.queued_bytes.load(Ordering::Relaxed) <= QUEUE_BYTES_MAX);
        let lost = lines.shared.dropped.load(Ordering::Relaxed);
        assert_eq!(lost, 1 + 4_096 - (QUEUE_BYTES_MAX / 1_024) as u64);

        drop(go);
        drop(flush);
        let written = page.0.lock().unwrap();
        let report = format!("\"log lines lost\",\"lines\":{lost}}}");
        assert!(String::from_utf8_lossy(&written).contains(&report));
    }
}

//! A process that writes and is killed: everything that it said was stored is there when the store is
//! opened again, and no batch is there in part.
//!
//! The writing process is this test binary once more, told so by an environment variable.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use godwit_store::{Embedded, Error, Limit, Mutation, Options, Row, Store};
use godwit_types::{AccountId, LogId, Position, Stamp, Timestamp};

const SHARDS: u16 = 64;
const WRITERS: u64 = 8;
/// Rows in one batch: they land together or not at all.
const TOGETHER: u64 = 7;
const KILLS: u64 = 20;
const ALL: Limit = Limit { rows: usize::MAX, bytes: usize::MAX };
const DIRECTORY: &str = "GODWIT_STORE_TEST_DIRECTORY";

/// Small memtables, so that flushes and compactions are under way when the process is killed.
fn open(dir: &Path) -> Result<Embedded, Error> {
    Embedded::open(Options { memtable_bytes: 256 * 1024, ..Options::new(dir, SHARDS) })
}

fn log(writer: u64) -> LogId {
    LogId::Inbox(AccountId::new(&format!("writer-{writer}")).unwrap())
}

fn row(writer: u64, n: u64) -> Row {
    let payload = Bytes::from(format!("{writer}/{n} ").repeat(40));
    Row { position: Position { epoch: 1, n }, stable: n - 1, at: Timestamp::from_ms(n), key: n, payload }
}

/// Rows `first + 1` to `first + TOGETHER`, and a summary that names the last of them.
fn batch(writer: u64, first: u64) -> Vec<Mutation> {
    let last = first + TOGETHER;
    let mut batch: Vec<_> =
        (first + 1..=last).map(|n| Mutation::Append { log: log(writer), row: row(writer, n) }).collect();
    batch.push(Mutation::Summary { log: log(writer), value: Bytes::from(last.to_string()) });
    batch
}

/// The last row of a writer, after checking that the log is whole and ends with a batch.
async fn stored(store: &Embedded, writer: u64) -> u64 {
    let rows = store.rows_after(&log(writer), 0, u64::MAX, ALL).await.unwrap();
    for (found, n) in rows.iter().zip(1..) {
        assert_eq!(*found, row(writer, n));
    }
    let last = rows.len() as u64;
    assert_eq!(last % TOGETHER, 0, "writer {writer} has part of a batch: {last} rows");
    let summary = store.summary(&log(writer)).await.unwrap();
    assert_eq!(summary, (last > 0).then(|| Bytes::from(last.to_string())), "writer {writer}");
    last
}

/// The process that is killed: writers that go on where the store ends and print `writer last` for
/// each batch that was acknowledged. An ordinary run of the tests has nothing to do here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    let store = match open(Path::new(&dir)) {
        Ok(store) => std::sync::Arc::new(store),
        Err(error) => {
            eprintln!("refused: {error}");
            std::process::exit(73);
        }
    };
    // The test harness has begun a line of its own.
    println!("\nepoch {}", store.epoch());
    for writer in 0..WRITERS {
        let store = std::sync::Arc::clone(&store);
        tokio::spawn(async move {
            let rows = store.rows_before(&log(writer), u64::MAX, Limit { rows: 1, ..ALL }).await.unwrap();
            let mut last = rows.first().map_or(0, |row| row.position.n);
            loop {
                // Two at a time, so that a group holds more than one batch of a log.
                let writes = [
                    store.write(batch(writer, last), Stamp::MIN),
                    store.write(batch(writer, last + TOGETHER), Stamp::MIN),
                ];
                for write in writes {
                    if let Err(error) = write.await {
                        eprintln!("writer {writer}: {error}");
                        std::process::exit(1);
                    }
                    last += TOGETHER;
                    println!("{writer} {last}");
                }
            }
        });
    }
    // They write until the process is killed.
    std::future::pending::<()>().await;
}

fn start(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
        .env(DIRECTORY, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the child said until it ended: per writer the last row that was acknowledged, and the epoch.
/// `enough` is asked after each line whether to kill it.
fn follow(child: &mut Child, mut enough: impl FnMut(u64) -> bool) -> (Vec<u64>, u64, ExitStatus) {
    let mut acknowledged = vec![0; WRITERS as usize];
    let (mut epoch, mut batches) = (0, 0);
    let output = BufReader::new(child.stdout.take().unwrap());
    for line in output.lines() {
        let line = line.unwrap();
        // The last line may be cut off: without its newline it says nothing. `lines` does not tell, so
        // a number counts only if it could be the next.
        let mut words = line.split(' ');
        match (words.next(), words.next().and_then(|word| word.parse::<u64>().ok())) {
            (Some("epoch"), Some(found)) => epoch = found,
            (Some(writer), Some(last)) => {
                let Ok(writer) = writer.parse::<usize>() else { continue };
                if last % TOGETHER == 0 && last > acknowledged[writer] {
                    acknowledged[writer] = last;
                    batches += 1;
                }
            }
            _ => continue,
        }
        if enough(batches) {
            child.kill().unwrap();
        }
    }
    (acknowledged, epoch, child.wait().unwrap())
}

/// A number that differs from run to run.
fn any_number() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let (mut total, mut epoch) = (0, 0);
    for round in 0..KILLS {
        let mut child = start(dir.path());
        // Right at the start, in the middle of the first flush, or long after.
        let batches = any_number() % [2, 50, 600, 2000][round as usize % 4];
        let (acknowledged, child_epoch, _) = follow(&mut child, |done| done >= batches);
        assert!(child_epoch > epoch, "the epoch rises with each start");
        let store = open(dir.path()).unwrap();
        epoch = store.epoch();
        for (writer, acknowledged) in (0..).zip(acknowledged) {
            let found = stored(&store, writer).await;
            assert!(found >= acknowledged, "writer {writer}: {acknowledged} acknowledged, {found} found");
        }
        total = 0;
        for writer in 0..WRITERS {
            total += stored(&store, writer).await;
        }
        store.close().await.unwrap();
    }
    println!("{KILLS} kills, {total} rows, none missing, no batch in part");
    assert!(total > 0);
}

/// A file system of its own, of that many MiB. `None`, and a line that says so, where mounting is not
/// permitted.
#[cfg(target_os = "linux")]
struct Mount(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl Mount {
    fn new(at: &Path, mib: u32) -> Option<Self> {
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            other => {
                println!("NOT RUN: a full disk needs a mount, which is not permitted here: {other:?}");
                None
            }
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// On a full disk the process ends, a start says what is wrong, and with room again all that was
/// acknowledged is there.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_by_a_full_disk() {
    use std::os::unix::process::ExitStatusExt;
    const ABORT: i32 = 6;

    let dir = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::new(dir.path(), 64) else { return };
    let ballast = dir.path().join("ballast");
    // More than what is left for the store: a compaction may need as much as it holds.
    std::fs::write(&ballast, vec![1; 40 << 20]).unwrap();
    let data = dir.path().join("data");

    let mut child = start(&data);
    let (acknowledged, _, status) = follow(&mut child, |_| false);
    assert_eq!(status.signal(), Some(ABORT), "{status}");
    assert!(acknowledged.iter().all(|last| *last > 0), "{acknowledged:?}");

    // A start may find room: it removes half-written tables, and raising the epoch takes a few dozen
    // bytes that the journal's last page may have left.
    let mut rest = std::fs::File::create(dir.path().join("rest")).unwrap();
    let mut start_on_full_disk = || {
        while rest.write_all(&[1; 4096]).is_ok() {}
        open(&data).err()
    };
    let error = (0..200).find_map(|_| start_on_full_disk()).unwrap();
    assert!(matches!(error, Error::Directory { .. }), "{error}");

    std::fs::remove_file(&ballast).unwrap();
    let store = open(&data).unwrap();
    for (writer, acknowledged) in (0..).zip(acknowledged) {
        let found = stored(&store, writer).await;
        assert!(found >= acknowledged, "writer {writer}: {acknowledged} acknowledged, {found} found");
    }
    store.write(batch(0, stored(&store, 0).await), Stamp::MIN).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), store.close()).await.unwrap().unwrap();
}

//! What `open` makes of a directory: locked, foreign, newer, damaged. Nothing refused is changed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use godwit_store::{Embedded, Error, Limit, Mutation, Options, Row, Store};
use godwit_types::{ConversationId, LogId, Position, Stamp, Timestamp};

const SHARDS: u16 = 64;
const ALL: Limit = Limit { rows: usize::MAX, bytes: usize::MAX };

fn open(dir: &Path) -> Result<Embedded, Error> {
    Embedded::open(Options::new(dir, SHARDS))
}

fn log() -> LogId {
    LogId::Conversation(ConversationId::new("c").unwrap())
}

fn row(n: u64) -> Row {
    let payload = Bytes::from(format!("row {n} ").repeat(20));
    Row { position: Position { epoch: 1, n }, stable: n - 1, at: Timestamp::from_ms(n), key: n, payload }
}

/// Batches of ten rows, each with a summary that says how many rows there are.
async fn fill(store: &Embedded, rows: std::ops::Range<u64>) {
    for start in rows.step_by(10) {
        let mut batch: Vec<_> =
            (start..start + 10).map(|n| Mutation::Append { log: log(), row: row(n) }).collect();
        batch.push(Mutation::Summary { log: log(), value: Bytes::from((start + 9).to_string()) });
        store.write(batch, Stamp::MIN).await.unwrap();
    }
}

/// Every file below a directory with its bytes, but for the lock and for zeros at the end: those behind
/// a journal's last batch are nothing, and are cut when the journal is read.
fn snapshot(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files.insert(format!("{}/", path.display()), Vec::new());
                open.push(path);
            } else if path.file_name().unwrap() != "godwit.lock" {
                let mut bytes = fs::read(&path).unwrap();
                bytes.truncate(written(&bytes));
                files.insert(path.display().to_string(), bytes);
            }
        }
    }
    files
}

/// How many bytes there are up to the zeros at the end.
fn written(bytes: &[u8]) -> usize {
    // In large steps: an unoptimised build takes long over the 64 MiB of a journal.
    let zeros =
        bytes.rchunks(1 << 16).take_while(|chunk| **chunk == [0; 1 << 16][..chunk.len()]).map(<[u8]>::len);
    let upto = bytes.len() - zeros.sum::<usize>();
    bytes[..upto].iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

/// Writes a file of that length; behind the bytes it is a hole.
fn put(path: &Path, bytes: &[u8], len: u64) {
    fs::write(path, bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_one_holder() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    match open(dir.path()) {
        Err(error @ Error::Locked { pid, .. }) => {
            assert_eq!(pid, std::process::id());
            assert!(error.to_string().contains(&pid.to_string()), "{error}");
        }
        other => panic!("{:?}", other.err()),
    }
    first.close().await.unwrap();
    // The lock goes with `close`, not with the value.
    let second = open(dir.path()).unwrap();
    drop(first);
    drop(second);
    open(dir.path()).unwrap();
}

#[test]
fn a_directory_that_is_missing_is_made_for_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("not/yet/there");
    drop(open(&path).unwrap());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn a_directory_of_others_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "\\documentclass").unwrap();
    let before = snapshot(dir.path());
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(&error, Error::Damaged { what, .. } if what.contains("thesis.tex")), "{error}");
    assert_eq!(snapshot(dir.path()), before);
    assert!(!dir.path().join("godwit.lock").exists());
}

#[test]
fn what_a_file_system_puts_into_its_root_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn a_path_that_is_no_directory_is_an_error_of_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("below"), "/proc/godwit".into()] {
        let error = open(&path).err().unwrap();
        assert!(matches!(error, Error::Directory { .. }), "{error}");
    }
}

#[test]
fn an_interrupted_first_start_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    // Whatever the database looks like: without FORMAT nothing in it was ever promised.
    fs::rename(dir.path().join("FORMAT"), dir.path().join("FORMAT.new")).unwrap();
    fs::remove_file(dir.path().join("db/version")).unwrap();
    fs::write(dir.path().join("db/keyspaces/1/current"), "half").unwrap();
    // The upper 48 bits count openings, those below are random.
    assert_eq!(open(dir.path()).unwrap().epoch() >> 16, 1);
    assert_eq!(open(dir.path()).unwrap().epoch() >> 16, 2);
}

#[test]
fn another_number_of_shards_and_a_newer_format_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let before = snapshot(dir.path());
    let error = Embedded::open(Options::new(dir.path(), 128)).err().unwrap();
    assert!(matches!(error, Error::Shards { found: SHARDS, asked: 128, .. }), "{error}");
    assert_eq!(snapshot(dir.path()), before);

    let text = "godwit-store 2\nwhatever comes then\n";
    fs::write(dir.path().join("FORMAT"), text).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, Error::NewerFormat { found: 2, known: 1, .. }), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join("FORMAT")).unwrap(), text);
}

/// A directory with rows in tables and in the journal, which is either the first one, still with the
/// zeros that it was made of behind the last batch, or one that was reopened and cut to its length.
async fn filled(reopened: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { memtable_bytes: 64 * 1024, ..Options::new(dir.path(), SHARDS) };
    let store = Embedded::open(options.clone()).unwrap();
    fill(&store, 1..2001).await;
    store.close().await.unwrap();
    if reopened {
        let store = Embedded::open(options).unwrap();
        fill(&store, 2001..2101).await;
        store.close().await.unwrap();
    }
    dir
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            let bytes = fs::read(&path).unwrap();
            put(&to, &bytes[..written(&bytes)], bytes.len() as u64);
        }
    }
}

/// Opens a damaged copy. Refused: unchanged but for the lock. Opened: every row is there or its
/// read says that it failed; none is silently missing.
async fn judge(dir: &Path, rows: u64, what: &str) -> bool {
    let before = snapshot(dir);
    match open(dir) {
        Err(error) => {
            assert!(
                !matches!(error, Error::Locked { .. } | Error::Closed | Error::Failed(_)),
                "{what}: {error}"
            );
            let after = snapshot(dir);
            let changed: Vec<_> =
                before.iter().filter(|(path, bytes)| after.get(*path) != Some(*bytes)).collect();
            // Manifests that are no longer current are nothing to anyone; fjall removes them early.
            let is_old = |path: &str| Path::new(path).file_name().unwrap().to_str().unwrap().starts_with('v');
            let lost: Vec<_> =
                changed.into_iter().map(|(path, _)| path).filter(|path| !is_old(path)).collect();
            assert!(lost.is_empty(), "{what}: {error}; changed {lost:?}");
            true
        }
        Ok(store) => {
            match store.rows_after(&log(), 0, u64::MAX, ALL).await {
                Ok(found) => {
                    assert_eq!(found.len() as u64, rows, "{what}");
                    assert!(found.iter().all(|found| *found == row(found.position.n)), "{what}");
                }
                Err(Error::Failed(_)) => {}
                Err(error) => panic!("{what}: {error}"),
            }
            match store.summary(&log()).await {
                Ok(found) => assert_eq!(found, Some(Bytes::from(rows.to_string())), "{what}"),
                Err(Error::Failed(_)) => {}
                Err(error) => panic!("{what}: {error}"),
            }
            store.close().await.unwrap();
            false
        }
    }
}

async fn every_file_damaged(reopened: bool, rows: u64, damage: impl Fn(&mut Vec<u8>, usize)) {
    let dir = filled(reopened).await;
    let scratch = tempfile::tempdir().unwrap();
    let (mut refused, mut opened) = (0, 0);
    for (path, bytes) in snapshot(dir.path()) {
        let name = Path::new(&path).strip_prefix(dir.path()).unwrap().to_owned();
        let len = fs::metadata(&path).unwrap().len();
        let parts = if bytes.is_empty() { 0 } else { 6 };
        for part in 0..parts {
            let to = scratch.path().join(format!("{refused}-{opened}"));
            copy(dir.path(), &to);
            let mut bytes = bytes.clone();
            let at = (bytes.len() - 1) * part / 5;
            damage(&mut bytes, at);
            put(&to.join(&name), &bytes, len);
            let what = format!("{} at byte {at}", name.display());
            if judge(&to, rows, &what).await {
                refused += 1;
            } else {
                opened += 1;
            }
            fs::remove_dir_all(to).unwrap();
        }
    }
    println!("{refused} refused, {opened} opened with all rows or a failing read");
    assert!(refused > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_flipped_bit_loses_a_row_silently() {
    every_file_damaged(true, 2100, |bytes, at| bytes[at] ^= 0x10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_flipped_bit_of_a_fresh_journal_loses_a_row_silently() {
    every_file_damaged(false, 2000, |bytes, at| bytes[at] ^= 0x01).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_truncated_file_loses_a_row_silently() {
    // A journal cut short is a torn last batch, and cannot be told from one: it is left out here.
    let dir = filled(true).await;
    let scratch = tempfile::tempdir().unwrap();
    let mut refused = 0;
    for (path, bytes) in snapshot(dir.path()) {
        let name = Path::new(&path).strip_prefix(dir.path()).unwrap();
        // fjall's lock file is empty already.
        if path.ends_with(".jnl") || bytes.is_empty() {
            continue;
        }
        for part in 0..4 {
            let to = scratch.path().join("copy");
            copy(dir.path(), &to);
            fs::write(to.join(name), &bytes[..bytes.len() * part / 4]).unwrap();
            let what = format!("{} cut to {part} quarters", name.display());
            refused += u32::from(judge(&to, 2100, &what).await);
            fs::remove_dir_all(to).unwrap();
        }
    }
    assert!(refused > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_missing_file_loses_a_row_silently() {
    let dir = filled(true).await;
    let scratch = tempfile::tempdir().unwrap();
    let mut refused = 0;
    for path in snapshot(dir.path()).into_keys() {
        let name = Path::new(&path).strip_prefix(dir.path()).unwrap();
        let to = scratch.path().join("copy");
        copy(dir.path(), &to);
        if path.ends_with('/') { fs::remove_dir_all(to.join(name)) } else { fs::remove_file(to.join(name)) }
            .unwrap();
        refused += u32::from(judge(&to, 2100, &format!("{} removed", name.display())).await);
        fs::remove_dir_all(to).unwrap();
    }
    assert!(refused > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn stray_files_anywhere_lose_no_row_and_are_no_panic() {
    let dir = filled(true).await;
    let scratch = tempfile::tempdir().unwrap();
    let below: Vec<_> = snapshot(dir.path()).into_keys().filter(|path| path.ends_with('/')).collect();
    for path in below.iter().map(Path::new).chain([dir.path()]) {
        let name = path.strip_prefix(dir.path()).unwrap();
        for stray in ["README", "99.jnl", "99", "v99"] {
            for is_dir in [false, true] {
                let to = scratch.path().join("copy");
                copy(dir.path(), &to);
                let stray = name.join(stray);
                if is_dir { fs::create_dir(to.join(&stray)) } else { fs::write(to.join(&stray), "stray") }
                    .unwrap();
                judge(&to, 2100, &format!("stray {}", stray.display())).await;
                fs::remove_dir_all(to).unwrap();
            }
        }
    }
}

//! The embedded store: one directory, one process, fjall below.
//!
//! # Keys
//!
//! One fjall keyspace. `0` is a zero byte, which no id contains; numbers are big endian.
//!
//! | key | value |
//! |---|---|
//! | `e` | the epoch: u64, openings counted in the upper 48 bits, random below |
//! | `r` kind id `0` n:u64 | a row, see `embedded/row.rs`; kind is `c` for a conversation, `i` for an inbox |
//! | `s` kind id | a log's summary, as given |
//! | `m` account `0` conversation | what the account holds of it, as given |
//! | `d` account `0` device | a device, as given |
//! | `p` shard:u16 kind id | nothing: something is under way; kind is `f` for fan-out, `p` for push |
//! | `v` account `0` device | a revocation's moment: u64, ms; an empty device is the whole account |
//!
//! # Open
//!
//! Lock the directory, check `FORMAT` (`embedded/directory.rs`), check what fjall believes without
//! looking (`embedded/manifest.rs`, `embedded/journal.rs`), open fjall, raise the epoch and sync it,
//! start the writer.
//!
//! # Write
//!
//! `write` puts the batch into the queue (`embedded/queue.rs`) before it returns, so that calls take
//! effect in their order whether or not their futures are ever polled. The writer thread
//! (`embedded/writer.rs`) takes all that waits, settles it (`embedded/group.rs`), hands it to fjall as
//! one batch: journal, fdatasync, memtable. Then it answers. A reader sees nothing that is not
//! durable, for the memtable comes last.
//!
//! # Read
//!
//! Single records are read where they are asked for: a memtable or a cached block takes a few
//! microseconds, less than handing the work to another thread. Ranges go to tokio's blocking threads,
//! [`READS_MAX`] at a time, and must be asked for within a tokio runtime.
//!
//! # Memory
//!
//! The block cache, five memtables at most (one is written to, four wait to be flushed before fjall
//! stops the writer), one group of 4 MiB, and [`READS_MAX`] answers within their limits. With the
//! defaults of [`Options::new`]: 64 + 5 · 16 MiB and change.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use godwit_types::{AccountId, ConversationId, DeviceId, LogId, ShardId, Stamp, Timestamp};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;

use crate::{Answer, Error, Limit, Mutation, Pending, Revocation, Row, Store, Written};
use engine::Engine;
use queue::Queue;

mod directory;
mod engine;
mod group;
mod journal;
mod keys;
mod manifest;
mod queue;
mod reads;
mod row;
mod writer;

/// Range reads under way at once. More threads would not read faster from one disk, and each may hold
/// an answer of its limit's size.
const READS_MAX: usize = 16;

/// How to open an embedded store.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory; made if it is missing, readable by its owner only.
    pub dir: PathBuf,
    /// The number of shards; fixed when the directory is made.
    pub shards: u16,
    /// Bytes of table blocks kept in memory.
    pub cache_bytes: u64,
    /// Bytes of changes kept in memory before they are written to a table. The store keeps this
    /// setting from when the directory was made.
    pub memtable_bytes: u64,
}

impl Options {
    /// A cache of 64 MiB, in which the index and the filters of some 10 GB of rows find room, and
    /// memtables of 16 MiB, so that the five of them stay near that size.
    pub fn new(dir: impl Into<PathBuf>, shards: u16) -> Self {
        const MIB: u64 = 1024 * 1024;
        Self { dir: dir.into(), shards, cache_bytes: 64 * MIB, memtable_bytes: 16 * MIB }
    }
}

/// The embedded store. See the module's documentation for keys, flow and bounds.
///
/// Dropping it does what [`close`](Store::close) does, and blocks for it.
pub struct Embedded {
    shared: Arc<Shared>,
    epoch: u64,
    shards: u16,
}

struct Shared {
    /// `None` once closed. Readers hold it while they read, so that closing waits for them.
    engine: RwLock<Option<Engine>>,
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<()>>>,
    closed: AtomicBool,
    reads: Arc<Semaphore>,
}

impl Embedded {
    /// Opens the store of a directory, or makes one in an empty directory. Blocks for some milliseconds;
    /// after a crash for as long as it takes to read the journals (128 MiB at most).
    ///
    /// # Errors
    ///
    /// [`Error::Locked`], [`Error::Damaged`], [`Error::NewerFormat`], [`Error::Shards`] and
    /// [`Error::Directory`]. A directory that is refused keeps every record that it had; fjall may have
    /// removed manifests that are no longer current and the zeros behind a journal's last batch, and a
    /// last batch that a power cut tore is cut off with a line in the log.
    pub fn open(options: Options) -> Result<Self, Error> {
        let engine = Engine::open(&options)?;
        let epoch = engine.epoch;
        let queue = Arc::new(Queue::default());
        let writer = writer::start(Arc::clone(&queue), engine.database.clone(), engine.data.clone())
            .map_err(|source| Error::Directory { dir: options.dir.clone(), source })?;
        let shared = Arc::new(Shared {
            engine: RwLock::new(Some(engine)),
            queue,
            writer: Mutex::new(Some(writer)),
            closed: AtomicBool::new(false),
            reads: Arc::new(Semaphore::new(READS_MAX)),
        });
        Ok(Self { shared, epoch, shards: options.shards })
    }

    /// The epoch under which this process writes: above that of every row in the store.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A read that is worth no thread: a single record.
    fn point<'a, T: Send + 'a>(
        &'a self,
        read: impl FnOnce(&Engine) -> Result<T, Error> + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move { self.shared.read(read) })
    }

    /// A read that may take many blocks from the disk.
    fn range<'a, T: Send + 'static>(
        &'a self,
        read: impl FnOnce(&Engine) -> Result<T, Error> + Send + 'static,
    ) -> Answer<'a, T> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            // Held by the work itself: who gives up waiting must not let in more of it.
            let permit = Arc::clone(&shared.reads).acquire_owned().await.map_err(|_| Error::Closed)?;
            let work = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                shared.read(read)
            });
            work.await.unwrap_or_else(|error| Err(Error::Failed(error.to_string())))
        })
    }
}

impl Shared {
    fn read<T>(&self, read: impl FnOnce(&Engine) -> Result<T, Error>) -> Result<T, Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        // Recursive: a reader that waits behind the one who closes would wait for itself if the
        // runtime ran both on one thread.
        match &*self.engine.read_recursive() {
            Some(engine) => read(engine),
            None => Err(Error::Closed),
        }
    }

    /// Lets nothing more in; whether this call was the first.
    fn shut(&self) -> bool {
        let first = !self.closed.swap(true, Ordering::AcqRel);
        self.queue.close();
        first
    }

    /// Waits for writes and reads under way, closes fjall, unlocks the directory.
    fn finish(&self) {
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            // A panic there has ended the process.
            let _ = writer.join();
        }
        drop(self.engine.write().take());
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shared.shut();
        self.shared.finish();
    }
}

impl Store for Embedded {
    fn shards(&self) -> u16 {
        self.shards
    }

    fn write(&self, batch: Vec<Mutation>, _stamp: Stamp) -> Answer<'static, ()> {
        // Here and not in the future: this is the moment that gives the batch its place.
        let answered = self.shared.queue.push(batch);
        Box::pin(async move {
            answered?.await.unwrap_or_else(|_| Err(Error::Failed("the writer is gone".to_owned())))
        })
    }

    fn rows_after<'a>(&'a self, log: &'a LogId, after: u64, upto: u64, limit: Limit) -> Answer<'a, Vec<Row>> {
        let log = log.clone();
        self.range(move |engine| reads::rows_after(engine, &log, after, upto, limit))
    }

    fn rows_before<'a>(&'a self, log: &'a LogId, before: u64, limit: Limit) -> Answer<'a, Vec<Row>> {
        let log = log.clone();
        self.range(move |engine| reads::rows_before(engine, &log, before, limit))
    }

    fn tail<'a>(&'a self, log: &'a LogId, _summarised: u64, rows: usize) -> Answer<'a, Vec<Written>> {
        let log = log.clone();
        let limit = Limit { rows, bytes: usize::MAX };
        self.range(move |engine| {
            let rows = reads::rows_before(engine, &log, u64::MAX, limit)?;
            Ok(rows.into_iter().map(|row| Written { row, stamp: Stamp::MIN, ttl_s: None }).collect())
        })
    }

    fn row<'a>(&'a self, log: &'a LogId, n: u64) -> Answer<'a, Option<Row>> {
        self.point(move |engine| reads::row(engine, log, n))
    }

    fn summary<'a>(&'a self, log: &'a LogId) -> Answer<'a, Option<Bytes>> {
        self.point(move |engine| reads::summary(engine, log))
    }

    fn memberships<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<(ConversationId, Bytes)>> {
        let account = account.clone();
        self.range(move |engine| reads::memberships(engine, &account))
    }

    fn devices<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<(DeviceId, Bytes)>> {
        let account = account.clone();
        self.range(move |engine| reads::devices(engine, &account))
    }

    fn pending(&self, shard: ShardId) -> Answer<'_, Vec<Pending>> {
        self.range(move |engine| reads::pending(engine, shard))
    }

    fn shards_with_pending(&self) -> Answer<'_, Vec<ShardId>> {
        self.range(reads::shards_with_pending)
    }

    fn revocations(&self) -> Answer<'_, Vec<Revocation>> {
        self.range(reads::revocations)
    }

    fn close(&self) -> Answer<'_, ()> {
        let first = self.shared.shut();
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            if !first {
                return Err(Error::Closed);
            }
            let work = tokio::task::spawn_blocking(move || shared.finish());
            work.await.map_err(|error| Error::Failed(error.to_string()))
        })
    }
}

fn failed(error: fjall::Error) -> Error {
    Error::Failed(error.to_string())
}

/// A moment as it is stored: u64, milliseconds.
fn read_timestamp(value: &[u8]) -> Option<Timestamp> {
    value.try_into().ok().map(|bytes| Timestamp::from_ms(u64::from_be_bytes(bytes)))
}

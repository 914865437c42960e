//! fjall, opened with our settings.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::directory::Directory;
use super::journal::Fault;
use super::{Options, journal, keys, manifest};
use crate::Error;

/// One keyspace for everything. Each has its own memtables and files and costs a dozen syncs to make,
/// and a journal can only go once *every* keyspace in it was flushed. Tables are told apart by the
/// first byte of a key, so their rows lie apart all the same.
const KEYSPACE: &str = "data";

/// Threads that flush and compact. Two: with one, a long compaction would hold up the flushes, and
/// after four memtables that wait for one, writes stop.
const WORKERS: usize = 2;

/// Table files kept open. The process's descriptors are for phones; a hundred or two of tables of
/// 64 MiB are a working set of 10 GB.
const FILES_OPEN_MAX: usize = 200;

/// Journals on disk before fjall flushes to be rid of the oldest; one is about 64 MiB. Bounds what a
/// start after a crash has to read.
const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// fdatasync: the data and the length of the file, which is all that reading it again takes. Its
/// directory entry was synced when fjall made the journal.
pub(super) const DURABLE: PersistMode = PersistMode::SyncData;

/// An open database.
pub(super) struct Engine {
    /// All of it; needed for batches and snapshots.
    pub(super) database: Database,
    /// The one keyspace.
    pub(super) data: Keyspace,
    /// The epoch of this opening.
    pub(super) epoch: u64,
    /// Dropped last: the next process may come when fjall is closed.
    _directory: Directory,
}

impl Engine {
    /// Opens the database in a directory, raises the epoch and syncs it.
    pub(super) fn open(options: &Options) -> Result<Self, Error> {
        let directory = Directory::take(&options.dir, options.shards)?;
        let fault = |fault| match fault {
            Fault::Io(source) => Error::Directory { dir: options.dir.clone(), source },
            Fault::Damaged(what) => Error::Damaged { dir: options.dir.clone(), what },
        };
        if !directory.is_new() {
            manifest::check(&directory.database()).map_err(fault)?;
            if let Some(torn) = journal::check(&directory.database()).map_err(fault)? {
                tracing::warn!(journal = %torn.path.display(), at = torn.at, "removing an unfinished last batch");
                torn.cut().map_err(Fault::Io).map_err(fault)?;
            }
        }
        // fjall has `expect`s on what it reads from disk (`keyspace/options.rs`, `recovery.rs`). Nothing
        // of ours is shared with it yet, so nothing is left half-changed by an unwinding.
        let opened = catch_unwind(AssertUnwindSafe(|| open_database(&directory, options)));
        let (database, data) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Err(fault(of_open(error))),
            Err(_) => return Err(fault(Fault::Damaged("the database cannot be read".to_owned()))),
        };
        let epoch = raise_epoch(&database, &data, directory.is_new()).map_err(fault)?;
        if directory.is_new() {
            directory.finish(options.shards).map_err(Fault::Io).map_err(fault)?;
        }
        Ok(Self { database, data, epoch, _directory: directory })
    }
}

fn open_database(directory: &Directory, options: &Options) -> fjall::Result<(Database, Keyspace)> {
    let database = Database::builder(directory.database())
        .cache_size(options.cache_bytes)
        .worker_threads(WORKERS)
        .max_cached_files(Some(FILES_OPEN_MAX))
        .max_journaling_size(JOURNAL_BYTES_MAX)
        // The journal's bytes live for minutes only, and `journal::check` reads them as they are.
        .journal_compression(CompressionType::None)
        .open()?;
    let data = database
        .keyspace(KEYSPACE, || KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes))?;
    Ok((database, data))
}

/// What fjall says at open, as far as it can be told whether the disk or its contents are to blame.
fn of_open(error: fjall::Error) -> Fault {
    use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error))
            if !matches!(error.kind(), InvalidData | NotFound | UnexpectedEof) =>
        {
            Fault::Io(error)
        }
        // A worker could not write what the journal held: most often the disk is full.
        fjall::Error::Poisoned => {
            Fault::Io(std::io::Error::other("a table could not be written; is the disk full?"))
        }
        error => Fault::Damaged(error.to_string()),
    }
}

/// An epoch is a count of openings and 16 random bits. A directory that was restored from a backup counts
/// through epochs that the lost one used too; the random bits tell their rows apart, so that a cursor into
/// the lost part leads to a gap and not to some other row.
const EPOCH_RANDOM_BITS: u32 = u16::BITS;

fn raise_epoch(database: &Database, data: &Keyspace, is_new: bool) -> Result<u64, Fault> {
    let damaged = || Fault::Damaged("the database has no epoch".to_owned());
    let last = match data.get(keys::EPOCH).map_err(of_open)? {
        Some(value) => u64::from_be_bytes(value.as_ref().try_into().map_err(|_| damaged())?),
        None if is_new => 0,
        None => return Err(damaged()),
    };
    let count = (last >> EPOCH_RANDOM_BITS).checked_add(1).ok_or_else(damaged)?;
    let random = u64::from(rand::random::<u16>());
    let epoch = count.checked_mul(1 << EPOCH_RANDOM_BITS).ok_or_else(damaged)? | random;
    let mut batch = database.batch().durability(Some(DURABLE));
    batch.insert(data, keys::EPOCH, epoch.to_be_bytes());
    batch.commit().map_err(of_open)?;
    Ok(epoch)
}

//! What can go wrong with a store.

use std::io;
use std::path::PathBuf;

/// A store's failure. `Display` says what, where and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the directory.
    #[error("the data directory {} is in use by process {pid}; stop that one or name another directory", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// Who has it; 0 when that could not be read.
        pid: u32,
    },
    /// The directory holds something that is not readable as our data.
    #[error("the data directory {} is damaged: {what}; restore it from a backup, nothing was changed", dir.display())]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What was found.
        what: String,
    },
    /// The directory was written by a later version of the program.
    #[error("the data directory {} has format {found}, this program reads up to {known}; use a newer one", dir.display())]
    NewerFormat {
        /// The directory.
        dir: PathBuf,
        /// Format found.
        found: u32,
        /// Newest format known here.
        known: u32,
    },
    /// The directory was made for another number of shards.
    #[error("the data directory {} was made with {found} shards, but {asked} are configured; the number is fixed for good", dir.display())]
    Shards {
        /// The directory.
        dir: PathBuf,
        /// Shards in the store.
        found: u16,
        /// Shards asked for.
        asked: u16,
    },
    /// The directory cannot be made or read.
    #[error("the data directory {} cannot be used: {source}", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A read or write failed; whether a write landed is unknown.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The database can be reached and will never do what is needed: it says what, where and what to do.
    #[error("{0}")]
    Refused(String),
    /// The store was closed; nothing was written.
    #[error("the store is closed")]
    Closed,
}

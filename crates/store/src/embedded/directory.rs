//! The data directory: whose it is, who has it, what is in it.
//!
//! ```text
//! godwit.lock   held with flock while a process has the directory; its text is that process's id
//! FORMAT        three lines: "godwit-store <format>", "shards <number>", "check <xxh3 of the two>"
//! FORMAT.new    stands there instead while the directory is being made: nothing was promised yet, so
//!               a start that finds it removes db/ and begins again
//! db/           fjall's
//! ```
//!
//! A directory that holds other things and no `FORMAT` is not ours: it is refused, not used.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::Error;

/// The format that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;

const LOCK_NAME: &str = "godwit.lock";
const FORMAT_NAME: &str = "FORMAT";
const NEW_NAME: &str = "FORMAT.new";
const DATABASE_NAME: &str = "db";

/// What an empty directory may hold: our lock, and what a file system puts into its root.
const NOTHING: [&str; 2] = [LOCK_NAME, "lost+found"];

/// `FORMAT` is three short lines; more than that is not read.
const FORMAT_BYTES_MAX: u64 = 4096;

/// A locked directory. Dropping it lets the next process in.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    lock: File,
    is_new: bool,
}

impl Directory {
    /// Takes the directory, made if it is missing, and checks that it is ours and has that many shards.
    pub(super) fn take(path: &Path, shards: u16) -> Result<Self, Error> {
        let directory = |source| Error::Directory { dir: path.to_owned(), source };
        make(path).map_err(directory)?;
        refuse_foreign(path)?;
        let lock = lock(path)?;
        // Looked at again: the process that had the lock until now may have written it.
        let is_new = !path.join(FORMAT_NAME).try_exists().map_err(directory)?;
        let taken = Self { path: path.to_owned(), lock, is_new };
        if is_new {
            taken.begin().map_err(directory)?;
        } else {
            taken.check_format(shards)?;
        }
        Ok(taken)
    }

    /// Where fjall's files are.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE_NAME)
    }

    /// Whether [`finish`](Self::finish) is yet to be called.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Removes what an interrupted first start left and notes that this one is under way.
    fn begin(&self) -> io::Result<()> {
        File::create(self.path.join(NEW_NAME))?;
        match fs::remove_dir_all(self.database()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Declares the directory made: from now on what is in it counts.
    pub(super) fn finish(&self, shards: u16) -> io::Result<()> {
        let new = self.path.join(NEW_NAME);
        let mut file = File::create(&new)?;
        file.write_all(format_text(FORMAT, shards).as_bytes())?;
        file.sync_all()?;
        fs::rename(new, self.path.join(FORMAT_NAME))?;
        File::open(&self.path)?.sync_all()?;
        // The directory's own entry: the name is lost with the power if it was made just now.
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    }

    fn check_format(&self, shards: u16) -> Result<(), Error> {
        let dir = || self.path.clone();
        let damaged = |what: &str| Error::Damaged { dir: dir(), what: format!("{FORMAT_NAME} {what}") };
        let mut text = String::new();
        let file = File::open(self.path.join(FORMAT_NAME));
        file.and_then(|file| file.take(FORMAT_BYTES_MAX).read_to_string(&mut text)).map_err(|source| {
            if source.kind() == io::ErrorKind::InvalidData {
                return damaged("is no text");
            }
            Error::Directory { dir: dir(), source }
        })?;
        let mut lines = text.lines();
        let found: u32 = number(lines.next(), "godwit-store ").ok_or_else(|| damaged("names no format"))?;
        if found > FORMAT {
            // Nothing behind the first line is known to be as it is here.
            return Err(Error::NewerFormat { dir: dir(), found, known: FORMAT });
        }
        let held: u16 =
            number(lines.next(), "shards ").ok_or_else(|| damaged("names no number of shards"))?;
        if text != format_text(found, held) {
            return Err(damaged("does not match its checksum"));
        }
        if held != shards {
            return Err(Error::Shards { dir: dir(), found: held, asked: shards });
        }
        Ok(())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // The kernel would do it when the file is closed; a child process that inherited it may not.
        let _ = self.lock.unlock();
    }
}

fn format_text(format: u32, shards: u16) -> String {
    let lines = format!("godwit-store {format}\nshards {shards}\n");
    let check = godwit_types::hash(&lines);
    format!("{lines}check {check:016x}\n")
}

fn number<T: std::str::FromStr>(line: Option<&str>, name: &str) -> Option<T> {
    line?.strip_prefix(name)?.parse().ok()
}

/// Messages are nobody else's business: only the owner may look in.
#[cfg(unix)]
fn make(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Refuses a directory that somebody else uses, before anything is written into it.
fn refuse_foreign(path: &Path) -> Result<(), Error> {
    let directory = |source| Error::Directory { dir: path.to_owned(), source };
    let mut foreign = None;
    for entry in fs::read_dir(path).map_err(directory)? {
        let name = entry.map_err(directory)?.file_name();
        if name == FORMAT_NAME || name == NEW_NAME {
            return Ok(());
        }
        if NOTHING.iter().all(|known| name != *known) {
            foreign = Some(name);
        }
    }
    match foreign {
        None => Ok(()),
        Some(name) => {
            let what = format!("it holds {} but no {FORMAT_NAME} file", name.display());
            Err(Error::Damaged { dir: path.to_owned(), what })
        }
    }
}

fn lock(path: &Path) -> Result<File, Error> {
    let directory = |source| Error::Directory { dir: path.to_owned(), source };
    // Not truncated here: the text is the holder's until the lock is ours.
    let mut options = File::options();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join(LOCK_NAME))
        .map_err(directory)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let read = (&mut file).take(16).read_to_string(&mut pid);
            let pid = read.ok().and_then(|_| pid.trim().parse().ok()).unwrap_or(0);
            return Err(Error::Locked { dir: path.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(directory(source)),
    }
    let note = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    note(&mut file).map_err(directory)?;
    Ok(file)
}

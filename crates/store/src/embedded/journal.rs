//! Checks fjall's journals before fjall reads them.
//!
//! fjall takes the first entry that it cannot read for the end of a journal and cuts the file there.
//! For a batch that a power cut tore that is right; for damage in the middle it would silently throw
//! away everything behind it. Each batch is synced before the next is written, so only the last batch
//! of the newest journal can be torn: whatever else is broken is damage, and the directory is refused.
//!
//! The format (fjall 3, `src/journal/entry.rs`; numbers are little endian, journals are written
//! without compression, see [`super::engine`]):
//!
//! ```text
//! batch = 1 count:u32 seqno:u64  entry × count  3 xxh3-64-of-entries:u64 "FJL" 3
//! entry = 2 type:u8 0 keyspace:u64 key_len:u16 value_len:u32 stored_len:u32 key value
//!       | 4 keyspace:u64
//! ```
//!
//! A journal is made 64 MiB long at once: zeros follow its last batch. The checksum does not cover the
//! `seqno`; that they rise from batch to batch stands in for it.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8; 4] = b"FJL\x03";

/// The least that a disk writes at once. A torn batch shows as whole sectors that were never written.
const SECTOR: usize = 512;

/// Numbers that fjall may take for its own work between two batches; it takes a few per flush.
const SEQNO_STEP_MAX: u64 = 1 << 20;

/// Read ahead, and held for hashing.
const BUFFER_BYTES: usize = 64 * 1024;

/// A batch that was being written when the power went: it was never acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Torn {
    /// The journal.
    pub(super) path: PathBuf,
    /// Where the batch begins; the journal is whole up to there.
    pub(super) at: u64,
}

impl Torn {
    /// Removes the torn batch.
    pub(super) fn cut(&self) -> io::Result<()> {
        let file = File::options().write(true).open(&self.path)?;
        file.set_len(self.at)?;
        file.sync_all()
    }
}

/// What a check found wrong.
#[derive(Debug)]
pub(super) enum Fault {
    /// The files could not be read.
    Io(io::Error),
    /// They hold something else than they should.
    Damaged(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads all journals of a database; changes nothing.
pub(super) fn check(database: &Path) -> Result<Option<Torn>, Fault> {
    let mut journals = Vec::new();
    for entry in std::fs::read_dir(database)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let id =
                path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
            let id = id.ok_or_else(|| Fault::Damaged(format!("{} is no journal", path.display())))?;
            journals.push((id, path));
        }
    }
    journals.sort();
    let mut seqno = None;
    let (_, newest) = journals.pop().ok_or_else(|| Fault::Damaged("there is no journal".to_owned()))?;
    for (_, path) in journals {
        if let Some(at) = broken_at(&path, &mut seqno)? {
            return Err(damaged(&path, at));
        }
    }
    let Some(at) = broken_at(&newest, &mut seqno)? else { return Ok(None) };
    let mut file = File::open(&newest)?;
    file.seek(SeekFrom::Start(at))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    if is_torn(&tail, at) { Ok(Some(Torn { path: newest, at })) } else { Err(damaged(&newest, at)) }
}

fn damaged(path: &Path, at: u64) -> Fault {
    Fault::Damaged(format!("{} is unreadable from byte {at} on", path.display()))
}

/// Where the first batch begins that is not whole or does not follow `last`; `None` if nothing but
/// zeros follows the last batch.
fn broken_at(path: &Path, last: &mut Option<u64>) -> io::Result<Option<u64>> {
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
    let mut at = 0;
    while let Some(batch) = batch(&mut reader)? {
        let follows = last.is_none_or(|last| batch.seqno.wrapping_sub(last + 1) < SEQNO_STEP_MAX);
        if !follows {
            return Ok(Some(at));
        }
        *last = Some(batch.seqno);
        at += batch.bytes;
    }
    reader.seek(SeekFrom::Start(at))?;
    let zeros = vec![0; BUFFER_BYTES];
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(None),
            read if buffer[..read] != zeros[..read] => return Ok(Some(at)),
            _ => {}
        }
    }
}

/// Whether the broken rest of the newest journal, which begins at byte `at`, is one torn batch.
fn is_torn(tail: &[u8], at: u64) -> bool {
    let written = tail.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let tail = &tail[..written];
    let another = (1..tail.len()).any(|i| tail[i] == START && matches!(batch(&mut &tail[i..]), Ok(Some(_))));
    if another {
        return false;
    }
    let to_sector = (SECTOR - at as usize % SECTOR) % SECTOR;
    let hole =
        tail.get(to_sector..).unwrap_or_default().chunks_exact(SECTOR).any(|s| s.iter().all(|&b| b == 0));
    // Written to its end and yet wrong: something changed it afterwards. The second case is a batch
    // whose trailer is what changed.
    let changed_trailer =
        matches!(body(&mut &*tail), Ok(Some(body)) if body.bytes as usize + TRAILER.len() <= tail.len());
    let complete = tail.ends_with(TRAILER) || changed_trailer;
    hole || !complete
}

struct Batch {
    bytes: u64,
    seqno: u64,
}

/// Reads one whole batch; `None` if there is none.
fn batch(reader: &mut impl Read) -> io::Result<Option<Batch>> {
    let Some(Batch { bytes, seqno }) = body(reader)? else { return Ok(None) };
    let mut trailer = [0; 4];
    let whole = fill(reader, &mut trailer)? && &trailer == TRAILER;
    Ok(whole.then_some(Batch { bytes: bytes + 4, seqno }))
}

/// A batch without its trailer.
fn body(reader: &mut impl Read) -> io::Result<Option<Batch>> {
    let (mut start, mut count, mut seqno) = ([0], [0; 4], [0; 8]);
    if !(fill(reader, &mut start)?
        && start == [START]
        && fill(reader, &mut count)?
        && fill(reader, &mut seqno)?)
    {
        return Ok(None);
    }
    let (count, seqno) = (u32::from_le_bytes(count), u64::from_le_bytes(seqno));
    let mut hash = Xxh3::new();
    let mut bytes = 13;
    for _ in 0..count {
        match entry(reader, &mut hash)? {
            Some(more) => bytes += more,
            None => return Ok(None),
        }
    }
    let mut end = [0; 9];
    let whole = fill(reader, &mut end)? && end[0] == END && end[1..] == hash.digest().to_le_bytes();
    Ok(whole.then_some(Batch { bytes: bytes + 9, seqno }))
}

/// Hashes one entry and answers its length.
fn entry(reader: &mut impl Read, hash: &mut Xxh3) -> io::Result<Option<u64>> {
    let mut head = [0; 21];
    if !fill(reader, &mut head[..9])? {
        return Ok(None);
    }
    match head[0] {
        CLEAR => {
            hash.update(&head[..9]);
            Ok(Some(9))
        }
        ITEM => {
            if !fill(reader, &mut head[9..])? {
                return Ok(None);
            }
            hash.update(&head);
            let key = u64::from(u16::from_le_bytes([head[11], head[12]]));
            let value = u64::from(u32::from_le_bytes([head[17], head[18], head[19], head[20]]));
            let hashed = hash_exactly(reader, key + value, hash)?;
            Ok(hashed.then_some(head.len() as u64 + key + value))
        }
        _ => Ok(None),
    }
}

fn hash_exactly(reader: &mut impl Read, mut bytes: u64, hash: &mut Xxh3) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    while bytes > 0 {
        let part = buffer.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
        if !fill(reader, &mut buffer[..part])? {
            return Ok(false);
        }
        hash.update(&buffer[..part]);
        bytes -= part as u64;
    }
    Ok(true)
}

/// Fills the buffer; `false` if the file ends first.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_batch(seqno: u64, value: &[u8]) -> Vec<u8> {
        let mut item = vec![ITEM, 0, 0];
        item.extend(1u64.to_le_bytes());
        item.extend(3u16.to_le_bytes());
        item.extend((value.len() as u32).to_le_bytes());
        item.extend((value.len() as u32).to_le_bytes());
        item.extend(b"key");
        item.extend(value);
        let mut bytes = vec![START];
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(seqno.to_le_bytes());
        bytes.extend(&item);
        bytes.push(END);
        bytes.extend(xxhash_rust::xxh3::xxh3_64(&item).to_le_bytes());
        bytes.extend(TRAILER);
        bytes
    }

    /// What a check says of one journal of these bytes: where it is torn, or `Err` for damage.
    fn check_bytes(bytes: &[u8]) -> Result<Option<u64>, ()> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("0.jnl"), bytes).unwrap();
        check(dir.path()).map(|torn| torn.map(|torn| torn.at)).map_err(|_| ())
    }

    fn two() -> (Vec<u8>, usize) {
        let mut bytes = a_batch(4, b"first");
        let second = bytes.len();
        bytes.extend(a_batch(5, &[7; 3000]));
        (bytes, second)
    }

    #[test]
    fn whole_journals_pass_with_and_without_zeros_behind_them() {
        let (mut bytes, _) = two();
        assert_eq!(check_bytes(&bytes), Ok(None));
        bytes.resize(bytes.len() + 200_000, 0);
        assert_eq!(check_bytes(&bytes), Ok(None));
        assert_eq!(check_bytes(&[]), Ok(None));
    }

    #[test]
    fn a_last_batch_cut_anywhere_is_torn() {
        let (bytes, second) = two();
        for end in second + 1..bytes.len() {
            assert_eq!(check_bytes(&bytes[..end]), Ok(Some(second as u64)), "cut at {end}");
        }
    }

    #[test]
    fn a_last_batch_with_a_sector_that_was_never_written_is_torn() {
        let (mut bytes, second) = two();
        bytes[1024..1536].fill(0);
        bytes.resize(10_000, 0);
        assert_eq!(check_bytes(&bytes), Ok(Some(second as u64)));
    }

    #[test]
    fn any_flipped_bit_before_the_last_batch_is_damage() {
        let (bytes, second) = two();
        for bit in 0..second * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let seqno = (5..13).contains(&(bit / 8));
            let found = check_bytes(&bytes);
            // A first seqno that is still below the second's orders the two as before.
            assert!(found.is_err() || seqno && found == Ok(None), "bit {bit}: {found:?}");
        }
    }

    #[test]
    fn a_flipped_bit_in_the_last_batch_is_no_torn_write() {
        let mut bytes = a_batch(4, b"first");
        let second = bytes.len();
        bytes.extend(a_batch(5, &[7; 300]));
        for bit in (second + 13) * 8..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check_bytes(&bytes), Err(()), "bit {bit}");
        }
    }
}

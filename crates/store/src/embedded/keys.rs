//! Every key of the embedded store. The table of them is in [`super`].
//!
//! Ids are printable ASCII, so a zero byte ends one: ids that are prefixes of each other never mix,
//! and the rows of one id lie together. Numbers are big endian, so that the order of bytes is the
//! order of numbers.

use std::ops::Range;

use fjall::UserKey;
use godwit_types::{AccountId, ConversationId, DeviceId, LogId, ShardId};

use crate::{Pending, PendingKind};

const END: u8 = 0;
/// Ends a range that holds every key of an id: the byte after [`END`].
const PAST_END: u8 = 1;

const ROW: u8 = b'r';
const SUMMARY: u8 = b's';
const MEMBERSHIP: u8 = b'm';
const DEVICE: u8 = b'd';
const PENDING: u8 = b'p';
const REVOCATION: u8 = b'v';

/// The key of the epoch counter.
pub(super) const EPOCH: &[u8] = b"e";

fn join(parts: &[&[u8]]) -> UserKey {
    let mut key = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        key.extend_from_slice(part);
    }
    key.into()
}

fn log_parts(log: &LogId) -> (u8, &[u8]) {
    match log {
        LogId::Conversation(id) => (b'c', id.as_str().as_bytes()),
        LogId::Inbox(id) => (b'i', id.as_str().as_bytes()),
    }
}

/// The row `n` of a log.
pub(super) fn row(log: &LogId, n: u64) -> UserKey {
    let (kind, id) = log_parts(log);
    join(&[&[ROW, kind], id, &[END], &n.to_be_bytes()])
}

/// The number in a row's key.
pub(super) fn row_number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*key.last_chunk()?))
}

/// The log's summary.
pub(super) fn summary(log: &LogId) -> UserKey {
    let (kind, id) = log_parts(log);
    join(&[&[SUMMARY, kind], id])
}

/// What an account holds of a conversation.
pub(super) fn membership(account: &AccountId, conversation: &ConversationId) -> UserKey {
    below_account(MEMBERSHIP, account, conversation.as_str())
}

/// All memberships of an account.
pub(super) fn memberships(account: &AccountId) -> Range<UserKey> {
    of_account(MEMBERSHIP, account)
}

/// One device.
pub(super) fn device(account: &AccountId, device: &DeviceId) -> UserKey {
    below_account(DEVICE, account, device.as_str())
}

/// All devices of an account.
pub(super) fn devices(account: &AccountId) -> Range<UserKey> {
    of_account(DEVICE, account)
}

fn below_account(table: u8, account: &AccountId, rest: &str) -> UserKey {
    join(&[&[table], account.as_str().as_bytes(), &[END], rest.as_bytes()])
}

fn of_account(table: u8, account: &AccountId) -> Range<UserKey> {
    let id = account.as_str().as_bytes();
    join(&[&[table], id, &[END]])..join(&[&[table], id, &[PAST_END]])
}

/// What follows the account in a key.
pub(super) fn after_account(key: &[u8]) -> Option<&str> {
    let end = key.iter().position(|&byte| byte == END)?;
    std::str::from_utf8(&key[end + 1..]).ok()
}

/// Something under way.
pub(super) fn pending(pending: &Pending) -> UserKey {
    let kind = match pending.kind {
        PendingKind::Fanout => b'f',
        PendingKind::Push => b'p',
    };
    join(&[&[PENDING], &pending.shard.0.to_be_bytes(), &[kind], pending.id.as_bytes()])
}

/// All that is under way in one shard.
pub(super) fn pending_of(shard: ShardId) -> Range<UserKey> {
    let shard = shard.0.to_be_bytes();
    join(&[&[PENDING], &shard])..join(&[&[PENDING], &shard, &[u8::MAX]])
}

/// All that is under way in `from` and the shards after it.
pub(super) fn pending_from(from: ShardId) -> Range<UserKey> {
    join(&[&[PENDING], &from.0.to_be_bytes()])..join(&[&[PENDING + 1]])
}

/// What a key of something under way says.
pub(super) fn read_pending(key: &[u8]) -> Option<Pending> {
    let (shard, rest) = key.strip_prefix(&[PENDING])?.split_first_chunk()?;
    let (kind, id) = rest.split_first()?;
    let kind = match kind {
        b'f' => PendingKind::Fanout,
        b'p' => PendingKind::Push,
        _ => return None,
    };
    let id = std::str::from_utf8(id).ok()?.to_owned();
    Some(Pending { shard: ShardId(u16::from_be_bytes(*shard)), kind, id })
}

/// A revocation: of one device, or with `None` of a whole account. No device id is empty.
pub(super) fn revocation(account: &AccountId, device: Option<&DeviceId>) -> UserKey {
    below_account(REVOCATION, account, device.map_or("", DeviceId::as_str))
}

/// All revocations.
pub(super) fn revocations() -> Range<UserKey> {
    join(&[&[REVOCATION]])..join(&[&[REVOCATION + 1]])
}

/// Whose revocation a key is.
pub(super) fn read_revocation(key: &[u8]) -> Option<(AccountId, Option<DeviceId>)> {
    let device = after_account(key)?;
    let account = key.get(1..key.len() - device.len() - 1)?;
    let account = AccountId::new(std::str::from_utf8(account).ok()?).ok()?;
    if device.is_empty() {
        return Some((account, None));
    }
    Some((account, Some(DeviceId::new(device).ok()?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inbox(id: &str) -> LogId {
        LogId::Inbox(AccountId::new(id).unwrap())
    }

    #[test]
    fn rows_of_a_log_lie_together_in_order() {
        let mut keys = Vec::new();
        for id in ["a", "a ", "a!", "aa", "b"] {
            for n in [0, 1, 255, 256, u64::MAX] {
                keys.push(row(&inbox(id), n));
            }
        }
        assert!(keys.is_sorted());
        assert_eq!(row_number(&keys[4]), Some(u64::MAX));
        assert_ne!(row(&inbox("a"), 1), row(&LogId::Conversation(ConversationId::new("a").unwrap()), 1));
    }

    proptest! {
        #[test]
        fn no_key_makes_a_reader_panic(key in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (row_number(&key), after_account(&key), read_pending(&key), read_revocation(&key));
        }

        #[test]
        fn a_revocation_key_reads_back(account in "[ -~]{1,128}", device in proptest::option::of("[a-z]{1,64}")) {
            prop_assume!(account != "." && account != "..");
            let account = AccountId::new(&account).unwrap();
            let device = device.map(|id| DeviceId::new(&id).unwrap());
            prop_assert_eq!(read_revocation(&revocation(&account, device.as_ref())), Some((account, device)));
        }
    }
}

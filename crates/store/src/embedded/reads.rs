//! What the store answers, as plain functions over an open database. All of them may block on the disk.

use std::ops::Range;

use bytes::Bytes;
use fjall::{Readable, UserKey};
use godwit_types::{AccountId, ConversationId, DeviceId, LogId, ShardId};

use super::engine::Engine;
use super::{failed, keys, read_timestamp, row};
use crate::{Error, Limit, Pending, Revocation, Row};

type Pair = Result<(UserKey, fjall::UserValue), Error>;

/// A range at one moment: a batch is seen whole or not at all.
fn scan(engine: &Engine, range: Range<UserKey>) -> impl DoubleEndedIterator<Item = Pair> + use<> {
    engine.database.snapshot().range(&engine.data, range).map(|guard| guard.into_inner().map_err(failed))
}

fn unreadable(key: &[u8]) -> Error {
    Error::Failed(format!("the record {} is unreadable", key.escape_ascii()))
}

/// See [`Store::rows_after`](crate::Store::rows_after).
pub(super) fn rows_after(
    engine: &Engine,
    log: &LogId,
    after: u64,
    upto: u64,
    limit: Limit,
) -> Result<Vec<Row>, Error> {
    let Some(first) = after.checked_add(1).filter(|first| *first <= upto) else { return Ok(Vec::new()) };
    // The end of a range is not in it, and `upto` may be the last number of all: one byte behind its
    // key there is no other row.
    let mut end = keys::row(log, upto).to_vec();
    end.push(0);
    collect(scan(engine, keys::row(log, first)..end.into()), limit)
}

/// See [`Store::rows_before`](crate::Store::rows_before).
pub(super) fn rows_before(
    engine: &Engine,
    log: &LogId,
    before: u64,
    limit: Limit,
) -> Result<Vec<Row>, Error> {
    collect(scan(engine, keys::row(log, 0)..keys::row(log, before)).rev(), limit)
}

fn collect(pairs: impl Iterator<Item = Pair>, limit: Limit) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    let mut bytes = 0;
    for pair in pairs {
        let (key, value) = pair?;
        let row =
            keys::row_number(&key).and_then(|n| row::decode(n, &value)).ok_or_else(|| unreadable(&key))?;
        bytes += row.payload.len();
        rows.push(row);
        if rows.len() >= limit.rows || bytes >= limit.bytes {
            break;
        }
    }
    Ok(rows)
}

/// See [`Store::row`](crate::Store::row).
pub(super) fn row(engine: &Engine, log: &LogId, n: u64) -> Result<Option<Row>, Error> {
    let key = keys::row(log, n);
    let Some(value) = engine.data.get(&key).map_err(failed)? else { return Ok(None) };
    row::decode(n, &value).ok_or_else(|| unreadable(&key)).map(Some)
}

/// See [`Store::summary`](crate::Store::summary).
pub(super) fn summary(engine: &Engine, log: &LogId) -> Result<Option<Bytes>, Error> {
    let value = engine.data.get(keys::summary(log)).map_err(failed)?;
    Ok(value.map(|value| Bytes::copy_from_slice(&value)))
}

/// See [`Store::memberships`](crate::Store::memberships).
pub(super) fn memberships(
    engine: &Engine,
    account: &AccountId,
) -> Result<Vec<(ConversationId, Bytes)>, Error> {
    below_account(engine, keys::memberships(account), |id| ConversationId::new(id).ok())
}

/// See [`Store::devices`](crate::Store::devices).
pub(super) fn devices(engine: &Engine, account: &AccountId) -> Result<Vec<(DeviceId, Bytes)>, Error> {
    below_account(engine, keys::devices(account), |id| DeviceId::new(id).ok())
}

fn below_account<T>(
    engine: &Engine,
    range: Range<UserKey>,
    id: impl Fn(&str) -> Option<T>,
) -> Result<Vec<(T, Bytes)>, Error> {
    scan(engine, range)
        .map(|pair| {
            let (key, value) = pair?;
            let id = keys::after_account(&key).and_then(&id).ok_or_else(|| unreadable(&key))?;
            Ok((id, Bytes::copy_from_slice(&value)))
        })
        .collect()
}

/// See [`Store::pending`](crate::Store::pending).
pub(super) fn pending(engine: &Engine, shard: ShardId) -> Result<Vec<Pending>, Error> {
    scan(engine, keys::pending_of(shard)).map(|pair| read_pending(&pair?.0)).collect()
}

/// See [`Store::shards_with_pending`](crate::Store::shards_with_pending). One seek per shard found.
pub(super) fn shards_with_pending(engine: &Engine) -> Result<Vec<ShardId>, Error> {
    let mut shards = Vec::new();
    let mut from = Some(ShardId(0));
    while let Some(next) = from {
        let Some(pair) = scan(engine, keys::pending_from(next)).next() else { break };
        let shard = read_pending(&pair?.0)?.shard;
        shards.push(shard);
        from = shard.0.checked_add(1).map(ShardId);
    }
    Ok(shards)
}

fn read_pending(key: &[u8]) -> Result<Pending, Error> {
    keys::read_pending(key).ok_or_else(|| unreadable(key))
}

/// See [`Store::revocations`](crate::Store::revocations).
pub(super) fn revocations(engine: &Engine) -> Result<Vec<Revocation>, Error> {
    scan(engine, keys::revocations())
        .map(|pair| {
            let (key, value) = pair?;
            let (account, device) = keys::read_revocation(&key).ok_or_else(|| unreadable(&key))?;
            let at = read_timestamp(&value).ok_or_else(|| unreadable(&key))?;
            Ok(Revocation { account, device, at })
        })
        .collect()
}

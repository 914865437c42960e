//! What is not a row of a log: summaries, memberships, devices, pending work, revocations.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use godwit_store::{Error, Pending, PendingKind, Revocation};
use godwit_types::{AccountId, ConversationId, DeviceId, LogId, ShardId, Timestamp};

use crate::carrier::Requests;
use crate::changes::{REVOCATION_PARTS, Value, kind_of, name_of};
use crate::faults::failed;
use crate::statements::Name;
use crate::usage::Kind;

/// Requests under way while all shards, or all parts, are looked at: a node that starts must not crowd out
/// those that serve.
const LOOKS_MAX: usize = 32;

/// A text of ours that came back.
fn id<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|error| failed(&format!("the id {text:?} in the database"), error))
}

/// See [`Store::summary`](godwit_store::Store::summary).
pub(crate) async fn summary(requests: &Requests, log: &LogId) -> Result<Option<Bytes>, Error> {
    let values = vec![Value::Text(name_of(log))];
    requests.first(Name::Summary, Kind::Record, values, |(value,): (Bytes,)| Ok(value)).await
}

/// See [`Store::memberships`](godwit_store::Store::memberships).
pub(crate) async fn memberships(
    requests: &Requests,
    account: &AccountId,
) -> Result<Vec<(ConversationId, Bytes)>, Error> {
    let values = vec![Value::Text(account.to_string())];
    let read =
        |(conversation, value): (String, Bytes)| Ok((id(&conversation)?, Bytes::copy_from_slice(&value)));
    requests.all(Name::Memberships, Kind::Record, values, read).await
}

/// See [`Store::devices`](godwit_store::Store::devices).
pub(crate) async fn devices(
    requests: &Requests,
    account: &AccountId,
) -> Result<Vec<(DeviceId, Bytes)>, Error> {
    let values = vec![Value::Text(account.to_string())];
    let read = |(device, value): (String, Bytes)| Ok((id(&device)?, Bytes::copy_from_slice(&value)));
    requests.all(Name::Devices, Kind::Record, values, read).await
}

/// See [`Store::pending`](godwit_store::Store::pending).
pub(crate) async fn pending(requests: &Requests, shard: ShardId) -> Result<Vec<Pending>, Error> {
    let read = |(kind, id): (i8, String)| {
        let kinds = [PendingKind::Fanout, PendingKind::Push];
        let kind = kinds.into_iter().find(|known| kind_of(*known) == kind);
        let kind =
            kind.ok_or_else(|| failed("pending work", format!("shard {shard} has some of no known kind")))?;
        Ok(Pending { shard, kind, id })
    };
    requests.all(Name::Pending, Kind::Record, vec![Value::Int(shard.0.into())], read).await
}

/// See [`Store::shards_with_pending`](godwit_store::Store::shards_with_pending). One short read per shard, and
/// not one scan of the table: a scan would wade through every removal of the last hour, and a database gives a
/// read up that meets too many.
pub(crate) async fn shards_with_pending(requests: &Requests, shards: u16) -> Result<Vec<ShardId>, Error> {
    let looks = (0..shards).map(async |shard| {
        let values = vec![Value::Int(shard.into())];
        requests.first(Name::PendingAny, Kind::Record, values, |(_,): (i32,)| Ok(ShardId(shard))).await
    });
    stream::iter(looks).buffered(LOOKS_MAX).try_filter_map(async |found| Ok(found)).try_collect().await
}

/// See [`Store::revocations`](godwit_store::Store::revocations).
pub(crate) async fn revocations(requests: &Requests) -> Result<Vec<Revocation>, Error> {
    let parts = (0..REVOCATION_PARTS).map(async |part| {
        let read = |(account, device, at): (String, String, i64)| {
            let device = if device.is_empty() { None } else { Some(id::<DeviceId>(&device)?) };
            Ok(((id::<AccountId>(&account)?, device), Timestamp::from_ms(at.cast_unsigned())))
        };
        requests.all(Name::Revocations, Kind::Record, vec![Value::Int(part.into())], read).await
    });
    let mut latest: BTreeMap<(AccountId, Option<DeviceId>), Timestamp> = BTreeMap::new();
    let mut parts = stream::iter(parts).buffered(LOOKS_MAX);
    while let Some(part) = parts.try_next().await? {
        for (whose, at) in part {
            let held = latest.entry(whose).or_insert(at);
            *held = at.max(*held);
        }
    }
    Ok(latest.into_iter().map(|((account, device), at)| Revocation { account, device, at }).collect())
}

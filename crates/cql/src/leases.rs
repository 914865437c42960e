//! Sessions and owners, by lightweight transactions.

use godwit_store::{Error, Ownership, Session, Swap, group_of};
use godwit_types::{NodeId, ShardId, Stamp};

use crate::carrier::Requests;
use crate::changes::{Change, Value};
use crate::faults::failed;
use crate::statements::Name;
use crate::usage::Kind;

type SessionColumns = (i64, i64, i64, bool);

fn session_of((incarnation, renewals, ceiling, fenced): SessionColumns) -> Session {
    Session {
        incarnation: incarnation.cast_unsigned(),
        renewals: renewals.cast_unsigned(),
        ceiling: Stamp::from_us(ceiling),
        fenced,
    }
}

fn columns_of(session: Session) -> [Value; 4] {
    [
        Value::Long(session.incarnation.cast_signed()),
        Value::Long(session.renewals.cast_signed()),
        Value::Long(session.ceiling.as_us()),
        Value::Flag(session.fenced),
    ]
}

fn node_of(text: &str) -> Result<NodeId, Error> {
    NodeId::new(text).map_err(|error| failed(&format!("the node {text:?} in the database"), error))
}

/// See [`LeaseStore::session`](godwit_store::LeaseStore::session).
pub(crate) async fn session(requests: &Requests, node: &NodeId) -> Result<Option<Session>, Error> {
    let read = |columns: SessionColumns| Ok(session_of(columns));
    requests.first(Name::Session, Kind::Lease, vec![Value::Text(node.to_string())], read).await
}

/// See [`LeaseStore::glance`](godwit_store::LeaseStore::glance).
pub(crate) async fn glance(requests: &Requests, node: &NodeId) -> Result<Option<Session>, Error> {
    let read = |columns: SessionColumns| Ok(session_of(columns));
    requests.first(Name::Glance, Kind::Glance, vec![Value::Text(node.to_string())], read).await
}

/// See [`LeaseStore::sessions`](godwit_store::LeaseStore::sessions).
pub(crate) async fn sessions(requests: &Requests) -> Result<Vec<(NodeId, Session)>, Error> {
    let read = |(node, incarnation, renewals, ceiling, fenced): (String, i64, i64, i64, bool)| {
        Ok((node_of(&node)?, session_of((incarnation, renewals, ceiling, fenced))))
    };
    requests.all(Name::Sessions, Kind::Lease, Vec::new(), read).await
}

/// See [`LeaseStore::swap_session`](godwit_store::LeaseStore::swap_session).
pub(crate) async fn swap_session(
    requests: &Requests,
    node: &NodeId,
    expected: Option<Session>,
    wanted: Session,
) -> Result<Swap, Error> {
    let node = Value::Text(node.to_string());
    let change = match expected {
        None => {
            let values = [node].into_iter().chain(columns_of(wanted)).collect();
            Change { name: Name::SessionBegin, values }
        }
        Some(expected) => {
            let values = columns_of(wanted).into_iter().chain([node]).chain(columns_of(expected)).collect();
            Change { name: Name::SessionSwap, values }
        }
    };
    requests.swap(vec![change]).await
}

/// See [`LeaseStore::owners`](godwit_store::LeaseStore::owners).
pub(crate) async fn owners(requests: &Requests, group: u16) -> Result<Vec<(ShardId, Ownership)>, Error> {
    owners_by(requests, Name::Owners, Kind::Lease, group).await
}

/// See [`LeaseStore::glance_owners`](godwit_store::LeaseStore::glance_owners).
pub(crate) async fn glance_owners(
    requests: &Requests,
    group: u16,
) -> Result<Vec<(ShardId, Ownership)>, Error> {
    owners_by(requests, Name::GlanceOwners, Kind::Glance, group).await
}

async fn owners_by(
    requests: &Requests,
    name: Name,
    kind: Kind,
    group: u16,
) -> Result<Vec<(ShardId, Ownership)>, Error> {
    let read = |(shard, node, incarnation, epoch, base, unclean_base): (i32, String, i64, i64, i64, i64)| {
        let shard = u16::try_from(shard).map_err(|error| failed("a shard in the database", error))?;
        let ownership = Ownership {
            node: node_of(&node)?,
            incarnation: incarnation.cast_unsigned(),
            epoch: epoch.cast_unsigned(),
            base: Stamp::from_us(base),
            unclean_base: Stamp::from_us(unclean_base),
        };
        Ok((ShardId(shard), ownership))
    };
    requests.all(name, kind, vec![Value::Int(group.into())], read).await
}

/// See [`LeaseStore::swap_owners`](godwit_store::LeaseStore::swap_owners).
pub(crate) async fn swap_owners(
    requests: &Requests,
    group: u16,
    changes: Vec<(ShardId, Option<u64>, Ownership)>,
) -> Result<Swap, Error> {
    if let Some((shard, ..)) = changes.iter().find(|(shard, ..)| group_of(*shard) != group) {
        return Err(failed("a swap of owners", format!("shard {shard} is not in group {group}")));
    }
    let changes = changes.into_iter().map(|(shard, expected, wanted)| {
        let key = [Value::Int(group.into()), Value::Int(shard.0.into())];
        let columns = [
            Value::Text(wanted.node.to_string()),
            Value::Long(wanted.incarnation.cast_signed()),
            Value::Long(wanted.epoch.cast_signed()),
            Value::Long(wanted.base.as_us()),
            Value::Long(wanted.unclean_base.as_us()),
        ];
        match expected {
            None => Change { name: Name::OwnerBegin, values: key.into_iter().chain(columns).collect() },
            Some(epoch) => {
                let expected = Value::Long(epoch.cast_signed());
                let values = columns.into_iter().chain(key).chain([expected]).collect();
                Change { name: Name::OwnerSwap, values }
            }
        }
    });
    requests.swap(changes.collect()).await
}

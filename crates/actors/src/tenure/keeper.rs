//! The keeper: renews the session, takes shards that are free, notices those that were lost.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use godwit_core::lease::{Ownership, Plan, Session, View, Watch};
use godwit_store::{Error, Swap, group_of, shards_of};
use godwit_types::{NodeId, ShardId, Stamp};
use tokio::sync::Mutex;

use super::leased::{Leased, boottime, now};
use crate::node::Node;

/// A session is renewed, and the shards' owners looked at, this many times within a lease.
const LOOKS_PER_LEASE: u32 = 3;
/// Groups of shards that are looked at or taken at once: a compare-and-set takes some 30 ms, and a
/// database has other things to do.
const GROUPS_AT_ONCE: usize = 8;
/// Pause before something that the database did not answer is tried again.
const REPEAT_PAUSE: Duration = Duration::from_millis(100);

/// Why a run of the node is over.
enum Over {
    /// Another node has declared it dead.
    Fenced,
    /// Another process runs under this node's name.
    Replaced,
    /// The store was closed.
    Closed,
}

/// Keeps a node's session and shards for as long as the node lives. With the embedded store there is nothing
/// to keep.
pub(crate) async fn keep(node: Arc<Node>) {
    let Some(leased) = node.tenure.leases() else { return };
    loop {
        let over = match Run::begin(&leased, &node).await {
            Ok(run) => run.last().await,
            Err(over) => over,
        };
        leased.set_session(None, Duration::ZERO);
        let lost: Vec<_> = (0..leased.shard_count()).map(ShardId).filter(|s| leased.drop_shard(*s)).collect();
        node.let_go(&lost);
        match over {
            Over::Fenced => {
                tracing::warn!(
                    shards = lost.len(),
                    "the session was fenced: this node was silent for too long, and starts again"
                );
                leased.stands_by("the node begins a new session".to_owned());
            }
            Over::Replaced => {
                let what = format!("another process runs as node {}; give each its own node.id", leased.node);
                node.end(what);
                return;
            }
            Over::Closed => return,
        }
    }
}

/// One run: from a new incarnation until it is over.
struct Run<'a> {
    leased: &'a Arc<Leased>,
    node: &'a Arc<Node>,
    incarnation: u64,
    /// What the run before left behind.
    former: Option<Session>,
    session: Mutex<Session>,
}

impl<'a> Run<'a> {
    async fn begin(leased: &'a Arc<Leased>, node: &'a Arc<Node>) -> Result<Self, Over> {
        let incarnation = rand::random();
        loop {
            let since = boottime();
            let former = match leased.leases.session(&leased.node).await {
                Ok(former) => former,
                Err(error) => {
                    pause(leased, &error).await?;
                    continue;
                }
            };
            let session = Session::begin(former, incarnation, now(), leased.lease);
            match leased.leases.swap_session(&leased.node, former, session).await {
                Ok(Swap::Applied) => {
                    leased.set_session(Some(session), since);
                    let session = Mutex::new(session);
                    return Ok(Self { leased, node, incarnation, former, session });
                }
                Ok(Swap::Refused) => {}
                // It may have happened: then the next turn finds it, and replaces it by the same run again.
                Err(error) => pause(leased, &error).await?,
            }
        }
    }

    async fn last(&self) -> Over {
        tokio::select! {
            over = self.renew_always() => over,
            over = self.take_always() => over,
        }
    }

    async fn renew_always(&self) -> Over {
        loop {
            tokio::time::sleep(self.leased.lease / LOOKS_PER_LEASE).await;
            if let Err(over) = self.renew(Stamp::MIN).await {
                return over;
            }
        }
    }

    /// Renews the session, with room for stamps above `base`.
    async fn renew(&self, base: Stamp) -> Result<(), Over> {
        let mut session = self.session.lock().await;
        let wanted = session.renewed(now(), base, self.leased.lease);
        // An answer that got lost proves nothing: the same swap is repeated until something is known.
        let since = boottime();
        loop {
            let error = match self.leased.leases.swap_session(&self.leased.node, Some(*session), wanted).await
            {
                Ok(Swap::Applied) => break,
                Ok(Swap::Refused) => match self.leased.leases.session(&self.leased.node).await {
                    Ok(Some(found)) if found == wanted => break,
                    Ok(found) if found.is_some_and(|found| found.incarnation != self.incarnation) => {
                        return Err(Over::Replaced);
                    }
                    Ok(Some(found)) if found == *session => continue,
                    Ok(_) => return Err(Over::Fenced),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            pause(self.leased, &error).await?;
        }
        *session = wanted;
        self.leased.set_session(Some(wanted), since);
        Ok(())
    }

    async fn take_always(&self) -> Over {
        let mut watch = Watch::default();
        loop {
            match self.look(&mut watch).await {
                Ok(others) if others.is_empty() => self.leased.serves(),
                Ok(others) => {
                    let names: Vec<_> = others.iter().map(NodeId::as_str).collect();
                    let reason = format!("node {} has the shards, this one stands by", names.join(", "));
                    self.leased.stands_by(reason);
                }
                Err(LookError::Over(over)) => return over,
                Err(LookError::Store(error)) => {
                    if let Err(over) = pause(self.leased, &error).await {
                        return over;
                    }
                }
            }
            let raise = std::mem::take(&mut *self.leased.to_raise.lock());
            for (shard, found) in raise {
                if let Err(error) = self.raise(shard, found).await {
                    tracing::warn!(%shard, %error, "the shard could not be taken above its rows, and is tried again when it is used");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(self.leased.lease / LOOKS_PER_LEASE) => {}
                () = self.leased.wake.notified() => {}
            }
        }
    }

    /// Looks at all groups: takes what is free, lets go what is not this run's any more. The other nodes that
    /// have shards.
    async fn look(&self, watch: &mut Watch) -> Result<BTreeSet<NodeId>, LookError> {
        let sessions = self.sessions(watch).await?;
        // Whoever has the first group takes the others: of two nodes that start at one moment, neither is left
        // with half of the shards.
        let (mut others, mut new) = self.group(0, &sessions).await?;
        if !others.is_empty() {
            self.node.adopt(new);
            return Ok(others);
        }
        debug_assert!(self.leased.owned(ShardId(0)).is_some(), "a group is another's, or is taken");
        let last = group_of(ShardId(self.leased.shard_count() - 1));
        let mut groups =
            stream::iter(1..=last).map(|group| self.group(group, &sessions)).buffer_unordered(GROUPS_AT_ONCE);
        let mut failed = None;
        while let Some(found) = groups.next().await {
            match found {
                Ok((alive, taken)) => {
                    others.extend(alive);
                    new.extend(taken);
                }
                Err(error) => failed = Some(error),
            }
        }
        self.node.adopt(new);
        failed.map_or(Ok(others), Err)
    }

    /// The sessions of the other nodes; one that has been silent for too long is fenced.
    async fn sessions(&self, watch: &mut Watch) -> Result<HashMap<NodeId, Session>, LookError> {
        let mut sessions = HashMap::new();
        for (node, mut session) in self.leased.leases.sessions().await? {
            if node == self.leased.node {
                continue;
            }
            if watch.is_silent(&node, &session, boottime(), self.leased.lease) {
                let fenced = session.fence();
                // Refused: it has renewed after all, or somebody else was quicker. The next look tells.
                if self.leased.leases.swap_session(&node, Some(session), fenced).await? == Swap::Applied {
                    tracing::warn!(silent = %node, "a node was silent for longer than its lease and is declared dead");
                    session = fenced;
                }
            }
            sessions.insert(node, session);
        }
        Ok(sessions)
    }

    /// One group: the other nodes that have shards in it, and the shards that are new here.
    async fn group(
        &self,
        group: u16,
        sessions: &HashMap<NodeId, Session>,
    ) -> Result<(BTreeSet<NodeId>, Vec<ShardId>), LookError> {
        let shards = || shards_of(group, self.leased.shard_count());
        // A plain read is enough while nothing changes. What is to change rests on one that finishes what others
        // have begun, and on the sessions of the owners that it shows, read after it.
        let owners = self.leased.leases.glance_owners(group).await?;
        let mut plan = self.plan(shards(), &owners, sessions);
        while !plan.take.is_empty() || self.differs(shards(), &plan) {
            let owners = self.leased.leases.owners(group).await?;
            let sessions = self.sessions_of(&owners).await?;
            plan = self.plan(shards(), &owners, &sessions);
            if plan.take.is_empty() {
                break;
            }
            self.make_room(plan.take.iter().map(|(_, _, new)| new.base).max()).await?;
            if self.leased.leases.swap_owners(group, plan.take.clone()).await? == Swap::Applied {
                let taken = std::mem::take(&mut plan.take).into_iter();
                plan.mine.extend(taken.map(|(shard, _, new)| (shard, new)));
                break;
            }
            // Somebody was quicker: whose they are now is read again.
        }
        let mine: HashMap<ShardId, Ownership> = plan.mine.into_iter().collect();
        let mut lost = Vec::new();
        let mut new = Vec::new();
        for shard in shards() {
            match (self.leased.owned(shard), mine.get(&shard)) {
                (Some(held), Some(owner)) if held.epoch == owner.epoch => {}
                (held, owner) => {
                    lost.extend(held.map(|_| shard));
                    self.leased.drop_shard(shard);
                    new.extend(owner.map(|owner| (shard, owner)));
                }
            }
        }
        if !lost.is_empty() {
            self.node.let_go(&lost);
            let session = self.leased.leases.session(&self.leased.node).await?;
            if !session.is_some_and(|session| session.is_alive_as(self.incarnation)) {
                return Err(Over::Fenced.into());
            }
            tracing::error!(
                group,
                shards = lost.len(),
                "shards have another owner although this node was not fenced; the database's compare-and-set does not hold"
            );
        }
        for (shard, owner) in &new {
            self.leased.take(*shard, owner);
        }
        Ok((plan.others, new.into_iter().map(|(shard, _)| shard).collect()))
    }

    fn plan(
        &self,
        shards: impl Iterator<Item = ShardId>,
        owners: &[(ShardId, Ownership)],
        sessions: &HashMap<NodeId, Session>,
    ) -> Plan {
        let (node, former) = (&self.leased.node, self.former.as_ref());
        View { node, incarnation: self.incarnation, former, sessions, now: now() }.plan(shards, owners)
    }

    /// The sessions of these owners' nodes.
    async fn sessions_of(
        &self,
        owners: &[(ShardId, Ownership)],
    ) -> Result<HashMap<NodeId, Session>, LookError> {
        let nodes: BTreeSet<_> = owners.iter().map(|(_, owner)| &owner.node).collect();
        let mut sessions = HashMap::new();
        for node in nodes {
            if let Some(session) = self.leased.leases.session(node).await? {
                sessions.insert(node.clone(), session);
            }
        }
        Ok(sessions)
    }

    /// Whether other shards are this run's than it holds.
    fn differs(&self, mut shards: impl Iterator<Item = ShardId>, plan: &Plan) -> bool {
        let mine: HashMap<_, _> = plan.mine.iter().map(|(shard, owner)| (*shard, owner.epoch)).collect();
        shards.any(|shard| self.leased.owned(shard).map(|held| held.epoch) != mine.get(&shard).copied())
    }

    async fn raise(&self, shard: ShardId, found: u64) -> Result<(), Error> {
        let group = group_of(shard);
        let owners = self.leased.leases.owners(group).await?;
        let held = self.leased.owned(shard);
        let owner = owners.into_iter().find(|(of, _)| *of == shard).map(|(_, owner)| owner);
        let Some(owner) = owner.filter(|owner| held.is_some_and(|held| held.epoch == owner.epoch)) else {
            return Ok(());
        };
        let raised = owner.raised_above(found, now());
        self.make_room(Some(raised.base))
            .await
            .map_err(|_| Error::Failed("the session is over".to_owned()))?;
        self.leased.drop_shard(shard);
        self.node.let_go(&[shard]);
        if self.leased.leases.swap_owners(group, vec![(shard, Some(owner.epoch), raised.clone())]).await?
            == Swap::Applied
        {
            self.leased.take(shard, &raised);
            self.node.adopt(vec![shard]);
        }
        Ok(())
    }

    /// Sees to it that the session's ceiling leaves room for stamps above `base`.
    async fn make_room(&self, base: Option<Stamp>) -> Result<(), Over> {
        let Some(base) = base else { return Ok(()) };
        if base.plus_ms(self.leased.lease.as_millis() as u64) > self.session.lock().await.ceiling {
            self.renew(base).await?;
        }
        Ok(())
    }
}

enum LookError {
    Over(Over),
    Store(Error),
}

impl From<Error> for LookError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<Over> for LookError {
    fn from(over: Over) -> Self {
        Self::Over(over)
    }
}

async fn pause(leased: &Leased, error: &Error) -> Result<(), Over> {
    if matches!(error, Error::Closed) {
        return Err(Over::Closed);
    }
    leased.not_answered(error);
    tokio::time::sleep(REPEAT_PAUSE).await;
    Ok(())
}

//! Sessions and owners: registers that change by compare-and-set only.
//!
//! A register has a value that is known to all, and perhaps one swap that some replicas have taken and nobody
//! knows the outcome of. Whoever next reads serially or swaps decides that one first, as Paxos does.

use std::collections::BTreeMap;

use godwit_types::{NodeId, ShardId};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{Memory, SwapFate};
use crate::{Answer, Error, LeaseStore, Ownership, Session, Swap};

/// All registers.
pub(super) struct Leases {
    sessions: BTreeMap<NodeId, Session>,
    owners: BTreeMap<u16, BTreeMap<ShardId, Ownership>>,
    undecided: BTreeMap<Register, Undecided>,
    late: Vec<Request>,
    chance: SmallRng,
}

/// What one swap is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Register {
    Session(NodeId),
    Owners(u16),
}

/// What a client wants to be so.
#[derive(Debug, Clone)]
enum Request {
    Session { node: NodeId, expected: Option<Session>, wanted: Session },
    Owners { group: u16, changes: Vec<(ShardId, Option<u64>, Ownership)> },
}

struct Undecided {
    request: Request,
    /// A plain read has shown it: it cannot come to nothing any more.
    shown: bool,
}

impl Request {
    fn register(&self) -> Register {
        match self {
            Self::Session { node, .. } => Register::Session(node.clone()),
            Self::Owners { group, .. } => Register::Owners(*group),
        }
    }
}

impl Leases {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            sessions: BTreeMap::new(),
            owners: BTreeMap::new(),
            undecided: BTreeMap::new(),
            late: Vec::new(),
            chance: SmallRng::seed_from_u64(seed),
        }
    }

    /// Takes a swap, and answers it as its fate says.
    fn swap(&mut self, request: Request, fate: SwapFate) -> Result<Swap, Error> {
        let lost = Err(Error::Failed("no answer to a swap".to_owned()));
        match fate {
            SwapFate::Answered => Ok(self.carry_out(&request)),
            SwapFate::Unanswered => {
                self.carry_out(&request);
                lost
            }
            SwapFate::Lost => lost,
            SwapFate::Undecided => {
                let register = request.register();
                self.decide(&register);
                if self.holds(&request) {
                    self.undecided.insert(register, Undecided { request, shown: false });
                }
                lost
            }
            SwapFate::Late => {
                self.late.push(request);
                lost
            }
        }
    }

    /// See [`Database::carry_out_late_swaps`](super::Database::carry_out_late_swaps).
    pub(super) fn carry_out_late(&mut self) {
        for request in std::mem::take(&mut self.late) {
            self.carry_out(&request);
        }
    }

    fn carry_out(&mut self, request: &Request) -> Swap {
        self.decide(&request.register());
        if !self.holds(request) {
            return Swap::Refused;
        }
        self.set(request);
        Swap::Applied
    }

    /// Decides what is undecided in a register: applied, or never.
    fn decide(&mut self, register: &Register) {
        if let Some(undecided) = self.undecided.remove(register)
            && (undecided.shown || self.chance.random())
        {
            self.set(&undecided.request);
        }
    }

    fn holds(&self, request: &Request) -> bool {
        match request {
            Request::Session { node, expected, .. } => self.sessions.get(node) == expected.as_ref(),
            Request::Owners { group, changes } => {
                let held = |shard| self.owners.get(group)?.get(shard).map(|owner: &Ownership| owner.epoch);
                changes.iter().all(|(shard, expected, _)| held(shard) == *expected)
            }
        }
    }

    fn set(&mut self, request: &Request) {
        match request {
            Request::Session { node, wanted, .. } => {
                self.sessions.insert(node.clone(), *wanted);
            }
            Request::Owners { group, changes } => {
                let changes = changes.iter().map(|(shard, _, wanted)| (*shard, wanted.clone()));
                self.owners.entry(*group).or_default().extend(changes);
            }
        }
    }

    /// A serial read.
    fn session(&mut self, node: &NodeId) -> Option<Session> {
        self.decide(&Register::Session(node.clone()));
        self.sessions.get(node).copied()
    }

    /// A plain read: what is undecided may be seen in it, and not be seen in the next.
    fn glance(&mut self, node: &NodeId) -> Option<Session> {
        if let Some(undecided) = self.undecided.get_mut(&Register::Session(node.clone()))
            && let Request::Session { wanted, .. } = &undecided.request
            && self.chance.random()
        {
            undecided.shown = true;
            return Some(*wanted);
        }
        self.sessions.get(node).copied()
    }

    fn glances(&mut self) -> Vec<(NodeId, Session)> {
        let undecided = self.undecided.keys().filter_map(|register| match register {
            Register::Session(node) => Some(node),
            Register::Owners(_) => None,
        });
        let mut nodes: Vec<NodeId> = self.sessions.keys().chain(undecided).cloned().collect();
        nodes.sort();
        nodes.dedup();
        nodes.into_iter().filter_map(|node| Some((node.clone(), self.glance(&node)?))).collect()
    }

    /// A serial read.
    fn owners(&mut self, group: u16) -> Vec<(ShardId, Ownership)> {
        self.decide(&Register::Owners(group));
        self.glance_owners(group)
    }

    fn glance_owners(&self, group: u16) -> Vec<(ShardId, Ownership)> {
        let owners = self.owners.get(&group).into_iter().flatten();
        owners.map(|(shard, owner)| (*shard, owner.clone())).collect()
    }
}

impl Memory {
    fn swap(&self, request: Request) -> Answer<'_, Swap> {
        Box::pin(async move {
            let fate = self.next_swap.lock().take().unwrap_or(SwapFate::Answered);
            self.leases(|leases| leases.swap(request, fate))?
        })
    }

    fn leases<T>(&self, ask: impl FnOnce(&mut Leases) -> T) -> Result<T, Error> {
        self.check_open()?;
        let mut cluster = self.cluster.lock();
        cluster.check_quorum()?;
        Ok(ask(&mut cluster.leases))
    }
}

impl LeaseStore for Memory {
    fn session<'a>(&'a self, node: &'a NodeId) -> Answer<'a, Option<Session>> {
        Box::pin(async move { self.leases(|leases| leases.session(node)) })
    }

    fn glance<'a>(&'a self, node: &'a NodeId) -> Answer<'a, Option<Session>> {
        Box::pin(async move { self.leases(|leases| leases.glance(node)) })
    }

    fn sessions(&self) -> Answer<'_, Vec<(NodeId, Session)>> {
        Box::pin(async move { self.leases(Leases::glances) })
    }

    fn swap_session<'a>(
        &'a self,
        node: &'a NodeId,
        expected: Option<Session>,
        wanted: Session,
    ) -> Answer<'a, Swap> {
        self.swap(Request::Session { node: node.clone(), expected, wanted })
    }

    fn owners(&self, group: u16) -> Answer<'_, Vec<(ShardId, Ownership)>> {
        Box::pin(async move { self.leases(|leases| leases.owners(group)) })
    }

    fn glance_owners(&self, group: u16) -> Answer<'_, Vec<(ShardId, Ownership)>> {
        Box::pin(async move { self.leases(|leases| leases.glance_owners(group)) })
    }

    fn swap_owners(&self, group: u16, changes: Vec<(ShardId, Option<u64>, Ownership)>) -> Answer<'_, Swap> {
        self.swap(Request::Owners { group, changes })
    }
}

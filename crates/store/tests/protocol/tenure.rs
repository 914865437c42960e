//! How an owner comes to its log, and how it parts from it: sessions, fences, swaps, stamps.

use godwit_store::{LeaseStore, Ownership, Session, Swap};
use godwit_types::{NodeId, ShardId, Stamp};

use crate::owner::{Owner, Phase, Turn, at_once};
use crate::rules::Rule;

/// The lease time: 5 s.
const LEASE_MS: u64 = 5_000;

/// The shard of the log, and its group.
const SHARD: ShardId = ShardId(0);
const GROUP: u16 = 0;

/// A change of owner that is tried until it is known what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Taking {
    expected: Option<u64>,
    wanted: Ownership,
}

/// A count in the upper 48 bits, 16 bits of the incarnation below.
fn epoch_after(before: u64, incarnation: u64) -> u64 {
    ((before >> 16) + 1) << 16 | incarnation & 0xffff
}

impl Owner {
    /// The current owner of the log. The outer `None`: no answer.
    fn current(&self) -> Option<Option<Ownership>> {
        let owners = at_once(self.store.owners(GROUP)).ok()?;
        Some(owners.into_iter().find(|(shard, _)| *shard == SHARD).map(|(_, owner)| owner))
    }

    fn is_me(&self, owner: &Ownership) -> bool {
        owner.node == self.node && owner.incarnation == self.incarnation
    }

    fn clock(&self, now_us: i64) -> Stamp {
        Stamp::from_us(now_us + self.skew_us)
    }

    /// Claims to be alive, until it is known that the claim stands.
    pub(crate) fn start(&mut self, turn: &mut Turn<'_>) {
        let Ok(held) = at_once(self.store.session(&self.node)) else { return };
        if let Some(held) = held.filter(|held| held.incarnation == self.incarnation) {
            self.session = Some(held);
            self.phase = if held.fenced { Phase::Gone } else { Phase::Candidate };
            return;
        }
        let ceiling = self.clock(turn.now_us).plus_ms(2 * LEASE_MS);
        let ceiling = held.map_or(ceiling, |held| held.ceiling.max(ceiling));
        let wanted = Session { incarnation: self.incarnation, renewals: 0, ceiling, fenced: false };
        self.risk_swap(turn);
        // Whatever the answer: the next step reads.
        let _ = at_once(self.store.swap_session(&self.node, held, wanted));
    }

    /// Whether another one has handed it the log.
    pub(crate) fn look_for_a_gift(&mut self) {
        if let Some(Some(owner)) = self.current()
            && self.is_me(&owner)
        {
            self.begin(owner);
        }
    }

    fn begin(&mut self, tenure: Ownership) {
        self.last_stamp = tenure.base;
        self.tenure = Some(tenure);
        self.phase = Phase::Reading;
    }

    /// Fences the owner before and takes its place.
    pub(crate) fn take(&mut self, turn: &mut Turn<'_>) {
        let Some(current) = self.current() else { return };
        if let Some(owner) = current.clone().filter(|owner| self.is_me(owner)) {
            self.begin(owner);
            return;
        }
        let Phase::Taking(taking) = &self.phase else { return };
        let taking = match taking.clone() {
            Some(taking) if taking.expected == current.as_ref().map(|owner| owner.epoch) => taking,
            // Another one was quicker.
            Some(_) => {
                self.phase = Phase::Gone;
                return;
            }
            None => {
                let Some(taking) = self.plan(current, turn) else { return };
                self.phase = Phase::Taking(Some(taking.clone()));
                taking
            }
        };
        self.risk_swap(turn);
        let _ = at_once(self.store.swap_owners(GROUP, vec![(SHARD, taking.expected, taking.wanted)]));
    }

    /// What to swap in, if the owner before is fenced; else it is fenced in this step.
    fn plan(&mut self, current: Option<Ownership>, turn: &mut Turn<'_>) -> Option<Taking> {
        let now = self.clock(turn.now_us);
        let mut base = now;
        if let Some(before) = &current {
            let session = at_once(self.store.session(&before.node)).ok()?.expect("an owner has a session");
            if session.incarnation == before.incarnation && !session.fenced {
                self.risk_swap(turn);
                let fenced = Session { fenced: true, ..session };
                let _ = at_once(self.store.swap_session(&before.node, Some(session), fenced));
                return None;
            }
            if self.setting.rules.on(Rule::OwnerStamps) {
                base = now.max(session.ceiling.next()).max(before.base.next());
            }
        }
        let expected = current.map(|owner| owner.epoch);
        let (node, incarnation) = (self.node.clone(), self.incarnation);
        let epoch = epoch_after(expected.unwrap_or(0), incarnation);
        let wanted = Ownership { node, incarnation, epoch, base, unclean_base: base };
        Some(Taking { expected, wanted })
    }

    /// Gives the log to a node that is alive. All that was under way here is known.
    pub(crate) fn give_to(&mut self, node: NodeId, incarnation: u64) {
        let own = self.tenure.as_ref().expect("who gives owns");
        let wanted = Ownership {
            node,
            incarnation,
            epoch: epoch_after(own.epoch, incarnation),
            base: self.last_stamp.next(),
            unclean_base: own.unclean_base,
        };
        self.phase = Phase::HandingOver(Taking { expected: Some(own.epoch), wanted });
    }

    /// Swaps the other one in, until it is known what became of it. Silent meanwhile.
    pub(crate) fn hand_over(&mut self, turn: &mut Turn<'_>) {
        let Some(current) = self.current() else { return };
        let Phase::HandingOver(handing) = &self.phase else { return };
        if current.map(|owner| owner.epoch) != handing.expected {
            self.phase = Phase::Gone;
            return;
        }
        let change = (SHARD, handing.expected, handing.wanted.clone());
        self.risk_swap(turn);
        let _ = at_once(self.store.swap_owners(GROUP, vec![change]));
    }

    /// The stamp that the next write would have.
    pub(crate) fn next_stamp(&self, now_us: i64) -> Stamp {
        self.last_stamp.next().max(self.clock(now_us))
    }

    /// Whether its session does not cover the next stamp.
    pub(crate) fn needs_ceiling(&self, turn: &Turn<'_>) -> bool {
        let (Some(session), Some(_)) = (self.session, &self.tenure) else { return false };
        self.setting.rules.on(Rule::OwnerStamps) && self.next_stamp(turn.now_us) > session.ceiling
    }

    /// Raises the ceiling, if it is not fenced.
    pub(crate) fn renew(&mut self, turn: &mut Turn<'_>) {
        let held = self.session.expect("who renews has started");
        let wanted = self.renewing.unwrap_or_else(|| {
            let ceiling = self.next_stamp(turn.now_us).plus_ms(2 * LEASE_MS).max(held.ceiling);
            Session { renewals: held.renewals + 1, ceiling, ..held }
        });
        let unknown = self.renewing.replace(wanted).is_some();
        let applied = if unknown && turn.once_in(2) {
            at_once(self.store.session(&self.node)).map(|now| match now {
                Some(now) if now == wanted => Some(true),
                Some(now) if now == held => None,
                _ => Some(false),
            })
        } else {
            self.risk_swap(turn);
            let swap = at_once(self.store.swap_session(&self.node, Some(held), wanted));
            // Refused may mean that the one before was applied: only a read tells.
            swap.map(|swap| if swap == Swap::Applied { Some(true) } else { (!unknown).then_some(false) })
        };
        match applied {
            Ok(Some(true)) => (self.session, self.renewing) = (Some(wanted), None),
            Ok(Some(false)) => self.phase = Phase::Gone,
            Ok(None) | Err(_) => {}
        }
    }
}

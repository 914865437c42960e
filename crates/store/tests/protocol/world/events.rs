//! What happens: one thing after the other, drawn from the seed.

use godwit_store::memory::{Database, REPLICAS};
use godwit_types::{NodeId, Stamp};
use rand::RngExt;

use super::World;
use crate::owner::{Owner, Phase, Turn};
use crate::serving::Said;

/// Runs of nodes before the faults are over. Each node may run several times.
const OWNERS_MAX: usize = 6;
const NODES: u64 = 3;
/// Clocks differ by up to twice this: more than a lease.
const SKEW_US: i64 = 8_000_000;
/// Copies that are likely to land next: those of the last two writes.
const YOUNGEST: usize = 2 * REPLICAS;

impl World {
    pub(super) fn step(&mut self) -> Result<(), String> {
        self.now_us += self.chance.random_range(1..60_000);
        match self.chance.random_range(0..100) {
            0..30 => self.copy_lands(),
            30..31 => self.with_copy(Database::lose, "lost"),
            31..33 => self.with_copy(Database::time_out, "timed out"),
            33..64 => self.owner_steps()?,
            64..76 => self.send()?,
            76..90 => self.reader_steps()?,
            90..92 => self.node_starts(),
            92..94 => self.candidate_takes(),
            94 => self.replica_away_or_back(),
            95 => self.database.carry_out_late_swaps(),
            96 => self.owner_forgets(),
            97 => self.owner_gives(),
            98 if self.chance.random_range(0..4) == 0 => self.owner_crashes(),
            98 | 99 if self.chance.random_range(0..4) == 0 => self.now_us += 6_000_000,
            _ => {}
        }
        Ok(())
    }

    fn pick(&mut self, count: usize) -> Option<usize> {
        (count > 0).then(|| self.chance.random_range(0..count))
    }

    /// One of the owners of which this is true.
    fn pick_owner(&mut self, which: impl Fn(&mut Owner) -> bool) -> Option<usize> {
        let those: Vec<_> = (0..self.owners.len()).filter(|i| which(&mut self.owners[*i])).collect();
        self.pick(those.len()).map(|i| those[i])
    }

    pub(super) fn copy_lands(&mut self) {
        // Most often one of the youngest, so that some stay under way until nobody reckons with them any more.
        for _ in 0..self.chance.random_range(1..7) {
            let count = self.database.under_way();
            let among = if self.chance.random_range(0..4) == 0 { count } else { count.min(YOUNGEST) };
            if let Some(i) = self.pick(among) {
                self.database.land(count - 1 - i);
            }
        }
    }

    fn with_copy(&mut self, what: impl Fn(&Database, usize), name: &str) {
        if let Some(i) = self.pick(self.database.under_way()) {
            what(&self.database, i);
            self.note(|| format!("copy {i} is {name}"));
        }
    }

    /// Lets an owner act, and takes what it says.
    pub(super) fn with_owner(
        &mut self,
        i: usize,
        act: impl FnOnce(&mut Owner, &mut Turn<'_>),
    ) -> Result<(), String> {
        let mut said = Vec::new();
        let (chance, now_us) = (&mut self.chance, self.now_us);
        act(&mut self.owners[i], &mut Turn { chance, now_us, calm: self.calm, said: &mut said });
        self.said |= !said.is_empty();
        for said in said {
            self.note(|| format!("owner {i}: {said:?}"));
            match said {
                Said::Answered { message, position } => {
                    let known = *self.acked.entry(message).or_insert(position);
                    if known != position {
                        return Err(format!("{message} was answered with {known} and with {position}"));
                    }
                    self.senders.iter_mut().for_each(|sender| sender.take(message));
                }
                Said::Event { message, position } => {
                    let mut readers = self.readers.iter_mut();
                    readers.try_for_each(|reader| reader.hear(i, message, position))?;
                }
                Said::Attached { ask, upto } => self.readers[ask.reader].attach(i, ask, upto),
                Said::Hole(hole) => return Err(hole),
            }
        }
        Ok(())
    }

    pub(super) fn owner_steps(&mut self) -> Result<(), String> {
        // Most often the same one for a while: the others are paused and do not know it.
        if self.chance.random_range(0..16) == 0 {
            self.awake = self.chance.random_range(0..OWNERS_MAX);
        }
        let idle = |owner: &Owner| matches!(owner.phase, Phase::Gone | Phase::Candidate);
        let i = match self.owners.get(self.awake) {
            Some(owner) if !idle(owner) && self.chance.random_range(0..16) > 0 => self.awake,
            _ => {
                let idle_too = self.chance.random_range(0..8) == 0;
                let acts = |owner: &Owner| match owner.phase {
                    Phase::Gone => false,
                    Phase::Candidate => idle_too,
                    _ => true,
                };
                let Some(i) = self.pick_owner(|owner| acts(owner)) else { return Ok(()) };
                i
            }
        };
        for _ in 0..self.chance.random_range(1..7) {
            self.with_owner(i, Owner::step)?;
            self.note(|| format!("owner {i} {} is now {}", self.owners[i].node, self.owners[i].phase.name()));
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), String> {
        let Some(message) = self.pick(self.senders.len()).and_then(|i| self.senders[i].message()) else {
            return Ok(());
        };
        // To whichever owner the sender's edge believes in.
        let Some(i) = self.pick_owner(|owner| owner.serving().is_some()) else { return Ok(()) };
        self.note(|| format!("{message} to owner {i}"));
        self.with_owner(i, |owner, turn| owner.receive(message, turn))
    }

    fn reader_steps(&mut self) -> Result<(), String> {
        let i = self.chance.random_range(0..self.readers.len());
        let asks = self.chance.random_range(0..4) == 0;
        if asks && let Some(owner) = self.pick_owner(|owner| owner.serving().is_some()) {
            self.note(|| format!("reader {i} asks owner {owner}"));
            let ask = self.readers[i].ask(owner, &self.acked);
            self.owners[owner].serving().expect("it serves").attach(ask);
        }
        self.said = true;
        self.readers[i].read(&self.edge, &self.setting)
    }

    fn node_starts(&mut self) {
        if self.owners.len() < OWNERS_MAX {
            self.start_node();
        }
    }

    pub(super) fn start_node(&mut self) {
        let incarnation = self.chance.random();
        let node = NodeId::new(&format!("n{}", self.chance.random_range(0..NODES))).expect("an id");
        self.note(|| format!("owner {} starts on {node}", self.owners.len()));
        self.owners.push(Owner {
            store: self.database.client(),
            setting: self.setting.clone(),
            node,
            incarnation,
            skew_us: self.chance.random_range(-SKEW_US..SKEW_US),
            session: None,
            renewing: None,
            tenure: None,
            last_stamp: Stamp::MIN,
            phase: Phase::Starting,
        });
    }

    fn candidate_takes(&mut self) {
        if let Some(i) = self.pick_owner(|owner| matches!(owner.phase, Phase::Candidate)) {
            self.note(|| format!("owner {i} takes"));
            self.owners[i].phase = Phase::Taking(None);
        }
    }

    fn replica_away_or_back(&mut self) {
        match self.away.take() {
            Some(replica) => self.database.set_away(replica, false),
            None => {
                let replica = self.chance.random_range(0..REPLICAS);
                self.database.set_away(replica, true);
                self.away = Some(replica);
            }
        }
    }

    /// A log that nobody uses is forgotten, and read again at its next use.
    fn owner_forgets(&mut self) {
        if let Some(i) = self.pick_owner(|owner| owner.serving().is_some_and(|serving| serving.is_quiet())) {
            self.note(|| format!("owner {i} forgets"));
            self.owners[i].phase = Phase::Reading;
        }
    }

    fn owner_gives(&mut self) {
        let Some(other) = self.pick_owner(|owner| matches!(owner.phase, Phase::Candidate)) else { return };
        let quiet = |owner: &mut Owner| owner.serving().is_some_and(|serving| serving.is_quiet());
        if let Some(i) = self.pick_owner(quiet) {
            self.note(|| format!("owner {i} hands over to {other}"));
            let (node, incarnation) = (self.owners[other].node.clone(), self.owners[other].incarnation);
            self.owners[i].give_to(node, incarnation);
        }
    }

    fn owner_crashes(&mut self) {
        if let Some(i) = self.pick_owner(|owner| owner.tenure.is_some()) {
            self.note(|| format!("owner {i} crashes"));
            self.owners[i].phase = Phase::Gone;
        }
    }
}

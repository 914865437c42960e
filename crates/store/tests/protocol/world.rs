//! The world: who is there, what happens next, and the end, when all faults are over.

use std::collections::BTreeMap;

use bytes::Bytes;
use godwit_store::memory::{Database, Memory, REPLICAS};
use godwit_store::{Mutation, Row, Store};
use godwit_types::{ConversationId, LogId, NodeId, Position, Stamp, Timestamp};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::clients::{Reader, Sender};
use crate::judge::{Judge, judge_end};
use crate::owner::{Owner, Phase, Setting, Turn, at_once};
use crate::rules::Rules;
use crate::serving::Said;

/// Things that happen before the faults are over.
const STEPS: usize = 400;
/// Steps after which the end must have been reached.
const END_STEPS: usize = 600;
/// Runs of nodes. Each node may run several times.
const OWNERS_MAX: usize = 6;
const NODES: u64 = 3;
const SENDERS: u64 = 3;
const READERS: usize = 2;
/// Clocks differ by up to twice this: more than a lease.
const SKEW_US: i64 = 8_000_000;
/// 2026-01-01, the time at which it all begins.
const START_US: i64 = 1_767_225_600_000_000;
/// Copies that are likely to land next: those of the last two writes.
const YOUNGEST: usize = 2 * REPLICAS;
/// The last row of a log that was there before: near the end of a bucket, so that windows reach over it.
const OLD_TAIL: u64 = 9_997;

/// A seed's world.
pub(crate) struct World {
    setting: Setting,
    chance: SmallRng,
    database: Database,
    judge: Judge,
    /// Which edges read from.
    edge: Memory,
    now_us: i64,
    calm: bool,
    owners: Vec<Owner>,
    senders: Vec<Sender>,
    readers: Vec<Reader>,
    acked: BTreeMap<u64, Position>,
    away: Option<usize>,
    /// Who acts most.
    awake: usize,
    /// Something was promised or seen since the last judgement.
    said: bool,
    /// What had landed then.
    landed: u64,
    told: bool,
}

impl World {
    pub(crate) fn new(seed: u64, rules: Rules) -> Self {
        let mut chance = SmallRng::seed_from_u64(seed);
        let database = Database::new(64, chance.random());
        let log = LogId::Conversation(ConversationId::new("c").expect("an id"));
        let judge = Judge { watcher: database.client(), database: database.clone() };
        let mut first = 1;
        if chance.random() {
            first = OLD_TAIL - 2;
            let rows = (first..=OLD_TAIL).map(|n| Mutation::Append { log: log.clone(), row: old_row(n) });
            let stamp = Stamp::from_us(START_US - 3_600_000_000);
            at_once(judge.watcher.write(rows.collect(), stamp)).expect("the old rows");
        }
        database.hold_writes(true);
        Self {
            setting: Setting { log, rules, first },
            edge: database.client(),
            judge,
            database,
            now_us: START_US,
            calm: false,
            owners: Vec::new(),
            senders: (0..SENDERS).map(Sender::new).collect(),
            readers: (0..READERS).map(|i| Reader::new(i, first)).collect(),
            acked: BTreeMap::new(),
            away: None,
            awake: 0,
            said: false,
            landed: 0,
            told: false,
            chance,
        }
    }

    /// Prints every step from now on.
    pub(crate) fn tell(&mut self) {
        self.told = true;
    }

    /// Runs to the end. An error is what went wrong.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            self.step()?;
            self.check()?;
        }
        self.end()
    }

    /// The faults are over: one more owner takes the log, and everybody gets what is due.
    fn end(&mut self) -> Result<(), String> {
        self.note(|| "the faults are over".to_owned());
        self.calm = true;
        self.away = None;
        (0..REPLICAS).for_each(|replica| self.database.set_away(replica, false));
        self.database.hold_writes(false);
        let mut last = self.owners.len();
        self.start_node();
        for i in 0..END_STEPS {
            // What is still under way goes on landing, and former owners go on trying.
            match i % 3 {
                0 => self.copy_lands(),
                1 => self.owner_steps()?,
                _ => self.with_owner(last, Owner::step)?,
            }
            match self.owners[last].phase {
                Phase::Candidate => self.owners[last].phase = Phase::Taking(None),
                // Another one was quicker, and may be the last.
                Phase::Gone => {
                    last = self.owners.len();
                    self.start_node();
                }
                _ => {}
            }
            self.serve_all(last)?;
            self.check()?;
        }
        self.database.land_all();
        self.database.carry_out_late_swaps();
        judge_end(&self.judged()?, &self.senders, &self.readers)
    }

    /// Everybody turns to the last owner.
    fn serve_all(&mut self, last: usize) -> Result<(), String> {
        if self.owners[last].serving().is_none() {
            return Ok(());
        }
        let messages: Vec<_> = self.senders.iter().filter_map(Sender::message).collect();
        for message in messages {
            self.with_owner(last, |owner, turn| owner.receive(message, turn))?;
        }
        for reader in &mut self.readers {
            if !reader.is_with(last) {
                let ask = reader.ask(last, &self.acked);
                self.owners[last].serving().expect("it serves").attach(ask);
            }
            reader.read(&self.edge, &self.setting)?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        let landed = self.database.landed();
        if std::mem::take(&mut self.said) || landed != std::mem::replace(&mut self.landed, landed) {
            self.judged()?;
        }
        Ok(())
    }

    fn judged(&self) -> Result<Vec<(u64, Position)>, String> {
        if let Some(replica) = self.away {
            self.database.set_away(replica, false);
        }
        let log = self.judge.judge(&self.setting, &self.acked, &self.readers);
        if let Some(replica) = self.away {
            self.database.set_away(replica, true);
        }
        log
    }

    fn note(&self, what: impl FnOnce() -> String) {
        if self.told {
            eprintln!("{}", what());
        }
    }

    fn step(&mut self) -> Result<(), String> {
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

    fn copy_lands(&mut self) {
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
    fn with_owner(&mut self, i: usize, act: impl FnOnce(&mut Owner, &mut Turn<'_>)) -> Result<(), String> {
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

    fn owner_steps(&mut self) -> Result<(), String> {
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

    fn start_node(&mut self) {
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

fn old_row(n: u64) -> Row {
    let position = Position { epoch: 1, n };
    Row { position, stable: n - 1, at: Timestamp::from_ms(0), key: 0, payload: Bytes::new() }
}

//! The world: who is there, what happens next, and the end, when all faults are over.

use std::collections::BTreeMap;

use bytes::Bytes;
use godwit_store::memory::{Database, Memory, REPLICAS};
use godwit_store::{Mutation, Row, Store};
use godwit_types::{ConversationId, LogId, Position, Stamp, Timestamp};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::clients::{Reader, Sender};
use crate::judge::{Judge, judge_end};
use crate::owner::{Owner, Phase, Setting, at_once};
use crate::rules::Rules;

mod events;

/// Things that happen before the faults are over.
const STEPS: usize = 400;
/// Steps after which the end must have been reached.
const END_STEPS: usize = 600;
const SENDERS: u64 = 3;
const READERS: usize = 2;
/// 2026-01-01, the time at which it all begins.
const START_US: i64 = 1_767_225_600_000_000;
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
}

fn old_row(n: u64) -> Row {
    let position = Position { epoch: 1, n };
    Row { position, stable: n - 1, at: Timestamp::from_ms(0), key: 0, payload: Bytes::new() }
}

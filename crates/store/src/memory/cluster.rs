//! Three replicas, and the copies that are on their way to them.

use std::collections::HashMap;
use std::sync::Arc;

use godwit_types::Stamp;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::oneshot;

use super::change::{self, Expiry, Part};
use super::leases::Leases;
use super::replica::Replica;
use super::{Fate, QUORUM, REPLICAS};
use crate::{Error, Mutation};

/// Who waits for a write.
pub(super) type Answered = oneshot::Receiver<Result<(), Error>>;

/// The state of a database.
pub(super) struct Cluster {
    pub(super) shards: u16,
    pub(super) replicas: [Replica; REPLICAS],
    pub(super) away: [bool; REPLICAS],
    pub(super) read_from: Option<[usize; QUORUM]>,
    pub(super) held: bool,
    pub(super) copies: Vec<Copy>,
    pub(super) landed: u64,
    pub(super) inbox_ttl_s: Option<u32>,
    pub(super) now_s: u64,
    pub(super) leases: Leases,
    /// Writes that wait for their answer, by their number.
    waiting: HashMap<u64, Waiting>,
    writes: u64,
    chance: SmallRng,
}

/// One part of a write on its way to one replica.
pub(super) struct Copy {
    write: u64,
    part: usize,
    replica: usize,
    changes: Arc<Part>,
}

struct Waiting {
    /// For each part, how many replicas have it.
    landed: Vec<usize>,
    answer: oneshot::Sender<Result<(), Error>>,
}

impl Cluster {
    pub(super) fn new(shards: u16, seed: u64) -> Self {
        let mut chance = SmallRng::seed_from_u64(seed);
        Self {
            shards,
            replicas: std::array::from_fn(|_| Replica::default()),
            away: [false; REPLICAS],
            read_from: None,
            held: false,
            copies: Vec::new(),
            landed: 0,
            inbox_ttl_s: None,
            now_s: 0,
            leases: Leases::new(chance.random()),
            waiting: HashMap::new(),
            writes: 0,
            chance,
        }
    }

    /// Takes a write; the receiver has the answer, now or when the copies have landed.
    pub(super) fn write(&mut self, batch: Vec<Mutation>, stamp: Stamp, fate: Option<Fate>) -> Answered {
        let (answer, answered) = oneshot::channel();
        let expiry = Expiry { now_s: self.now_s, inbox_ttl_s: self.inbox_ttl_s };
        let parts: Vec<_> = change::split(batch, stamp, expiry).into_iter().map(Arc::new).collect();
        let fate = fate.unwrap_or(if self.held { Fate::Held } else { Fate::Stored });
        self.writes += 1;
        let write = self.writes;
        self.waiting.insert(write, Waiting { landed: vec![0; parts.len()], answer });
        if parts.is_empty() {
            self.answer(write, Ok(()));
        }
        if matches!(fate, Fate::Unanswered | Fate::OnOne(_) | Fate::Lost) {
            self.answer(write, Err(Error::Failed("no answer to a write".to_owned())));
        }
        if fate != Fate::Lost {
            for (i, part) in parts.iter().enumerate() {
                let copy = |replica| Copy { write, part: i, replica, changes: Arc::clone(part) };
                self.copies.extend((0..REPLICAS).map(copy));
            }
        }
        match fate {
            Fate::Stored | Fate::Unanswered => self.land_where(|copy| copy.write == write),
            Fate::OnOne(replica) => self.land_where(|copy| copy.write == write && copy.replica == replica),
            Fate::Lost | Fate::Held => {}
        }
        if fate == Fate::Stored {
            self.answer(write, Err(Error::Failed("too few replicas for a write".to_owned())));
        }
        answered
    }

    /// See [`Database::land`](super::Database::land).
    pub(super) fn land(&mut self, i: usize) -> bool {
        if self.away[self.copies[i].replica] {
            return false;
        }
        let copy = self.copies.swap_remove(i);
        self.replicas[copy.replica].apply(&copy.changes);
        self.landed += 1;
        if let Some(waiting) = self.waiting.get_mut(&copy.write) {
            waiting.landed[copy.part] += 1;
            if waiting.landed.iter().all(|replicas| *replicas >= QUORUM) {
                self.answer(copy.write, Ok(()));
            }
        }
        true
    }

    fn land_where(&mut self, which: impl Fn(&Copy) -> bool) {
        let mut i = 0;
        while i < self.copies.len() {
            if !which(&self.copies[i]) || !self.land(i) {
                i += 1;
            }
        }
    }

    /// See [`Database::land_all`](super::Database::land_all).
    pub(super) fn land_all(&mut self) {
        self.land_where(|_| true);
    }

    /// See [`Database::time_out`](super::Database::time_out).
    pub(super) fn time_out(&mut self, i: usize) {
        self.answer(self.copies[i].write, Err(Error::Failed("no answer to a write in time".to_owned())));
    }

    /// Answers a write that was not answered yet.
    fn answer(&mut self, write: u64, answer: Result<(), Error>) {
        if let Some(waiting) = self.waiting.remove(&write) {
            // Who does not wait for the answer does not get it.
            let _ = waiting.answer.send(answer);
        }
    }

    /// The replicas that answer a read that begins now.
    pub(super) fn quorum(&mut self) -> Result<[&Replica; QUORUM], Error> {
        self.check_quorum()?;
        let pair = match self.read_from {
            Some(pair) if pair.iter().all(|replica| !self.away[*replica]) => pair,
            _ => self.any_pair(),
        };
        Ok(pair.map(|replica| &self.replicas[replica]))
    }

    /// Fails where no two replicas are there.
    pub(super) fn check_quorum(&self) -> Result<(), Error> {
        if self.away.iter().filter(|away| !**away).count() < QUORUM {
            return Err(Error::Failed("two replicas of three are away".to_owned()));
        }
        Ok(())
    }

    fn any_pair(&mut self) -> [usize; QUORUM] {
        // Without the one that is away, or, where all are there, without any one of them.
        let without =
            self.away.iter().position(|away| *away).unwrap_or_else(|| self.chance.random_range(0..REPLICAS));
        [(without + 1) % REPLICAS, (without + 2) % REPLICAS]
    }
}

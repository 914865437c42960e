//! An owner that serves: appends, commits, answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use godwit_core::log::{Log, Place};
use godwit_store::memory::Memory;
use godwit_store::{Answer, Mutation, Row, Store};
use godwit_types::{NodeId, Position, Stamp, Timestamp};

use crate::clients::Ask;
use crate::owner::{Recovered, Setting, Turn, is_owner, poll, risk_write};
use crate::rules::Rule;

/// Rows under way at once. Fewer than an owner may have, so that a window is often full.
const WINDOW: u64 = 5;

/// What leaves an owner.
#[derive(Debug)]
pub(crate) enum Said {
    /// To a sender: its message has this place.
    Answered { message: u64, position: Position },
    /// To all who are attached.
    Event { message: u64, position: Position },
    /// To a reader: the log ends here, and what follows will be told.
    Attached { ask: Ask, upto: Position },
    /// To nobody: the log has a hole where it must not.
    Hole(String),
}

/// A write that is repeated until it is stored.
struct Write {
    n: u64,
    batch: Vec<Mutation>,
    stamp: Stamp,
    answer: Answer<'static, ()>,
}

/// What one look at the own session is for.
#[derive(Default)]
struct Guard {
    rows: Vec<u64>,
    asks: Vec<Ask>,
    passed: bool,
}

/// The state of an owner that serves.
pub(crate) struct Serving {
    setting: Setting,
    log: Log<u64>,
    known: BTreeMap<u64, Position>,
    writes: Vec<Write>,
    /// Senders who asked again for a message that is under way.
    held: Vec<u64>,
    waiting: Guard,
    guard: Option<Guard>,
}

impl Serving {
    pub(crate) fn new(epoch: u64, recovered: &Recovered, setting: Setting) -> Self {
        Self {
            log: Log::new(epoch, recovered.tail),
            known: recovered.messages.iter().copied().collect(),
            writes: Vec::new(),
            held: Vec::new(),
            waiting: Guard::default(),
            guard: None,
            setting,
        }
    }

    /// Whether nothing is under way, so that the log may be given away or forgotten.
    pub(crate) fn is_quiet(&self) -> bool {
        let idle = self.guard.is_none() && self.waiting.rows.is_empty() && self.waiting.asks.is_empty();
        idle && self.log.is_quiet() && self.writes.is_empty()
    }

    /// A reader asks where the log ends.
    pub(crate) fn attach(&mut self, ask: Ask) {
        self.waiting.asks.push(ask);
    }

    /// A message arrives; whether a row was appended for it.
    pub(crate) fn receive(
        &mut self,
        message: u64,
        stamp: Stamp,
        store: &Memory,
        turn: &mut Turn<'_>,
    ) -> bool {
        let rules = self.setting.rules;
        if rules.on(Rule::Dedupe)
            && let Some(position) = self.known.get(&message)
        {
            if position.n <= self.log.tail().n {
                turn.said.push(Said::Answered { message, position: *position });
            } else {
                self.held.push(message);
            }
            return false;
        }
        if self.log.last_n() >= self.log.tail().n + WINDOW {
            return false;
        }
        let Some(Place { position, stable }) = self.log.append(message) else { return false };
        self.known.insert(message, position);
        let at = Timestamp::from_ms(turn.now_us.unsigned_abs() / 1_000);
        let row = Row { position, stable, at, key: message, payload: Bytes::new() };
        let batch = vec![Mutation::Append { log: self.setting.log.clone(), row }];
        risk_write(store, turn);
        let answer = store.write(batch.clone(), stamp);
        self.writes.push(Write { n: position.n, batch, stamp, answer });
        if !rules.on(Rule::CommitFirst) {
            turn.said.push(Said::Answered { message, position });
            turn.said.push(Said::Event { message, position });
        }
        true
    }

    /// Takes answers of the database, and looks at the session or acts on what it saw there. False: it is
    /// fenced.
    pub(crate) fn step(
        &mut self,
        store: &Memory,
        incarnation: u64,
        node: &NodeId,
        turn: &mut Turn<'_>,
    ) -> bool {
        self.poll_writes(store, turn);
        if let Some(guard) = self.guard.take() {
            let passed = guard.passed;
            if passed {
                self.pass(guard, turn);
            }
            return passed;
        }
        let mut taken = std::mem::take(&mut self.waiting);
        if !self.setting.rules.on(Rule::CommitGuard) {
            let rows = std::mem::take(&mut taken.rows);
            self.pass(Guard { rows, ..Guard::default() }, turn);
        }
        if !self.setting.rules.on(Rule::AttachGuard) {
            let asks = std::mem::take(&mut taken.asks);
            self.pass(Guard { asks, ..Guard::default() }, turn);
        }
        if taken.rows.is_empty() && taken.asks.is_empty() {
            return true;
        }
        match is_owner(store, node, incarnation) {
            Some(passed) => self.guard = Some(Guard { passed, ..taken }),
            None => self.waiting = taken,
        }
        true
    }

    fn poll_writes(&mut self, store: &Memory, turn: &mut Turn<'_>) {
        let Self { writes, waiting, .. } = self;
        writes.retain_mut(|write| {
            let again = match poll(&mut write.answer) {
                Some(Ok(())) => {
                    waiting.rows.push(write.n);
                    return false;
                }
                Some(Err(_)) => true,
                None => turn.once_in(32),
            };
            if again {
                risk_write(store, turn);
                write.answer = store.write(write.batch.clone(), write.stamp);
            }
            true
        });
    }

    /// The guard has passed for these.
    fn pass(&mut self, guard: Guard, turn: &mut Turn<'_>) {
        for (position, message) in
            guard.rows.into_iter().flat_map(|n| self.log.confirm(n)).collect::<Vec<_>>()
        {
            if self.setting.rules.on(Rule::CommitFirst) {
                turn.said.push(Said::Answered { message, position });
                turn.said.push(Said::Event { message, position });
            }
        }
        let (tail, known) = (self.log.tail(), &self.known);
        self.held.retain(|message| {
            let position = known[message];
            if position.n <= tail.n {
                turn.said.push(Said::Answered { message: *message, position });
            }
            position.n > tail.n
        });
        let attached = guard.asks.into_iter().map(|ask| Said::Attached { ask, upto: tail });
        turn.said.extend(attached);
    }
}

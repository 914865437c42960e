//! One run of a node, from its start until it is gone or finds out that it was replaced.

use std::task::{Context, Poll, Waker};

use godwit_core::recover::{self, Known, RowHead, TAIL_ROWS, Tail};
use godwit_store::memory::{Fate, Memory, SwapFate};
use godwit_store::{Answer, Error, LeaseStore, Mutation, Ownership, Session, Store, Written};
use godwit_types::{LogId, NodeId, Position, Stamp};
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::rules::{Rule, Rules};
use crate::serving::{Said, Serving};
use crate::tenure::Taking;

/// The one log, as all know it.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) log: LogId,
    pub(crate) rules: Rules,
    /// The number of the first row that was not trimmed, and of the row that the summary speaks of.
    pub(crate) first: u64,
}

/// What an owner has at hand in a step.
pub(crate) struct Turn<'a> {
    pub(crate) chance: &'a mut SmallRng,
    pub(crate) now_us: i64,
    /// The database answers without faults.
    pub(crate) calm: bool,
    pub(crate) said: &'a mut Vec<Said>,
}

impl Turn<'_> {
    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u32) -> bool {
        self.chance.random_range(0..times) == 0
    }
}

/// What an owner is doing.
pub(crate) enum Phase {
    /// Claims to be alive.
    Starting,
    /// Is alive, and would take the log if it were given.
    Candidate,
    /// Fences the owner before, and takes its place.
    Taking(Option<Taking>),
    /// Owns the log and looks where it ends.
    Reading,
    /// Makes the end sure.
    Settling(Settling),
    /// Looks whether it is still the owner, and has or has not the answer.
    Guarding(Recovered, Option<bool>),
    /// Serves.
    Serving(Box<Serving>),
    /// Gives the log to another one.
    HandingOver(Taking),
    /// Crashed, or knows that it was replaced.
    Gone,
}

impl Phase {
    /// In one word.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Candidate => "a candidate",
            Self::Taking(_) => "taking",
            Self::Reading => "reading",
            Self::Settling(_) => "settling",
            Self::Guarding(..) => "looking at its session",
            Self::Serving(_) => "serving",
            Self::HandingOver(_) => "handing over",
            Self::Gone => "gone",
        }
    }
}

/// What was found in the log: its last row, and the messages that are in it.
#[derive(Debug, Clone)]
pub(crate) struct Recovered {
    pub(crate) tail: Position,
    pub(crate) messages: Vec<(u64, Position)>,
}

/// A settling under way.
pub(crate) struct Settling {
    batch: Vec<Mutation>,
    answer: Option<Answer<'static, ()>>,
    recovered: Recovered,
}

/// One run of a node.
pub(crate) struct Owner {
    pub(crate) store: Memory,
    pub(crate) setting: Setting,
    pub(crate) node: NodeId,
    pub(crate) incarnation: u64,
    /// How far its clock is off.
    pub(crate) skew_us: i64,
    /// Its claim as it last knew it.
    pub(crate) session: Option<Session>,
    /// A renewal of which the answer is missing.
    pub(crate) renewing: Option<Session>,
    pub(crate) tenure: Option<Ownership>,
    pub(crate) last_stamp: Stamp,
    pub(crate) phase: Phase,
}

/// The answer of a database that needs no waiting.
pub(crate) fn at_once<T>(mut answer: Answer<'_, T>) -> Result<T, Error> {
    poll(&mut answer).expect("an answer at once")
}

/// The answer, if there is one.
pub(crate) fn poll<T>(answer: &mut Answer<'_, T>) -> Option<Result<T, Error>> {
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

impl Owner {
    /// Does the next thing, with at most one call of the database.
    pub(crate) fn step(&mut self, turn: &mut Turn<'_>) {
        let renews = self.needs_ceiling(turn);
        match &mut self.phase {
            Phase::Starting => self.start(turn),
            Phase::Candidate => self.look_for_a_gift(),
            Phase::Taking(_) => self.take(turn),
            Phase::HandingOver(_) => self.hand_over(turn),
            Phase::Gone => {}
            _ if renews => self.renew(turn),
            Phase::Reading => self.read(turn),
            Phase::Settling(_) => self.settle(turn),
            Phase::Guarding(..) => self.guard(),
            Phase::Serving(serving) => {
                if !serving.step(&self.store, self.incarnation, &self.node, turn) {
                    self.phase = Phase::Gone;
                }
            }
        }
    }

    /// Whether it thinks that it may answer.
    pub(crate) fn serving(&mut self) -> Option<&mut Serving> {
        if let Phase::Serving(serving) = &mut self.phase { Some(serving) } else { None }
    }

    /// A message arrives.
    pub(crate) fn receive(&mut self, message: u64, turn: &mut Turn<'_>) {
        if self.needs_ceiling(turn) {
            return;
        }
        let stamp = self.next_stamp(turn.now_us);
        let Phase::Serving(serving) = &mut self.phase else { return };
        if serving.receive(message, stamp, &self.store, turn) {
            self.last_stamp = stamp;
        }
    }

    /// What becomes of the next swap.
    pub(crate) fn risk_swap(&self, turn: &mut Turn<'_>) {
        if turn.calm {
            return;
        }
        self.store.next_swap(match turn.chance.random_range(0..20) {
            0 => SwapFate::Unanswered,
            1 => SwapFate::Lost,
            2 => SwapFate::Undecided,
            3 => SwapFate::Late,
            _ => SwapFate::Answered,
        });
    }

    fn read(&mut self, turn: &mut Turn<'_>) {
        let Setting { log, rules, first } = self.setting.clone();
        let Ok(rows) = at_once(self.store.tail(&log, first, TAIL_ROWS)) else { return };
        let tenure = self.tenure.as_ref().expect("who reads owns");
        if rows.iter().any(|written| written.row.position.epoch > tenure.epoch) {
            self.phase = Phase::Gone;
            return;
        }
        let heads: Vec<_> = rows.iter().map(head).collect();
        let known = Known {
            summarised: first.saturating_sub(1),
            held_from: first,
            expires: false,
            unclean_base: tenure.unclean_base,
        };
        let Tail { position: tail, settle, .. } = match recover::tail(&heads, known) {
            Ok(found) => found,
            Err(broken) => {
                turn.said.push(Said::Hole(broken.to_string()));
                self.phase = Phase::Gone;
                return;
            }
        };
        let kept: Vec<_> =
            rows.into_iter().rev().filter(|written| written.row.position.n <= tail.n).collect();
        let messages = kept.iter().filter(|written| written.row.key != 0);
        let messages = messages.map(|written| (written.row.key, written.row.position)).collect();
        let recovered = Recovered { tail, messages };
        let Some(settle) = settle else {
            self.phase = Phase::Guarding(recovered, None);
            return;
        };
        let mut rows = kept;
        rows.retain(|written| written.row.position.n > settle.above && rules.on(Rule::SettleRewrite));
        let batch = if rules.on(Rule::SettleDelete) {
            vec![Mutation::Settle { log, tail: settle.tail, rows }]
        } else {
            let again = |written: Written| Mutation::Append { log: log.clone(), row: written.row };
            rows.into_iter().map(again).collect()
        };
        self.phase = Phase::Settling(Settling { batch, answer: None, recovered });
    }

    fn settle(&mut self, turn: &mut Turn<'_>) {
        let base = self.tenure.as_ref().expect("who settles owns").base;
        let Phase::Settling(settling) = &mut self.phase else { return };
        if settling.answer.is_none() || turn.once_in(16) {
            risk_write(&self.store, turn);
            settling.answer = Some(self.store.write(settling.batch.clone(), base));
        }
        let answer = settling.answer.as_mut().and_then(poll);
        match answer {
            Some(Err(_)) => settling.answer = None,
            Some(Ok(())) => self.phase = Phase::Guarding(settling.recovered.clone(), None),
            None if !self.setting.rules.on(Rule::SettleWait) => {
                self.phase = Phase::Guarding(settling.recovered.clone(), None);
            }
            None => {}
        }
    }

    fn guard(&mut self) {
        let Phase::Guarding(recovered, passed) = &mut self.phase else { return };
        if !self.setting.rules.on(Rule::SettleGuard) {
            *passed = Some(true);
        }
        match *passed {
            None => *passed = is_owner(&self.store, &self.node, self.incarnation),
            Some(false) => self.phase = Phase::Gone,
            Some(true) => {
                let epoch = self.tenure.as_ref().expect("who serves owns").epoch;
                self.phase = Phase::Serving(Box::new(Serving::new(epoch, recovered, self.setting.clone())));
            }
        }
    }
}

fn head(written: &Written) -> RowHead {
    RowHead { position: written.row.position, stable: written.row.stable, stamp: written.stamp }
}

/// The guard's look at the own session; `None` when there is no answer.
pub(crate) fn is_owner(store: &Memory, node: &NodeId, incarnation: u64) -> Option<bool> {
    let session = at_once(store.glance(node)).ok()??;
    Some(session.incarnation == incarnation && !session.fenced)
}

/// What becomes of the next write, if it is not to be in the hands of the world.
pub(crate) fn risk_write(store: &Memory, turn: &mut Turn<'_>) {
    if turn.calm {
        return;
    }
    match turn.chance.random_range(0..24) {
        0 => store.next_write(Fate::Unanswered),
        1 => store.next_write(Fate::Lost),
        2 => store.next_write(Fate::OnOne(turn.chance.random_range(0..3))),
        _ => {}
    }
}

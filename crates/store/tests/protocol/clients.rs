//! Senders that repeat until they are answered, and readers that resume.

use std::collections::BTreeMap;

use godwit_store::Store;
use godwit_store::memory::Memory;
use godwit_types::Position;

use crate::owner::{Setting, at_once};

/// Messages of one sender.
pub(crate) const MESSAGES: u64 = 4;

/// Sends its messages one after the other: the next when the one before was answered.
#[derive(Debug)]
pub(crate) struct Sender {
    first: u64,
    answered: u64,
}

impl Sender {
    pub(crate) fn new(i: u64) -> Self {
        Self { first: 1 + i * MESSAGES, answered: 0 }
    }

    /// What it sends now, again and again.
    pub(crate) fn message(&self) -> Option<u64> {
        (self.answered < MESSAGES).then_some(self.first + self.answered)
    }

    /// An answer has come; a second one for the same message is nothing new.
    pub(crate) fn take(&mut self, message: u64) {
        if self.message() == Some(message) {
            self.answered += 1;
        }
    }

    /// Its messages, in their order.
    pub(crate) fn messages(&self) -> impl Iterator<Item = u64> + use<> {
        self.first..self.first + MESSAGES
    }
}

/// Has seen the log up to its cursor.
pub(crate) struct Reader {
    pub(crate) cursor: Position,
    pub(crate) seen: Vec<(u64, Position)>,
    /// The owner whose events it hears.
    pub(crate) attached: Option<usize>,
    /// The owner whom it has asked where the log ends.
    pub(crate) asked_of: Option<usize>,
    /// It has been told that there is something up to here.
    pub(crate) upto: Option<Position>,
    /// What had been answered when it asked: all of that is below the end that it is told.
    expected: Vec<u64>,
}

impl Reader {
    pub(crate) fn new(first: u64) -> Self {
        let cursor = Position { epoch: 0, n: first - 1 };
        Self { cursor, seen: Vec::new(), attached: None, asked_of: None, upto: None, expected: Vec::new() }
    }

    /// Asks an owner where the log ends. It leaves the one whose events it heard.
    pub(crate) fn ask(&mut self, owner: usize, acked: &BTreeMap<u64, Position>) {
        self.attached = None;
        self.asked_of = Some(owner);
        self.upto = None;
        self.expected = acked.keys().copied().collect();
    }

    /// The owner says where the log ends, and sends what follows.
    pub(crate) fn attach(&mut self, owner: usize, upto: Position) {
        if self.asked_of == Some(owner) {
            self.asked_of = None;
            self.attached = Some(owner);
            self.upto = Some(upto);
        }
    }

    /// Reads what it has been told of and has not seen. An error is a promise that was broken.
    pub(crate) fn read(&mut self, store: &Memory, setting: &Setting) -> Result<(), String> {
        let Some(upto) = self.upto else { return Ok(()) };
        let limit = godwit_store::Limit { rows: usize::MAX, bytes: usize::MAX };
        let read = store.rows_after(&setting.log, self.cursor.n, upto.n, limit);
        let Ok(rows) = at_once(read) else { return Ok(()) };
        for row in rows {
            self.see(row.key, row.position)?;
        }
        if self.cursor.n < upto.n {
            return Err(format!("a reader was told of {upto} and finds nothing beyond {}", self.cursor));
        }
        self.upto = None;
        let unseen = self.expected.iter().find(|message| !self.seen.iter().any(|(seen, _)| seen == *message));
        match unseen {
            Some(message) => Err(format!("a reader was told that it has all, and not of {message}")),
            None => Ok(()),
        }
    }

    /// An event of an owner.
    pub(crate) fn hear(&mut self, owner: usize, message: u64, position: Position) -> Result<(), String> {
        if self.attached != Some(owner) || position.n <= self.cursor.n {
            return Ok(());
        }
        if self.upto.is_none() && position.n == self.cursor.n + 1 {
            return self.see(message, position);
        }
        self.upto = Some(position);
        Ok(())
    }

    fn see(&mut self, message: u64, position: Position) -> Result<(), String> {
        if position.n != self.cursor.n + 1 {
            return Err(format!("a reader at {} is shown {position}", self.cursor));
        }
        self.cursor = position;
        self.seen.push((message, position));
        Ok(())
    }
}

//! Senders that repeat until they are answered, and readers that resume.

use std::collections::BTreeMap;

use godwit_store::Store;
use godwit_store::memory::Memory;
use godwit_types::Position;

use crate::owner::{Setting, at_once};

/// Messages of one sender.
pub(crate) const MESSAGES: u64 = 6;

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

/// A reader's question where the log ends. An answer to an earlier one is no answer to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) reader: usize,
    count: u64,
}

/// Has seen the log up to its cursor.
pub(crate) struct Reader {
    pub(crate) cursor: Position,
    pub(crate) seen: Vec<(u64, Position)>,
    /// The owner whose events it hears.
    attached: Option<usize>,
    /// Its last question.
    ask: Ask,
    /// The owner whom it has asked, until that one has answered.
    asked: Option<usize>,
    /// It has been told that there is something up to here.
    upto: Option<Position>,
    /// What had been answered when it asked: all of that is below the end that it is told.
    expected: Vec<u64>,
}

impl Reader {
    pub(crate) fn new(reader: usize, first: u64) -> Self {
        Self {
            cursor: Position { epoch: 0, n: first - 1 },
            seen: Vec::new(),
            attached: None,
            ask: Ask { reader, count: 0 },
            asked: None,
            upto: None,
            expected: Vec::new(),
        }
    }

    /// Whether it hears that owner, or has asked it.
    pub(crate) fn is_with(&self, owner: usize) -> bool {
        self.attached == Some(owner) || self.asked == Some(owner)
    }

    /// Asks an owner where the log ends. It leaves the one whose events it heard.
    pub(crate) fn ask(&mut self, owner: usize, acked: &BTreeMap<u64, Position>) -> Ask {
        self.attached = None;
        self.asked = Some(owner);
        self.upto = None;
        self.expected = acked.keys().copied().collect();
        self.ask.count += 1;
        self.ask
    }

    /// The owner says where the log ends, and sends what follows.
    pub(crate) fn attach(&mut self, owner: usize, ask: Ask, upto: Position) {
        if self.asked.is_some() && self.ask == ask {
            self.asked = None;
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

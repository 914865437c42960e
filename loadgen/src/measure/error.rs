//! What goes wrong, by kind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A kind of failure, from a closed set: reports and charts have a line for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// No connection could be made.
    Connect,
    /// TLS or HTTP/2 did not come about.
    Handshake,
    /// A request was sent and no answer came.
    NoAnswer,
    /// An answer that says to try again: 429, 503.
    Busy,
    /// Any other answer that is not the one that was asked for.
    Refused,
    /// A stream ended before its `ready`, or in the middle of an event.
    Broken,
    /// Nothing came on a stream, not even a heartbeat.
    Silent,
    /// What came on a stream cannot be read.
    Malformed,
    /// A message found the queue of this generator full, and was not sent.
    Overrun,
    /// A message was not answered until the end.
    Unanswered,
    /// Messages that were acknowledged had not come to all members at the end.
    Missing,
}

impl ErrorKind {
    /// As a person reads it.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Connect => "cannot connect",
            ErrorKind::Handshake => "no handshake",
            ErrorKind::NoAnswer => "no answer",
            ErrorKind::Busy => "busy",
            ErrorKind::Refused => "refused",
            ErrorKind::Broken => "stream broken",
            ErrorKind::Silent => "stream silent",
            ErrorKind::Malformed => "malformed",
            ErrorKind::Overrun => "generator overrun",
            ErrorKind::Unanswered => "unanswered at the end",
            ErrorKind::Missing => "missing at the end",
        }
    }
}

/// Failures by kind, each kind with the first one's words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Errors(BTreeMap<ErrorKind, Failures>);

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// How many.
    pub count: u64,
    /// What the first one said.
    pub first: String,
}

impl Errors {
    /// One more; `say` is asked for words only if it is the first of its kind.
    pub fn push(&mut self, kind: ErrorKind, say: impl FnOnce() -> String) {
        self.0.entry(kind).or_insert_with(|| Failures { count: 0, first: say() }).count += 1;
    }

    /// Adds others.
    pub fn add(&mut self, other: &Errors) {
        for (kind, failures) in &other.0 {
            let first = || Failures { count: 0, first: failures.first.clone() };
            self.0.entry(*kind).or_insert_with(first).count += failures.count;
        }
    }

    /// Each kind that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (ErrorKind, &Failures)> {
        self.0.iter().map(|(kind, failures)| (*kind, failures))
    }

    /// How many of all kinds.
    pub fn total(&self) -> u64 {
        self.0.values().map(|failures| failures.count).sum()
    }
}

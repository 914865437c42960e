//! What clients were told, and whether it keeps the guarantees G1 to G4 of `docs/architecture.md`.
//!
//! Writers record every acknowledged message, readers every stream and every event on it. [`History::check`]
//! then looks for what must not be: a message that was acknowledged and is missing, one that came twice, an
//! event that a resume left out, two members who saw two orders. It depends on nothing that only tests have,
//! so that a load generator can be as strict.

mod check;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use godwit_types::{Cursor, Position};
use parking_lot::Mutex;
use serde_json::Value;

/// Events that are in an inbox and thus have an id.
const STORED: [&str; 5] = ["message", "message_updated", "message_deleted", "reaction", "conversation"];

/// A guarantee, as something that can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// G1: an acknowledged message is in every member's inbox.
    Lost,
    /// G1: and it is there once, under one number.
    Doubled,
    /// G2: a stream, and a resume, leave nothing out without saying so.
    Skipped,
    /// G3: a stream shows each conversation, and the inbox, in ascending order.
    OutOfOrder,
    /// G3: all who see a number of a conversation, or an event id of an account, see the same there.
    Disagreement,
    /// G3: what a sender sent after an answer comes after what was answered.
    SenderOrder,
    /// G4: on one stream no event comes twice.
    Repeated,
    /// An event that the contract does not know: without its id, or with data that lacks a field.
    Malformed,
}

/// A broken guarantee, with the fewest records that show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// How, in a sentence.
    pub what: String,
    /// The records, in the order in which they were made.
    pub excerpt: Vec<Record>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)?;
        self.excerpt.iter().try_for_each(|record| write!(f, "\n  {record:?}"))
    }
}

/// What a check that found nothing wrong had looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// Different messages that were acknowledged.
    pub messages: usize,
    /// Times that one of them was looked for in a reader's inbox, and found.
    pub deliveries: usize,
    /// Stored events on all streams.
    pub events: usize,
    /// Streams, resumes among them.
    pub streams: usize,
    /// Streams that began after an event id.
    pub resumes: usize,
}

/// A message as its sender and its readers know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its conversation.
    pub conversation: Arc<str>,
    /// Its number there.
    pub seq: u64,
    /// Its identity.
    pub id: Arc<str>,
    /// Who said it.
    pub sender: Arc<str>,
    /// What the sender calls it.
    pub client_id: Arc<str>,
}

/// One stream of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(usize);

/// A point in the history, see [`History::now`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(usize);

/// Something that a client saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A message was answered with 2xx.
    Acknowledged {
        /// As the answer says it.
        message: Message,
        /// When its first attempt was sent.
        sent: Moment,
        /// The batch that it came in; within one, order is the order of the records.
        batch: Option<Moment>,
    },
    /// A stream was asked for.
    Opened {
        /// Its name from here on.
        stream: StreamId,
        /// Whose.
        account: Arc<str>,
        /// On which device.
        device: Arc<str>,
        /// After which event; none: live.
        after: Option<Position>,
    },
    /// A stored event arrived.
    Event {
        /// On this stream.
        stream: StreamId,
        /// Its place in the inbox.
        at: Position,
        /// The conversation that it is about.
        conversation: Arc<str>,
        /// Its number there.
        seq: u64,
        /// The message, if it is one.
        message: Option<Message>,
    },
    /// A passing event with an id: a resume may begin from here.
    Mark {
        /// On this stream.
        stream: StreamId,
        /// The place in the inbox.
        at: Position,
    },
    /// The stream said that events are missing.
    Gap {
        /// On this stream.
        stream: StreamId,
        /// The first event that is missing; none: whatever follows what was requested.
        from: Option<Position>,
        /// The next event that is not.
        resumes_at: u64,
    },
    /// An event that cannot be read.
    Malformed {
        /// On this stream.
        stream: StreamId,
        /// What it was.
        event: String,
    },
}

/// Who should have seen everything.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The members of each conversation, all the time.
    pub members: Vec<(String, Vec<String>)>,
    /// Readers `(account, device)` that followed from before the first message until they had caught up
    /// after the last.
    pub complete: Vec<(String, String)>,
}

/// What clients saw, in one order. Shared by reference: recording locks for the moment of a push.
#[derive(Debug, Default)]
pub struct History {
    records: Mutex<Vec<Record>>,
}

impl History {
    /// Now. A message is recorded with the moment before its first attempt was sent.
    pub fn now(&self) -> Moment {
        Moment(self.records.lock().len())
    }

    /// Records that a message was answered with 2xx. A retry is `sent` when its first attempt was.
    pub fn acknowledged(&self, sent: Moment, message: Message) {
        self.push(Record::Acknowledged { message, sent, batch: None });
    }

    /// Records that messages of one batch, which was first sent at `sent`, were answered with 2xx, in
    /// their order.
    pub fn acknowledged_batch(&self, sent: Moment, messages: impl IntoIterator<Item = Message>) {
        let mut records = self.records.lock();
        let batch = Some(Moment(records.len()));
        let record = |message| Record::Acknowledged { message, sent, batch };
        records.extend(messages.into_iter().map(record));
    }

    /// Records that a stream is asked for, after this event id if there is one. An id that cannot be read
    /// counts as none.
    pub fn opened(&self, account: &str, device: &str, after: Option<&str>) -> StreamId {
        let after = after.and_then(position);
        let mut records = self.records.lock();
        let stream = StreamId(records.len());
        records.push(Record::Opened { stream, account: account.into(), device: device.into(), after });
        stream
    }

    /// Records an event: its name, its own id (empty: none), its data.
    pub fn event(&self, stream: StreamId, name: &str, id: &str, data: &Value) {
        let read = match name {
            "gap" => gap(stream, data),
            _ if STORED.contains(&name) => stored(stream, name, id, data),
            _ if id.is_empty() => return,
            _ => position(id).map(|at| Record::Mark { stream, at }),
        };
        let malformed = || Record::Malformed { stream, event: format!("{name} [{id}] {data}") };
        self.push(read.unwrap_or_else(malformed));
    }

    /// Whether all that was recorded keeps the guarantees.
    ///
    /// # Errors
    /// The first violation that is found.
    pub fn check(&self, expected: &Expected) -> Result<Checked, Violation> {
        check::check(&self.records.lock(), expected)
    }

    fn push(&self, record: Record) {
        self.records.lock().push(record);
    }
}

/// The message that an answer to a POST tells of: `{id, conversation_id, seq, sender}`.
pub fn posted(answer: &Value, client_id: &str) -> Option<Message> {
    message(answer, client_id)
}

fn message(data: &Value, client_id: &str) -> Option<Message> {
    Some(Message {
        conversation: data["conversation_id"].as_str()?.into(),
        seq: data["seq"].as_u64()?,
        id: data["id"].as_str()?.into(),
        sender: data["sender"].as_str()?.into(),
        client_id: client_id.into(),
    })
}

fn stored(stream: StreamId, name: &str, id: &str, data: &Value) -> Option<Record> {
    let message = match name {
        "message" => Some(message(data, data["client_id"].as_str()?)?),
        _ => None,
    };
    let conversation = data["conversation_id"].as_str()?.into();
    Some(Record::Event { stream, at: position(id)?, conversation, seq: data["seq"].as_u64()?, message })
}

fn gap(stream: StreamId, data: &Value) -> Option<Record> {
    let at = |field: &str| data[field].as_str().and_then(position);
    match data["reason"].as_str()? {
        "dropped" => Some(Record::Gap { stream, from: Some(at("from")?), resumes_at: at("to")?.n + 1 }),
        "expired" | "unknown" => {
            Some(Record::Gap { stream, from: None, resumes_at: at("held_from")?.n.max(1) })
        }
        _ => None,
    }
}

fn position(id: &str) -> Option<Position> {
    Cursor::parse(id).ok().map(|cursor| cursor.position)
}

//! What clients were told, and whether it keeps the guarantees G1 to G4 of `docs/architecture.md`.
//!
//! Writers record every acknowledged message, readers every stream and every event on it. The judge looks
//! at each record as it comes for what must not be: a message that came twice, an event that a resume left
//! out, two members who saw two orders. The first such thing is kept ([`History::violation`]), so that a run
//! can stop there. What was acknowledged and is missing shows at the end, in [`History::check`].
//!
//! It is for runs of hours: a record costs about 100 to 200 bytes with all that is known from it, and a
//! history has a bound. It knows no socket, no clock and no server, and never guesses: what it calls a
//! violation is one, also in a history that was cut at its bound.

mod check;
mod log;
mod lost;
mod names;
pub mod record;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Write as _};

use godwit_types::{Cursor, Position};
use parking_lot::Mutex;
use serde_json::Value;

use crate::check::Checker;
use crate::log::{Entry, Gap, Log, MessageRef};
pub use crate::lost::Expected;
pub use crate::record::{Message, Moment, Record, StreamId};

/// Records of a history that was given no bound of its own: 2 GB at 200 bytes a record, and more than an
/// hour at 2,500 records a second.
pub const RECORDS_MAX: usize = 10_000_000;

/// The largest bound there is: the numbers of records, and of the texts in them (five at most), have 32
/// bits.
const RECORDS_LIMIT: usize = u32::MAX as usize / 8;

/// Bytes that are kept of an event that cannot be read. A violation shows it, and its beginning says
/// enough.
const MALFORMED_BYTES_MAX: usize = 4096;

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
    /// G3: a stream shows the inbox, and the inbox each conversation, in ascending order.
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

/// A broken guarantee, with the fewest records that show it. It prints as a sentence and a line of JSON
/// for each record.
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
        self.excerpt.iter().try_for_each(|record| write!(f, "\n  {record}"))
    }
}

impl std::error::Error for Violation {}

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
    /// The history was full and something was left out. What is counted here was looked at as ever, but
    /// that a message is lost was only seen where a reader was shown a later one of its conversation.
    pub cut: bool,
}

/// What clients saw, in one order. Shared by reference: recording locks for the moment of a push.
///
/// A full history takes nothing more. What it holds then is the beginning of the run: all rules but
/// [`Rule::Lost`] are broken by a beginning or not at all, and see [`Checked::cut`] for that one.
#[derive(Debug)]
pub struct History {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    log: Log,
    checker: Checker,
    violation: Option<Violation>,
    records_max: usize,
    cut: bool,
}

impl Default for History {
    /// A history of [`RECORDS_MAX`] records.
    fn default() -> Self {
        Self::new(RECORDS_MAX)
    }
}

impl History {
    /// A history of so many records, and of 500 million at most.
    pub fn new(records_max: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                log: Log::default(),
                checker: Checker::default(),
                violation: None,
                records_max: records_max.min(RECORDS_LIMIT),
                cut: false,
            }),
        }
    }

    /// Now. A message is recorded with the moment before its first attempt was sent.
    pub fn now(&self) -> Moment {
        Moment(self.inner.lock().log.next())
    }

    /// Records that a message was answered with 2xx. A retry is `sent` when its first attempt was.
    pub fn acknowledged(&self, sent: Moment, message: Message) {
        let mut inner = self.inner.lock();
        inner.push(|log| Entry::Acknowledged { telling: log.tell(message.parts()), sent, batch: None });
    }

    /// Records that messages of one batch, which was first sent at `sent`, were answered with 2xx, in
    /// their order.
    pub fn acknowledged_batch(&self, sent: Moment, messages: impl IntoIterator<Item = Message>) {
        // Before the lock: what yields the messages may be slow, or record something itself.
        let messages: Vec<Message> = messages.into_iter().collect();
        let mut inner = self.inner.lock();
        let batch = Some(Moment(inner.log.next()));
        for message in messages {
            inner.push(|log| Entry::Acknowledged { telling: log.tell(message.parts()), sent, batch });
        }
    }

    /// Records that a stream is asked for, after this event id if there is one. An id that cannot be read
    /// counts as none. What a device's stream showed before is recorded before a resume is.
    pub fn opened(&self, account: &str, device: &str, after: Option<&str>) -> StreamId {
        let after = after.and_then(position);
        // A full history takes no event of it either.
        let mut opened = StreamId(u32::MAX);
        self.inner.lock().push(|log| {
            opened = log.stream(account, device);
            Entry::Opened { stream: opened, after }
        });
        opened
    }

    /// Records an event of a stream of this history: its name, its own id (empty: none), its data.
    pub fn event(&self, stream: StreamId, name: &str, id: &str, data: &Value) {
        let read = match name {
            "gap" => gap(data).map(Read::Gap),
            _ if STORED.contains(&name) => stored(name, id, data),
            _ if id.is_empty() => return,
            _ => position(id).map(Read::Mark),
        };
        let read = read.unwrap_or_else(|| {
            let mut event = format!("{name} [{id}] {data}");
            event.truncate(event.floor_char_boundary(MALFORMED_BYTES_MAX));
            Read::Malformed(event)
        });
        self.inner.lock().push(|log| match read {
            Read::Message(at, message) => Entry::Message { stream, at, telling: log.tell(message) },
            Read::Change(at, conversation, seq) => {
                Entry::Change { stream, at, change: log.change(conversation, seq) }
            }
            Read::Mark(at) => Entry::Mark { stream, at },
            Read::Gap(gap) => Entry::Gap { stream, gap: log.gap(gap) },
            Read::Malformed(event) => Entry::Malformed { stream, event: log.malformed(&event) },
        });
    }

    /// The first violation in what was recorded so far. A message that is missing is none yet, see
    /// [`History::check`].
    pub fn violation(&self) -> Option<Violation> {
        self.inner.lock().violation.clone()
    }

    /// Whether all that was recorded keeps the guarantees. Takes a pass over all records, with the history
    /// locked and about 8 bytes more for each message that one of the expected readers got.
    ///
    /// # Errors
    /// The first violation that is found.
    pub fn check(&self, expected: &Expected) -> Result<Checked, Violation> {
        let inner = self.inner.lock();
        if let Some(violation) = &inner.violation {
            return Err(violation.clone());
        }
        let acknowledged = inner.checker.acknowledged();
        let deliveries = lost::lost(&inner.log, &acknowledged, expected, inner.cut)?;
        Ok(Checked { deliveries, cut: inner.cut, ..inner.checker.checked() })
    }

    /// Records so far.
    pub fn records(&self) -> usize {
        self.inner.lock().log.len()
    }

    /// Whether it takes nothing more.
    pub fn full(&self) -> bool {
        self.inner.lock().is_full()
    }

    /// Writes all records, a line of JSON each; [`record`] tells of the fields. Others record meanwhile:
    /// what they add after the call began is left out.
    ///
    /// # Errors
    /// When `to` does not take it.
    pub fn write(&self, to: impl io::Write) -> io::Result<()> {
        let mut to = io::BufWriter::new(to);
        for index in 0..self.now().0 {
            let record = self.inner.lock().log.record(index);
            serde_json::to_writer(&mut to, &record)?;
            to.write_all(b"\n")?;
        }
        to.flush()
    }
}

impl Inner {
    fn is_full(&self) -> bool {
        self.log.len() >= self.records_max
    }

    /// Takes a record and looks at it. It is only made when there is room.
    fn push(&mut self, make: impl FnOnce(&mut Log) -> Entry) {
        if self.is_full() {
            self.cut = true;
            return;
        }
        let index = self.log.next();
        let entry = make(&mut self.log);
        self.log.push(entry);
        if self.violation.is_none() {
            self.violation = self.checker.take(&self.log, index).err();
        }
    }
}

/// What an event says.
enum Read<'a> {
    Message(Position, MessageRef<'a>),
    Change(Position, &'a str, u64),
    Mark(Position),
    Gap(Gap),
    Malformed(String),
}

impl Message {
    fn parts(&self) -> MessageRef<'_> {
        let Message { conversation, seq, id, sender, client_id } = self;
        MessageRef { conversation, seq: *seq, id, sender, client_id }
    }
}

/// The message that an answer to a POST tells of: `{id, conversation_id, seq, sender}`.
pub fn posted(answer: &Value, client_id: &str) -> Option<Message> {
    let MessageRef { conversation, seq, id, sender, client_id } = message(answer, client_id)?;
    Some(Message {
        conversation: conversation.to_owned(),
        seq,
        id: id.to_owned(),
        sender: sender.to_owned(),
        client_id: client_id.to_owned(),
    })
}

fn message<'a>(data: &'a Value, client_id: &'a str) -> Option<MessageRef<'a>> {
    Some(MessageRef {
        conversation: data["conversation_id"].as_str()?,
        seq: data["seq"].as_u64()?,
        id: data["id"].as_str()?,
        sender: data["sender"].as_str()?,
        client_id,
    })
}

fn stored<'a>(name: &str, id: &str, data: &'a Value) -> Option<Read<'a>> {
    let at = position(id)?;
    match name {
        "message" => Some(Read::Message(at, message(data, data["client_id"].as_str()?)?)),
        _ => Some(Read::Change(at, data["conversation_id"].as_str()?, data["seq"].as_u64()?)),
    }
}

fn gap(data: &Value) -> Option<Gap> {
    let at = |field: &str| data[field].as_str().and_then(position);
    match data["reason"].as_str()? {
        "dropped" => Some(Gap { from: Some(at("from")?), resumes_at: at("to")?.n.saturating_add(1) }),
        "expired" | "unknown" => Some(Gap { from: None, resumes_at: at("held_from")?.n.max(1) }),
        _ => None,
    }
}

fn position(id: &str) -> Option<Position> {
    Cursor::parse(id).ok().map(|cursor| cursor.position)
}

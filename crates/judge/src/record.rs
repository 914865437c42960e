//! What a history holds, for people and programs to read.
//!
//! [`crate::History::write`] prints a record as one line of JSON, and a violation prints its excerpt so:
//!
//! | `kind` | fields |
//! |---|---|
//! | `acknowledged` | `conversation`, `seq`, `id`, `sender`, `client_id`, `sent`, `batch` |
//! | `opened` | `stream`, `account`, `device`, `after` |
//! | `message` | `stream`, `at`, `conversation`, `seq`, `id`, `sender`, `client_id` |
//! | `change` | `stream`, `at`, `conversation`, `seq` |
//! | `mark` | `stream`, `at` |
//! | `gap` | `stream`, `from`, `resumes_at` |
//! | `malformed` | `stream`, `event` |
//!
//! Each begins with its number, `record`, from 0 on. `sent` and `batch` are such numbers too. `at`,
//! `after` and `from` are event ids without their tag (`epoch-n`). `batch`, `after` and `from` are left
//! out where there is none.

use std::fmt;

use godwit_types::Position;
use serde::{Serialize, Serializer};

/// A message as its sender and its readers know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Its conversation.
    pub conversation: String,
    /// Its number there.
    pub seq: u64,
    /// Its identity.
    pub id: String,
    /// Who said it.
    pub sender: String,
    /// What the sender calls it.
    pub client_id: String,
}

/// One stream of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct StreamId(pub(crate) u32);

/// A point in the history, see [`crate::History::now`]: the number of the next record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Moment(pub(crate) u32);

/// Something that a client saw. It prints as its line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Its number, from 0 on.
    #[serde(rename = "record")]
    pub number: usize,
    /// What it was.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What a client saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// A message was answered with 2xx.
    Acknowledged {
        /// As the answer says it.
        #[serde(flatten)]
        message: Message,
        /// When its first attempt was sent.
        sent: Moment,
        /// The batch that it came in; within one, order is the order of the records.
        #[serde(skip_serializing_if = "Option::is_none")]
        batch: Option<Moment>,
    },
    /// A stream was asked for.
    Opened {
        /// Its name from here on.
        stream: StreamId,
        /// Whose.
        account: String,
        /// On which device.
        device: String,
        /// After which event; none: live.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_as_text")]
        after: Option<Position>,
    },
    /// A message arrived.
    Message {
        /// On this stream.
        stream: StreamId,
        /// Its place in the inbox.
        #[serde(serialize_with = "as_text")]
        at: Position,
        /// As the event says it.
        #[serde(flatten)]
        message: Message,
    },
    /// A stored event arrived that is no message.
    Change {
        /// On this stream.
        stream: StreamId,
        /// Its place in the inbox.
        #[serde(serialize_with = "as_text")]
        at: Position,
        /// The conversation that it is about.
        conversation: String,
        /// Its number there.
        seq: u64,
    },
    /// A passing event with an id: a resume may begin from here.
    Mark {
        /// On this stream.
        stream: StreamId,
        /// The place in the inbox.
        #[serde(serialize_with = "as_text")]
        at: Position,
    },
    /// The stream said that events are missing.
    Gap {
        /// On this stream.
        stream: StreamId,
        /// The first event that is missing; none: whatever follows what was requested.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_as_text")]
        from: Option<Position>,
        /// The number of the next event that is not.
        resumes_at: u64,
    },
    /// An event that cannot be read.
    Malformed {
        /// On this stream.
        stream: StreamId,
        /// What it was, or how it began.
        event: String,
    },
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

fn as_text<S: Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(position)
}

fn some_as_text<S: Serializer>(position: &Option<Position>, serializer: S) -> Result<S::Ok, S::Error> {
    position.as_ref().map(ToString::to_string).serialize(serializer)
}

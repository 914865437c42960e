//! The two kinds of log.

use std::fmt;

use crate::{AccountId, ConversationId, ShardId};

/// A log: the rows of one conversation, or of one account's inbox.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogId {
    /// A conversation's changes; `n` is the API's `seq`.
    Conversation(ConversationId),
    /// An account's events; `n` is part of the API's event id.
    Inbox(AccountId),
}

impl LogId {
    /// The shard whose owner writes this log.
    pub fn shard(&self, shards: u16) -> ShardId {
        match self {
            Self::Conversation(id) => ShardId::of(id.as_str(), shards),
            Self::Inbox(id) => ShardId::of(id.as_str(), shards),
        }
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conversation(id) => write!(f, "conversation {id}"),
            Self::Inbox(id) => write!(f, "inbox {id}"),
        }
    }
}

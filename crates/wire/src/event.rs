//! The events of a stream: their names and what their `data` says.

use godwit_types::{AccountId, ConnectionId, ConversationId, Cursor, MessageId, Timestamp};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::api::SharedConversation;

/// Names of events. The numbers are part of the storage format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum EventKind {
    /// A new message. Stored.
    Message,
    /// An edit. Stored.
    MessageUpdated,
    /// A deletion. Stored.
    MessageDeleted,
    /// A reaction that came or went. Stored.
    Reaction,
    /// A change of a conversation itself. Stored.
    Conversation,
    /// The change of a conversation that removes the reader from it. Stored; its name is `conversation` too.
    ConversationRemoved,
    /// The stream is open.
    Ready,
    /// All that was asked for has been replayed.
    CaughtUp,
    /// Something that was asked for is not held.
    Gap,
    /// The stream ends.
    Bye,
}

impl EventKind {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::MessageUpdated => "message_updated",
            Self::MessageDeleted => "message_deleted",
            Self::Reaction => "reaction",
            Self::Conversation | Self::ConversationRemoved => "conversation",
            Self::Ready => "ready",
            Self::CaughtUp => "caught_up",
            Self::Gap => "gap",
            Self::Bye => "bye",
        }
    }
}

/// Why a stream cannot show all that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The retention has removed it.
    Expired,
    /// There never was such an event here, or it was lost with its store.
    Unknown,
    /// The client read too slowly, and its policy drops.
    Dropped,
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ByeReason {
    /// The node is going away.
    Drain,
    /// The node has more work than it takes on.
    Overload,
    /// The account has as many streams as it may have.
    Limit,
    /// The client read too slowly, and its policy is to disconnect.
    Slow,
    /// The token's time is over.
    TokenExpired,
    /// A newer stream of the same device took its place.
    Replaced,
    /// The device or the account was revoked.
    Revoked,
}

impl ByeReason {
    /// Whether the client should come back by itself.
    pub const fn reconnect(self) -> bool {
        matches!(self, Self::Drain | Self::Overload | Self::Limit | Self::Slow)
    }

    /// The name on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Overload => "overload",
            Self::Limit => "limit",
            Self::Slow => "slow",
            Self::TokenExpired => "token_expired",
            Self::Replaced => "replaced",
            Self::Revoked => "revoked",
        }
    }
}

/// `data` of `message`.
#[derive(Debug, Serialize)]
pub struct MessageData<'a> {
    /// Where it was said.
    pub conversation_id: &'a ConversationId,
    /// Its number there.
    pub seq: u64,
    /// Its identity.
    pub id: MessageId,
    /// Who said it.
    pub sender: &'a AccountId,
    /// What the sender calls it.
    pub client_id: &'a str,
    /// What was said: compact JSON.
    pub body: &'a RawValue,
    /// `seq` of the message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<u64>,
    /// Whom it mentions.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub mentions: &'a [AccountId],
    /// When its conversation took it.
    pub sent_at: Timestamp,
}

/// What happened to a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversationChange {
    /// It was opened.
    Created,
    /// Its title or a member's role changed.
    Updated,
    /// Someone came.
    MemberAdded,
    /// Someone else went.
    MemberRemoved,
    /// The reader is no member any more.
    Removed,
}

/// `data` of `conversation`.
#[derive(Debug, Serialize)]
pub struct ConversationData<'a> {
    /// Which.
    pub conversation_id: &'a ConversationId,
    /// The change's number there.
    pub seq: u64,
    /// What happened.
    pub change: ConversationChange,
    /// To whom, where it is about one member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<&'a AccountId>,
    /// Who did it.
    pub by: &'a AccountId,
    /// The conversation after the change, without what differs from reader to reader.
    pub conversation: SharedConversation,
    /// When.
    pub at: Timestamp,
}

/// `data` of `ready`.
#[derive(Debug, Serialize)]
pub struct ReadyData {
    /// The stream's own name.
    #[serde(serialize_with = "text")]
    pub connection: ConnectionId,
    /// The newest event of the account.
    #[serde(serialize_with = "text")]
    pub head: Cursor,
    /// Whether events before `head` follow first.
    pub replaying: bool,
    /// The middle of the time between two heartbeats.
    pub heartbeat_ms: u32,
    /// When the token's time is over and the stream ends.
    pub expires_at: Timestamp,
    /// The server's clock.
    pub server_time: Timestamp,
}

/// `data` of `caught_up`.
#[derive(Debug, Serialize)]
pub struct CaughtUpData {
    /// The newest event of the account.
    #[serde(serialize_with = "text")]
    pub head: Cursor,
}

/// `data` of `gap`, and what a sync says of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum GapData {
    /// A resume that cannot be served whole.
    Resume {
        /// Why.
        reason: GapReason,
        /// What was asked for.
        requested: String,
        /// The first event that follows.
        held_from: String,
        /// The newest event of the account.
        head: String,
    },
    /// A run of events that a slow reader lost.
    Dropped {
        /// Always [`GapReason::Dropped`].
        reason: GapReason,
        /// First event dropped.
        from: String,
        /// Last event dropped.
        to: String,
    },
}

/// `data` of `bye`.
#[derive(Debug, Serialize)]
pub struct ByeData {
    /// Why.
    pub reason: ByeReason,
    /// Whether to come back.
    pub reconnect: bool,
    /// After how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u32>,
}

fn text<T: std::fmt::Display, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(value)
}

/// The JSON of any of the above.
pub fn data(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default() // no map with odd keys, no failing Serialize in them
}

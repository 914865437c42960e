//! Requests and answers of the client API, version 1, as JSON.

use godwit_types::{AccountId, ClientId, ConversationId, DeviceId, MessageId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Members that a conversation object lists; the rest is paged.
pub const MEMBERS_SHOWN: usize = 50;
/// Longest title, in bytes.
pub const TITLE_BYTES_MAX: usize = 256;
/// Largest message body, serialised, in bytes.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// Most accounts that one message mentions.
pub const MENTIONS_MAX: usize = 50;

/// What kind of conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Exactly two accounts, unchangeable.
    Direct,
    /// Up to a thousand accounts, with owners.
    Group,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Adds, removes, names, makes owners.
    Owner,
    /// Reads and writes.
    Member,
}

/// `POST /v1/conversations`.
#[derive(Debug, Clone, Deserialize)]
pub struct OpenConversation {
    /// Direct or group.
    pub kind: Kind,
    /// The others; the caller is always a member.
    pub members: Vec<AccountId>,
    /// A group's name.
    pub title: Option<String>,
    /// Needed for a group, so that a repeat opens no second one.
    pub client_id: Option<ClientId>,
}

/// `PATCH /v1/conversations/{c}`.
#[derive(Debug, Clone, Deserialize)]
pub struct Rename {
    /// The new title; `null` takes it away.
    pub title: Option<String>,
}

/// `PUT …/members/{account}`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PutMember {
    /// `member` when not said; for who is a member already: no change.
    pub role: Option<Role>,
}

/// `POST …/messages`.
#[derive(Debug, Clone, Deserialize)]
pub struct NewMessage {
    /// What the sender calls it.
    pub client_id: ClientId,
    /// An object with a `type`.
    pub body: Box<RawValue>,
    /// `seq` of the message that it answers.
    pub reply_to: Option<u64>,
    /// Whom it mentions.
    #[serde(default)]
    pub mentions: Vec<AccountId>,
}

/// One item of an outbox: a message and where it goes.
#[derive(Debug, Clone, Deserialize)]
pub struct OutboxItem {
    /// Where it goes.
    pub conversation_id: ConversationId,
    /// As in [`NewMessage`].
    pub client_id: ClientId,
    /// As in [`NewMessage`].
    pub body: Box<RawValue>,
    /// As in [`NewMessage`].
    pub reply_to: Option<u64>,
    /// As in [`NewMessage`].
    #[serde(default)]
    pub mentions: Vec<AccountId>,
}

/// `POST /v1/messages`. Items are read one by one: one that is wrong in itself fails alone.
#[derive(Debug, Clone, Deserialize)]
pub struct Outbox {
    /// Each an [`OutboxItem`].
    pub messages: Vec<Box<RawValue>>,
}

/// `POST /v1/acks`.
#[derive(Debug, Clone, Deserialize)]
pub struct Acknowledge {
    /// The newest event that the device has, with all before it.
    pub last_event_id: String,
}

/// The answer to a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Posted {
    /// The message's identity.
    pub id: MessageId,
    /// Where it was said.
    pub conversation_id: ConversationId,
    /// Its number there.
    pub seq: u64,
    /// Who said it.
    pub sender: AccountId,
    /// When its conversation took it.
    pub sent_at: Timestamp,
}

/// A message of the history.
#[derive(Debug, Clone, Serialize)]
pub struct Message {
    /// Its identity.
    pub id: MessageId,
    /// Where it was said.
    pub conversation_id: ConversationId,
    /// Its number there.
    pub seq: u64,
    /// Who said it.
    pub sender: AccountId,
    /// What the sender calls it.
    pub client_id: ClientId,
    /// What was said.
    pub body: Box<RawValue>,
    /// `seq` of the message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<u64>,
    /// Whom it mentions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<AccountId>,
    /// When its conversation took it.
    pub sent_at: Timestamp,
}

/// A page of the history, newest last.
#[derive(Debug, Clone, Serialize)]
pub struct History {
    /// The messages.
    pub messages: Vec<Message>,
    /// Whether there are more on the side that was asked for.
    pub more: bool,
}

/// One member of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub account: AccountId,
    /// What it may do.
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
}

/// A page of members, in the order in which they joined.
#[derive(Debug, Clone, Serialize)]
pub struct Members {
    /// The members.
    pub members: Vec<Member>,
    /// Where the next page starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A conversation, without what differs from reader to reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SharedConversation {
    /// Its id.
    pub id: ConversationId,
    /// Direct or group.
    pub kind: Kind,
    /// A group's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How many members it has.
    pub member_count: usize,
    /// The first [`MEMBERS_SHOWN`] of them.
    pub members: Vec<Member>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// The number of its newest change.
    pub last_seq: u64,
}

/// A conversation as one of its members sees it.
#[derive(Debug, Clone, Serialize)]
pub struct Conversation {
    /// What all see.
    #[serde(flatten)]
    pub shared: SharedConversation,
    /// The newest message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message: Option<Message>,
    /// Messages of others that came after `read_seq`.
    pub unread: u64,
    /// Up to where the reader has read.
    pub read_seq: u64,
    /// The reader's settings for it.
    pub settings: ConversationSettings,
}

/// How a member wants to hear of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConversationSettings {
    /// Of what.
    pub notify: Notify,
}

/// Of what a member wants to be notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notify {
    /// Of everything.
    #[default]
    All,
}

/// `GET /v1/conversations`.
#[derive(Debug, Clone, Serialize)]
pub struct Conversations {
    /// Newest activity first.
    pub conversations: Vec<Conversation>,
    /// Where the next page starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The newest event of the account before the list was read.
    pub head: String,
}

/// One event of a sync.
#[derive(Debug, Clone, Serialize)]
pub struct SyncEvent {
    /// Its event id.
    pub id: String,
    /// Its name.
    pub event: &'static str,
    /// Its data.
    pub data: Box<RawValue>,
}

/// `GET /v1/sync`.
#[derive(Debug, Clone, Serialize)]
pub struct Sync {
    /// The events, oldest first.
    pub events: Vec<SyncEvent>,
    /// What is missing before the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<crate::event::GapData>,
    /// `since` of the next call.
    pub next: String,
    /// Whether there is more already.
    pub more: bool,
    /// The newest event of the account.
    pub head: String,
}

/// How a device is reached when it has no stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// Whose service.
    pub provider: PushProvider,
    /// The provider's name for the device and app.
    pub token: String,
    /// APNs: the app's bundle id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// APNs: `production` or `development`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// Whose push service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushProvider {
    /// Apple's.
    Apns,
    /// Google's.
    Fcm,
}

/// `PUT /v1/devices/{d}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutDevice {
    /// ios, ipados, watchos, macos, android, wear, web, desktop; others are accepted.
    pub platform: String,
    /// How to reach it without a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<Push>,
    /// What its owner calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A device, as its account sees it. Push tokens are not shown.
#[derive(Debug, Clone, Serialize)]
pub struct Device {
    /// Its id.
    pub device: DeviceId,
    /// Its platform, once it was registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// What its owner calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it can be reached without a stream.
    pub push: Option<PushProvider>,
    /// The newest event that it acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<String>,
    /// Streams that it has open.
    pub streams: usize,
}

/// `GET /v1/devices`.
#[derive(Debug, Clone, Serialize)]
pub struct Devices {
    /// The account's devices.
    pub devices: Vec<Device>,
}

//! The nouns of the system: identifiers, positions in a log, shards and points in time.
//!
//! Everything here is a small value with a total, tested text form. This crate knows no protocol,
//! no storage and no runtime, and it must stay that way: every other crate depends on it.

mod cursor;
mod id;
mod log;
mod shard;
mod stamp;
mod time;

pub use cursor::{Cursor, CursorError, Position};
pub use id::{
    AccountId, ClientId, ConnectionId, ConversationId, DeviceId, IdError, MessageId, NodeId, conversation_id,
};
pub use log::LogId;
pub use shard::{DEFAULT_SHARDS, ShardId, hash};
pub use stamp::Stamp;
pub use time::{Timestamp, TimestampError};

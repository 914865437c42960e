//! What an operator may set.

use std::time::Duration;

use godwit_core::delivery::Bounds;
use godwit_core::inbox::Retention;

/// How a node's actors behave.
#[derive(Debug, Clone)]
pub struct Options {
    /// Middle of the time between two heartbeats of a stream, in milliseconds.
    pub heartbeat_ms: u32,
    /// Bounds of the `retry` that each stream is told, in milliseconds.
    pub retry_ms: (u32, u32),
    /// Bounds of a stream's queue.
    pub queue: Bounds,
    /// Streams that one account may have open.
    pub streams_per_account: usize,
    /// Members that a conversation may have.
    pub members_max: usize,
    /// What an inbox keeps.
    pub retention: Retention,
    /// Whether the store lets old rows of inboxes go by itself, so that one may begin later than it says.
    pub inbox_expires: bool,
    /// Commands that may be under way at once; beyond it a client is told to come back.
    pub commands_max: usize,
    /// How long an actor without work stays in memory.
    pub idle: Duration,
}

//! `[stream]`: the events that go down to a device.

use std::time::Duration;

use super::fields::Fields;
use super::key::{Absent, KIB, Key, MIB, Shape, Unit};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "stream.heartbeat_ms",
        // As `heartbeat_s` of the API. Shorter wakes a phone's radio for nothing; longer than
        // 300 s outlives what NATs of mobile networks keep.
        shape: Shape::Number { unit: Unit::Milliseconds, min: 15_000, max: 300_000 },
        default: Absent::Is("25000"),
        meaning: "Time between two heartbeats on a stream, ±20 %, unless a client asks for another.",
    },
    Key {
        name: "stream.retry_min_ms",
        shape: Shape::Number { unit: Unit::Milliseconds, min: 100, max: 3_600_000 },
        default: Absent::Is("1000"),
        meaning: "Least time after which a client is told to come back. Each stream draws its own.",
    },
    Key {
        name: "stream.retry_max_ms",
        shape: Shape::Number { unit: Unit::Milliseconds, min: 100, max: 3_600_000 },
        default: Absent::Is("5000"),
        meaning: "Longest time after which a client is told to come back.",
    },
    Key {
        name: "stream.queue_bytes",
        // At least one event with the largest body (16 KiB) and its envelope.
        shape: Shape::Number { unit: Unit::Bytes, min: 32 * KIB, max: 64 * MIB },
        default: Absent::Is("256KiB"),
        meaning: "Events that wait for one slow client, at most.",
    },
    Key {
        name: "stream.overflow",
        shape: Shape::Choice(&["replay", "drop_oldest", "drop_newest", "disconnect"]),
        default: Absent::Is("replay"),
        meaning: "What happens when that is full. `replay`: the queue is dropped and refilled from the store, nothing is \
                  lost.",
    },
    Key {
        name: "stream.grace_ms",
        shape: Shape::Number { unit: Unit::Milliseconds, min: 0, max: 600_000 },
        default: Absent::Is("5000"),
        meaning: "How long a device whose stream is gone counts as merely in a lift. For push, which is not in this release.",
    },
    Key {
        name: "stream.ack_timeout_ms",
        shape: Shape::Number { unit: Unit::Milliseconds, min: 1_000, max: 600_000 },
        default: Absent::Is("10000"),
        meaning: "How long an event that was written may stay unacknowledged before it counts as not taken. For push, which is not in this release.",
    },
];

/// The events that go down to a device.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Time between two heartbeats, before the ±20 %.
    pub heartbeat: Duration,
    /// Least `retry`; not above `retry_max`.
    pub retry_min: Duration,
    /// Longest `retry`.
    pub retry_max: Duration,
    /// Bytes that wait for one client, at most.
    pub queue_bytes: usize,
    /// What happens when the queue is full.
    pub overflow: Overflow,
    /// How long a lost stream may stay lost without consequence.
    pub grace: Duration,
    /// How long a written event may stay unacknowledged.
    pub ack_timeout: Duration,
}

/// What happens when a client reads too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The queue is dropped and refilled from the store once the client reads.
    Replay,
    /// The oldest events are dropped; a `gap` says which.
    DropOldest,
    /// The newest events are dropped; a `gap` says which.
    DropNewest,
    /// The stream is closed with `slow`.
    Disconnect,
}

impl Stream {
    pub(super) fn read(fields: &mut Fields) -> Self {
        let stream = Self {
            heartbeat: fields.duration("stream.heartbeat_ms"),
            retry_min: fields.duration("stream.retry_min_ms"),
            retry_max: fields.duration("stream.retry_max_ms"),
            queue_bytes: fields.count("stream.queue_bytes"),
            overflow: match fields.choice("stream.overflow") {
                Some("drop_oldest") => Overflow::DropOldest,
                Some("drop_newest") => Overflow::DropNewest,
                Some("disconnect") => Overflow::Disconnect,
                _ => Overflow::Replay,
            },
            grace: fields.duration("stream.grace_ms"),
            ack_timeout: fields.duration("stream.ack_timeout_ms"),
        };
        if fields.sound(&["stream.retry_min_ms", "stream.retry_max_ms"])
            && stream.retry_min > stream.retry_max
        {
            let name = if fields.is_given("stream.retry_min_ms") {
                "stream.retry_min_ms"
            } else {
                "stream.retry_max_ms"
            };
            let (min, max) = (stream.retry_min.as_millis(), stream.retry_max.as_millis());
            let what = format!("stream.retry_min_ms ({min}) must not be above stream.retry_max_ms ({max})");
            fields.problem(name, what);
        }
        stream
    }
}

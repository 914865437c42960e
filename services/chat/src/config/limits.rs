//! `[limits]`: how much one client, one address and all of them together may ask for.

use std::time::Duration;

use super::Mode;
use super::fields::{self, Fields};
use super::key::{Absent, KIB, Key, MIB, Shape, Unit};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "limits.body_bytes",
        // At least the largest body of a message (16 KiB) and what goes with it.
        shape: Shape::Number { unit: Unit::Bytes, min: 32 * KIB, max: 16 * MIB },
        default: Absent::Is("64KiB"),
        meaning: "Body of one call, at most.",
    },
    Key {
        name: "limits.batch",
        shape: Shape::Number { unit: Unit::Count, min: 1, max: 1_000 },
        default: Absent::Is("100"),
        meaning: "Messages in one `POST /v1/messages`, at most.",
    },
    Key {
        name: "limits.batch_bytes",
        shape: Shape::Number { unit: Unit::Bytes, min: 32 * KIB, max: 64 * MIB },
        default: Absent::Is("2MiB"),
        meaning: "Body of one `POST /v1/messages`, at most; not below `limits.body_bytes`.",
    },
    Key {
        name: "limits.head_bytes",
        // A token has up to 4 KiB, and comes in the head.
        shape: Shape::Number { unit: Unit::Bytes, min: 8 * KIB, max: MIB },
        default: Absent::Is("16KiB"),
        meaning: "Request line and headers, at most.",
    },
    Key {
        name: "limits.json_depth",
        shape: Shape::Number { unit: Unit::Count, min: 8, max: 128 },
        default: Absent::Is("32"),
        meaning: "Depth of objects and lists in a body, at most.",
    },
    Key {
        name: "limits.members",
        shape: Shape::Number { unit: Unit::Count, min: 2, max: 1_000 },
        default: Absent::Is("1000"),
        meaning: "Members of a conversation, at most.",
    },
    Key {
        name: "limits.streams_per_account",
        shape: Shape::Number { unit: Unit::Count, min: 2, max: 1_000 },
        default: Absent::Is("20"),
        meaning: "Open streams of one account on all its devices, at most.",
    },
    Key {
        name: "limits.unauthenticated_connections_per_address",
        // Carriers put thousands of phones behind one address, and after a restart all of them
        // come back within `stream.retry_max_ms`. A connection counts from its accept until its
        // first request has shown a token: a round trip, a second on a bad network. 10,000 phones
        // over 5 s are 2,000 at once. A hostile address holds 2,048 × `limits.head_bytes`: 32 MiB.
        shape: Shape::Number { unit: Unit::Count, min: 1, max: 1_000_000 },
        default: Absent::Is("2048"),
        meaning: "Connections from one address that have not shown a valid token yet, at most. Thousands of phones may \
                  share an address.",
    },
    Key {
        name: "limits.connections",
        // An idle stream costs the node 0.6 KB and the kernel 4 KB: 250,000 are 1.2 GB.
        shape: Shape::Number { unit: Unit::Count, min: 1, max: 100_000_000 },
        default: Absent::Is("250000"),
        meaning: "Client connections of this node, at most. The limit of open files must allow them too.",
    },
    Key {
        name: "limits.http2_streams",
        // RFC 9113, section 6.5.2 recommends no fewer than 100. A phone has one stream and a few requests; a
        // gateway or a load generator has thousands of streams. All that a connection carries is lost with it
        // and comes back at once, so there is a bound for them too.
        shape: Shape::Number { unit: Unit::Count, min: 1, max: 10_000 },
        default: Absent::Is("128"),
        meaning: "Requests, streams among them, that are under way on one HTTP/2 connection, at most. It counts once in \
                  `limits.connections`, whatever it carries.",
    },
    Key {
        name: "limits.head_timeout_ms",
        shape: Shape::Number { unit: Unit::Milliseconds, min: 100, max: 600_000 },
        default: Absent::Is("10000"),
        meaning: "Time for a request's head to arrive.",
    },
    Key {
        name: "limits.body_timeout_ms",
        // 2 MiB over a mobile network of 1 Mbit/s take 17 s.
        shape: Shape::Number { unit: Unit::Milliseconds, min: 100, max: 3_600_000 },
        default: Absent::Is("30000"),
        meaning: "Time for a request's body to arrive.",
    },
    Key {
        name: "limits.commands",
        // At the 20,000 messages a second that a node is built for, a fifth of a second of work;
        // with the largest single body each, 256 MiB.
        shape: Shape::Number { unit: Unit::Count, min: 1, max: 10_000_000 },
        default: Absent::Is("4096"),
        meaning: "Commands that are under way in this node at once, at most. More are answered 503 with `Retry-After`.",
    },
    Key {
        name: "limits.requests_per_s",
        // A phone that opens an app makes some ten requests, and an account has a few devices.
        shape: Shape::Number { unit: Unit::Count, min: 0, max: RATE_MAX },
        default: Absent::Means("`50` with `serve`, `0` with `dev`"),
        meaning: "Requests of one account in a second, at most, on all nodes together if there is a `[redis]`. More are \
                  answered 429. 0: no limit. Opening a stream does not count.",
    },
    Key {
        name: "limits.messages_per_s",
        // A person writes one in a second at most; an outbox of a day without network has the burst.
        shape: Shape::Number { unit: Unit::Count, min: 0, max: RATE_MAX },
        default: Absent::Means("`20` with `serve`, `0` with `dev`"),
        meaning: "Messages of one account in a second, at most; each of a `POST /v1/messages` counts. 0: no limit.",
    },
    Key {
        name: "limits.burst",
        shape: Shape::Number { unit: Unit::Count, min: 1, max: 1_000_000 },
        default: Absent::Is("200"),
        meaning: "Requests, and messages, that an account may make at once after a pause before these rates apply.",
    },
];

/// Highest rate that is met within 1 %.
const RATE_MAX: u64 = godwit_cache::Limit::PER_SECOND_MAX as u64;
/// Requests and messages of an account in a second, unless somebody says otherwise.
const RATES: (u64, u64) = (50, 20);

/// How much may be asked for.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Body of one call.
    pub body_bytes: usize,
    /// Messages of one batch.
    pub batch: usize,
    /// Body of one batch.
    pub batch_bytes: usize,
    /// Request line and headers.
    pub head_bytes: usize,
    /// Depth of objects and lists in a body, at most.
    pub json_depth: usize,
    /// Members of a conversation.
    pub members: usize,
    /// Open streams of one account.
    pub streams_per_account: usize,
    /// Connections from one address that have shown no valid token yet.
    pub unauthenticated_connections_per_address: usize,
    /// Client connections of the node.
    pub connections: usize,
    /// Requests under way on one HTTP/2 connection.
    pub http2_streams: usize,
    /// Time for a head to arrive.
    pub head_timeout: Duration,
    /// Time for a body to arrive.
    pub body_timeout: Duration,
    /// Commands under way in the node at once.
    pub commands: usize,
    /// Requests of an account in a second; 0: no limit.
    pub requests_per_s: u32,
    /// Messages of an account in a second; 0: no limit.
    pub messages_per_s: u32,
    /// How many of either an account may make at once.
    pub burst: u32,
}

impl Limits {
    pub(super) fn read(fields: &mut Fields, mode: Mode) -> Self {
        // Who tries something out with `dev` must not stumble over a rate.
        let (requests, messages) = if matches!(mode, Mode::Serve) { RATES } else { (0, 0) };
        let mut rate = |name, default| fields.maybe_number(name).unwrap_or(default) as u32;
        let (requests_per_s, messages_per_s) =
            (rate("limits.requests_per_s", requests), rate("limits.messages_per_s", messages));
        let limits = Self {
            body_bytes: fields.count("limits.body_bytes"),
            batch: fields.count("limits.batch"),
            batch_bytes: fields.count("limits.batch_bytes"),
            head_bytes: fields.count("limits.head_bytes"),
            json_depth: fields.count("limits.json_depth"),
            members: fields.count("limits.members"),
            streams_per_account: fields.count("limits.streams_per_account"),
            unauthenticated_connections_per_address: fields
                .count("limits.unauthenticated_connections_per_address"),
            connections: fields.count("limits.connections"),
            http2_streams: fields.count("limits.http2_streams"),
            head_timeout: fields.duration("limits.head_timeout_ms"),
            body_timeout: fields.duration("limits.body_timeout_ms"),
            commands: fields.count("limits.commands"),
            requests_per_s,
            messages_per_s,
            burst: fields.number("limits.burst") as u32,
        };
        limits.check(fields);
        limits
    }

    fn check(&self, fields: &mut Fields) {
        if fields.sound(&["limits.body_bytes", "limits.batch_bytes"]) && self.batch_bytes < self.body_bytes {
            let name = if fields.is_given("limits.batch_bytes") {
                "limits.batch_bytes"
            } else {
                "limits.body_bytes"
            };
            let (batch, body) = (fields::size(self.batch_bytes), fields::size(self.body_bytes));
            fields.problem(
                name,
                format!("limits.batch_bytes ({batch}) must not be below limits.body_bytes ({body})"),
            );
        }
    }
}

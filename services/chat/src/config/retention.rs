//! `[retention]`: how long things are kept.

use std::time::Duration;

use super::fields::Fields;
use super::key::{Absent, Key, Shape, Unit};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "retention.inbox_days",
        shape: Shape::Number { unit: Unit::Days, min: 1, max: 3_650 },
        default: Absent::Is("30"),
        meaning: "How long a device may be away and still resume without a gap.",
    },
    Key {
        name: "retention.inbox_events",
        // The least is one bucket of the inbox.
        shape: Shape::Number { unit: Unit::Count, min: 10_000, max: 100_000_000 },
        default: Absent::Is("200000"),
        meaning: "Events of one account that are kept for that, at most.",
    },
    Key {
        name: "retention.messages_days",
        shape: Shape::Number { unit: Unit::Days, min: 0, max: 0 },
        default: Absent::Is("0"),
        meaning: "How long messages are kept in their conversation; 0, for ever, is all that this release knows.",
    },
];

/// How long things are kept.
#[derive(Debug, Clone)]
pub struct Retention {
    /// Age up to which events stay in an inbox.
    pub inbox: Duration,
    /// Events that stay in one inbox, at most.
    pub inbox_events: u64,
}

impl Retention {
    pub(super) fn read(fields: &mut Fields) -> Self {
        // Its one value needs no field.
        fields.duration("retention.messages_days");
        Self {
            inbox: fields.duration("retention.inbox_days"),
            inbox_events: fields.number("retention.inbox_events"),
        }
    }
}

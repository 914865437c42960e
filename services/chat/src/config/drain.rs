//! `[drain]`: how a node stops.

use std::time::Duration;

use super::fields::Fields;
use super::key::{Absent, Key, Shape, Unit};

pub(super) const KEYS: &[Key] = &[Key {
    name: "drain.deadline_ms",
    shape: Shape::Number { unit: Unit::Milliseconds, min: 100, max: 3_600_000 },
    default: Absent::Is("30000"),
    meaning: "Time from SIGTERM to the end. What is not finished by then is cut off, and the exit code is 75.",
}];

/// How a node stops.
#[derive(Debug, Clone)]
pub struct Drain {
    /// Time from the signal to the end.
    pub deadline: Duration,
}

impl Drain {
    pub(super) fn read(fields: &mut Fields) -> Self {
        Self { deadline: fields.duration("drain.deadline_ms") }
    }
}

//! `[telemetry]`: what a node says about itself.

use godwit_telemetry::log::{Filter, Format};

use super::fields::Fields;
use super::key::{Absent, Key, Shape};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "telemetry.log",
        shape: Shape::Filter,
        // ractor opens a span at INFO for each actor and enters it at each of its turns: memory for every actor
        // and time for every message, for nothing that is ever shown. The database's driver tells of every attempt
        // that fails; what it comes to is told once, by those who wait for it.
        default: Absent::Is("info,ractor=warn,scylla=off"),
        meaning: "Which events are written to standard error, such as `info,godwit_edge=debug`. Levels: off, error, warn, \
                  info, debug, trace.",
    },
    Key {
        name: "telemetry.format",
        shape: Shape::Choice(&["json", "text"]),
        default: Absent::Means("`text` on a terminal, else `json`"),
        meaning: "How a line of the log looks.",
    },
];

/// What a node says about itself.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// Which events are written.
    pub log: Filter,
    /// How; `None`: for people on a terminal, else for programs.
    pub format: Option<Format>,
}

impl Telemetry {
    pub(super) fn read(fields: &mut Fields) -> Self {
        Self {
            log: fields.filter("telemetry.log"),
            format: fields.choice("telemetry.format").map(|word| match word {
                "json" => Format::Json,
                _ => Format::Text,
            }),
        }
    }
}

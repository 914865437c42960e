//! What the cache counts. Names are constants, labels come from closed sets.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

const UP: &str = "godwit_redis_up";
const COMMANDS: &str = "godwit_redis_commands_total";
const FAILURES: &str = "godwit_redis_failures_total";
const LIMITED: &str = "godwit_rate_limited_total";
const BUFFERED: &str = "godwit_push_buffered";
const DROPPED: &str = "godwit_push_dropped_total";
const DEAD_LETTERS: &str = "godwit_push_dead_letters_total";
const UNANNOUNCED: &str = "godwit_presence_unannounced_total";

/// What a command is for: the label `facility`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Facility {
    Presence,
    Rate,
    Push,
    /// The probe that finds out whether the server is there.
    Probe,
}

impl Facility {
    const fn name(self) -> &'static str {
        match self {
            Self::Presence => "presence",
            Self::Rate => "rate",
            Self::Push => "push",
            Self::Probe => "probe",
        }
    }
}

/// Gives every metric of this crate its unit and its text.
pub fn describe() {
    describe_gauge!(UP, Unit::Count, "1 while Redis serves, 0 while it is away or refuses");
    describe_counter!(COMMANDS, Unit::Count, "Commands sent to Redis, by facility");
    describe_counter!(FAILURES, Unit::Count, "Commands that Redis did not serve, by facility");
    describe_counter!(LIMITED, Unit::Count, "Requests over a rate limit, by limit");
    describe_gauge!(BUFFERED, Unit::Count, "Push jobs that wait in this process for Redis");
    describe_counter!(DROPPED, Unit::Count, "Push jobs lost because they were too many");
    describe_counter!(DEAD_LETTERS, Unit::Count, "Push jobs given up after their last try");
    describe_counter!(UNANNOUNCED, Unit::Count, "Devices beyond those whose presence a node keeps");
}

pub(crate) fn up(up: bool) {
    gauge!(UP).set(if up { 1.0 } else { 0.0 });
}

pub(crate) fn command(facility: Facility) {
    counter!(COMMANDS, "facility" => facility.name()).increment(1);
}

pub(crate) fn failure(facility: Facility) {
    counter!(FAILURES, "facility" => facility.name()).increment(1);
}

pub(crate) fn limited(limit: &'static str) {
    counter!(LIMITED, "limit" => limit).increment(1);
}

pub(crate) fn buffered(jobs: usize) {
    gauge!(BUFFERED).set(jobs as f64);
}

pub(crate) fn dropped(jobs: usize) {
    counter!(DROPPED).increment(jobs as u64);
}

pub(crate) fn dead_letters(jobs: usize) {
    counter!(DEAD_LETTERS).increment(jobs as u64);
}

pub(crate) fn unannounced() {
    counter!(UNANNOUNCED).increment(1);
}

//! What the actors count. Names are constants beside the code that moves them; labels come from closed sets.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

const ACTIVATIONS: &str = "godwit_activations_total";
const ACTOR_FAILURES: &str = "godwit_actor_failures_total";
const ACTORS: &str = "godwit_actors";
const APPENDED: &str = "godwit_store_mutations_total";
const MESSAGES: &str = "godwit_messages_total";
const EVENTS_STREAMED: &str = "godwit_stream_events_total";
const SETTLED: &str = "godwit_logs_settled_total";
const STREAMS: &str = "godwit_streams";
const STREAM_BYES: &str = "godwit_stream_byes_total";
const REPEATED: &str = "godwit_store_repeated_writes_total";
const REPLAYS: &str = "godwit_stream_replays_total";
const GUARDED: &str = "godwit_guard_passes_total";
const GUARD_READS: &str = "godwit_guard_reads_total";
const HEARTBEATS: &str = "godwit_stream_heartbeats_total";

/// Gives every metric of this crate its unit and its text.
pub fn describe() {
    describe_counter!(ACTIVATIONS, Unit::Count, "Actors that were started, by kind");
    describe_counter!(ACTOR_FAILURES, Unit::Count, "Actors that failed, by kind");
    describe_gauge!(ACTORS, Unit::Count, "Actors in memory, by kind");
    describe_counter!(APPENDED, Unit::Count, "Changes sent to the store");
    describe_counter!(MESSAGES, Unit::Count, "Messages, by outcome: stored, or a repeat of a stored one");
    describe_counter!(EVENTS_STREAMED, Unit::Count, "Live events put before streams");
    describe_counter!(
        SETTLED,
        Unit::Count,
        "Logs whose end was made sure after an owner that may have crashed"
    );
    describe_gauge!(STREAMS, Unit::Count, "Streams that are open");
    describe_counter!(STREAM_BYES, Unit::Count, "Streams to which the server said bye, by reason");
    describe_counter!(
        REPEATED,
        Unit::Count,
        "Writes that the store did not confirm, and that were sent again"
    );
    describe_counter!(REPLAYS, Unit::Count, "Times that a stream began to read from the store");
    describe_counter!(GUARDED, Unit::Count, "Commits and answers that waited for the guard");
    describe_counter!(GUARD_READS, Unit::Count, "Reads of the own session that served them");
    describe_counter!(HEARTBEATS, Unit::Count, "Heartbeats written");
}

pub(crate) fn activated(kind: &'static str) {
    counter!(ACTIVATIONS, "kind" => kind).increment(1);
    gauge!(ACTORS, "kind" => kind).increment(1);
}

pub(crate) fn gone(kind: &'static str) {
    gauge!(ACTORS, "kind" => kind).decrement(1);
}

pub(crate) fn failed(kind: &'static str) {
    counter!(ACTOR_FAILURES, "kind" => kind).increment(1);
}

pub(crate) fn appended(mutations: usize) {
    counter!(APPENDED).increment(mutations as u64);
}

pub(crate) fn message(outcome: &'static str) {
    counter!(MESSAGES, "outcome" => outcome).increment(1);
}

pub(crate) fn streamed(events: usize) {
    counter!(EVENTS_STREAMED).increment(events as u64);
}

pub(crate) fn settled() {
    counter!(SETTLED).increment(1);
}

pub(crate) fn streams(open: usize) {
    gauge!(STREAMS).set(open as f64);
}

pub(crate) fn stream_bye(reason: &'static str) {
    counter!(STREAM_BYES, "reason" => reason).increment(1);
}

pub(crate) fn repeated() {
    counter!(REPEATED).increment(1);
}

pub(crate) fn replay() {
    counter!(REPLAYS).increment(1);
}

pub(crate) fn guarded(served: usize) {
    counter!(GUARD_READS).increment(1);
    counter!(GUARDED).increment(served as u64);
}

pub(crate) fn heartbeats(count: usize) {
    counter!(HEARTBEATS).increment(count as u64);
}

//! What the store asks of the database, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Unit, counter, describe_counter};

/// Requests sent to the database, by kind. Divided by the messages sent, the requests that a message costs.
const REQUESTS: &str = "godwit_cql_requests_total";
/// Statements written, by kind. Divided by the requests of that kind, the rows that went in one batch.
const STATEMENTS: &str = "godwit_cql_statements_total";
/// Requests that failed, by kind.
const FAILURES: &str = "godwit_cql_failures_total";
/// Requests that the driver sent once more.
const RETRIES: &str = "godwit_cql_retries_total";
/// Requests that it did not send once more, since the budget for that was spent.
const BUDGET_EXHAUSTED: &str = "godwit_cql_retry_budget_exhausted_total";

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A write to one partition: one statement, or a batch.
    Write,
    /// A page of a log.
    Rows,
    /// The end of a log.
    Tail,
    /// Anything else that is read.
    Record,
    /// The guard's look at the own session.
    Glance,
    /// A lease, read at serial consistency.
    Lease,
    /// A compare-and-set.
    Swap,
}

/// All kinds, in order.
const KINDS: [(Kind, &str); 7] = [
    (Kind::Write, "write"),
    (Kind::Rows, "rows"),
    (Kind::Tail, "tail"),
    (Kind::Record, "record"),
    (Kind::Glance, "glance"),
    (Kind::Lease, "lease"),
    (Kind::Swap, "swap"),
];

/// Names the metrics, for who shows them.
pub fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "Requests sent to the CQL database, by kind");
    describe_counter!(STATEMENTS, Unit::Count, "Statements in requests to the CQL database, by kind");
    describe_counter!(FAILURES, Unit::Count, "Requests to the CQL database that failed, by kind");
    describe_counter!(RETRIES, Unit::Count, "Requests to the CQL database that were sent once more");
    describe_counter!(BUDGET_EXHAUSTED, Unit::Count, "Retries left out, the budget for them being spent");
}

/// What one store has sent so far.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    requests: [AtomicU64; KINDS.len()],
    statements: [AtomicU64; KINDS.len()],
}

impl Usage {
    /// A request of so many statements is about to be sent.
    pub(crate) fn request(&self, kind: Kind, statements: usize) {
        let (_, name) = KINDS[kind as usize];
        self.requests[kind as usize].fetch_add(1, Ordering::Relaxed);
        self.statements[kind as usize].fetch_add(statements as u64, Ordering::Relaxed);
        counter!(REQUESTS, "kind" => name).increment(1);
        counter!(STATEMENTS, "kind" => name).increment(statements as u64);
    }

    /// Requests of that kind so far, and the statements in them.
    pub(crate) fn of(&self, kind: Kind) -> (u64, u64) {
        let i = kind as usize;
        (self.requests[i].load(Ordering::Relaxed), self.statements[i].load(Ordering::Relaxed))
    }
}

/// A request failed.
pub(crate) fn failure(kind: Kind) {
    counter!(FAILURES, "kind" => KINDS[kind as usize].1).increment(1);
}

/// The driver sends a request once more.
pub(crate) fn retry() {
    counter!(RETRIES).increment(1);
}

/// The driver would, and may not.
pub(crate) fn budget_exhausted() {
    counter!(BUDGET_EXHAUSTED).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_its_place_in_the_list() {
        for (i, (kind, _)) in KINDS.iter().enumerate() {
            assert_eq!(*kind as usize, i);
        }
    }
}

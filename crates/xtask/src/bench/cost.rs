//! What messages cost the database, from the server's own counters (`GET /metrics`).

use std::fmt;

use anyhow::{Result, ensure};

const MESSAGES: &str = "godwit_messages_total";
const REQUESTS: &str = "godwit_cql_requests_total";
const STATEMENTS: &str = "godwit_cql_statements_total";
const GUARD_PASSES: &str = "godwit_guard_passes_total";
const GUARD_READS: &str = "godwit_guard_reads_total";

/// One look at the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Messages that were stored.
    messages: u64,
    /// Requests that write to a partition.
    writes: u64,
    /// Statements in them.
    rows: u64,
    /// The guard's looks at the own session.
    guard: u64,
    /// Everything else that is read, leases apart.
    reads: u64,
    /// Leases read and swapped: so many a second, whatever is sent.
    leases: u64,
    /// Commits and answers that waited for the guard.
    guard_passes: u64,
    /// Reads that served those.
    guard_reads: u64,
}

impl Counters {
    /// Reads them from the text of `GET /metrics`. What has not happened yet is not in it.
    pub(crate) fn read(metrics: &str) -> Counters {
        let requests = |kinds: &[&str]| sum(metrics, REQUESTS, "kind", kinds);
        Counters {
            messages: sum(metrics, MESSAGES, "outcome", &["stored"]),
            writes: requests(&["write"]),
            rows: sum(metrics, STATEMENTS, "kind", &["write"]),
            guard: requests(&["glance"]),
            reads: requests(&["rows", "tail", "record"]),
            leases: requests(&["lease", "swap"]),
            guard_passes: all(metrics, GUARD_PASSES),
            guard_reads: all(metrics, GUARD_READS),
        }
    }
}

/// What happened between two looks. As text: requests for each message stored, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost(Counters);

impl Cost {
    /// Between these two looks.
    ///
    /// # Errors
    /// When one of the divisors did not grow: no load, or a counter of another name.
    pub(crate) fn between(before: &Counters, after: &Counters) -> Result<Cost> {
        let grown = |pick: fn(&Counters) -> u64| pick(after).saturating_sub(pick(before));
        let counters = Counters {
            messages: grown(|counters| counters.messages),
            writes: grown(|counters| counters.writes),
            rows: grown(|counters| counters.rows),
            guard: grown(|counters| counters.guard),
            reads: grown(|counters| counters.reads),
            leases: grown(|counters| counters.leases),
            guard_passes: grown(|counters| counters.guard_passes),
            guard_reads: grown(|counters| counters.guard_reads),
        };
        let divisors = [
            (counters.messages, MESSAGES),
            (counters.writes, REQUESTS),
            (counters.rows, STATEMENTS),
            (counters.guard_reads, GUARD_READS),
        ];
        for (value, name) in divisors {
            ensure!(value > 0, "{name} did not grow under load");
        }
        Ok(Cost(counters))
    }

    /// Rows that went in one write: of one partition, that waited at the same moment.
    pub(crate) fn rows_per_batch(&self) -> f64 {
        self.0.rows as f64 / self.0.writes as f64
    }

    /// Commits and answers that shared one read of the session.
    pub(crate) fn passes_per_guard_read(&self) -> f64 {
        self.0.guard_passes as f64 / self.0.guard_reads as f64
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |count: u64| count as f64 / self.0.messages as f64;
        let Counters { writes, guard, reads, leases, .. } = self.0;
        write!(
            f,
            "{:.3} writes, {:.3} for the guard, {:.3} reads, {:.3} for leases",
            each(writes),
            each(guard),
            each(reads),
            each(leases)
        )
    }
}

/// The sum of a counter's series whose `label` is one of these.
fn sum(metrics: &str, name: &str, label: &str, wanted: &[&str]) -> u64 {
    let pairs: Vec<String> = wanted.iter().map(|value| format!("{label}=\"{value}\"")).collect();
    series(metrics, name)
        .filter(|(labels, _)| labels.split(',').any(|pair| pairs.iter().any(|wanted| wanted == pair)))
        .map(|(_, value)| value)
        .sum()
}

/// The sum of all series of a counter.
fn all(metrics: &str, name: &str) -> u64 {
    series(metrics, name).map(|(_, value)| value).sum()
}

/// Labels and value of each `name{a="b",c="d"} 12`. Labels of our own counters have no commas in their
/// values: they come from closed sets.
fn series<'m>(metrics: &'m str, name: &str) -> impl Iterator<Item = (&'m str, u64)> {
    metrics.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.split_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        Some((labels, value.trim().parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "HTTP/1.1 200 OK\r\n\r\n\
        # TYPE godwit_cql_requests_total counter\n\
        godwit_cql_requests_total{kind=\"write\"} 30\n\
        godwit_cql_requests_total{kind=\"rows\"} 1\n\
        godwit_cql_requests_total{kind=\"tail\"} 2\n\
        godwit_cql_requests_total{kind=\"record\"} 3\n\
        godwit_cql_requests_total{node=\"a\",kind=\"glance\"} 4\n\
        godwit_cql_requests_total{kind=\"lease\"} 5\n\
        godwit_cql_requests_total{kind=\"swap\"} 6\n\
        godwit_cql_statements_total{kind=\"write\"} 75\n\
        godwit_cql_statements_total{kind=\"swap\"} 6\n\
        godwit_messages_total{outcome=\"stored\"} 10\n\
        godwit_messages_total{outcome=\"repeated\"} 7\n\
        godwit_guard_passes_total 40\n\
        godwit_guard_reads_total 4\n\
        godwit_guard_reads_total_of_another 9\n";

    fn counters() -> Counters {
        Counters {
            messages: 10,
            writes: 30,
            rows: 75,
            guard: 4,
            reads: 6,
            leases: 11,
            guard_passes: 40,
            guard_reads: 4,
        }
    }

    #[test]
    fn counters_are_read_by_name_and_kind() {
        assert_eq!(Counters::read(METRICS), counters());
        assert_eq!(Counters::read("HTTP/1.1 200 OK\r\n\r\n"), Counters::default());
    }

    #[test]
    fn cost_is_told_for_each_message() {
        let cost = Cost::between(&Counters::default(), &counters()).unwrap();
        let text = "3.000 writes, 0.400 for the guard, 0.600 reads, 1.100 for leases";
        assert_eq!(cost.to_string(), text);
        assert_eq!((cost.rows_per_batch(), cost.passes_per_guard_read()), (2.5, 10.0));
    }

    #[test]
    fn only_what_grew_is_counted() {
        let before = Counters { messages: 5, writes: 28, ..Counters::default() };
        let cost = Cost::between(&before, &counters()).unwrap();
        assert!(cost.to_string().starts_with("0.400 writes, 0.800 for the guard"), "{cost}");
    }

    #[test]
    fn a_counter_that_stands_still_is_an_error_and_not_a_cost_of_nothing() {
        let error = Cost::between(&counters(), &counters()).unwrap_err();
        assert_eq!(error.to_string(), "godwit_messages_total did not grow under load");
        let renamed = Counters { guard_reads: 0, ..counters() };
        let error = Cost::between(&Counters::default(), &renamed).unwrap_err();
        assert_eq!(error.to_string(), "godwit_guard_reads_total did not grow under load");
    }
}

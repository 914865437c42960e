//! What messages cost when a database keeps them: one node, and three with each row on all of them.

use anyhow::{Context as _, Result};

use super::cassandra::Database;
use super::cost::{Cost, Counters};
use super::load::{Load, Looks, Report};
use super::report::{Row, thousands};
use super::{Bench, latency, messages};

/// Nodes of a ring; each row is on all of them.
const RINGS: &[u8] = &[1, 3];

/// Requests that wait at once.
const CONNECTIONS: u32 = 64;

/// What is in one request of a closed loop, and how many messages that is.
const LOOPS: &[(&str, u32)] = &[("one a request", 1), ("outboxes of 20", 20), ("outboxes of 100", 100)];

/// Messages a second for the times. Four processes at most share the machine's cores with the generator,
/// and a wait for a core is not what the row is about: far less than [`latency::RATE`].
const RATE: u32 = 200;

/// What stands in every row that has a figure of time in it.
const SHARED: &str = "server, generator and database share the cores, the database is in all else";

/// Rows for each of [`RINGS`].
///
/// # Errors
/// When Cassandra does not start; when one answer is not what it must be, or an inbox does not get what
/// was acknowledged.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let rings: Vec<Vec<Row>> = RINGS.iter().map(|nodes| on_ring(bench, *nodes)).collect::<Result<_>>()?;
    Ok(rings.concat())
}

/// All loads on one ring, started for them.
fn on_ring(bench: &Bench, nodes: u8) -> Result<Vec<Row>> {
    let mut database = Database::start(nodes)?;
    warm_up(bench, &mut database)?;
    let mut rows = Vec::new();
    for (what, outbox) in LOOPS {
        rows.extend(acknowledged(bench, &mut database, what, *outbox)?);
    }
    rows.extend(times(bench, &mut database)?);
    database.stop()?;
    Ok(rows)
}

/// A load that does not count and may be refused: a new Java compiles what it runs in its first half
/// minute, and can be seconds late meanwhile.
fn warm_up(bench: &Bench, database: &mut Database) -> Result<()> {
    let server = database.serve(bench)?;
    let scenario = messages::scenario(bench, &format!("--no-streams --connections {CONNECTIONS}"));
    let mut load = Load::start(bench, &server.flags(), &scenario)?;
    while load.goes_on().context("the load before those that count")? {}
    server.stop()
}

fn acknowledged(bench: &Bench, database: &mut Database, what: &str, outbox: u32) -> Result<Vec<Row>> {
    let flags = format!("--no-streams --connections {CONNECTIONS} --outbox {outbox}");
    let (report, cost) = observed(bench, database, &messages::scenario(bench, &flags))?;
    let name = database.name();
    let how = format!(
        "1:1, 200 bytes of text, replication {}, synced on each node; {}; {}; {SHARED}; all inboxes \
         complete within {} ms after the load, opening {} streams in it",
        database.replication(),
        messages::how(&report, CONNECTIONS)?,
        busy(&report),
        report.settled_ms()?,
        thousands(messages::ACCOUNTS)
    );
    let rate = messages::rate(&report)?;
    Ok(vec![
        Row::new(&format!("{name}: messages acknowledged, {what}"), rate, &how),
        costs(name, what, &cost),
    ])
}

fn times(bench: &Bench, database: &mut Database) -> Result<Vec<Row>> {
    let (report, cost) = observed(bench, database, &latency::scenario(bench, RATE))?;
    report.ensure_delivered()?;
    let name = database.name();
    let how = format!(
        "{}; replication {}; {}; {SHARED}",
        latency::how(&report, RATE)?,
        database.replication(),
        busy(&report)
    );
    let arrived = format!("{name}: POST until the event is on the receiver's stream");
    let answered = format!("{name}: POST until its 201");
    Ok(vec![
        Row::new(&arrived, latency::arrived(&report)?, &how),
        Row::new(&answered, latency::acknowledged(&report)?, "the same run"),
        costs(name, &format!("{RATE} a second"), &cost),
    ])
}

/// An overloaded ring is told in the row and does not end the run: three nodes on a small machine may be.
fn busy(report: &Report) -> String {
    match report.answered_busy() {
        0 => "no request refused".to_owned(),
        count => format!("{} requests answered 503 and sent again", thousands(count)),
    }
}

fn costs(name: &str, what: &str, cost: &Cost) -> Row {
    let how = format!(
        "the same run; {:.1} rows in a write; {:.1} commits and answers for each read of the guard",
        cost.rows_per_batch(),
        cost.passes_per_guard_read()
    );
    Row::new(&format!("{name}: CQL requests per message, {what}"), cost.to_string(), &how)
}

/// A load on a server of its own, and what it asked of the database in the time that counts.
fn observed(bench: &Bench, database: &mut Database, scenario: &str) -> Result<(Report, Cost)> {
    let server = database.serve(bench)?;
    let mut looks = Looks::default();
    let mut load = Load::start(bench, &server.flags(), scenario)?;
    while load.goes_on()? {
        let metrics = server.metrics()?;
        looks.push(load.seconds(), Counters::read(&metrics));
    }
    let report = load.finish_though_busy()?;
    server.stop()?;
    let inside = looks.ends(report.begin_s()?, report.end_s()?);
    let [(_, before), (_, after)] = inside.context("too short to look at the counters twice")?;
    Ok((report, Cost::between(before, after)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_a_row_beside_its_load() {
        let after = Counters::read(
            "godwit_messages_total{outcome=\"stored\"} 100\n\
             godwit_cql_requests_total{kind=\"write\"} 250\n\
             godwit_cql_statements_total{kind=\"write\"} 800\n\
             godwit_guard_passes_total 90\n\
             godwit_guard_reads_total 20\n",
        );
        let row =
            costs("one CQL node", "outboxes of 20", &Cost::between(&Counters::default(), &after).unwrap());
        assert_eq!(row.what, "one CQL node: CQL requests per message, outboxes of 20");
        assert!(row.result.starts_with("2.500 writes, "), "{row:?}");
        assert!(row.how.contains("3.2 rows in a write; 4.5 commits"), "{row:?}");
    }
}

//! How many messages a second the server acknowledges, each stored and synced before its answer.

use std::ffi::OsString;

use anyhow::Result;

use super::Bench;
use super::load::{Load, Report};
use super::report::{Row, thousands};
use super::server::Server;

/// In as many halves of direct conversations.
pub(super) const ACCOUNTS: u64 = 1000;

/// A closed loop: each connection sends when it was answered.
struct Loop {
    what: &'static str,
    connections: u32,
    /// Messages in one request.
    outbox: u32,
    /// The accounts listen meanwhile.
    streams: bool,
}

const LOOPS: &[Loop] = &[
    Loop { what: "messages acknowledged, one a request", connections: 64, outbox: 1, streams: false },
    Loop { what: "messages acknowledged, one a request", connections: 256, outbox: 1, streams: false },
    Loop { what: "messages acknowledged, outboxes of 20", connections: 64, outbox: 20, streams: false },
    Loop { what: "messages acknowledged, outboxes of 100", connections: 64, outbox: 100, streams: false },
    Loop { what: "messages acknowledged and delivered", connections: 64, outbox: 1, streams: true },
];

/// One row for each of [`LOOPS`], each on a server of its own.
///
/// # Errors
/// When one answer is not what it must be, or an inbox does not get what was acknowledged.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    LOOPS.iter().map(|of| acknowledged(bench, of)).collect()
}

fn acknowledged(bench: &Bench, of: &Loop) -> Result<Row> {
    let server = Server::start(&bench.program)?;
    let streams = if of.streams { "" } else { "--no-streams" };
    let flags = format!("--connections {} --outbox {} {streams}", of.connections, of.outbox);
    let report = run(bench, &server.flags(), &flags)?;
    server.stop()?;
    let behind = report.settled_ms()?;
    let complete = if of.streams {
        report.ensure_delivered()?;
        format!("{} streams open; all delivered within {behind} ms after the load", thousands(ACCOUNTS))
    } else {
        // The streams that it takes to see that are opened only then.
        format!(
            "all inboxes complete within {behind} ms after the load, opening {} streams in it",
            thousands(ACCOUNTS)
        )
    };
    let how = format!("1:1, 200 bytes of text, fsync on; {}; {complete}", how(&report, of.connections)?);
    Ok(Row::new(of.what, rate(&report)?, &how))
}

/// The closed loop of all rows of this kind.
///
/// # Errors
/// As [`Load::run`].
pub(super) fn run(bench: &Bench, target: &[OsString], flags: &str) -> Result<Report> {
    Load::run(bench, target, &scenario(bench, flags))
}

/// What the generator is told to make it.
pub(super) fn scenario(bench: &Bench, flags: &str) -> String {
    let (seconds, warm_up_s) = (bench.size(20, 3), bench.size(3, 1));
    let length = format!("--seconds {seconds} --warm-up-s {warm_up_s}");
    let all = "--text-bytes 200 --groups 2 --conversations 1";
    format!("chat --closed-loop --streams {ACCOUNTS} {all} {length} {flags}")
}

/// `15,648 a second`.
///
/// # Errors
/// When the report does not say how long it was.
pub(super) fn rate(report: &Report) -> Result<String> {
    let per_second = report.counted("messages_acknowledged") as f64 / report.seconds()?;
    Ok(format!("{} a second", thousands(per_second.round() as u64)))
}

/// Half a line that all rows of this kind have.
///
/// # Errors
/// When the report lacks something of it.
pub(super) fn how(report: &Report, connections: u32) -> Result<String> {
    Ok(format!("{connections} connections, {:.0} s; {}", report.seconds()?, report.cores()?))
}

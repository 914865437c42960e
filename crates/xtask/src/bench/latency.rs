//! How long a message takes while a thousand a second are sent.

use std::ffi::OsString;

use anyhow::Result;

use super::Bench;
use super::load::{Load, Report};
use super::report::{Row, thousands};
use super::server::Server;

/// The load that the project's aims name.
pub(super) const RATE: u32 = 1000;

/// Accounts, each with a stream; each two of them have a conversation.
const STREAMS: u32 = 200;

const QUANTILES: &[&str] = &["p50", "p99", "p999", "max"];

/// Rows for the sender's answer and for the receiver's stream, and what the generator itself added.
///
/// # Errors
/// When a message is refused, lost or doubled.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let server = Server::start(&bench.program)?;
    let report = run(bench, &server.flags())?;
    server.stop()?;
    let of_generator = "part of both: from a message's time until a connection took it";
    Ok(vec![
        Row::new("POST until the event is on the receiver's stream", arrived(&report)?, &how(&report, RATE)?),
        Row::new("POST until its 201", acknowledged(&report)?, "the same run"),
        Row::new("generator late in sending", report.quantiles("sent_late", QUANTILES)?, of_generator),
    ])
}

/// The open loop of all rows of this kind.
///
/// # Errors
/// As [`Load::run`], and when not every message came to its receiver once.
pub(super) fn run(bench: &Bench, target: &[OsString]) -> Result<Report> {
    let report = Load::run(bench, target, &scenario(bench, RATE))?;
    report.ensure_delivered()?;
    Ok(report)
}

/// What the generator is told to make it, with so many messages a second.
pub(super) fn scenario(bench: &Bench, rate: u32) -> String {
    let (seconds, warm_up_s) = (bench.size(60, 4), bench.size(5, 1));
    let length = format!("--seconds {seconds} --warm-up-s {warm_up_s}");
    format!("chat --rate {rate} --streams {STREAMS} --text-bytes 200 --groups 2 {length}")
}

/// From a message's time until the receiver had it.
///
/// # Errors
/// When none came.
pub(super) fn arrived(report: &Report) -> Result<String> {
    report.quantiles("arrived", QUANTILES)
}

/// From a message's time until its answer.
///
/// # Errors
/// When none was answered.
pub(super) fn acknowledged(report: &Report) -> Result<String> {
    report.quantiles("acknowledged", QUANTILES)
}

/// Half a line that all rows of this kind have.
///
/// # Errors
/// When the report lacks something of it.
pub(super) fn how(report: &Report, rate: u32) -> Result<String> {
    Ok(format!(
        "p50 / p99 / p99.9 / max at {} a second, {} messages among {} pairs, both with a stream; {}",
        thousands(rate.into()),
        thousands(report.timed("arrived")?),
        STREAMS / 2,
        report.cores()?
    ))
}

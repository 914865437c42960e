//! All streams are cut at the same moment and come back.

use anyhow::{Result, ensure};

use super::Bench;
use super::load::Load;
use super::report::{Row, thousands};
use super::server::Server;

/// As many as the idle streams of the table.
const STREAMS: u64 = 15_000;

/// Messages a second meanwhile, so that there is something to have missed.
const RATE: u32 = 100;

/// A row for the way back.
///
/// # Errors
/// When a stream does not come back, or a message that was acknowledged does not come to its receiver.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let streams = bench.size(STREAMS, 500);
    // One cut: the second would come after the end.
    let (every_s, seconds) = bench.size((20, 39), (2, 3));
    let server = Server::start(&bench.program)?;
    let scenario =
        format!("storm --streams {streams} --rate {RATE} --storm-every-s {every_s} --seconds {seconds}");
    let report = Load::run(bench, &server.flags(), &scenario)?;
    server.stop()?;
    report.ensure_delivered()?;
    let (cut, resumed) = (report.counted("streams_cut"), report.counted("streams_resumed"));
    let caught_up = report.timed("caught_up")?;
    ensure!(
        [cut, resumed, caught_up] == [streams; 3],
        "of {streams} streams {cut} were cut, {resumed} came back and {caught_up} caught up"
    );
    let how = format!(
        "p50 / p99 / max from the cut until `caught_up`; {} streams reset at once, each comes back with its \
         `Last-Event-ID`, 256 at a time; {RATE} messages a second before, meanwhile and after, all delivered",
        thousands(streams)
    );
    let times = report.quantiles("caught_up", &["p50", "p99", "max"])?;
    Ok(vec![Row::new("all streams cut: time to catch up", times, &how)])
}

//! The same loads against another server: nginx with nchan.

use anyhow::Result;

use super::load::{When, Whose};
use super::nchan::{self, Nchan};
use super::report::Row;
use super::{Bench, latency, messages, streams};

/// A closed loop with streams open, messages at a rate, and idle streams.
///
/// # Errors
/// When nginx does not start, or does not take a load as it should.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let version = nchan::version()?;
    let nchan = Nchan::start()?;
    let report = messages::run(bench, &nchan.flags(), "--connections 64")?;
    report.ensure_delivered()?;
    let how = format!(
        "{version}; 200 bytes of text, in memory only; {}; {} streams open; all delivered within {} ms after the load",
        messages::how(&report, 64)?,
        super::report::thousands(messages::ACCOUNTS),
        report.settled_ms()?
    );
    let mut rows =
        vec![Row::new("nchan: messages acknowledged and delivered", messages::rate(&report)?, &how)];
    drop(nchan);
    let nchan = Nchan::start()?;
    let report = latency::run(bench, &nchan.flags())?;
    drop(nchan);
    let arrived = latency::arrived(&report)?;
    rows.push(Row::new(
        "nchan: POST until the event is on the receiver's stream",
        arrived,
        &latency::how(&report, latency::RATE)?,
    ));
    rows.push(Row::new("nchan: POST until its 201", latency::acknowledged(&report)?, "the same run"));
    let nchan = Nchan::start()?;
    let (report, idle) = streams::run(bench, &nchan.flags())?;
    drop(nchan);
    let how = format!("HTTP/1.1, as many streams of as many channels, {}", streams::settled(bench));
    let grown = streams::grown(&report, Whose::Servers, When::End, idle)?;
    rows.push(Row::new("nchan: server's memory per idle stream", grown, &how));
    Ok(rows)
}

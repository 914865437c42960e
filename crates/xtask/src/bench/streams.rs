//! What a stream costs on which nothing happens but heartbeats.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Bench;
use super::load::{Load, Looks, Memory, Report, When, Whose};
use super::process;
use super::report::{Row, thousands};
use super::server::Server;

/// Below the 20,000 files that a process may have open on many machines, and enough that what the
/// server costs without them does not show.
const STREAMS: u64 = 15_000;

/// After this the accounts' actors, which live for 30 s without work, are gone, the allocator has given
/// back what they had (10 s), and every stream has had two heartbeats.
const SETTLED: Duration = Duration::from_secs(75);

/// Longer than the time for which a device whose stream is gone is held to be in a lift (5 s).
const CLOSED: Duration = Duration::from_secs(15);

/// For a new server to do what it does once.
const STARTED: Duration = Duration::from_secs(5);

/// Streams on one HTTP/2 connection: as many as make a million fit a thousand connections.
const PER_CONNECTION: u64 = 1000;

/// Opens [`STREAMS`] streams, each of an account of its own, over HTTP/1.1 and again over HTTP/2. The
/// memory of both ends is looked at before, when all are open, and when it has settled; and the server's
/// part that is freed with them.
///
/// # Errors
/// When a stream is not served, or ends before it is closed.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = http1(bench)?;
    rows.extend(http2(bench)?);
    Ok(rows)
}

fn http1(bench: &Bench) -> Result<Vec<Row>> {
    let streams = bench.size(STREAMS, 500);
    let server = Server::start(&bench.program)?;
    wait(bench, STARTED);
    let slab_before = process::kernel_slab_bytes()?;
    let (mut allocated, mut slab) = (Looks::default(), Looks::default());
    let mut load = Load::start(bench, &server.flags(), &scenario(bench, streams))?;
    while load.goes_on()? {
        allocated.push(load.seconds(), server.allocated_bytes()?);
        slab.push(load.seconds(), process::kernel_slab_bytes()?);
    }
    let report = load.finish()?;
    wait(bench, CLOSED);
    let left = server.allocated_bytes()?;
    server.stop()?;
    let not_seen = "the end of the load was not seen";
    let allocated = *allocated.last_until(report.end_s()?).context(not_seen)?;
    let slab = *slab.last_until(report.end_s()?).context(not_seen)?;
    let bytes =
        |before: u64, after: u64| format!("{} bytes", thousands(after.saturating_sub(before) / streams));
    let how = |when: &str| format!("HTTP/1.1, {} streams of as many accounts, {when}", thousands(streams));
    Ok(vec![
        Row::new(
            "server's memory per idle stream",
            grown(&report, Whose::Servers, When::End, streams)?,
            &how(&settled(bench)),
        ),
        Row::new(
            "of it freed with the stream",
            bytes(left, allocated),
            "the allocator's count; the rest are shards, whose number is fixed, and pages that are partly used",
        ),
        Row::new(
            "server's memory per stream just opened",
            grown(&report, Whose::Servers, When::Opened, streams)?,
            &how("account actors alive"),
        ),
        Row::new(
            "generator's memory per idle stream",
            grown(&report, Whose::Generators, When::End, streams)?,
            "the same run, the other end: one process, without what the kernel has for it",
        ),
        Row::new(
            "kernel's memory per idle stream",
            // Both ends of each connection are on this machine.
            format!("{} bytes", thousands(slab.saturating_sub(slab_before) / streams / 2)),
            "slab of the whole machine, half of it for the generator's end; without the bytes under way",
        ),
    ])
}

fn http2(bench: &Bench) -> Result<Vec<Row>> {
    let streams = bench.size(STREAMS, 500);
    let per_connection = PER_CONNECTION.to_string();
    let server =
        Server::start_with(&bench.program, &[("GODWIT_LIMITS__HTTP2_STREAMS", per_connection.as_ref())])?;
    wait(bench, STARTED);
    let scenario = format!("{} --http 2 --streams-per-connection {PER_CONNECTION}", scenario(bench, streams));
    let report = Load::run(bench, &server.flags(), &scenario)?;
    server.stop()?;
    let how = format!(
        "as above, but {} streams on a connection (`limits.http2_streams`)",
        thousands(PER_CONNECTION)
    );
    Ok(vec![
        Row::new(
            "server's memory per idle stream over HTTP/2",
            grown(&report, Whose::Servers, When::End, streams)?,
            &how,
        ),
        Row::new(
            "generator's memory per idle stream over HTTP/2",
            grown(&report, Whose::Generators, When::End, streams)?,
            "the same run",
        ),
    ])
}

/// Idle streams against any server.
///
/// # Errors
/// As [`Load::run`].
pub(super) fn run(bench: &Bench, target: &[OsString]) -> Result<(Report, u64)> {
    let streams = bench.size(STREAMS, 500);
    Ok((Load::run(bench, target, &scenario(bench, streams))?, streams))
}

/// Idle streams until their memory has settled.
pub(super) fn scenario(bench: &Bench, streams: u64) -> String {
    format!("idle --streams {streams} --seconds {}", bench.size(SETTLED.as_secs(), 3))
}

/// When that is.
pub(super) fn settled(bench: &Bench) -> String {
    format!("{} s after the last was opened", bench.size(SETTLED.as_secs(), 3))
}

/// Until a new server has done what it does once.
pub(super) fn wait_for_start(bench: &Bench) {
    wait(bench, STARTED);
}

fn wait(bench: &Bench, full: Duration) {
    std::thread::sleep(bench.size(full, Duration::from_secs(1)));
}

/// By how much each stream made processes grow.
///
/// # Errors
/// When a process was not seen at that moment.
pub(super) fn grown(report: &Report, whose: Whose, when: When, streams: u64) -> Result<String> {
    Ok(each(report.grown(whose, when)?, streams))
}

/// `6,842 bytes resident, 6,802 of it private`, for each stream.
pub(super) fn each(all: Memory, streams: u64) -> String {
    let (resident, private) = (thousands(all.resident / streams), thousands(all.private / streams));
    format!("{resident} bytes resident, {private} of it private")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_for_each_stream() {
        let all = Memory { resident: 6_842_000, private: 802_999 };
        assert_eq!(each(all, 1000), "6,842 bytes resident, 802 of it private");
    }
}

//! What a server costs that nobody talks to: the base that every other figure stands on.

use std::time::Duration;

use anyhow::Result;

use super::Bench;
use super::process::Sample;
use super::report::Row;
use super::server::Server;

/// Long enough for the start's own work to be over, and for a timer that spins to show.
const WATCHED: Duration = Duration::from_secs(10);

/// Memory, threads and processor time of one server without clients.
///
/// # Errors
/// When the server cannot be started, looked at or stopped.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let server = Server::start(&bench.program)?;
    let first = Sample::of(server.pid())?;
    let watched = bench.size(WATCHED, Duration::from_secs(1));
    std::thread::sleep(watched);
    let last = Sample::of(server.pid())?;
    server.stop()?;
    let megabytes = |kb: u64| kb as f64 * 1024.0 / 1e6;
    let memory = format!(
        "{:.1} MB resident, {:.1} MB of it private",
        megabytes(last.resident_kb),
        megabytes(last.private_kb)
    );
    let busy = last.cpu.saturating_sub(first.cpu).as_secs_f64() / watched.as_secs_f64() * 100.0;
    let how = format!("no client, {} s after the start", watched.as_secs());
    Ok(vec![
        Row::new("memory of an idle server", memory, &how),
        Row::new("idle server's load", format!("{busy:.1} % of a core, {} threads", last.threads), &how),
    ])
}

//! How many messages a second the server acknowledges, each stored and synced before its answer.

use anyhow::Result;

use super::Bench;
use super::client::{self, Client};
use super::report::{Row, thousands};
use super::server::Server;

/// A load: its name in the table, and the connections and messages per request of the client.
const LOADS: &[(&str, u32, u32)] = &[
    ("messages acknowledged, one a request", 64, 1),
    ("messages acknowledged, one a request", 256, 1),
    ("messages acknowledged, outboxes of 20", 64, 20),
    ("messages acknowledged, outboxes of 100", 64, 100),
];

/// One row for each of [`LOADS`], each on a server of its own.
///
/// # Errors
/// When one answer is not what it must be, or an inbox does not get what was acknowledged.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    LOADS.iter().map(|load| acknowledged(bench, load)).collect()
}

fn acknowledged(bench: &Bench, &(what, connections, batch): &(&str, u32, u32)) -> Result<Row> {
    let server = Server::start(&bench.program)?;
    let arguments = format!("messages --connections {connections} --batch {batch}");
    let (result, cores) = Client::load(bench, &server, &arguments)?;
    server.stop()?;
    let number = |name| client::number(&result, name);
    let (messages, seconds) = (number("/messages")?, number("/seconds")?);
    let how = format!(
        "1:1, 200 bytes of text, fsync on; {connections} connections, {seconds} s; {cores}; \
         all inboxes complete {} ms after the last answer",
        number("/inboxes_behind_ms")?
    );
    Ok(Row::new(what, format!("{} a second", thousands(messages / seconds)), &how))
}

//! As many idle streams as a process, and a machine with both ends on it, can hold.

use anyhow::Result;

use super::Bench;
use super::load::{Load, Looks, When, Whose};
use super::report::{Row, thousands};
use super::server::{self, Server};
use super::{process, streams};

/// What 20,000 open files, a common hard limit, leave for streams.
const ONE_PROCESS: u64 = 19_000;

/// Beyond one process: these over [`SERVERS`] of each side.
const ONE_MACHINE: u64 = 100_000;

/// Servers by themselves, and workers of the generator: each worker stays with one server.
const SERVERS: usize = 6;

/// A row for one server, and one for six.
///
/// # Errors
/// When a stream is not served or ends, and when the machine lacks files, ports or memory for them.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    Ok(vec![
        held(bench, 1, bench.size(ONE_PROCESS, 600))?,
        held(bench, SERVERS, bench.size(ONE_MACHINE, 1200))?,
    ])
}

fn held(bench: &Bench, count: usize, idle: u64) -> Result<Row> {
    let servers = together(bench, count)?;
    streams::wait_for_start(bench);
    let slab_before = process::kernel_slab_bytes()?;
    let mut slab = Looks::default();
    let scenario = format!("{} --apart --workers {count}", streams::scenario(bench, idle));
    let mut load = Load::start(bench, &server::flags(&servers), &scenario)?;
    while load.goes_on()? {
        slab.push(load.seconds(), process::kernel_slab_bytes()?);
    }
    let report = load.finish()?;
    servers.into_iter().try_for_each(Server::stop)?;
    let slab = slab.last_until(report.end_s()?).copied().unwrap_or(slab_before).saturating_sub(slab_before);
    let (one, processes) = match count {
        1 => ("one server".to_owned(), "one process at each end".to_owned()),
        _ => (format!("{count} servers"), format!("{count} processes at each end")),
    };
    let (server, generator) =
        (report.grown(Whose::Servers, When::End)?, report.grown(Whose::Generators, When::End)?);
    let gigabytes = |bytes: u64| format!("{:.2} GB", bytes as f64 / 1e9);
    let how = format!(
        "HTTP/1.1, {processes}, {}; in all server {}, generator {}, kernel for both {}",
        streams::settled(bench),
        gigabytes(server.resident),
        gigabytes(generator.resident),
        gigabytes(slab)
    );
    let result =
        format!("server {}; generator {}", streams::each(server, idle), streams::each(generator, idle));
    Ok(Row::new(&format!("{} idle streams to {one}", thousands(idle)), result, &how))
}

/// Servers with ports and directories of their own that believe the first one's secret.
fn together(bench: &Bench, count: usize) -> Result<Vec<Server>> {
    let mut servers = vec![Server::start(&bench.program)?];
    let secret = servers[0].secret_file().to_owned();
    while servers.len() < count {
        let common = [(server::SECRET_FILE, secret.as_os_str())];
        servers.push(Server::start_with(&bench.program, &common)?);
    }
    Ok(servers)
}

//! What a stream costs on which nothing happens but heartbeats.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Bench;
use super::client::{self, Client};
use super::process::Sample;
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

/// Memory at one moment, in bytes.
#[derive(Clone, Copy, Debug)]
struct Memory {
    resident: u64,
    private: u64,
    /// Of all processes.
    kernel: u64,
}

impl Memory {
    fn now(server: &Server) -> Result<Memory> {
        let sample = Sample::of(server.pid())?;
        let text = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
        let slab_kb = text.lines().find_map(|line| line.strip_prefix("Slab:")?.split_whitespace().next());
        let slab_kb: u64 = slab_kb.and_then(|kb| kb.parse().ok()).context("/proc/meminfo has no Slab")?;
        Ok(Memory {
            resident: sample.resident_kb * 1024,
            private: sample.private_kb * 1024,
            kernel: slab_kb * 1024,
        })
    }
}

/// Opens [`STREAMS`] streams, each of an account of its own, and looks at the server's memory before,
/// when all are open, and when it has settled; and at what it frees when they are closed.
///
/// # Errors
/// When a stream is not served, or ends before it is closed.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let server = Server::start(&bench.program)?;
    std::thread::sleep(STARTED);
    let before = Memory::now(&server)?;
    let mut client = Client::start(bench, &server, &format!("streams --streams {STREAMS}"))?;
    client.wait_for("begin")?;
    let opened = Memory::now(&server)?;
    std::thread::sleep(SETTLED);
    let settled = Memory::now(&server)?;
    let allocated = server.allocated_bytes()?;
    client.release();
    let result = client.wait_for("result")?;
    client.dismiss()?;
    std::thread::sleep(CLOSED);
    let left = server.allocated_bytes()?;
    server.stop()?;
    let open = client::number(&result, "/open")?;
    ensure!(open == STREAMS, "of {STREAMS} streams {open} were open at the end");
    let how = |when: &str| format!("HTTP/1.1, {} streams of as many accounts, {when}", thousands(STREAMS));
    let settled_after = how(&format!("{} s after the last was opened", SETTLED.as_secs()));
    Ok(vec![
        Row::new("server's memory per idle stream", grown(before, settled), &settled_after),
        Row::new(
            "of it freed with the stream",
            format!("{} bytes", thousands(each(left, allocated))),
            "the allocator's count; the rest are shards, whose number is fixed, and pages that are partly used",
        ),
        Row::new(
            "server's memory per stream just opened",
            grown(before, opened),
            &how("account actors alive"),
        ),
        Row::new(
            "kernel's memory per idle stream",
            // Both ends of each connection are on this machine.
            format!("{} bytes", thousands(each(before.kernel, settled.kernel) / 2)),
            "slab of the whole machine, half of it for the client's end; without the bytes under way",
        ),
    ])
}

fn grown(before: Memory, after: Memory) -> String {
    let (resident, private) = (each(before.resident, after.resident), each(before.private, after.private));
    format!("{} bytes resident, {} of it private", thousands(resident), thousands(private))
}

fn each(before: u64, after: u64) -> u64 {
    after.saturating_sub(before) / STREAMS
}

//! What one idle event stream costs: `cargo run --release -p godwit-edge --example idle_streams -- N`.
//!
//! Opens N streams over loopback, from a child process, against the accept loop and the pump with a source
//! that says nothing, and prints the server process's memory per stream and the kernel's (as root). With `silent`
//! behind N: connections that never send a byte. The account's side of a stream comes on top.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use godwit_edge::accept::{self, Limits};
use godwit_edge::stream::{Frames, Opened, Streams};
use http::{HeaderMap, HeaderValue, Response, request};
use tikv_jemalloc_ctl::{epoch, stats};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const OPEN: &[u8] = b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";

/// Says `retry` once, and then nothing for ever.
struct Silent(AtomicBool);

impl Frames for Silent {
    fn poll_frames(&self, _: &mut Context<'_>, frames: &mut Vec<Bytes>, _: usize) -> Poll<bool> {
        if self.0.swap(true, Ordering::Relaxed) {
            return Poll::Pending;
        }
        frames.push(Bytes::from_static(b"retry: 3000\n\n"));
        Poll::Ready(true)
    }
}

#[derive(Clone)]
struct Everybody;

impl Streams for Everybody {
    type Frames = Silent;

    async fn open(&self, _: request::Parts) -> std::result::Result<Opened<Silent>, Box<Response<Bytes>>> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
        Ok(Opened { headers, frames: Silent(AtomicBool::new(false)) })
    }

    fn turn_away(&self, _: request::Parts) -> Response<Bytes> {
        Response::new(Bytes::new())
    }
}

/// Memory at one moment, in bytes.
struct Sample {
    resident: usize,
    allocated: usize,
    /// Objects of the kernel's caches, by name: how many, and of what size.
    slabs: Vec<(String, usize, usize)>,
}

impl Sample {
    fn take() -> Result<Self> {
        epoch::advance()?;
        let status = std::fs::read_to_string("/proc/self/status")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let resident: usize = resident.trim().trim_end_matches(" kB").parse()?;
        let slabs = std::fs::read_to_string("/proc/slabinfo").unwrap_or_default(); // root only
        let slabs = slabs.lines().filter_map(slab).collect();
        Ok(Self { resident: resident * 1024, allocated: stats::allocated::read()?, slabs })
    }
}

/// A line of `/proc/slabinfo`: name, active objects, objects, size.
fn slab(line: &str) -> Option<(String, usize, usize)> {
    let mut words = line.split_whitespace();
    let (name, active) = (words.next()?, words.next()?.parse().ok()?);
    Some((name.to_owned(), active, words.nth(1)?.parse().ok()?))
}

/// Opens the connections, says so, and holds them until its input ends.
fn client(address: SocketAddr, count: usize, silent: bool) -> Result<()> {
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let mut socket = TcpStream::connect(address)?;
        if !silent {
            socket.write_all(OPEN)?;
            let mut answer = Vec::new();
            while !answer.ends_with(b"retry: 3000\n\n\r\n") {
                let mut some = [0; 512];
                let n = socket.read(&mut some)?;
                if n == 0 {
                    return Err("the server closed".into());
                }
                answer.extend_from_slice(&some[..n]);
            }
        }
        sockets.push(socket);
    }
    println!("open");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn start_client(address: SocketAddr, count: usize, kind: &str) -> Result<Child> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([&count.to_string(), kind, &address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let out = child.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line)?;
    if line.trim() != "open" {
        return Err("the client could not open its connections".into());
    }
    Ok(child)
}

fn stop_client(mut child: Child) -> Result<()> {
    drop(child.stdin.take());
    child.wait()?;
    Ok(())
}

fn report(before: &Sample, after: &Sample, count: usize) {
    let each = |after: usize, before: usize| (after as f64 - before as f64) / count as f64;
    println!("resident bytes each: {:.0}", each(after.resident, before.resident));
    println!("allocated bytes each: {:.0}", each(after.allocated, before.allocated));
    let mut kernel = 0.0;
    for (name, active, size) in &after.slabs {
        let active_before = before.slabs.iter().find(|slab| slab.0 == *name).map_or(0, |slab| slab.1);
        let objects = each(*active, active_before);
        if objects > 0.2 {
            println!("  kernel, both ends: {objects:.2} × {name} of {size} bytes");
            kernel += objects * *size as f64;
        }
    }
    if kernel > 0.0 {
        println!("kernel bytes each, both ends: {kernel:.0}");
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let count: usize = arguments.next().as_deref().unwrap_or("19000").parse()?;
    let kind = arguments.next().unwrap_or_else(|| "streams".into());
    if let Some(address) = arguments.next() {
        return client(address.parse()?, count, kind == "silent");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = accept::bind("127.0.0.1:0".parse()?)?;
    let address = listener.local_addr()?;
    let limits = Limits {
        unauthenticated_connections_per_address: u32::MAX,
        head_timeout: Duration::from_secs(600),
        ..Limits::default()
    };
    let never = std::future::pending();
    runtime.spawn(accept::serve(listener, Router::new(), Everybody, limits, never, Duration::ZERO));
    // What is needed once, whatever the number, must not count.
    stop_client(start_client(address, 100, &kind)?)?;
    std::thread::sleep(Duration::from_millis(500));
    let before = Sample::take()?;
    let child = start_client(address, count, &kind)?;
    std::thread::sleep(Duration::from_secs(2));
    let after = Sample::take()?;
    println!("{count} {kind}");
    report(&before, &after, count);
    stop_client(child)
}

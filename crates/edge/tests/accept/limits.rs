//! More than there is room for.

use std::time::Duration;

use godwit_edge::accept::Limits;
use tokio::time::{Instant, sleep};

use crate::server::{Client, LONG, Server, assert_problem, limits};
use crate::streams::OPEN;

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

async fn served(server: &Server) -> Client {
    let mut client = server.connect().await;
    client.send(GET).await;
    client.until("home").await;
    client
}

#[tokio::test]
async fn beyond_the_connections_each_is_told_in_its_own_way() {
    let server = Server::start(Limits { connections: 2, ..limits() }, LONG);
    let (first, _second) = (served(&server).await, served(&server).await);
    let answer = server.exchange(GET).await;
    assert_problem(&answer, 503, "overloaded");
    assert!(answer.contains("retry-after: "), "{answer}");
    // A stock EventSource never comes back after a 503.
    let answer = server.exchange(OPEN).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("event: bye"), "{answer}");
    drop(first);
    sleep(Duration::from_millis(50)).await;
    served(&server).await;
}

#[tokio::test]
async fn an_http_2_client_is_told_by_goaway() {
    let server = Server::start(Limits { connections: 0, ..limits() }, LONG);
    let mut client = server.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let frames = client.rest().await;
    assert_eq!((frames.len(), frames.as_bytes()[12]), (9 + 17, 7), "{frames:?}");
}

#[tokio::test]
async fn an_address_has_its_share_until_its_requests_are_known() {
    let limits = Limits { unauthenticated_connections_per_address: 1, ..limits() };
    let server = Server::start(limits, LONG);
    let mut first = served(&server).await;
    assert_problem(&server.exchange(GET).await, 503, "overloaded");
    first.send("GET /login HTTP/1.1\r\nHost: x\r\n\r\n").await;
    first.until("\r\n\r\n").await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = server.connect().await;
        stream.send(OPEN).await;
        stream.until("retry: 1000\n\n\r\n").await;
        streams.push(stream);
    }
    let _second = served(&server).await;
    assert_problem(&server.exchange(GET).await, 503, "overloaded");
}

/// Both ends are in this process: of the 20,000 descriptors that it may have, 18,000 and those of other tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_that_send_nothing_keep_nobody_out() {
    const SILENT: usize = 9_000;
    let server = Server::start(Limits { head_timeout: Duration::from_secs(8), ..limits() }, LONG);
    let before = resident();
    let mut silent = Vec::with_capacity(SILENT);
    for _ in 0..SILENT {
        silent.push(server.connect().await);
    }
    served(&server).await;
    let each = (resident() - before) / SILENT;
    println!("{each} bytes for both ends of a silent connection");
    // With the client's end and the system's allocator; `idle_streams N silent` measures the server alone.
    assert!(each < 4_096, "{each} bytes");
    let begun = Instant::now();
    for mut client in silent {
        assert_eq!(client.rest().await, "");
    }
    assert!(begun.elapsed() < Duration::from_secs(12));
    served(&server).await;
}

/// Resident memory of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

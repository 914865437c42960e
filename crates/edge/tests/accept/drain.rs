//! Letting go of everybody.

use std::time::Duration;

use godwit_edge::accept::Drained;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::server::{LONG, Server, limits};
use crate::streams::OPEN;

#[tokio::test]
async fn each_kind_of_connection_ends_in_its_way() {
    let mut server = Server::usual();
    let mut silent = server.connect().await;
    let mut idle = server.connect().await;
    idle.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    idle.until("home").await;
    let mut stream = server.connect().await;
    stream.send(OPEN).await;
    stream.until("retry: 1000\n\n\r\n").await;
    let mut busy = server.connect().await;
    busy.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    sleep(Duration::from_millis(50)).await;

    let begun = Instant::now();
    server.shut_down();
    assert_eq!(silent.rest().await, "");
    assert_eq!(idle.rest().await, "");
    let answer = busy.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("slow"), "{answer}");
    assert!(begun.elapsed() < limits().head_timeout, "{:?}", begun.elapsed());
    assert!(TcpStream::connect(server.address).await.is_err(), "it still accepts");

    server.fake.bye();
    assert!(stream.rest().await.ends_with("0\r\n\r\n"));
    drop((silent, idle, busy, stream));
    let Drained { finished, cut } = server.drained().await;
    // Those that were quicker than the count are in neither.
    assert!((1..=4).contains(&finished) && cut == 0, "{finished}, {cut}");
}

#[tokio::test]
async fn what_does_not_end_is_cut_at_the_deadline() {
    let server = Server::start(limits(), Duration::from_millis(200));
    let mut stream = server.connect().await;
    stream.send(OPEN).await;
    stream.until("retry: 1000\n\n\r\n").await;
    let begun = Instant::now();
    assert_eq!(server.drained().await, Drained { finished: 0, cut: 1 });
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(stream.rest().await, "");
}

#[tokio::test]
async fn nobody_there_is_drained_at_once() {
    let server = Server::start(limits(), LONG);
    let begun = Instant::now();
    assert_eq!(server.drained().await, Drained { finished: 0, cut: 0 });
    assert!(begun.elapsed() < Duration::from_secs(1));
}

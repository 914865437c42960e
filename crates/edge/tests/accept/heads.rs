//! What the first head may and may not be.

use std::time::Duration;

use tokio::time::{Instant, interval, sleep};

use crate::server::{LONG, Server, assert_problem, limits};

#[tokio::test]
async fn a_head_may_come_byte_by_byte() {
    let server = Server::usual();
    let mut client = server.connect().await;
    for byte in b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("home"), "{answer}");
}

#[tokio::test]
async fn faulty_heads_are_answered() {
    let server = Server::usual();
    let garbage = server.exchange(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
    assert_problem(&garbage, 400, "invalid_request");
    assert_problem(&server.exchange("GET / HTTP/1.1\r\n\r\n").await, 400, "invalid_request");
    let target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(10 * 1024));
    assert_problem(&server.exchange(target).await, 414, "uri_too_long");
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert_problem(&server.exchange(many).await, 431, "head_too_large");
}

#[tokio::test]
async fn a_huge_head_is_answered_although_it_is_not_read() {
    let server = Server::usual();
    let huge = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(100 * 1024));
    assert_problem(&server.exchange(huge).await, 431, "head_too_large");
}

#[tokio::test]
async fn a_byte_now_and_then_is_answered_when_the_time_is_over() {
    let server = Server::usual();
    let begun = Instant::now();
    let mut client = server.connect().await;
    let (mut reader, mut writer) = client.0.split();
    let slow = async {
        let mut tick = interval(Duration::from_millis(100));
        for byte in b"GET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".iter().cycle() {
            tick.tick().await;
            if tokio::io::AsyncWriteExt::write_all(&mut writer, &[*byte]).await.is_err() {
                break;
            }
        }
    };
    let mut answer = [0; 4096];
    let n = tokio::select! {
        n = tokio::io::AsyncReadExt::read(&mut reader, &mut answer) => n.unwrap(),
        () = slow => panic!("closed without an answer"),
    };
    assert_problem(std::str::from_utf8(&answer[..n]).unwrap(), 408, "request_timeout");
    let took = begun.elapsed();
    assert!(took >= limits().head_timeout && took < limits().head_timeout * 2, "{took:?}");
}

#[tokio::test]
async fn a_silent_connection_is_closed_without_a_word() {
    let server = Server::usual();
    let begun = Instant::now();
    assert_eq!(server.connect().await.rest().await, "");
    assert!(begun.elapsed() >= limits().head_timeout);
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_head_frees_its_place() {
    let mut limits = limits();
    limits.connections = 1;
    let server = Server::start(limits, LONG);
    let mut client = server.connect().await;
    client.send("GET / HT").await;
    drop(client);
    sleep(Duration::from_millis(50)).await;
    let answer = server.exchange("GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK"), "{answer}");
}

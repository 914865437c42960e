//! Streams on sockets of their own.

use std::sync::atomic::Ordering;

use tokio::io::AsyncWriteExt;

use crate::server::Server;

pub(crate) const OPEN: &str = "GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n";

#[tokio::test]
async fn a_stream_is_chunked_and_ends_with_the_last_chunk() {
    let server = Server::usual();
    let mut client = server.connect().await;
    client.send(OPEN).await;
    let head = client.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    for field in
        ["content-type: text/event-stream", "transfer-encoding: chunked", "connection: close", "date: "]
    {
        assert!(head.contains(field), "no {field} in {head}");
    }
    assert_eq!(client.until("\n\n\r\n").await, "d\r\nretry: 1000\n\n\r\n");
    server.fake.bye();
    assert_eq!(client.rest().await, "15\r\nevent: bye\ndata: {}\n\n\r\n0\r\n\r\n");
}

#[tokio::test]
async fn http_1_0_gets_the_bytes_as_they_are() {
    let server = Server::usual();
    server.fake.bye();
    let answer = server.exchange("GET /v1/events HTTP/1.0\r\nAuthorization: Bearer x\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert_eq!(body, "retry: 1000\n\nevent: bye\ndata: {}\n\n");
}

#[tokio::test]
async fn a_refused_stream_is_an_ordinary_answer() {
    let server = Server::usual();
    let answer = server.exchange("GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
    assert!(answer.contains("content-length: 4\r\n") && answer.ends_with("\r\n\r\nwho?"), "{answer}");
    assert_eq!(server.fake.opened.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_head_in_pieces_opens_a_stream_too() {
    let server = Server::usual();
    let mut client = server.connect().await;
    for byte in OPEN.as_bytes() {
        client.send([*byte]).await;
    }
    client.until("retry: 1000\n\n\r\n").await;
}

#[tokio::test]
async fn a_client_that_closes_its_half_has_gone() {
    let server = Server::usual();
    let mut client = server.connect().await;
    client.send(OPEN).await;
    client.until("retry: 1000\n\n\r\n").await;
    client.0.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "");
}

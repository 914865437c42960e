//! What hyper does, with the first bytes read by us.

use std::time::Duration;

use bytes::Bytes;
use godwit_edge::accept::Limits;
use http::{Method, Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::server::{LONG, Server, limits};

fn post(body: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_order_and_the_connection_stays() {
    let server = Server::usual();
    let mut client = server.connect().await;
    client.send([post("one"), post("two"), post("three")].concat()).await;
    for body in ["one", "two", "three"] {
        client.until(&format!("\r\n\r\n{body}")).await;
    }
    sleep(Duration::from_millis(100)).await;
    client.send(post("later")).await;
    client.until("\r\n\r\nlater").await;
}

#[tokio::test]
async fn a_body_may_be_split_from_its_head_anywhere() {
    let server = Server::usual();
    let whole = post("a body of some length");
    for at in [whole.len() - 20, whole.len() - 21, whole.len() - 5] {
        let mut client = server.connect().await;
        client.send(&whole[..at]).await;
        sleep(Duration::from_millis(10)).await;
        client.send(&whole[at..]).await;
        client.until("\r\n\r\na body of some length").await;
    }
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let server = Server::usual();
    let answer = server.exchange("GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK") && answer.ends_with("home"), "{answer}");
}

#[tokio::test]
async fn who_expects_100_is_told_to_continue() {
    let server = Server::usual();
    let mut client = server.connect().await;
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body").await;
    assert!(client.until("\r\n\r\nbody").await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn who_closes_one_half_gets_the_answer_on_the_other() {
    let server = Server::usual();
    let mut client = server.connect().await;
    client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    client.0.shutdown().await.unwrap();
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("slow"), "{answer}");
}

#[tokio::test]
async fn an_answer_to_a_body_that_nobody_reads_arrives() {
    let server = Server::usual();
    let length = 10 * 1024 * 1024;
    let mut request =
        format!("POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    request.resize(request.len() + length, b'x');
    let answer = server.exchange(request).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_reset_in_mid_request_harms_nobody_else() {
    let server = Server::usual();
    for _ in 0..20 {
        let mut client = server.connect().await;
        let request = post("never whole");
        client.send(&request[..request.len() - 4]).await;
        SockRef::from(&client.0).set_linger(Some(Duration::ZERO)).unwrap();
    }
    let answer = server.exchange("GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.ends_with("home"), "{answer}");
}

#[tokio::test]
async fn http_2_works_with_prior_knowledge() {
    let server = Server::usual();
    let socket = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    let connection = tokio::spawn(connection);
    for body in ["one", "two"] {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}/echo", server.address))
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), body);
    }
    drop(sender);
    connection.await.unwrap().unwrap();
}

/// RFC 9113, section 5.1.2: it may be repeated elsewhere, and the connection goes on.
#[tokio::test]
async fn a_stream_beyond_what_was_announced_is_refused() {
    const RST_STREAM: u8 = 3;
    const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];
    let server = Server::start(Limits { http2_streams: 1, ..limits() }, LONG);
    let mut client = server.connect().await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // Two requests with a body to come: HEADERS with END_HEADERS, POST, http, /echo, authority x.
    for stream in [1, 3] {
        bytes.extend(b"\0\0\x0c\x01\x04\0\0\0");
        bytes.push(stream);
        bytes.extend(b"\x83\x86\x44\x05/echo\x41\x01x");
    }
    // The end of the first one's body.
    bytes.extend(b"\0\0\x02\0\x01\0\0\0\x01hi");
    client.send(bytes).await;
    let frames = async {
        let (mut refused, mut answered) = (false, false);
        while !(refused && answered) {
            let mut head = [0; 9];
            client.0.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            client.0.read_exact(&mut payload).await.unwrap();
            refused |= (head[3], head[8]) == (RST_STREAM, 3) && payload == REFUSED_STREAM;
            answered |= head[8] == 1 && payload == b"hi";
        }
    };
    timeout(LONG, frames).await.expect("a refusal, and an answer to the other");
}

#[tokio::test]
async fn a_preface_may_be_split() {
    let server = Server::usual();
    let mut client = server.connect().await;
    client.send("PRI * HT").await;
    sleep(Duration::from_millis(20)).await;
    client.send("TP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let mut frame = [0; 9];
    client.0.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4, "no SETTINGS but {frame:?}");
}

//! How a server stops, and that only one serves a directory.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use std::time::{Duration, Instant};

use godwit_testkit::client::{message, messages_path};
use godwit_testkit::stream::End;
use godwit_testkit::{Client, Connection, Launch, Server};
use serde_json::json;

const PROGRAM: &str = env!("CARGO_BIN_EXE_godwit");

/// A message that is half sent when the server is told to stop.
const LATE_MESSAGE: &str = r#"{"client_id":"late","body":{"type":"text","text":"under way"}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_sigterm_streams_are_told_writes_are_finished_and_the_exit_is_0() {
    const WRITERS: usize = 8;
    let mut server = Server::start(PROGRAM);
    let ann = server.client("ann", "phone");
    let conversation = ann.open_direct("bob").await;
    let mut streams = Vec::new();
    for i in 0..20 {
        let mut stream = server.client(&format!("reader-{i}"), "phone").stream(None).await;
        stream.expect("ready").await;
        streams.push(stream);
    }
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write_until_refused(ann.clone(), conversation.clone(), writer)))
        .collect();
    let mut under_way = half_a_message(&server, &conversation).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    server.ask_to_stop();
    for stream in &mut streams {
        let bye = stream.expect("bye").await;
        assert_eq!((&bye.data["reason"], &bye.data["reconnect"]), (&json!("drain"), &json!(true)));
        assert!(stream.retry_ms.is_some_and(|ms| (1000..=5000).contains(&ms)), "{:?}", stream.retry_ms);
        assert_eq!(stream.end().await, End::Finished);
    }
    let retries: std::collections::HashSet<_> = streams.iter().map(|stream| stream.retry_ms).collect();
    assert!(retries.len() > 10, "all would come back at once: {retries:?}");
    under_way.write(&LATE_MESSAGE.as_bytes()[LATE_MESSAGE.len() / 2..]).await.unwrap();
    let answer = under_way.answer().await.unwrap();
    assert!(answer.status == 201 || answer.expect_problem(503, "draining")["retryable"] == true);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    assert_eq!(server.wait(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());

    server.restart();
    assert!(acknowledged.len() > WRITERS, "{} messages", acknowledged.len());
    for client_id in acknowledged {
        ann.say(&conversation, &client_id, "hello").await.expect(200);
    }
}

/// Sends one message after the other until the server takes no more; the `client_id` of each that was
/// acknowledged. The last may go unanswered: HTTP/1.1 has no word for a connection that is closed between
/// two requests, while the second is on its way (RFC 9112, section 9.5).
async fn write_until_refused(ann: Client, conversation: String, writer: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for i in 0.. {
        let client_id = format!("k{writer}-{i}");
        match ann.try_post(&messages_path(&conversation), &message(&client_id, "hello")).await {
            Ok(answer) if answer.status == 201 => acknowledged.push(client_id),
            Ok(answer) => {
                answer.expect_problem(503, "draining");
                break;
            }
            Err(_) => break,
        }
    }
    acknowledged
}

/// A message of which the server has the head and half of the body.
async fn half_a_message(server: &Server, conversation: &str) -> Connection {
    let mut connection = Connection::open(server.address()).await.unwrap();
    let (path, token) = (messages_path(conversation), server.tokens().sign("ann", "tablet"));
    let length = LATE_MESSAGE.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    connection.write(head.as_bytes()).await.unwrap();
    connection.write(&LATE_MESSAGE.as_bytes()[..length / 2]).await.unwrap();
    connection
}

#[tokio::test]
async fn a_reader_that_does_not_read_does_not_hold_up_the_end() {
    let mut server = Launch::dev(PROGRAM).env("GODWIT_DRAIN__DEADLINE_MS", 2000).start();
    let ann = server.client("ann", "phone");
    let conversation = ann.open_direct("bob").await;
    let mut stalled = server.client("bob", "phone").stream(None).await;
    stalled.expect("ready").await;
    for i in 0..700 {
        ann.say(&conversation, &format!("k{i}"), &"x".repeat(12_000)).await.expect(201);
    }
    let began = Instant::now();
    let code = server.terminate();
    // 75 says that a stream was cut off without its goodbye.
    assert!(matches!(code, Some(0 | 75)), "{code:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_second_server_on_the_directory_is_refused() {
    let server = Server::start(PROGRAM);
    let (code, said) = server.second_on_the_same_directory();
    assert_eq!(code, Some(73), "{said}");
    assert!(said.contains(&server.pid().to_string()), "it names the process: {said}");
    server.assert_serves().await;
}

#[tokio::test]
async fn serve_runs_from_a_file() {
    let config = "[limits]\nstreams_per_account = 2\n";
    let mut server = Launch::serve(PROGRAM, config).start();
    server.assert_serves().await;
    let mut streams = Vec::new();
    for device in ["a", "b", "c"] {
        streams.push(server.client("ann", device).stream(None).await);
    }
    assert_eq!(streams[2].event().await.data["reason"], "limit");
    let nothing_for_developers = server.client("ann", "phone").get("/dev/token?account=a&device=b").await;
    nothing_for_developers.expect_problem(404, "not_found");
    assert_eq!(server.terminate(), Some(0));
}

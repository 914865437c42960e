//! What no well-behaved client sends: each is answered as the contract says, and the server goes on.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use std::net::Ipv4Addr;
use std::time::Duration;

use godwit_testkit::client::{message, messages_path};
use godwit_testkit::{Answer, Client, Connection, Launch, Server, StreamOptions};
use http::Method;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_godwit");

/// A `POST` with this head and body as they are; `fields` are lines with CRLF.
async fn post_raw(server: &Server, path: &str, fields: &str, body: &[u8]) -> Answer {
    let token = server.tokens().sign("ann", "phone");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut connection = Connection::open(server.address()).await.unwrap();
    connection.write(head.as_bytes()).await.unwrap();
    connection.write_until_refused(body).await;
    connection.answer().await.unwrap()
}

async fn post_json(server: &Server, path: &str, body: &[u8]) -> Answer {
    post_raw(server, path, "Content-Type: application/json\r\n", body).await
}

#[tokio::test]
async fn bodies_that_are_no_json() {
    let server = Server::start(PROGRAM);
    let conversation = server.client("ann", "phone").open_direct("bob").await;
    let path = messages_path(&conversation);
    let of_depth = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"client_id":"d{depth}","body":{{"type":"x","v":{open}{close}}}}}"#)
    };
    for body in [
        &b"{"[..],
        b"",
        b"{\"client_id\": \"k1\",}",
        b"\x00\x01\x02",
        b"{\"client_id\":\"k1\",\"body\":{\"type\":\"text\",\"text\":\"\xff\xfe\"}}",
        b"{\"client_id\":\"k1\",\"body\":{\"type\":\"text\",\"text\":\"\xed\xa0\x80\"}}",
        b"{\"client_id\":\"k1\",\"body\":{\"type\":\"text\"}} trailing",
        // The outer object and `body` are two levels.
        of_depth(31).as_bytes(),
        "[".repeat(60_000).as_bytes(),
    ] {
        let shown = body[..body.len().min(80)].escape_ascii();
        let answer = post_json(&server, &path, body).await;
        assert_eq!(answer.status, 400, "{shown}: {answer:?}");
        answer.expect_problem(400, "invalid_json");
    }
    post_json(&server, &path, of_depth(30).as_bytes()).await.expect(201);
    server.assert_serves().await;
}

#[tokio::test]
async fn values_of_a_wrong_type_are_pointed_at() {
    let server = Server::start(PROGRAM);
    let ann = server.client("ann", "phone");
    let conversation = ann.open_direct("bob").await;
    let messages = messages_path(&conversation);
    let long = "x".repeat(65);
    let text = json!({"type": "text", "text": "hi"});
    let cases = [
        (messages.as_str(), json!({"client_id": 7, "body": text}), "/client_id"),
        (&messages, json!({"client_id": long, "body": text}), "/client_id"),
        (&messages, json!({"client_id": "a/b", "body": text}), "/client_id"),
        (&messages, json!({"client_id": "..", "body": text}), "/client_id"),
        (&messages, json!({"body": text}), "/client_id"),
        (&messages, json!({"client_id": "k1"}), "/body"),
        (&messages, json!({"client_id": "k1", "body": "text"}), "/body"),
        (&messages, json!({"client_id": "k1", "body": {"text": "no type"}}), "/body"),
        (&messages, json!({"client_id": "k1", "body": {"type": 5}}), "/body"),
        (&messages, json!({"client_id": "k1", "body": text, "reply_to": "2"}), "/reply_to"),
        (&messages, json!({"client_id": "k1", "body": text, "mentions": ["bob", 3]}), "/mentions/1"),
        (&messages, json!({"client_id": "k1", "body": text, "mentions": vec!["bob"; 51]}), "/mentions"),
        (&messages, json!([1, 2]), ""),
        ("/v1/messages", json!({"messages": {}}), "/messages"),
        ("/v1/conversations", json!({"kind": "choir", "members": ["bob"]}), "/kind"),
        ("/v1/conversations", json!({"kind": "direct", "members": ["bob\n"]}), "/members/0"),
        ("/v1/conversations", json!({"kind": "direct", "members": "bob"}), "/members"),
        ("/v1/acks", json!({"last_event_id": 5}), "/last_event_id"),
        ("/v1/acks", json!({}), "/last_event_id"),
    ];
    for (path, body, pointer) in cases {
        let problem = ann.post(path, body.clone()).await.expect_problem(400, "invalid_request");
        let pointers: Vec<&Value> =
            problem["errors"].as_array().unwrap().iter().map(|e| &e["pointer"]).collect();
        let below = |found: &&Value| found.as_str().is_some_and(|found| found.starts_with(pointer));
        assert!(pointers.iter().any(below), "{path} {body}: {problem}");
    }
    for path in ["/v1/conversations?limit=0", "/v1/conversations?limit=201", "/v1/conversations?cursor=%00"] {
        ann.get(path).await.expect_problem(400, "invalid_request");
    }
    let too_large = json!({"client_id": "k1", "body": {"type": "x", "d": "x".repeat(16 * 1024)}});
    ann.post(&messages, too_large).await.expect_problem(413, "body_too_large");
    assert_eq!(ann.get(&messages).await.expect(200)["messages"], json!([]), "nothing of it was stored");
}

#[tokio::test]
async fn bodies_and_heads_beyond_the_limits() {
    let server = Server::start(PROGRAM);
    let ann = server.client("ann", "phone");
    let conversation = ann.open_direct("bob").await;
    let path = messages_path(&conversation);
    let large = vec![b'x'; 10 * 1024 * 1024];
    post_json(&server, &path, &large).await.expect_problem(413, "body_too_large");
    post_json(&server, "/v1/messages", &large).await.expect_problem(413, "body_too_large");

    let filler = format!("X-Filler: {}\r\n", "x".repeat(100 * 1024));
    for request in [
        format!("GET /v1/conversations HTTP/1.1\r\nHost: x\r\n{filler}\r\n"),
        format!("GET /v1/events HTTP/1.1\r\nHost: x\r\n{filler}\r\n"),
    ] {
        let mut connection = Connection::open(server.address()).await.unwrap();
        connection.write_until_refused(request.as_bytes()).await;
        connection.answer().await.unwrap().expect_problem(431, "head_too_large");
    }
    let request = format!("GET /v1/sync?since={} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(12_000));
    server.exchange(request.as_bytes()).await.expect_problem(414, "uri_too_long");
    server.assert_serves().await;
}

#[tokio::test]
async fn a_large_head_on_a_connection_that_is_in_use() {
    let server = Server::start(PROGRAM);
    let token = server.tokens().sign("ann", "phone");
    let mut connection = Connection::open(server.address()).await.unwrap();
    let first = format!("GET /v1/conversations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    assert_eq!(connection.exchange(first.as_bytes()).await.unwrap().status, 200);
    let filler = "x".repeat(100 * 1024);
    let second = format!("GET /v1/conversations HTTP/1.1\r\nHost: x\r\nX-Filler: {filler}\r\n\r\n");
    connection.write_until_refused(second.as_bytes()).await;
    // hyper answers this one itself, so the status is all that there is.
    assert_eq!(connection.answer().await.unwrap().status, 431);
    server.assert_serves().await;
}

#[tokio::test]
async fn tokens_that_are_none() {
    let server = Server::start(PROGRAM);
    let tokens = server.tokens();
    let mut late = godwit_testkit::tokens::claims("ann", "phone", 3600);
    late["nbf"] = json!(late["exp"].as_i64().unwrap() - 10);
    let without = |claim: &str| {
        let mut claims = godwit_testkit::tokens::claims("ann", "phone", 3600);
        claims.as_object_mut().unwrap().remove(claim);
        tokens.sign_claims(&claims)
    };
    let cases = [
        ("expired", tokens.sign_for("ann", "phone", -3600), "token_expired"),
        ("unsigned", tokens.unsigned("ann", "phone"), "token_invalid"),
        ("wrong key", tokens.with_wrong_key("ann", "phone"), "token_invalid"),
        ("HS512", tokens.with_wrong_algorithm("ann", "phone"), "token_invalid"),
        ("says RS256", tokens.with_claimed_algorithm("RS256", "ann", "phone"), "token_invalid"),
        ("says none, signed", tokens.with_claimed_algorithm("none", "ann", "phone"), "token_invalid"),
        ("not yet", tokens.sign_claims(&late), "token_invalid"),
        ("no sub", without("sub"), "token_invalid"),
        ("no dev", without("dev"), "token_invalid"),
        ("no exp", without("exp"), "token_invalid"),
        ("bad account", tokens.sign("a\nb", "phone"), "token_invalid"),
        ("bad device", tokens.sign("ann", "my phone"), "token_invalid"),
        ("no token at all", "x.y.z".into(), "token_invalid"),
        ("no parts", "x".into(), "token_invalid"),
        ("too long", format!("{}.{}", tokens.sign("ann", "phone"), "x".repeat(5000)), "token_invalid"),
    ];
    for (what, token, code) in cases {
        let client = Client::new(server.address(), "ann", token);
        let answer = client.get("/v1/conversations").await;
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        answer.expect_problem(401, code);
        assert!(answer.header("www-authenticate").starts_with("Bearer "), "{what}: {answer:?}");
        for token_in_query in [false, true] {
            let options = StreamOptions { token_in_query, ..Default::default() };
            client.stream_with(options).await.unwrap_err().expect_problem(401, code);
        }
    }
    let missing = server.exchange(b"GET /v1/conversations HTTP/1.1\r\nHost: x\r\n\r\n").await;
    missing.expect_problem(401, "token_missing");
    server.assert_serves().await;
}

#[tokio::test]
async fn event_ids_that_are_none() {
    let server = Server::start(PROGRAM);
    let ann = server.client("ann", "phone");
    let with_header = |id: String| StreamOptions { last_event_id: Some(id), ..Default::default() };
    let with_query = |id: &str| StreamOptions { query: format!("last_event_id={id}"), ..Default::default() };
    for options in [
        with_header("4".into()),
        with_header("4-1-ABCD".into()),
        with_header("-1-1-abcd".into()),
        with_header("x".repeat(10 * 1024)),
        with_query("4-1-ab%0Acd"),
        with_query("4-1-abcd%0A"),
        with_query("%00"),
        with_query("%FF%FE"),
        with_query(&"9".repeat(5000)),
    ] {
        let shown = format!("{options:?}");
        let refused = ann.stream_with(options).await.unwrap_err();
        assert_eq!(refused.status, 400, "{shown}: {refused:?}");
        refused.expect_problem(400, "cursor_malformed");
    }
    // A newline cannot be part of a header's value. Alone it ends the line, and what follows is no field.
    let token = server.tokens().sign("ann", "phone");
    let request = format!(
        "GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nLast-Event-ID: 4-1\n-abcd\r\n\r\n"
    );
    assert_eq!(server.exchange(request.as_bytes()).await.status, 400);
    // Folded lines are obsolete (RFC 9112, section 5.2).
    let request = request.replace("4-1\n-abcd", "4-1\r\n -abcd");
    assert_eq!(server.exchange(request.as_bytes()).await.status, 400);
    server.assert_serves().await;
}

#[tokio::test]
async fn paths_methods_and_media_types() {
    let server = Server::start(PROGRAM);
    let ann = server.client("ann", "phone");
    for path in ["/v2/conversations", "/v1/nothing", "/v1/conversations/", "/v1/conversations/%2e%2e"] {
        let answer = ann.request(Method::POST, path, Some(&json!({})), |request| request).await.unwrap();
        assert!(matches!(answer.status, 400 | 404 | 405), "{path}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}: {answer:?}");
    }
    ann.get("/v1/nothing").await.expect_problem(404, "not_found");
    for (method, path, allowed) in [
        (Method::DELETE, "/v1/conversations", ["GET", "POST"].as_slice()),
        (Method::GET, "/v1/messages", &["POST"]),
        (Method::POST, "/v1/events", &["GET"]),
        (Method::PUT, "/v1/sync", &["GET"]),
    ] {
        let answer = ann.request(method.clone(), path, Some(&json!({})), |request| request).await.unwrap();
        answer.expect_problem(405, "method_not_allowed");
        let allow = answer.header("allow").to_owned();
        assert!(allowed.iter().all(|method| allow.contains(method)), "{method} {path}: {allow}");
    }
    let conversation = ann.open_direct("bob").await;
    let body = message("k1", "hi").to_string();
    for field in ["Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n", ""] {
        let answer = post_raw(&server, &messages_path(&conversation), field, body.as_bytes()).await;
        answer.expect_problem(415, "unsupported_media_type");
    }
    let with_charset = "Content-Type: application/json; charset=utf-8\r\n";
    post_raw(&server, &messages_path(&conversation), with_charset, body.as_bytes()).await.expect(201);
    let token = server.tokens().sign("ann", "phone");
    let request = format!(
        "GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nAccept: image/png\r\n\r\n"
    );
    server.exchange(request.as_bytes()).await.expect_problem(406, "not_acceptable");
    server.assert_serves().await;
}

#[tokio::test]
async fn what_is_no_http() {
    let server = Server::start(PROGRAM);
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"GET /v1/events HTTP/1.1\r\n\r\n",
        b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"\r\n\r\n\r\n\0\0\0\0",
    ] {
        let answer = server.exchange(bytes).await;
        assert_eq!(answer.status, 400, "{}: {answer:?}", bytes.escape_ascii());
    }
    // Two lengths, or a length and chunks, are how requests are smuggled (RFC 9112, section 6.3).
    for fields in
        ["Content-Length: 2\r\nContent-Length: 3\r\n", "Content-Length: 2\r\nTransfer-Encoding: xchunked\r\n"]
    {
        let request = format!("POST /v1/messages HTTP/1.1\r\nHost: x\r\n{fields}\r\n{{}}");
        let answer = server.exchange(request.as_bytes()).await;
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    server.assert_serves().await;
}

#[tokio::test]
async fn a_client_that_sends_a_byte_a_second() {
    let launch = Launch::dev(PROGRAM).env("GODWIT_LIMITS__HEAD_TIMEOUT_MS", 2500);
    let server = launch.env("GODWIT_LIMITS__BODY_TIMEOUT_MS", 2500).start();
    let token = server.tokens().sign("ann", "phone");
    let whole = format!(
        "POST /v1/acks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 500\r\n\r\n"
    );
    // Slow from the first byte of the head, from the first byte of the body, and at a second head.
    let mut in_head = Connection::open(server.address()).await.unwrap();
    let mut in_body = Connection::open(server.address()).await.unwrap();
    in_body.write(whole.as_bytes()).await.unwrap();
    let began = tokio::time::Instant::now();
    for byte in b"GET " {
        in_head.write_until_refused(&[*byte]).await;
        in_body.write_until_refused(b" ").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    in_head.answer().await.unwrap().expect_problem(408, "request_timeout");
    in_body.answer().await.unwrap().expect_problem(408, "request_timeout");
    assert!(in_head.is_closed().await && in_body.is_closed().await);
    assert!(began.elapsed() < Duration::from_secs(10), "bytes that trickle in do not extend the time");
    server.assert_serves().await;
}

#[tokio::test]
async fn ten_thousand_connections_that_send_nothing() {
    const SILENT: usize = 10_000;
    // Loopback addresses for them; one of them alone may not have more than its limit.
    const ADDRESSES: usize = 10;
    let server = Launch::dev(PROGRAM).env("GODWIT_LIMITS__HEAD_TIMEOUT_MS", 20_000).start();
    let before = server.resident_bytes();
    let mut silent = Vec::with_capacity(SILENT);
    for i in 0..SILENT {
        let from = Ipv4Addr::new(127, 0, 1, (i % ADDRESSES) as u8 + 1);
        silent.push(Connection::open_from(from, server.address()).await.unwrap());
    }
    // While all of them are there, others are served.
    server.assert_serves().await;
    let ann = server.client("ann", "phone");
    let conversation = ann.open_direct("bob").await;
    let mut stream = server.client("bob", "phone").stream(None).await;
    stream.expect("ready").await;
    ann.say(&conversation, "k1", "hello").await.expect(201);
    stream.messages(1).await;
    let each = server.resident_bytes().saturating_sub(before) / SILENT as u64;
    println!("{each} bytes for each of {SILENT} silent connections");
    // A head that may come needs no buffer of its size before its first byte.
    assert!(each < 8 * 1024, "{each} bytes each");
    // Who never said a word is closed without one: a client that connected ahead of need would take a 408
    // for the answer to a request that it is just sending (RFC 9110, section 15.5.9).
    for mut connection in silent {
        assert!(connection.is_closed().await);
    }
    server.assert_serves().await;
}

#[tokio::test]
async fn one_address_may_not_have_all_connections() {
    const LIMIT: usize = 50;
    let name = "GODWIT_LIMITS__UNAUTHENTICATED_CONNECTIONS_PER_ADDRESS";
    let server = Launch::dev(PROGRAM).env(name, LIMIT).start();
    let crowded = Ipv4Addr::new(127, 0, 0, 9);
    let mut silent = Vec::new();
    for _ in 0..LIMIT {
        silent.push(Connection::open_from(crowded, server.address()).await.unwrap());
    }
    server.assert_serves().await;
    let mut refused = Connection::open_from(crowded, server.address()).await.unwrap();
    let answer = refused.exchange(b"GET /v1/conversations HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    answer.expect_problem(503, "overloaded");
    assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
    // A stream is never refused so: an `EventSource` would not come back.
    let mut refused = Connection::open_from(crowded, server.address()).await.unwrap();
    let answer = refused.exchange(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let said = String::from_utf8_lossy(&answer.body);
    assert!(answer.status == 200 && said.contains("event: bye") && said.contains("overload"), "{answer:?}");
    // Those that go make room.
    drop(silent);
    let served = async || {
        let mut connection = Connection::open_from(crowded, server.address()).await.unwrap();
        connection.exchange(b"GET /v1/conversations HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap().status == 401
    };
    while !served().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

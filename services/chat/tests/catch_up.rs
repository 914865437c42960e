//! What a device does besides its stream: the delta of a wake-up, acknowledgements, its registration;
//! and the calls of the contract that this release does not have.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use godwit_testkit::{Answer, Client, Server};
use http::Method;
use serde_json::{Value, json};

fn server() -> Server {
    Server::start(env!("CARGO_BIN_EXE_godwit"))
}

/// Ann and her conversation with Bob, in which he said so many things.
async fn ann_with_messages(server: &Server, count: usize) -> (Client, String) {
    let ann = server.client("ann", "phone");
    let conversation = ann.open_direct("bob").await;
    let bob = server.client("bob", "phone");
    for i in 0..count {
        bob.say(&conversation, &format!("k{i}"), &format!("text {i}")).await.expect(201);
    }
    // The answer to a message does not wait for the inboxes of the members; the stream says when.
    let mut stream = ann.stream(Some(&start_of(&ann).await)).await;
    stream.messages(count).await;
    (ann, conversation)
}

/// The place before the first event of an account's inbox: the tag is in every id.
async fn start_of(client: &Client) -> String {
    let head = client.get("/v1/conversations").await.expect(200)["head"].clone();
    let tag = head.as_str().unwrap().rsplit('-').next().unwrap().to_owned();
    format!("0-0-{tag}")
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect()
}

async fn compressed(client: &Client, path: &str, coding: &str) -> Answer {
    let build = |request: http::request::Builder| request.header("accept-encoding", coding);
    client.request(Method::GET, path, None, build).await.unwrap()
}

#[tokio::test]
async fn a_sync_is_what_a_stream_would_have_shown() {
    let server = server();
    let (ann, _) = ann_with_messages(&server, 5).await;
    let start = start_of(&ann).await;
    let mut stream = ann.stream(Some(&start)).await;
    let replayed = stream.until("caught_up").await;
    let replayed = &replayed[1..replayed.len() - 1];

    let all = ann.get(&format!("/v1/sync?since={start}")).await.expect(200);
    let events = all["events"].as_array().unwrap();
    assert_eq!(events.len(), 6, "the opening and five messages: {all}");
    for (event, shown) in events.iter().zip(replayed) {
        let expected = json!({"id": shown.id, "event": shown.event, "data": shown.data});
        assert_eq!(*event, expected);
    }
    assert_eq!(
        (&all["more"], &all["next"], &all["head"]),
        (&json!(false), &events[5]["id"], &events[5]["id"])
    );
    assert!(all.get("gap").is_none_or(Value::is_null), "{all}");

    let first = ann.get(&format!("/v1/sync?since={start}&limit=4")).await.expect(200);
    assert_eq!((ids(&first), &first["more"]), (ids(&all)[..4].to_vec(), &json!(true)));
    let next = first["next"].as_str().unwrap();
    let second = ann.get(&format!("/v1/sync?since={next}&limit=4")).await.expect(200);
    assert_eq!((ids(&second), &second["more"]), (ids(&all)[4..].to_vec(), &json!(false)));
    let nothing = ann.get(&format!("/v1/sync?since={}", ids(&all)[5])).await.expect(200);
    assert_eq!((ids(&nothing), &nothing["next"]), (vec![], &all["next"]));
}

#[tokio::test]
async fn a_sync_from_a_time_has_what_came_since() {
    let server = server();
    let (ann, conversation) = ann_with_messages(&server, 2).await;
    let earlier = ann.get("/v1/sync?since_time=2020-01-01T00:00:00.000Z").await.expect(200);
    assert_eq!(ids(&earlier).len(), 3, "{earlier}");
    let later = ann.get("/v1/sync?since_time=2999-01-01T00:00:00.000Z").await.expect(200);
    assert_eq!(ids(&later).len(), 0, "{later}");
    // Between two messages: times have milliseconds, so let one pass.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let posted = ann.say(&conversation, "k9", "the last").await.expect(201);
    ann.stream(earlier["next"].as_str()).await.messages(1).await;
    let since = posted["sent_at"].as_str().unwrap();
    let answer = ann.get(&format!("/v1/sync?since_time={since}")).await.expect(200);
    assert_eq!(answer["events"][0]["data"]["id"], posted["id"], "{answer}");
    for wrong in ["since_time=yesterday", "since=4-x", "limit=0", "limit=1001"] {
        let answer = ann.get(&format!("/v1/sync?{wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }
}

#[tokio::test]
async fn a_sync_is_compressed_as_the_client_accepts() {
    let server = server();
    let (ann, _) = ann_with_messages(&server, 20).await;
    let path = format!("/v1/sync?since={}", start_of(&ann).await);
    let plain = ann.get(&path).await;
    for coding in ["gzip", "br", "zstd"] {
        let answer = compressed(&ann, &path, coding).await;
        assert_eq!(answer.header("content-encoding"), coding, "{answer:?}");
        assert!(answer.body.len() < plain.body.len() / 2, "{coding}: {} bytes", answer.body.len());
        assert_eq!(answer.decoded().await.json(), plain.json(), "{coding}");
    }
}

#[tokio::test]
async fn an_acknowledgement_moves_forward_only_and_within_the_inbox() {
    let server = server();
    let (ann, _) = ann_with_messages(&server, 3).await;
    let all = ann.get(&format!("/v1/sync?since={}", start_of(&ann).await)).await.expect(200);
    let ids = ids(&all);
    let acknowledged = async || {
        let devices = ann.get("/v1/devices").await.expect(200);
        let devices = devices["devices"].as_array().unwrap().clone();
        let phone = devices.into_iter().find(|device| device["device"] == "phone");
        phone.map_or(Value::Null, |phone| phone["acknowledged"].clone())
    };
    let acknowledge = async |id: &str| ann.post("/v1/acks", json!({"last_event_id": id})).await;

    acknowledge(ids[2]).await.expect(204);
    assert_eq!(acknowledged().await, ids[2]);
    acknowledge(ids[0]).await.expect(204);
    assert_eq!(acknowledged().await, ids[2], "an older one is fine and changes nothing");
    let build = |request: http::request::Builder| request.header("godwit-ack", ids[3]);
    ann.request(Method::GET, "/v1/conversations", None, build).await.unwrap().expect(200);
    assert_eq!(acknowledged().await, ids[3], "the header does the same");

    let beyond = ids[3].replacen("-4-", "-5-", 1);
    assert_ne!(beyond, ids[3]);
    let foreign = start_of(&server.client("bob", "phone")).await;
    for unknown in [beyond, foreign] {
        acknowledge(&unknown).await.expect_problem(400, "cursor_unknown");
    }
    acknowledge("4-x").await.expect_problem(400, "cursor_malformed");
    assert_eq!(acknowledged().await, ids[3]);
}

#[tokio::test]
async fn devices_are_registered_by_themselves_and_removed_by_any() {
    let server = server();
    let phone = server.client("ann", "phone");
    let tablet = server.client("ann", "tablet");
    let push = json!({"provider": "fcm", "token": "t-0123456789"});
    phone
        .put("/v1/devices/phone", json!({"platform": "android", "push": push, "name": "my own"}))
        .await
        .expect(204);
    tablet.put("/v1/devices/tablet", json!({"platform": "ipados"})).await.expect(204);
    phone.put("/v1/devices/tablet", json!({"platform": "web"})).await.expect_problem(403, "not_this_device");

    let answer = phone.get("/v1/devices").await;
    let devices = answer.expect(200)["devices"].as_array().unwrap().clone();
    let by_name = |name: &str| devices.iter().find(|device| device["device"] == name).unwrap().clone();
    assert_eq!((devices.len(), &by_name("tablet")["platform"]), (2, &json!("ipados")));
    assert_eq!((&by_name("phone")["push"], &by_name("phone")["name"]), (&json!("fcm"), &json!("my own")));
    assert!(!String::from_utf8_lossy(&answer.body).contains("t-0123456789"), "a push token is not shown");

    tablet.delete("/v1/devices/phone").await.expect(204);
    phone.get("/v1/devices").await.expect_problem(401, "token_revoked");
    let left = tablet.get("/v1/devices").await.expect(200);
    assert_eq!(left["devices"].as_array().unwrap().len(), 1, "{left}");
    tablet.delete("/v1/devices/phone").await.expect(204);
}

#[tokio::test]
async fn a_token_that_was_issued_after_its_device_was_deleted_counts_again() {
    let server = server();
    let phone = server.client("ann", "phone");
    phone.put("/v1/devices/phone", json!({"platform": "ios"})).await.expect(204);
    phone.delete("/v1/devices/phone").await.expect(204);
    phone.get("/v1/conversations").await.expect_problem(401, "token_revoked");
    let mut claims = godwit_testkit::tokens::claims("ann", "phone", 3600);
    claims["iat"] = json!(claims["iat"].as_i64().unwrap() + 2);
    let fresh = phone.with_token(server.tokens().sign_claims(&claims));
    fresh.get("/v1/conversations").await.expect(200);
}

#[tokio::test]
async fn what_a_later_release_brings_is_answered_501() {
    let server = server();
    let ann = server.client("ann", "phone");
    let conversation = ann.open_direct("bob").await;
    ann.say(&conversation, "k1", "hello").await.expect(201);
    let c = format!("/v1/conversations/{conversation}");
    let calls = [
        (Method::PATCH, format!("{c}/messages/2"), json!({"body": {"type": "text", "text": "x"}})),
        (Method::DELETE, format!("{c}/messages/2"), json!({})),
        (Method::PUT, format!("{c}/messages/2/reactions/%F0%9F%91%8D"), json!({})),
        (Method::DELETE, format!("{c}/messages/2/reactions/%F0%9F%91%8D"), json!({})),
        (Method::PUT, format!("{c}/read"), json!({"seq": 2})),
        (Method::GET, format!("{c}/receipts"), Value::Null),
        (Method::POST, format!("{c}/typing"), json!({"typing": true})),
        (Method::PUT, format!("{c}/settings"), json!({"notify": "none"})),
        (Method::GET, "/v1/settings".into(), Value::Null),
        (Method::PUT, "/v1/settings".into(), json!({"previews": false})),
        (Method::PUT, "/v1/devices/phone/state".into(), json!({"state": "background"})),
        (Method::PUT, "/v1/presence".into(), json!({"mode": "auto"})),
        (Method::PUT, "/v1/presence/subscriptions".into(), json!({"accounts": ["bob"]})),
        (Method::GET, "/v1/blocks/bob".into(), Value::Null),
        (Method::PUT, "/v1/blocks/bob".into(), json!({})),
        (Method::DELETE, "/v1/blocks/bob".into(), json!({})),
        (Method::POST, "/v1/events/0123456789abcdef/token".into(), json!({})),
    ];
    for (method, path, body) in calls {
        let body = Some(&body).filter(|body| !body.is_null());
        let answer = ann.request(method, &path, body, |request| request).await.unwrap();
        answer.expect_problem(501, "not_implemented");
    }
}

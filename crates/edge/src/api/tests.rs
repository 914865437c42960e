//! The router as a client sees it, as far as no actor is asked.

use std::time::SystemTime;

use bytes::Bytes;
use godwit_types::Timestamp;
use http::Method;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::auth::tests::token_of;
use crate::cors::Cors;
use crate::testing::Node;

fn limits() -> Limits {
    Limits { body_timeout: Duration::from_millis(50), ..Limits::default() }
}

fn gate(node: &Node) -> Arc<Gate> {
    Arc::new(node.gate(Cors::new(vec!["https://chat.example".into()])))
}

fn bearer(device: &str) -> String {
    format!("Bearer {}", token_of("u1", device, Timestamp::from(SystemTime::now())))
}

fn request(method: &str, path: &str, body: impl Into<Body>) -> Request {
    http::Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", bearer("phone"))
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap()
}

async fn send(request: Request) -> Response {
    let node = Node::start().await;
    router(gate(&node), limits()).oneshot(request).await.unwrap()
}

async fn problem(request: Request) -> (u16, String) {
    let response = send(request).await;
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["status"], status);
    (status, body["code"].as_str().unwrap().to_owned())
}

fn expected(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    assert_eq!(problem(request("GET", "/v2/x", "")).await, expected(404, "not_found"));
    assert_eq!(problem(request("DELETE", "/v1/sync", "")).await, expected(405, "method_not_allowed"));
    let response = send(request("PUT", "/v1/conversations", "")).await;
    let allow = response.headers()["allow"].to_str().unwrap();
    for method in ["GET", "HEAD", "POST"] {
        assert!(allow.split(',').any(|allowed| allowed == method), "{allow}");
    }
    let response = send(request("OPTIONS", "/v1/acks", "")).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (204, &HeaderValue::from_static("POST"))
    );
    assert_eq!(problem(request("OPTIONS", "/v2/x", "")).await.0, 404);
}

#[tokio::test]
async fn a_token_is_needed_and_a_401_says_so() {
    for path in
        ["/v1/conversations", "/v1/sync", "/v1/devices", "/v1/settings", "/v1/conversations/c/receipts"]
    {
        let mut anonymous = request("GET", path, "");
        anonymous.headers_mut().remove("authorization");
        let response = send(anonymous).await;
        assert_eq!(response.status(), 401, "{path}");
        assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"godwit\"");
    }
    let in_query =
        format!("/v1/sync?access_token={}", token_of("u1", "phone", Timestamp::from(SystemTime::now())));
    let mut anonymous = request("GET", &in_query, "");
    anonymous.headers_mut().remove("authorization");
    assert_eq!(problem(anonymous).await, expected(401, "token_missing"));
    for (header, code) in [("Bearer x.y.z".to_owned(), "token_invalid"), (bearer("stolen"), "token_revoked")]
    {
        let mut wrong = request("GET", "/v1/sync", "");
        wrong.headers_mut().insert("authorization", header.parse().unwrap());
        let response = send(wrong).await;
        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["code"], code);
    }
}

#[tokio::test]
async fn what_comes_later_is_said_to_come_later() {
    for (method, path) in [
        ("PATCH", "/v1/conversations/c/messages/1"),
        ("DELETE", "/v1/conversations/c/messages/1"),
        ("PUT", "/v1/conversations/c/messages/1/reactions/%F0%9F%91%8D"),
        ("PUT", "/v1/conversations/c/read"),
        ("GET", "/v1/conversations/c/receipts"),
        ("POST", "/v1/conversations/c/typing"),
        ("PUT", "/v1/conversations/c/settings"),
        ("GET", "/v1/settings"),
        ("PUT", "/v1/devices/phone/state"),
        ("PUT", "/v1/presence"),
        ("PUT", "/v1/presence/subscriptions"),
        ("DELETE", "/v1/blocks/u2"),
        ("POST", "/v1/events/x/token"),
        ("GET", "/openapi.json"),
    ] {
        assert_eq!(
            problem(request(method, path, "")).await,
            expected(501, "not_implemented"),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn bad_bodies_are_answered_and_say_why() {
    let post = |body: &str| request("POST", "/v1/conversations/c/messages", body.to_owned());
    assert_eq!(problem(post("{")).await, expected(400, "invalid_json"));
    assert_eq!(problem(post("")).await, expected(400, "invalid_json"));
    assert_eq!(problem(post(&"[".repeat(1000))).await, expected(400, "invalid_json"));
    assert_eq!(problem(post("[]")).await, expected(400, "invalid_request"));
    assert_eq!(problem(post(r#"{"client_id":"k","body":[]}"#)).await, expected(400, "invalid_request"));
    let mut plain = post("{}");
    plain.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(problem(plain).await, expected(415, "unsupported_media_type"));
    let large = vec![b' '; limits().body_bytes + 1];
    let too_large = expected(413, "body_too_large");
    assert_eq!(problem(request("POST", "/v1/acks", large.clone())).await, too_large);
    let unsaid = futures_util::stream::iter(
        large
            .chunks(1000)
            .map(|part| Ok::<_, std::io::Error>(Bytes::copy_from_slice(part)))
            .collect::<Vec<_>>(),
    );
    assert_eq!(problem(request("POST", "/v1/acks", Body::from_stream(unsaid))).await, too_large);
    assert_eq!(
        problem(request("POST", "/v1/messages", vec![b' '; limits().batch_bytes + 1])).await,
        too_large
    );
    let broken =
        futures_util::stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))]);
    assert_eq!(problem(request("POST", "/v1/acks", Body::from_stream(broken))).await.0, 400);
    let slow = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    assert_eq!(problem(request("POST", "/v1/acks", slow)).await, expected(408, "request_timeout"));
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let cases = [
        ("GET", "/v1/conversations?limit=201", "", 400, "invalid_request"),
        ("GET", "/v1/conversations/a!b", "", 404, "not_found"),
        ("GET", "/v1/conversations/%FF", "", 404, "not_found"),
        ("GET", "/v1/conversations/c/messages/x", "", 404, "not_found"),
        ("GET", "/v1/conversations/c/messages?before=1&after=1", "", 400, "invalid_request"),
        ("DELETE", "/v1/conversations/c/members/%0A", "", 400, "invalid_request"),
        ("PUT", "/v1/conversations/c/members/u2", r#"{"role":"king"}"#, 400, "invalid_request"),
        ("PUT", "/v1/devices/laptop", r#"{"platform":"web"}"#, 403, "not_this_device"),
        ("GET", "/v1/sync?since=x", "", 400, "cursor_malformed"),
        ("POST", "/v1/acks", r#"{"last_event_id":"x"}"#, 400, "cursor_malformed"),
        ("POST", "/v1/acks", "{}", 400, "invalid_request"),
        ("GET", "/v1/events?heartbeat_s=1", "", 400, "invalid_request"),
    ];
    for (method, path, body, status, code) in cases {
        assert_eq!(problem(request(method, path, body)).await, expected(status, code), "{method} {path}");
    }
    let mut acknowledging = request("GET", "/v1/conversations", "");
    acknowledging.headers_mut().insert("godwit-ack", "x".parse().unwrap());
    assert_eq!(problem(acknowledging).await, expected(400, "cursor_malformed"));
    let outbox = format!(r#"{{"messages":[{}0]}}"#, "0,".repeat(100));
    assert_eq!(problem(request("POST", "/v1/messages", outbox)).await.0, 400);
}

#[tokio::test]
async fn an_outbox_of_wrong_items_is_answered_item_by_item() {
    let response = send(request("POST", "/v1/messages", r#"{"messages":[1,{}]}"#)).await;
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["results"][0]["status"], 400);
    assert_eq!(body["results"][1]["problem"]["errors"][0]["pointer"], "/messages/1/conversation_id");
}

#[tokio::test]
async fn pages_of_listed_origins_may_read_every_answer() {
    let mut preflight = request("OPTIONS", "/v1/messages", "");
    preflight.headers_mut().insert("origin", "https://chat.example".parse().unwrap());
    preflight.headers_mut().insert("access-control-request-method", "POST".parse().unwrap());
    let response = send(preflight).await;
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["access-control-allow-origin"], "https://chat.example");
    for path in ["/v1/sync?since=x", "/v1/events?heartbeat_s=1", "/nowhere"] {
        let mut refused = request("GET", path, "");
        refused.headers_mut().insert("origin", "https://chat.example".parse().unwrap());
        let response = send(refused).await;
        let allowed: Vec<_> = response.headers().get_all("access-control-allow-origin").iter().collect();
        assert_eq!(allowed, ["https://chat.example"], "{path}");
        assert_eq!(response.headers().get_all("vary").iter().count(), 1, "{path}");
    }
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let node = Node::start().await;
    let api = Arc::new(Api { gate: gate(&node), limits: limits() });
    async fn fall() -> Response {
        panic!("on purpose")
    }
    let router = Router::new()
        .route("/", get(fall))
        .layer(from_fn_with_state(Arc::clone(&api), observe::observe))
        .with_state(api);
    let response = router.oneshot(request("GET", "/", "")).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn head_of_a_stream_opens_none() {
    let response = send(request("HEAD", "/v1/events", "")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    assert_eq!(problem(request(Method::POST.as_str(), "/v1/events", "")).await.0, 405);
}

#[tokio::test]
async fn a_conversation_goes_the_whole_way() {
    let node = Node::start().await;
    let router = router(gate(&node), limits());
    let call = async |method: &str, path: &str, body: &str| {
        let response = router.clone().oneshot(request(method, path, body.to_owned())).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default())
    };
    let group = r#"{"kind":"group","members":["auth0|u2"],"client_id":"g","title":"t"}"#;
    let (status, conversation) = call("POST", "/v1/conversations", group).await;
    assert_eq!(status, 201, "{conversation}");
    assert_eq!(call("POST", "/v1/conversations", group).await.0, 200);
    let path = format!("/v1/conversations/{}", conversation["id"].as_str().unwrap());

    let message = r#"{"client_id":"k","body":{ "type":"text", "text":"hello" }}"#;
    let (status, posted) = call("POST", &format!("{path}/messages"), message).await;
    assert_eq!(status, 201, "{posted}");
    assert_eq!(call("POST", &format!("{path}/messages"), message).await, (200, posted.clone()));
    let (status, shown) = call("GET", &format!("{path}/messages/{}", posted["seq"]), "").await;
    assert_eq!((status, &shown["body"]["text"]), (200, &serde_json::json!("hello")));
    let (_, history) = call("GET", &format!("{path}/messages"), "").await;
    assert_eq!(history["messages"].as_array().unwrap().len(), 1);

    assert_eq!(call("PUT", &format!("{path}/members/u%403"), "").await.0, 204);
    assert_eq!(call("DELETE", &format!("{path}/members/auth0%7Cu2"), "").await.0, 204);
    let (_, members) = call("GET", &format!("{path}/members"), "").await;
    let accounts: Vec<_> =
        members["members"].as_array().unwrap().iter().map(|m| m["account"].clone()).collect();
    assert_eq!(accounts, ["u1", "u@3"]);
    assert_eq!(call("PATCH", &path, r#"{"title":"new"}"#).await.1["title"], "new");
    assert_eq!(call("GET", "/v1/conversations/other", "").await.0, 404);
    assert_eq!(call("PUT", "/v1/devices/phone", r#"{"platform":"ios"}"#).await.0, 204);
    assert_eq!(call("GET", "/v1/devices", "").await.1["devices"][0]["platform"], "ios");
    let (status, delta) = call("GET", "/v1/sync?since_time=2023-01-01T00:00:00Z", "").await;
    assert_eq!((status, delta["more"].as_bool()), (200, Some(false)), "{delta}");
    let acks = format!(r#"{{"last_event_id":{}}}"#, delta["head"]);
    assert_eq!(call("POST", "/v1/acks", &acks).await.0, 204);
}

#[tokio::test]
async fn a_long_page_is_compressed_and_a_short_answer_is_not() {
    let node = Node::start().await;
    let router = router(gate(&node), limits());
    let members: Vec<String> = (0..60).map(|i| format!("\"member-{i}\"")).collect();
    let group = format!(r#"{{"kind":"group","members":[{}],"client_id":"g"}}"#, members.join(","));
    let response = router.clone().oneshot(request("POST", "/v1/conversations", group)).await.unwrap();
    assert!(!response.headers().contains_key("content-encoding"));
    for encoding in ["gzip", "br", "zstd"] {
        let encoded = |path: &str| {
            let mut page = request("GET", path, "");
            page.headers_mut().insert("accept-encoding", encoding.parse().unwrap());
            router.clone().oneshot(page)
        };
        assert_eq!(encoded("/v1/conversations").await.unwrap().headers()["content-encoding"], encoding);
        let short = encoded("/v1/devices").await.unwrap();
        assert!(!short.headers().contains_key("content-encoding"));
    }
}

#[tokio::test]
async fn a_stream_over_hyper_is_ready_at_once_and_never_compressed() {
    let node = Node::start().await;
    let mut opening = request("GET", "/v1/events", "");
    opening.headers_mut().insert("accept-encoding", "gzip, br".parse().unwrap());
    let response = router(gate(&node), limits()).oneshot(opening).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("content-encoding"));
    let (mut body, mut text) = (response.into_body(), String::new());
    while !text.contains("\nevent: ready\n") {
        let frame = tokio::time::timeout(Duration::from_secs(10), body.frame()).await.expect("no ready");
        text += std::str::from_utf8(&frame.unwrap().unwrap().into_data().unwrap()).unwrap();
    }
    assert!(text.starts_with("retry: "), "{text}");
}

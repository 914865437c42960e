use godwit_types::{AccountId, Position};

use super::*;
use crate::auth::tests::{now, token_of};
use crate::cors::Cors;
use crate::testing::Node;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn bearer_of(account: &str) -> String {
    format!("Bearer {}", token_of(account, "phone", now()))
}

async fn ask(query: &str, pairs: &[(&'static str, &str)]) -> Result<StreamRequest, Refusal> {
    let uri = format!("/v1/events{query}").parse().unwrap();
    let node = Node::start().await;
    request(&uri, &headers(pairs), &node.gate(Cors::default()), now()).await
}

async fn refused(query: &str, pairs: &[(&'static str, &str)]) -> Code {
    match ask(query, pairs).await {
        Err(Refusal::Problem(problem)) => problem.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_token_comes_by_header_or_query_and_the_header_wins() {
    let token = token_of("u2", "laptop", now());
    let opened = ask(&format!("?access_token={token}"), &[]).await.unwrap();
    assert_eq!((opened.account.as_str(), opened.device.as_str()), ("u2", "laptop"));
    assert_eq!((opened.after, opened.heartbeat_ms), (None, None));
    let opened =
        ask(&format!("?access_token={token}"), &[("authorization", &bearer_of("u1"))]).await.unwrap();
    assert_eq!(opened.account.as_str(), "u1");
    assert_eq!(
        refused(&format!("?access_token={token}"), &[("authorization", "Bearer x")]).await,
        Code::TokenInvalid
    );
    assert_eq!(refused("", &[]).await, Code::TokenMissing);
}

#[tokio::test]
async fn any_event_id_resumes_and_what_is_none_is_refused() {
    let bearer = bearer_of("u1");
    let own = Cursor::new(&AccountId::new("u1").unwrap(), Position { epoch: 4, n: 7 });
    let future = Cursor::new(&AccountId::new("u1").unwrap(), Position { epoch: 9, n: 1 << 60 });
    let others = Cursor::new(&AccountId::new("u2").unwrap(), Position { epoch: 4, n: 7 });
    for id in [own, future, others] {
        let text = id.to_string();
        let opened = ask("", &[("authorization", &bearer), ("last-event-id", &text)]).await.unwrap();
        assert_eq!(opened.after, Some(id));
        let opened =
            ask(&format!("?last_event_id={text}"), &[("authorization", &bearer), ("last-event-id", "")])
                .await;
        assert_eq!(opened.unwrap().after, Some(id), "an empty header does not count");
    }
    let query = format!("?last_event_id={others}");
    let both = ask(&query, &[("authorization", &bearer), ("last-event-id", &own.to_string())]).await;
    assert_eq!(both.unwrap().after, Some(own), "the header wins");
    for wrong in ["x", "4-1", "4-1-ABCD", &"1".repeat(10_240)] {
        let code = refused("", &[("authorization", &bearer), ("last-event-id", wrong)]).await;
        assert_eq!(code, Code::CursorMalformed);
    }
    assert_eq!(
        refused("?last_event_id=4-1-abcd%0A", &[("authorization", &bearer)]).await,
        Code::CursorMalformed
    );
    let mut bytes = headers(&[("authorization", &bearer)]);
    bytes.insert(LAST_EVENT_ID, HeaderValue::from_bytes(b"4-1-\xff").unwrap());
    let uri = Uri::from_static("/v1/events");
    let gate = Node::start().await.gate(Cors::default());
    assert!(matches!(request(&uri, &bytes, &gate, now()).await, Err(Refusal::Problem(_))));
}

#[tokio::test]
async fn options_are_checked() {
    let bearer = bearer_of("u1");
    let with = [("authorization", &*bearer)];
    let opened =
        ask("?heartbeat_s=15&exclude=typing,receipt&state=background&unknown=1", &with).await.unwrap();
    assert_eq!(opened.heartbeat_ms, Some(15_000));
    for query in [
        "?heartbeat_s=14",
        "?heartbeat_s=301",
        "?heartbeat_s=x",
        "?exclude=message",
        "?exclude=typing,",
        "?state=off",
    ] {
        assert_eq!(refused(query, &with).await, Code::InvalidRequest, "{query}");
    }
}

#[tokio::test]
async fn accept_must_admit_an_event_stream() {
    let bearer = bearer_of("u1");
    for accept in [
        "text/event-stream",
        "*/*",
        "text/*;q=0.5",
        "application/json, Text/Event-Stream",
        "text/html, */*; q=0.1",
    ] {
        assert!(ask("", &[("authorization", &bearer), ("accept", accept)]).await.is_ok(), "{accept}");
    }
    for accept in ["application/json", "", "text/event-stream;q=0", "text/event-stream; q=0.000"] {
        let code = refused("", &[("authorization", &bearer), ("accept", accept)]).await;
        assert_eq!(code, Code::NotAcceptable, "{accept}");
    }
}

#[tokio::test]
async fn a_revoked_device_is_answered_204() {
    let gate = Node::start().await.gate(Cors::default());
    let stolen = format!("Bearer {}", token_of("u1", "stolen", now()));
    let uri = Uri::from_static("/v1/events");
    let refusal = request(&uri, &headers(&[("authorization", &stolen)]), &gate, now()).await.unwrap_err();
    assert_eq!(refusal, Refusal::Revoked);
    assert_eq!(refuse(&refusal, &gate, &HeaderMap::new()).status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn no_problem_becomes_a_5xx_or_429() {
    let gate = Node::start().await.gate(Cors::default());
    for &code in Code::ALL {
        let response = refuse(&Refusal::from(Problem::new(code, "x")), &gate, &HeaderMap::new());
        let status = response.status().as_u16();
        assert!(status < 500 && status != 429, "{code:?} became {status}");
        if status == 200 {
            let text = String::from_utf8(response.into_body().to_vec()).unwrap();
            let retry: u32 =
                text.strip_prefix("retry: ").unwrap().split('\n').next().unwrap().parse().unwrap();
            assert!(RETRY_MS.contains(&retry), "{text}");
            let said = if code == Code::Draining { "drain" } else { "overload" };
            let bye = format!(
                "\nevent: bye\ndata: {{\"reason\":\"{said}\",\"reconnect\":true,\"retry_ms\":{retry}}}\n\n"
            );
            assert!(text.ends_with(&bye), "{text}");
        }
    }
}

#[tokio::test]
async fn a_stream_is_never_stored_changed_or_held_back() {
    let head = head(&Node::start().await.gate(Cors::default()), &HeaderMap::new());
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store, no-transform"),
        ("x-accel-buffering", "no"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(head.headers()[name], value);
    }
}

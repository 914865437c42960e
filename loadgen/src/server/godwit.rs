//! Godwit's API, version 1 (`docs/api.md`).

use std::borrow::Cow;

use bytes::Bytes;
use godwit_judge::posted;
use godwit_sse::Event;
use http::{HeaderName, HeaderValue, Method, header};
use memchr::memmem;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answered, Call, Seen, refused, text};
use crate::client_id::ClientId;
use crate::failure::Failure;
use crate::jobs::{Job, Post};
use crate::line::Answer;
use crate::measure::ErrorKind;
use crate::stream::Subscribe;
use crate::world::World;

pub(super) fn subscribe(world: &World, account: u32, last: Option<&str>) -> Subscribe {
    let token = world.accounts.borrow().token(account);
    let mut headers = vec![
        ("Accept".to_owned(), "text/event-stream".to_owned()),
        ("Authorization".to_owned(), format!("Bearer {token}")),
    ];
    headers.extend(last.map(|id| ("Last-Event-ID".to_owned(), id.to_owned())));
    Subscribe { path: "/v1/events".into(), headers, receive_bytes: None }
}

pub(super) fn call(world: &World, job: &Job) -> Call {
    let (account, method, path, body) = match job {
        Job::Post(post) => {
            let (path, body) = message(world, post);
            (post.id.sender, Method::POST, path, body)
        }
        Job::Ack { account } => {
            let id = world.devices[*account as usize].last_event_id.borrow().clone();
            (*account, Method::POST, "/v1/acks".to_owned(), json!({"last_event_id": id}))
        }
        Job::State { account, background } => {
            let device =
                utf8_percent_encode(world.accounts.borrow().device(*account), NON_ALPHANUMERIC).to_string();
            let state = if *background { "background" } else { "foreground" };
            (*account, Method::PUT, format!("/v1/devices/{device}/state"), json!({"state": state}))
        }
        Job::Open { conversation } => {
            let (creator, body) = open(world, *conversation);
            (creator, Method::POST, "/v1/conversations".to_owned(), body)
        }
    };
    let token = world.accounts.borrow_mut().kept_token(account);
    Call { method, path, headers: headers(&token), body: Bytes::from(body.to_string()) }
}

/// A call of godwit without a body.
pub fn get(path: &str, token: &str) -> Call {
    Call { method: Method::GET, path: path.to_owned(), headers: headers(token), body: Bytes::new() }
}

fn headers(token: &str) -> Vec<(HeaderName, HeaderValue)> {
    // A token is base64url and dots; what is none leads to a 401, which is what it should.
    let bearer = HeaderValue::try_from(format!("Bearer {token}"));
    vec![
        (header::AUTHORIZATION, bearer.unwrap_or(HeaderValue::from_static("Bearer"))),
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
    ]
}

fn message(world: &World, post: &Post) -> (String, Value) {
    let id = &world.conversations.borrow()[post.id.conversation as usize].id;
    let one = |number| {
        let client_id = ClientId { number, ..post.id }.to_string();
        json!({"client_id": client_id, "body": {"type": "text", "text": text(world)}})
    };
    if post.count == 1 {
        return (format!("/v1/conversations/{id}/messages"), one(post.id.number));
    }
    let item = |number| {
        let mut item = one(number);
        item["conversation_id"] = json!(&**id);
        item
    };
    let messages: Vec<Value> = post.numbers().map(item).collect();
    ("/v1/messages".to_owned(), json!({"messages": messages}))
}

/// The account that opens a conversation, and what it says. The same run of the same accounts opens the
/// same conversations, so that a second run finds them.
fn open(world: &World, conversation: u32) -> (u32, Value) {
    let conversations = world.conversations.borrow();
    let members = &conversations[conversation as usize].members;
    let accounts = world.accounts.borrow();
    let others: Vec<String> = members[1..].iter().map(|&member| accounts.name(member)).collect();
    if members.len() == 2 {
        return (members[0], json!({"kind": "direct", "members": others}));
    }
    let client_id = format!("load-{:x}-{conversation:x}", world.plan.seed);
    (members[0], json!({"kind": "group", "members": others, "client_id": client_id}))
}

pub(super) fn answered(world: &World, post: &Post, answer: &Answer) -> Answered {
    let Answer { status, body, .. } = answer;
    let judged = world.history.is_some();
    let message = |answer: &Value, number| posted(answer, &ClientId { number, ..post.id }.to_string());
    let unreadable =
        || Answered::Never(Failure::said(ErrorKind::Malformed, "an answer to a message lacks a field"));
    if post.count == 1 {
        return match *status {
            200 | 201 if !judged => Answered::Stored(Vec::new()),
            200 | 201 => serde_json::from_slice(body)
                .ok()
                .and_then(|answer| message(&answer, post.id.number))
                .map_or_else(unreadable, |message| Answered::Stored(vec![message])),
            _ => refused(answer.failure()),
        };
    }
    if *status != 200 {
        return refused(answer.failure());
    }
    let all_new = memmem::find_iter(body, br#"{"status":201,"#).count() == usize::from(post.count);
    if all_new && !judged {
        return Answered::Stored(Vec::new());
    }
    let Ok(answer) = serde_json::from_slice::<Value>(body) else { return unreadable() };
    let results = answer["results"].as_array().map_or(&[][..], Vec::as_slice);
    if results.len() != usize::from(post.count) {
        return unreadable();
    }
    if let Some(failed) = results.iter().find(|result| !matches!(result["status"].as_u64(), Some(200 | 201)))
    {
        let again = results.iter().all(|result| {
            matches!(result["status"].as_u64(), Some(200 | 201)) || result["problem"]["retryable"] == true
        });
        let kind = if again { ErrorKind::Busy } else { ErrorKind::Refused };
        let failure = Failure::said(kind, format!("an item of an outbox: {failed}"));
        return if again { Answered::Again(failure) } else { Answered::Never(failure) };
    }
    let stored =
        results.iter().zip(post.numbers()).map(|(result, number)| message(&result["message"], number));
    stored.collect::<Option<Vec<_>>>().map_or_else(unreadable, Answered::Stored)
}

pub(super) fn seen(event: &Event<'_>) -> Seen {
    #[derive(Deserialize)]
    struct Ready {
        heartbeat_ms: u64,
    }
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        client_id: Cow<'a, str>,
    }
    match event.event {
        "message" => serde_json::from_str::<Message<'_>>(event.data)
            .ok()
            .and_then(|message| ClientId::parse(&message.client_id))
            .map_or(Seen::Other, Seen::Message),
        "ready" => {
            let ready = serde_json::from_str::<Ready>(event.data).ok();
            Seen::Ready { heartbeat_ms: ready.map(|ready| ready.heartbeat_ms) }
        }
        "caught_up" => Seen::CaughtUp,
        "gap" => Seen::Gap,
        _ => Seen::Other,
    }
}

//! `POST /v1/messages`: what a phone wrote while it had no network.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::IntoResponse as _;
use futures_util::future::join_all;
use godwit_types::ConversationId;
use godwit_wire::api::{NewMessage, Outbox, OutboxItem, Posted};
use godwit_wire::{Code, Problem};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::value::RawValue;

use super::extract::Caller;
use super::{Answer, Api, body, content, created_or_ok, json};

pub(super) async fn post(State(api): State<Arc<Api>>, Caller(who): Caller, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let outbox: Outbox = body::read(&parts.headers, body, &api, api.limits.batch_bytes).await?;
    if outbox.messages.len() > api.limits.batch {
        let detail = format!("must be at most {} messages", api.limits.batch);
        return Err(Problem::field("/messages", detail).into());
    }
    // All or none: which of its items would be the first too many is nothing that a client could use.
    if let Err(limited) = api.gate.messages(&who, outbox.messages.len()).await {
        return Ok(limited.into_response());
    }
    let post = |conversation: Arc<ConversationId>, message: NewMessage| {
        let (api, account) = (&api, &who.account);
        async move { api.gate.region.post(account, &conversation, message).await }
    };
    answer(run(&outbox.messages, post).await)
}

/// What became of one item.
#[derive(Debug, Serialize)]
struct Item {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Posted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

impl From<Result<(bool, Posted), Problem>> for Item {
    fn from(result: Result<(bool, Posted), Problem>) -> Self {
        match result {
            Ok((new, posted)) => {
                Self { status: created_or_ok(new).as_u16(), message: Some(posted), problem: None }
            }
            Err(problem) => Self { status: problem.code.status(), message: None, problem: Some(problem) },
        }
    }
}

/// Posts the items: those of one conversation one after the other, conversations side by side (as many
/// as there are items, at most). After one that may succeed later the rest of its conversation waits too,
/// so that their order holds; one that is wrong in itself fails alone.
async fn run<P, F>(items: &[Box<RawValue>], post: P) -> Vec<Item>
where
    P: Fn(Arc<ConversationId>, NewMessage) -> F,
    F: Future<Output = Result<(bool, Posted), Problem>>,
{
    let mut results: Vec<Option<Item>> = items.iter().map(|_| None).collect();
    let mut conversations: HashMap<Arc<ConversationId>, Vec<(usize, NewMessage)>> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        match read(item) {
            Ok((conversation, message)) => {
                conversations.entry(Arc::new(conversation)).or_default().push((at, message));
            }
            Err(problem) => results[at] = Some(Err(body::below(&format!("/messages/{at}"), problem)).into()),
        }
    }
    let post = &post;
    let runs = conversations.into_iter().map(|(conversation, messages)| async move {
        let mut done = Vec::with_capacity(messages.len());
        let mut blocked = false;
        for (at, message) in messages {
            let result = if blocked {
                Err(Problem::new(Code::PrecedingFailed, "an earlier message to this conversation failed"))
            } else {
                post(Arc::clone(&conversation), message).await
            };
            blocked |= result.as_ref().is_err_and(|problem| problem.code.retryable());
            done.push((at, Item::from(result)));
        }
        done
    });
    for (at, item) in join_all(runs).await.into_iter().flatten() {
        results[at] = Some(item);
    }
    // Every item was either wrong or in one of the runs.
    results.into_iter().flatten().collect()
}

fn read(item: &RawValue) -> Result<(ConversationId, NewMessage), Problem> {
    let OutboxItem { conversation_id, client_id, mut body, reply_to, mentions } =
        body::parse_text(item.get())?;
    content::check(&mut body, &mentions)?;
    Ok((conversation_id, NewMessage { client_id, body, reply_to, mentions }))
}

fn answer(results: Vec<Item>) -> Answer {
    #[derive(Serialize)]
    struct Results {
        results: Vec<Item>,
    }
    let wait = results.iter().filter_map(|item| item.problem.as_ref()?.retry_after_s).max();
    let mut response = json(StatusCode::OK, &Results { results })?;
    if let Some(seconds) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use godwit_types::{AccountId, ClientId, MessageId, Timestamp};
    use parking_lot::Mutex;
    use serde_json::{Value, json};

    use super::*;

    fn raw(value: Value) -> Box<RawValue> {
        serde_json::value::to_raw_value(&value).unwrap()
    }

    fn item(conversation: &str, client_id: &str) -> Box<RawValue> {
        raw(json!({"conversation_id": conversation, "client_id": client_id, "body": {"type": "x"}}))
    }

    /// Answers by what the client id begins with, and notes the order.
    async fn outcome(items: &[Box<RawValue>]) -> (Vec<Item>, Vec<String>) {
        let order = Mutex::new(Vec::new());
        let results = run(items, |conversation, message| {
            let order = &order;
            async move {
                let client_id: ClientId = message.client_id;
                // The first conversation is slow: the others must not wait for it.
                let slow = if conversation.as_str() == "c1" { 50 } else { 1 };
                tokio::time::sleep(Duration::from_millis(slow)).await;
                order.lock().push(client_id.to_string());
                match &client_id.as_str()[..1] {
                    "b" => Err(Problem::new(Code::Overloaded, "busy")),
                    "w" => Err(Problem::not_found()),
                    first => {
                        let sender = AccountId::new("me").unwrap();
                        let id = MessageId::of(&conversation, &sender, &client_id);
                        let conversation_id = (*conversation).clone();
                        let sent_at = Timestamp::from_ms(0);
                        Ok((first == "n", Posted { id, conversation_id, seq: 1, sender, sent_at }))
                    }
                }
            }
        });
        let results = results.await;
        (results, order.into_inner())
    }

    fn said(results: &[Item]) -> Vec<&str> {
        let name = |item: &Item| match (&item.message, &item.problem) {
            (Some(_), None) if item.status == 201 => "new",
            (Some(_), None) => "repeat",
            (_, problem) => problem.as_ref().unwrap().code.as_str(),
        };
        results.iter().map(name).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn order_holds_within_a_conversation_and_others_go_on() {
        let items =
            [item("c1", "n1"), item("c1", "b2"), item("c2", "n3"), item("c1", "n4"), item("c2", "r5")];
        let (results, order) = outcome(&items).await;
        assert_eq!(said(&results), ["new", "overloaded", "new", "preceding_failed", "repeat"]);
        assert_eq!(order, ["n3", "r5", "n1", "b2"], "c1 does not hold up c2, and n4 is not tried");
        assert_eq!(answer(results).unwrap().headers()[header::RETRY_AFTER], "1");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_in_itself_fails_alone() {
        let items = [
            item("c1", "w1"),
            item("c1", "n2"),
            raw(json!({"conversation_id": "c1", "client_id": 5, "body": {"type": "x"}})),
            raw(json!(7)),
            raw(json!({"conversation_id": "c1", "client_id": "k", "body": {"type": "text"}})),
            item("c1", "n6"),
        ];
        let (results, _) = outcome(&items).await;
        let wrong = "invalid_request";
        assert_eq!(said(&results), ["not_found", "new", wrong, wrong, wrong, "new"]);
        let pointer = |at: usize| &*results[at].problem.as_ref().unwrap().errors[0].pointer;
        assert_eq!((pointer(2), pointer(4)), ("/messages/2/client_id", "/messages/4/body/text"));
        let json = serde_json::to_value(&results[0]).unwrap();
        assert_eq!((&json["status"], &json["problem"]["code"]), (&json!(404), &json!("not_found")));
        assert!(!answer(results).unwrap().headers().contains_key(header::RETRY_AFTER));
    }
}

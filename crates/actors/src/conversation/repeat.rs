//! A message that was sent again.

use godwit_types::{AccountId, ConversationId, LogId};
use godwit_wire::api::{NewMessage, Posted};
use godwit_wire::{Change, Code, ConversationRow, Problem, payload};

use crate::metrics;
use crate::node::Node;

/// The answer to a message that was sent again: the first answer, or that the `client_id` is taken.
pub(super) async fn answer(
    node: &Node,
    id: ConversationId,
    n: u64,
    sender: AccountId,
    message: NewMessage,
) -> Result<(bool, Posted), Problem> {
    let log = LogId::Conversation(id);
    let row = node.store.row(&log, n).await.ok().flatten();
    let row = row.ok_or_else(|| Problem::new(Code::NotConfirmed, "the first answer cannot be read now"))?;
    let LogId::Conversation(conversation_id) = log else { return Err(Problem::not_found()) };
    let Ok(ConversationRow {
        change: Change::Message { id, sender: first_sender, client_id, body, .. }, ..
    }) = payload::decode(&row.payload)
    else {
        return Err(Problem::new(Code::Internal, "the first answer cannot be read"));
    };
    let same =
        first_sender == sender && client_id == message.client_id && same_json(&body, message.body.get());
    if !same {
        let detail = format!("client_id {client_id} was used for message {n} with another body");
        return Err(Problem::new(Code::ClientIdReused, detail));
    }
    metrics::message("repeat");
    Ok((false, Posted { id, conversation_id, seq: n, sender, sent_at: row.at }))
}

/// Whether two texts are the same JSON: a client that builds its body anew may order it otherwise.
fn same_json(a: &str, b: &str) -> bool {
    a == b
        || serde_json::from_str::<serde_json::Value>(a).ok()
            == serde_json::from_str::<serde_json::Value>(b).ok()
}

//! What the members are told of a row.

use bytes::Bytes;
use godwit_types::{AccountId, ConversationId, Timestamp};
use godwit_wire::event::{self, ConversationChange, ConversationData, MessageData};
use godwit_wire::{Change, ConversationRow, EventKind, InboxEvent, Told};
use serde_json::value::RawValue;

use super::state::State;
use crate::fanout::EventRow;

/// What is told of a change besides what it says itself: the conversation as row `n` leaves it. Kept with the
/// row, so that all members are told the same, whenever they are told.
pub(super) fn told(
    id: &ConversationId,
    state: &State,
    change: &Change,
    n: u64,
    at: Timestamp,
) -> Option<Told> {
    let tell = |what, by: &AccountId, account: Option<&AccountId>| {
        let conversation = state.shared(id, n);
        let data =
            ConversationData { conversation_id: id, seq: n, change: what, account, by, conversation, at };
        let kind = match what {
            ConversationChange::Removed => EventKind::ConversationRemoved,
            _ => EventKind::Conversation,
        };
        encode(id, n, kind, by, event::data(&data)).to_vec()
    };
    let (all, removed) = match change {
        Change::Message { .. } => return None,
        Change::Created { by, .. } => (tell(ConversationChange::Created, by, None), None),
        Change::Titled { by, .. } => (tell(ConversationChange::Updated, by, None), None),
        Change::MemberPut { by, account, .. } => {
            let joined = state.members.joined_n(account) == Some(n);
            let what = if joined { ConversationChange::MemberAdded } else { ConversationChange::Updated };
            (tell(what, by, Some(account)), None)
        }
        Change::MemberRemoved { by, account } => {
            let removed = tell(ConversationChange::Removed, by, Some(account));
            let all = tell(ConversationChange::MemberRemoved, by, Some(account));
            (all, Some((account.clone(), removed)))
        }
    };
    Some(Told { all, removed })
}

/// What row `n` is to the members: one event for all, and for who is removed another one.
pub(super) fn event_row(id: &ConversationId, row: &ConversationRow, n: u64, at: Timestamp) -> EventRow {
    let (payload, special) = match (&row.change, &row.told) {
        (_, Some(Told { all, removed })) => {
            let removed = removed.as_ref();
            (
                Bytes::from(all.clone()),
                removed.map(|(who, payload)| (who.clone(), Bytes::from(payload.clone()))),
            )
        }
        (Change::Message { id: message, sender, client_id, body, reply_to, mentions }, None) => {
            let body: Result<&RawValue, _> = serde_json::from_str(body);
            let data = MessageData {
                conversation_id: id,
                seq: n,
                id: *message,
                sender,
                client_id: client_id.as_str(),
                body: body.unwrap_or(RawValue::NULL), // it was JSON when it was taken
                reply_to: *reply_to,
                mentions,
                sent_at: at,
            };
            (encode(id, n, EventKind::Message, sender, event::data(&data)), None)
        }
        // A damaged row: its payload cannot be read by an inbox either, which says so.
        (_, None) => (Bytes::new(), None),
    };
    EventRow { n, payload, special }
}

fn encode(id: &ConversationId, seq: u64, kind: EventKind, by: &AccountId, data: Vec<u8>) -> Bytes {
    InboxEvent { kind, conversation: id.clone(), seq, by: by.clone(), data: data.into() }.encode()
}

//! Bringing a conversation back from the store.

use godwit_core::Conversation;
use godwit_core::fanout::{EventRow, Parcel};
use godwit_core::recover::{self, RowHead, TAIL_ROWS};
use godwit_store::{Limit, PendingKind, Row};
use godwit_types::{ConversationId, LogId};
use godwit_wire::{ConversationRow, payload};
use ractor::ActorProcessingErr;

use crate::node::Node;

/// Rows and bytes of one read: a parcel's worth of the largest messages.
const PAGE: Limit = Limit { rows: 256, bytes: 4 * 1024 * 1024 };
/// The last rows: their number is what counts, so bytes do not limit them.
pub(crate) const TAIL: Limit = Limit { rows: TAIL_ROWS, bytes: usize::MAX };

/// The conversation as the store has it, owned from now on.
pub(super) async fn conversation(
    node: &Node,
    id: &ConversationId,
) -> Result<Conversation, ActorProcessingErr> {
    let log = LogId::Conversation(id.clone());
    node.appends.quiet(&log).await;
    let summary = node.store.summary(&log).await?;
    let mut conversation =
        Conversation::load(id.clone(), summary.as_deref())?.with_members_max(node.options.members_max);
    for row in rows_above(node, &log, conversation.summarised(), 1).await? {
        let ConversationRow { change, .. } = payload::decode(&row.payload)?;
        conversation.replay(row.position, row.at, row.key, &change);
    }
    conversation.own(node.store.epoch());
    Ok(conversation)
}

/// Whether a former owner has left this conversation's fan-out under way.
pub(super) async fn is_pending(node: &Node, id: &ConversationId) -> Result<bool, ActorProcessingErr> {
    let pending = node.store.pending(node.shard_of(id.as_str())).await?;
    Ok(pending.iter().any(|pending| pending.kind == PendingKind::Fanout && pending.id == id.as_str()))
}

/// The committed rows above `summarised`, in order.
pub(crate) async fn rows_above(
    node: &Node,
    log: &LogId,
    summarised: u64,
    held_from: u64,
) -> Result<Vec<Row>, ActorProcessingErr> {
    let mut newest = node.store.rows_before(log, u64::MAX, TAIL).await?;
    let heads: Vec<_> =
        newest.iter().map(|row| RowHead { position: row.position, stable: row.stable }).collect();
    let tail = recover::tail(&heads, held_from)?;
    if tail.beyond > 0 {
        // One process, batches that land whole: a hole means that the directory was tampered with.
        return Err(format!("{log:?}: {} rows beyond {} follow a hole", tail.beyond, tail.position).into());
    }
    newest.reverse();
    let mut rows = Vec::new();
    let known_from = newest.first().map_or(u64::MAX, |row| row.position.n);
    let mut after = summarised;
    while after + 1 < known_from && after < tail.position.n {
        let page = node.store.rows_after(log, after, known_from - 1, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.position.n;
        rows.extend(page);
    }
    rows.extend(newest.into_iter().filter(|row| row.position.n > summarised));
    Ok(rows)
}

/// The rows of a parcel, read again from the log.
pub(super) async fn event_rows(
    node: &Node,
    conversation: &Conversation,
    parcel: &Parcel,
) -> Result<Vec<EventRow>, ActorProcessingErr> {
    let log = LogId::Conversation(conversation.id().clone());
    let mut events = Vec::new();
    let mut after = parcel.from - 1;
    while after < parcel.to {
        let page = node.store.rows_after(&log, after, parcel.to, PAGE).await?;
        let Some(last) = page.last() else {
            return Err(format!("{log:?}: rows {} to {} are not there", after + 1, parcel.to).into());
        };
        after = last.position.n;
        for row in &page {
            events.push(conversation.event(&payload::decode(&row.payload)?, row.position.n, row.at));
        }
    }
    Ok(events)
}

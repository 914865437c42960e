//! Bringing a conversation back from the store.

use godwit_core::Conversation;
use godwit_core::fanout::{EventRow, Parcel};
use godwit_core::recover::{self, Known, RowHead, Settle, TAIL_ROWS};
use godwit_store::{Limit, Mutation, PendingKind, Row, Written};
use godwit_types::{ConversationId, LogId};
use godwit_wire::{ConversationRow, payload};
use ractor::ActorProcessingErr;

use crate::metrics;
use crate::node::Node;
use crate::tenure::Owned;

/// Rows and bytes of one read: a parcel's worth of the largest messages.
const PAGE: Limit = Limit { rows: 256, bytes: 4 * 1024 * 1024 };

/// The conversation as the store has it, owned from now on; and whether the end of its log had to be made
/// sure, because a former owner may have crashed.
pub(super) async fn conversation(
    node: &Node,
    owned: &Owned,
    id: &ConversationId,
) -> Result<(Conversation, bool), ActorProcessingErr> {
    let log = LogId::Conversation(id.clone());
    node.appends.quiet(&log).await;
    let summary = node.read(owned, || node.store.summary(&log)).await?;
    let mut conversation =
        Conversation::load(id.clone(), summary.as_deref())?.with_members_max(node.options.members_max);
    let known = Known {
        summarised: conversation.summarised(),
        held_from: 1,
        expires: false,
        unclean_base: owned.unclean_base,
    };
    let found = rows_above(node, owned, &log, known).await?;
    for row in found.rows {
        let ConversationRow { change, .. } = payload::decode(&row.payload)?;
        conversation.replay(row.position, row.at, row.key, &change);
    }
    conversation.own(owned.epoch);
    Ok((conversation, found.settled))
}

/// Whether a former owner has left this conversation's fan-out under way.
pub(super) async fn is_pending(
    node: &Node,
    owned: &Owned,
    id: &ConversationId,
) -> Result<bool, ActorProcessingErr> {
    let pending = node.read(owned, || node.store.pending(owned.shard)).await?;
    Ok(pending.iter().any(|pending| pending.kind == PendingKind::Fanout && pending.id == id.as_str()))
}

/// What a new owner finds of a log.
pub(crate) struct Found {
    /// The committed rows above the summary, in order.
    pub(crate) rows: Vec<Row>,
    /// Whether the log's end had to be made sure.
    pub(crate) settled: bool,
}

/// Finds the tail of a log, makes it sure where a former owner may have crashed, and reads what lies above the
/// summary. After it the guard has passed, so that nobody else was the owner meanwhile.
pub(crate) async fn rows_above(
    node: &Node,
    owned: &Owned,
    log: &LogId,
    known: Known,
) -> Result<Found, ActorProcessingErr> {
    let newest = node.read(owned, || node.store.tail(log, known.summarised, TAIL_ROWS)).await?;
    if let Some(later) = newest.iter().map(|found| found.row.position.epoch).find(|e| *e > owned.epoch) {
        node.tenure.raise(owned, later);
        return Err(format!("{log:?} has rows of epoch {later}, its owner has {}", owned.epoch).into());
    }
    let heads: Vec<_> = newest
        .iter()
        .map(|Written { row, stamp, .. }| RowHead {
            position: row.position,
            stable: row.stable,
            stamp: *stamp,
        })
        .collect();
    let tail = recover::tail(&heads, known)?;
    if tail.beyond > 0 && tail.settle.is_none() {
        // An owner that did not crash has left none: the store was tampered with.
        return Err(format!("{log:?}: {} rows beyond {} follow a hole", tail.beyond, tail.position).into());
    }
    let mut committed: Vec<_> = newest.into_iter().skip(tail.beyond).collect();
    committed.reverse();
    if let Some(settle) = tail.settle {
        make_sure(node, owned, log, settle, &committed).await?;
    }
    if !node.tenure.guard(owned).await {
        return Err(format!("{log:?} has another owner").into());
    }
    let mut rows = Vec::new();
    let known_from = committed.first().map_or(u64::MAX, |found| found.row.position.n);
    let mut after = known.summarised;
    while after + 1 < known_from && after < tail.position.n {
        let page = node.read(owned, || node.store.rows_after(log, after, known_from - 1, PAGE)).await?;
        let Some(last) = page.last() else { break };
        after = last.position.n;
        rows.extend(page);
    }
    rows.extend(committed.into_iter().map(|found| found.row).filter(|row| row.position.n > known.summarised));
    Ok(Found { rows, settled: tail.settle.is_some() })
}

/// Stores the last rows once more, and hides for good what a former owner may still bring.
async fn make_sure(
    node: &Node,
    owned: &Owned,
    log: &LogId,
    Settle { tail, above }: Settle,
    committed: &[Written],
) -> Result<(), ActorProcessingErr> {
    metrics::settled();
    let rows = committed.iter().filter(|found| found.row.position.n > above).cloned().collect();
    let batch = vec![Mutation::Settle { log: log.clone(), tail, rows }];
    match node.appends.store_at(owned, log, batch, owned.base).await {
        true => Ok(()),
        false => Err(format!("{log:?} has another owner").into()),
    }
}

/// The rows of a parcel, read again from the log.
pub(super) async fn event_rows(
    node: &Node,
    owned: &Owned,
    conversation: &Conversation,
    parcel: &Parcel,
) -> Result<Vec<EventRow>, ActorProcessingErr> {
    let log = LogId::Conversation(conversation.id().clone());
    let mut events = Vec::new();
    let mut after = parcel.from - 1;
    while after < parcel.to {
        let page = node.read(owned, || node.store.rows_after(&log, after, parcel.to, PAGE)).await?;
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

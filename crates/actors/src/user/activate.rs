//! Bringing an inbox back from the store, and letting old rows go.

use godwit_core::Inbox;
use godwit_core::inbox::Stored;
use godwit_core::recover::Known;
use godwit_store::Limit;
use godwit_types::{AccountId, LogId};
use ractor::ActorProcessingErr;

use crate::conversation::{Found, rows_above};
use crate::node::Node;
use crate::tenure::Owned;

/// Rows of one look at the old end of a log.
const EXPIRE_PAGE: Limit = Limit { rows: 256, bytes: 4 * 1024 * 1024 };

/// The inbox as the store has it, owned from now on.
pub(super) async fn inbox(
    node: &Node,
    owned: &Owned,
    account: &AccountId,
) -> Result<Inbox, ActorProcessingErr> {
    let log = LogId::Inbox(account.clone());
    node.appends.quiet(&log).await;
    // The summary first: it is written after the memberships, so what is read after it knows no less. The other way
    // round, the last writes of a former owner could land in between.
    let summary = node.read(owned, || node.store.summary(&log)).await?;
    let (memberships, devices) = tokio::try_join!(
        node.read(owned, || node.store.memberships(account)),
        node.read(owned, || node.store.devices(account)),
    )?;
    let mut inbox = Inbox::load(account.clone(), Stored { summary, memberships, devices })?;
    let known = Known {
        summarised: inbox.summarised(),
        held_from: inbox.held_from(),
        expires: node.options.inbox_expires,
        unclean_base: owned.unclean_base,
    };
    let Found { rows, .. } = rows_above(node, owned, &log, known).await?;
    for row in rows {
        inbox.replay(row.position, row.at, &row.payload)?;
    }
    inbox.own(owned.epoch);
    expire(node, owned, &mut inbox).await?;
    Ok(inbox)
}

/// Moves the beginning of what is held past the rows that are too old, or that are not there any more.
pub(super) async fn expire(node: &Node, owned: &Owned, inbox: &mut Inbox) -> Result<(), ActorProcessingErr> {
    let log = LogId::Inbox(inbox.account().clone());
    let oldest = node.now().minus_ms(node.options.retention.age_ms);
    loop {
        let (from, to) = (inbox.held().from, inbox.held().to);
        if from > to {
            return Ok(());
        }
        // The first row alone answers nearly always.
        let first = node.read(owned, || node.store.row(&log, from)).await?;
        if first.is_some_and(|row| row.at >= oldest) {
            return Ok(());
        }
        let page = node.read(owned, || node.store.rows_after(&log, from - 1, to, EXPIRE_PAGE)).await?;
        // Up to the first that stays, or to the end of the page.
        let stays = page.iter().find(|row| row.at >= oldest).map(|row| row.position.n - 1);
        let through = stays.or_else(|| page.last().map(|row| row.position.n)).unwrap_or(to);
        inbox.expire_through(through);
    }
}

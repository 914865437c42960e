//! Bringing an inbox back from the store, and letting old rows go.

use godwit_core::Inbox;
use godwit_core::inbox::Stored;
use godwit_store::Limit;
use godwit_types::{AccountId, LogId};
use ractor::ActorProcessingErr;

use crate::conversation::rows_above;
use crate::node::Node;

/// Rows of one look at the old end of a log.
const EXPIRE_PAGE: Limit = Limit { rows: 256, bytes: 4 * 1024 * 1024 };

/// The inbox as the store has it, owned from now on.
pub(super) async fn inbox(node: &Node, account: &AccountId) -> Result<Inbox, ActorProcessingErr> {
    let log = LogId::Inbox(account.clone());
    node.appends.quiet(&log).await;
    let stored = Stored {
        summary: node.store.summary(&log).await?,
        memberships: node.store.memberships(account).await?,
        devices: node.store.devices(account).await?,
    };
    let mut inbox = Inbox::load(account.clone(), stored)?;
    for row in rows_above(node, &log, inbox.summarised(), inbox.held_from()).await? {
        inbox.replay(row.position, row.at, &row.payload)?;
    }
    inbox.own(node.store.epoch());
    expire(node, &mut inbox).await?;
    Ok(inbox)
}

/// Moves the beginning of what is held past the rows that are too old.
pub(super) async fn expire(node: &Node, inbox: &mut Inbox) -> Result<(), ActorProcessingErr> {
    let log = LogId::Inbox(inbox.account().clone());
    let oldest = node.now().minus_ms(node.options.retention.age_ms);
    loop {
        let (from, to) = (inbox.held().from, inbox.held().to);
        // The first row alone answers nearly always.
        let first = node.store.row(&log, from).await?;
        if from > to || first.is_none_or(|row| row.at >= oldest) {
            return Ok(());
        }
        let page = node.store.rows_after(&log, from - 1, to, EXPIRE_PAGE).await?;
        let expired = page.iter().take_while(|row| row.at < oldest).last();
        let Some(last) = expired else { return Ok(()) };
        inbox.expire_through(last.position.n);
    }
}

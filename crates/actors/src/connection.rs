//! The ConnectionActor: reads for one stream from the store while the stream has something to catch up on.
//!
//! It lives for one replay. A stream whose queue is full, or that is live, needs none: the socket or the next
//! event starts another.

use std::sync::Arc;
use std::time::Duration;

use godwit_core::delivery::Event;
use godwit_store::{Limit, Row};
use godwit_types::{AccountId, Cursor, LogId};
use godwit_wire::{ByeReason, PayloadError, payload, sse};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::metrics;
use crate::node::Node;
use crate::stream::Stream;

/// Rows that one read brings at most, so that a replay of small events shares the store with others.
const PAGE_ROWS: usize = 512;
/// Pause before a read that failed is tried again.
const READ_PAUSE: Duration = Duration::from_millis(200);

pub(crate) struct ConnectionActor;

impl Actor for ConnectionActor {
    type Msg = ();
    type State = (Arc<Stream>, Arc<Node>);
    type Arguments = Self::State;

    async fn pre_start(
        &self,
        _myself: ActorRef<()>,
        state: Self::State,
    ) -> Result<Self::State, ActorProcessingErr> {
        metrics::activated("connection");
        Ok(state)
    }

    async fn post_start(
        &self,
        myself: ActorRef<()>,
        (stream, node): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let log = LogId::Inbox(stream.account.clone());
        while let Some(read) = stream.next_read() {
            let limit = Limit { rows: PAGE_ROWS, bytes: read.bytes };
            match node.store.rows_after(&log, read.after, read.upto, limit).await {
                Ok(rows) => match events(&stream.account, &rows) {
                    Ok(events) => {
                        #[cfg(feature = "faults")]
                        let events = node.faults.replayed(events);
                        stream.page(read, &events);
                    }
                    Err(error) => {
                        tracing::error!(account = %stream.account, %error, "an inbox has a row that cannot be shown");
                        stream.end(ByeReason::Overload, node.hub.retry_ms());
                    }
                },
                Err(godwit_store::Error::Closed) => stream.end(ByeReason::Drain, node.hub.retry_ms()),
                Err(error) => {
                    tracing::warn!(account = %stream.account, %error, "a replay waits for the store");
                    tokio::time::sleep(READ_PAUSE).await;
                }
            }
        }
        myself.stop(None);
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<()>,
        _state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        metrics::gone("connection");
        Ok(())
    }
}

/// Stored rows as a stream shows them.
pub(crate) fn events(account: &AccountId, rows: &[Row]) -> Result<Vec<Event>, PayloadError> {
    rows.iter()
        .map(|row| {
            let (kind, data) = payload::inbox_event_frame(&row.payload)?;
            let frame = sse::frame(Some(Cursor::new(account, row.position)), kind, &data);
            Ok(Event { position: row.position, frame })
        })
        .collect()
}

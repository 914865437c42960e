//! Streams of an account: who may attach, and from where it goes on.

use std::sync::Arc;

use godwit_core::inbox::{Grant, Lookup};
use godwit_types::{Cursor, Position};
use ractor::ActorProcessingErr;

use super::UserState;
use crate::stream::Stream;

impl UserState {
    /// Takes in a stream that wants to open, or one that this account's last actor had.
    pub(super) async fn attach(&mut self, stream: Arc<Stream>) -> Result<(), ActorProcessingErr> {
        let asked = match stream.asked() {
            Ok(asked) => asked,
            Err(()) if stream.is_over() => return Ok(()),
            Err(()) => {
                // It was granted by an actor that is gone; what that one did not show is read again.
                self.enlist(&stream);
                let need = stream.missed(self.inbox.tail(), &self.node.options);
                self.node.hub.serve(&stream, need);
                return Ok(());
            }
        };
        if !self.enlist(&stream) {
            return Ok(());
        }
        // A node that was cut off must not say "caught up".
        if !self.node.tenure.guard(&self.owned).await {
            return Ok(());
        }
        let grant = match asked {
            Some(cursor) => self.look_up(cursor).await?,
            None => self.inbox.from_now(),
        };
        let need = stream.grant(grant, &self.node.options, self.node.hub.retry_ms(), self.node.now());
        self.node.hub.serve(&stream, need);
        Ok(())
    }

    /// Where a resume after this event id starts.
    pub(super) async fn look_up(&self, cursor: Cursor) -> Result<Grant, ActorProcessingErr> {
        match self.find(cursor).await? {
            Lookup::Known(grant) => Ok(grant),
            Lookup::Gap(reason) => Ok(self.inbox.gap(cursor, reason, self.first_held().await?)),
            Lookup::Row { .. } => Err("a look-up that was resolved asks for a row".into()),
        }
    }

    /// What is known of an event id, once its row has been read if it must be.
    pub(super) async fn find(&self, cursor: Cursor) -> Result<Lookup, ActorProcessingErr> {
        match self.inbox.look_up(cursor) {
            Lookup::Row { n } => {
                let log = self.log();
                let row = self.node.read(&self.owned, || self.node.store.row(&log, n)).await?;
                Ok(self.inbox.resolve(cursor, row.map(|row| row.position)))
            }
            known => Ok(known),
        }
    }

    /// Everything that is held.
    pub(super) async fn all_held(&self) -> Result<Grant, ActorProcessingErr> {
        let after =
            self.first_held().await?.map_or(self.inbox.tail(), |first| Position { n: first.n - 1, ..first });
        Ok(Grant { after, upto: self.inbox.tail(), gap: None })
    }

    async fn first_held(&self) -> Result<Option<Position>, ActorProcessingErr> {
        let held = self.inbox.held();
        if held.from > held.to {
            return Ok(None);
        }
        let log = self.log();
        let first = self.node.read(&self.owned, || self.node.store.row(&log, held.from)).await?;
        Ok(first.map(|row| row.position))
    }

    fn enlist(&mut self, stream: &Arc<Stream>) -> bool {
        let attached = self.streams.attach(stream.id, &stream.device, Arc::clone(stream));
        for (ended, reason) in attached.ended {
            ended.end(reason, self.node.hub.retry_ms());
        }
        attached.open
    }
}

//! The way of rows to the store, and what is still on it.
//!
//! What is under way belongs to the node and not to the actor that sent it: an actor that fails or passivates
//! leaves its unknown writes here, and its next activation waits for them before it reads the log's tail.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use godwit_store::{Error, Mutation, Store};
use godwit_types::{LogId, Stamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::metrics;
use crate::tenure::{Owned, Tenure};

/// First and longest pause before something that the store did not answer is tried again.
const REPEAT_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Locks over which the logs are spread, so that appends of different logs seldom meet.
const STRIPES: usize = 64;

/// Rows on their way.
pub(crate) struct Appends {
    store: Arc<dyn Store>,
    tenure: Arc<Tenure>,
    under_way: Vec<Mutex<HashMap<LogId, usize>>>,
    arrived: Notify,
}

impl Appends {
    pub(crate) fn new(store: Arc<dyn Store>, tenure: Arc<Tenure>) -> Self {
        let under_way = (0..STRIPES).map(|_| Mutex::default()).collect();
        Self { store, tenure, under_way, arrived: Notify::new() }
    }

    /// Stores the batch, however often it has to be repeated, passes the guard, and then says so by `done`.
    /// When the owner has lost its shard, the guard does not pass, or the store is closed, nothing is said to
    /// nobody.
    pub(crate) fn write(
        self: &Arc<Self>,
        owned: &Owned,
        log: LogId,
        batch: Vec<Mutation>,
        done: impl FnOnce() + Send + 'static,
    ) {
        self.write_in_turn(owned, log, batch, Vec::new(), done);
    }

    /// As [`write`](Self::write), with further batches, each written when the one before it is stored: where
    /// one partition may not know what another does not say yet.
    pub(crate) fn write_in_turn(
        self: &Arc<Self>,
        owned: &Owned,
        log: LogId,
        first: Vec<Mutation>,
        further: Vec<Vec<Mutation>>,
        done: impl FnOnce() + Send + 'static,
    ) {
        // Here and not in the task: this is the moment that gives the batch its place in the order.
        let Some(stamp) = self.tenure.stamp(owned) else { return };
        *self.stripe(&log).lock().entry(log.clone()).or_default() += 1;
        metrics::appended(first.len());
        let answer = self.store.write(first.clone(), stamp);
        let (appends, owned) = (Arc::clone(self), *owned);
        tokio::spawn(async move {
            let mut stored = match answer.await {
                Ok(()) => true,
                Err(error) => appends.repeat(&owned, &log, first, stamp, error).await,
            };
            for batch in further {
                stored = stored && appends.store(&owned, &log, batch).await;
            }
            if stored && appends.tenure.guard(&owned).await {
                done();
            }
            appends.leave(&log);
        });
    }

    /// Stores a batch, however often it has to be repeated; false when it may not be stored any more.
    pub(crate) async fn store(&self, owned: &Owned, log: &LogId, batch: Vec<Mutation>) -> bool {
        let Some(stamp) = self.tenure.stamp(owned) else { return false };
        metrics::appended(batch.len());
        self.store_at(owned, log, batch, stamp).await
    }

    /// The same with the stamp of a settling.
    pub(crate) async fn store_at(
        &self,
        owned: &Owned,
        log: &LogId,
        batch: Vec<Mutation>,
        stamp: Stamp,
    ) -> bool {
        match self.store.write(batch.clone(), stamp).await {
            Ok(()) => true,
            Err(error) => self.repeat(owned, log, batch, stamp, error).await,
        }
    }

    /// Writes something that need not be stored for sure: without it somebody looks once more than he had to.
    pub(crate) fn write_once(&self, owned: &Owned, batch: Vec<Mutation>) {
        if let Some(stamp) = self.tenure.stamp(owned) {
            tokio::spawn(self.store.write(batch, stamp));
        }
    }

    /// Waits until nothing of this log is under way.
    pub(crate) async fn quiet(&self, log: &LogId) {
        self.wait(|| !self.stripe(log).lock().contains_key(log)).await;
    }

    /// Waits until nothing at all is under way.
    pub(crate) async fn all_quiet(&self) {
        self.wait(|| self.under_way.iter().all(|stripe| stripe.lock().is_empty())).await;
    }

    /// After an answer that left it unknown: the same batch with the same stamp, until it is stored.
    async fn repeat(
        &self,
        owned: &Owned,
        log: &LogId,
        batch: Vec<Mutation>,
        stamp: Stamp,
        mut error: Error,
    ) -> bool {
        let mut pause = REPEAT_PAUSE.0;
        loop {
            if matches!(error, Error::Closed) || !self.tenure.holds(owned) {
                return false;
            }
            metrics::repeated();
            tracing::debug!(?log, %error, "a write has an unknown outcome and is repeated");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(REPEAT_PAUSE.1);
            match self.store.write(batch.clone(), stamp).await {
                Ok(()) => return true,
                Err(again) => error = again,
            }
        }
    }

    fn leave(&self, log: &LogId) {
        let mut under_way = self.stripe(log).lock();
        if let Some(count) = under_way.get_mut(log) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(log);
                drop(under_way);
                self.arrived.notify_waiters();
            }
        }
    }

    async fn wait(&self, quiet: impl Fn() -> bool) {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if quiet() {
                return;
            }
            arrived.await;
        }
    }

    fn stripe(&self, log: &LogId) -> &Mutex<HashMap<LogId, usize>> {
        // Any even spread will do; the shard is one that is tested.
        &self.under_way[usize::from(log.shard(STRIPES as u16).0)]
    }
}

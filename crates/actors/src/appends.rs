//! The way of rows to the store, and what is still on it.
//!
//! What is under way belongs to the node and not to the actor that sent it: an actor that fails or passivates
//! leaves its unknown writes here, and its next activation waits for them before it reads the log's tail.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use godwit_store::{Answer, Error, Mutation, Store};
use godwit_types::LogId;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::metrics;

/// First and longest pause before a write of unknown outcome is repeated.
const REPEAT_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Locks over which the logs are spread, so that appends of different logs seldom meet.
const STRIPES: usize = 64;

/// Rows on their way.
pub(crate) struct Appends {
    store: Arc<dyn Store>,
    under_way: Vec<Mutex<HashMap<LogId, usize>>>,
    arrived: Notify,
}

impl Appends {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let under_way = (0..STRIPES).map(|_| Mutex::default()).collect();
        Self { store, under_way, arrived: Notify::new() }
    }

    /// Stores the batch, however often it has to be repeated, passes the guard, and then says so by `done`.
    /// When the store is closed, or the guard does not pass, nothing is said to nobody.
    pub(crate) fn write(
        self: &Arc<Self>,
        log: LogId,
        batch: Vec<Mutation>,
        done: impl FnOnce() + Send + 'static,
    ) {
        *self.stripe(&log).lock().entry(log.clone()).or_default() += 1;
        metrics::appended(batch.len());
        let appends = Arc::clone(self);
        // Here and not in the task: this is the moment that gives the batch its place in the order.
        let first = self.store.write(batch.clone());
        tokio::spawn(async move {
            if appends.until_stored(&log, first, batch).await && appends.guard().await {
                done();
            }
            appends.leave(&log);
        });
    }

    /// Waits until nothing of this log is under way.
    pub(crate) async fn quiet(&self, log: &LogId) {
        self.wait(|| !self.stripe(log).lock().contains_key(log)).await;
    }

    /// Waits until nothing at all is under way.
    pub(crate) async fn all_quiet(&self) {
        self.wait(|| self.under_way.iter().all(|stripe| stripe.lock().is_empty())).await;
    }

    /// Passes when this process still owns what it writes. With the embedded store the directory's lock is
    /// session, fence and guard in one: who holds it owns everything, and loses it only by ending.
    pub(crate) async fn guard(&self) -> bool {
        true
    }

    async fn until_stored(&self, log: &LogId, first: Answer<'static, ()>, batch: Vec<Mutation>) -> bool {
        let mut pause = REPEAT_PAUSE.0;
        let mut answer = first.await;
        loop {
            match answer {
                Ok(()) => return true,
                Err(Error::Closed) => return false,
                Err(error) => {
                    tracing::warn!(?log, %error, "a write has an unknown outcome and is repeated");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(REPEAT_PAUSE.1);
                    answer = self.store.write(batch.clone()).await;
                }
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

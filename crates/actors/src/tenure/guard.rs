//! The guard: one task that reads the node's own session, after the writes that it vouches for.
//!
//! An owner stores, then reads the fence; a successor writes the fence, then reads the log. Either the owner
//! sees the fence and commits nothing, or the successor sees the row and keeps it, however long either was
//! paused. One read serves all that wait when it begins.

use std::sync::Arc;
use std::time::Duration;

use godwit_store::LeaseStore;
use godwit_types::NodeId;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::metrics;

/// Reads under way at once: while one is answered the next may serve those that came meanwhile.
const READS_MAX: usize = 2;
/// Who can be served by one read.
const TOGETHER_MAX: usize = 4_096;
/// Pause before a read that failed is tried again.
const READ_PAUSE: Duration = Duration::from_millis(50);

/// Waits for the guard: the incarnation for which it asks, and where the answer goes.
type Waiting = (u64, oneshot::Sender<bool>);

/// The way to the task.
pub(super) struct Guard {
    /// No bound of its own: who waits holds a place in a log's window or a permit of admission.
    waiting: mpsc::UnboundedSender<Waiting>,
}

impl Guard {
    /// Starts the task, which ends with its sender.
    pub(super) fn start(leases: Arc<dyn LeaseStore>, node: NodeId) -> Self {
        let (waiting, asked) = mpsc::unbounded_channel();
        tokio::spawn(run(leases, node, asked));
        Self { waiting }
    }

    /// Whether this run of the node was alive at a moment after this call. Waits for as long as the database
    /// does not say.
    pub(super) async fn pass(&self, incarnation: u64) -> bool {
        let (answer, passed) = oneshot::channel();
        self.waiting.send((incarnation, answer)).is_ok() && passed.await.unwrap_or(false)
    }
}

async fn run(leases: Arc<dyn LeaseStore>, node: NodeId, mut asked: mpsc::UnboundedReceiver<Waiting>) {
    let slots = Arc::new(Semaphore::new(READS_MAX));
    loop {
        let mut served = Vec::new();
        if asked.recv_many(&mut served, TOGETHER_MAX).await == 0 {
            return;
        }
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        // Those that came while there was no slot: the read begins only now.
        while served.len() < TOGETHER_MAX
            && let Ok(more) = asked.try_recv()
        {
            served.push(more);
        }
        let (leases, node) = (Arc::clone(&leases), node.clone());
        tokio::spawn(async move {
            let _slot = slot;
            look(&*leases, &node, served).await;
        });
    }
}

/// Reads until there is an answer. A read that fails says nothing, and who waits cannot do without.
async fn look(leases: &dyn LeaseStore, node: &NodeId, mut served: Vec<Waiting>) {
    loop {
        match leases.glance(node).await {
            Ok(session) => {
                metrics::guarded(served.len());
                for (incarnation, answer) in served {
                    // Who has given up does not need the answer.
                    let _ = answer.send(session.is_some_and(|session| session.is_alive_as(incarnation)));
                }
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "the guard's read failed and is repeated");
                served.retain(|(_, answer)| !answer.is_closed());
                if served.is_empty() {
                    return;
                }
                tokio::time::sleep(READ_PAUSE).await;
            }
        }
    }
}

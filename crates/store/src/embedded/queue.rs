//! Where batches wait for the writer, in the order in which `write` was called.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::group;
use crate::{Error, Mutation};

/// Bytes in one group: a sync is spread thin over that much, and more would only keep the first of a
/// group waiting for the last.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Batches in one group, for the same reason where they are small.
const GROUP_BATCHES_MAX: usize = 4096;

/// A batch and who waits for it.
pub(super) struct Write {
    /// What to change.
    pub(super) batch: Vec<Mutation>,
    /// Where the answer goes; nobody may be listening any more.
    pub(super) answer: oneshot::Sender<Result<(), Error>>,
    bytes: usize,
}

/// The queue.
///
/// It has no bound of its own, on purpose. A batch takes its place when `write` is called, so what it
/// holds exists already, and a caller made to wait would hold the same bytes elsewhere. What bounds it
/// is admission: the commands that a node has taken and not answered.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Write>,
    closed: bool,
}

impl Queue {
    /// Takes a place at the end. The answer comes when the batch is durable.
    pub(super) fn push(&self, batch: Vec<Mutation>) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        let (answer, answered) = oneshot::channel();
        let bytes = group::bytes_of(&batch);
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        state.waiting.push_back(Write { batch, answer, bytes });
        drop(state);
        self.arrived.notify_one();
        Ok(answered)
    }

    /// Lets nothing more in. What waits is still written.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Waits for a batch and takes all that waits then, within the bounds of a group. `None`: closed
    /// and empty.
    pub(super) fn take(&self) -> Option<Vec<Write>> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            self.arrived.wait(&mut state);
        }
        let mut bytes = 0;
        let mut batches = 0;
        for write in &state.waiting {
            if batches > 0 && (bytes + write.bytes > GROUP_BYTES_MAX || batches == GROUP_BATCHES_MAX) {
                break;
            }
            bytes += write.bytes;
            batches += 1;
        }
        Some(state.waiting.drain(..batches).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use godwit_types::{ConversationId, LogId};

    fn summary(bytes: usize) -> Vec<Mutation> {
        let log = LogId::Conversation(ConversationId::new("c").unwrap());
        vec![Mutation::Summary { log, value: Bytes::from(vec![0; bytes]) }]
    }

    #[test]
    fn a_group_is_bounded_in_bytes_and_batches_and_never_empty() {
        let queue = Queue::default();
        let mut answers = Vec::new();
        answers.push(queue.push(summary(GROUP_BYTES_MAX * 2)).unwrap());
        for _ in 0..GROUP_BATCHES_MAX + 1 {
            answers.push(queue.push(Vec::new()).unwrap());
        }
        queue.close();
        assert!(matches!(queue.push(Vec::new()), Err(Error::Closed)));
        let sizes: Vec<_> = std::iter::from_fn(|| queue.take()).map(|group| group.len()).collect();
        assert_eq!(sizes, [1, GROUP_BATCHES_MAX, 1]);
    }
}

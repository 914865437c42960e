//! Answers to callers.

use godwit_wire::Problem;
use tokio::sync::oneshot;

use crate::admission::Permit;

/// Where the answer to a command goes. Dropping it unanswered tells the caller that the actor failed.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    caller: oneshot::Sender<Result<T, Problem>>,
    _permit: Option<Permit>,
}

impl<T> Reply<T> {
    pub(crate) fn new(permit: Option<Permit>) -> (Self, oneshot::Receiver<Result<T, Problem>>) {
        let (caller, answer) = oneshot::channel();
        (Self { caller, _permit: permit }, answer)
    }

    pub(crate) fn send(self, answer: Result<T, Problem>) {
        // A caller that has given up does not need the answer.
        let _ = self.caller.send(answer);
    }
}

/// An answer that is held back until the row on which it rests is committed.
pub(crate) type HeldAnswer = Box<dyn FnOnce() + Send + Sync>;

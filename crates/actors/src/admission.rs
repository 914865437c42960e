//! How many commands may be under way. ractor's mailboxes have no bound, so what goes into them has one.

use std::sync::Arc;

use godwit_wire::{Code, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// The node's limit of commands under way.
#[derive(Debug)]
pub(crate) struct Admission {
    slots: Arc<Semaphore>,
}

/// The right to one command; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _slot: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(commands_max: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(commands_max.min(Semaphore::MAX_PERMITS))) }
    }

    /// Lets one command in, or says why not. Never waits: a command that waits here would be memory too.
    pub(crate) fn enter(&self) -> Result<Permit, Problem> {
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => Ok(Permit { _slot: slot }),
            Err(TryAcquireError::NoPermits) => {
                Err(Problem::new(Code::Overloaded, "too many commands are under way; come back in a moment"))
            }
            Err(TryAcquireError::Closed) => {
                Err(Problem::new(Code::Draining, "this node is shutting down; another one will answer"))
            }
        }
    }

    /// Lets no further command in.
    pub(crate) fn close(&self) {
        self.slots.close();
    }
}

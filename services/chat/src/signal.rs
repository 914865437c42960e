//! Waits for the order to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that stop a node: SIGTERM of a supervisor, SIGINT of a terminal.
#[derive(Debug)]
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// From here on these signals end nothing by themselves; needs a runtime.
    pub fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one and names it. Does not get lost when it is dropped half-way.
    pub async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

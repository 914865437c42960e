//! Taking connections from the kernel, also when it has no descriptor to spare.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use metrics::Counter;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

/// Pause after a failure that will not pass at once. Connections that end meanwhile give descriptors back;
/// the kernel keeps those who wait in its backlog.
const BACK_OFF: Duration = Duration::from_millis(50);

/// At most one line in this time says that accepting fails.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// A connection and where it came from.
pub(super) type Accepted = (TcpStream, SocketAddr);

/// A listener that does not give up.
pub(super) struct Listener {
    listener: TcpListener,
    logged: Option<Instant>,
    unlogged: u64,
}

impl Listener {
    pub(super) fn new(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener: TcpListener::from_std(listener)?, logged: None, unlogged: 0 })
    }

    /// The next connection. Safe to drop half-way.
    pub(super) async fn accept(&mut self, errors: &Counter) -> Accepted {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    errors.increment(1);
                    self.log(&error);
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// A connection that the kernel has already completed.
    pub(super) async fn accept_now(&mut self) -> Option<Accepted> {
        tokio::select! {
            biased;
            accepted = self.listener.accept() => accepted.ok(),
            () = std::future::ready(()) => None,
        }
    }

    fn log(&mut self, error: &io::Error) {
        if self.logged.is_some_and(|at| at.elapsed() < LOG_EVERY) {
            self.unlogged += 1;
            return;
        }
        let more = std::mem::take(&mut self.unlogged);
        tracing::error!(%error, more, "cannot accept connections: raise the limit of open files");
        self.logged = Some(Instant::now());
    }
}

/// Failures of the connection that was to be accepted, not of accepting (accept(2), "Error handling").
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | ConnectionRefused
            | HostUnreachable
            | NetworkUnreachable
            | NetworkDown
            | Interrupted
            | TimedOut
    )
}

//! What can go wrong with a server.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// The end of a server's output that an error shows, in bytes: the last dozen lines, with the stack
/// trace that Java ends with.
const TAIL_BYTES: usize = 2 * 1024;

/// What can go wrong with a server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be read or written.
    #[error("cannot {what} {}", path.display())]
    File {
        /// The verb: `read`, `write`, `make`.
        what: &'static str,
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program could not be started at all.
    #[error("cannot start {program}")]
    Start {
        /// Its name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A program that does one thing and ends did not do it.
    #[error("`{command}` failed: {status}\n{output}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        output: String,
    },
    /// A server ended while it was waited for.
    #[error("{server} ended by itself: {output}")]
    Ended {
        /// Which.
        server: String,
        /// The end of what it said.
        output: String,
    },
    /// A server did not do in time what it was waited for.
    #[error("{server}: not {what} within {within:?}: {output}")]
    Late {
        /// Which.
        server: String,
        /// What was waited for: `answering`, `ended`.
        what: &'static str,
        /// How long.
        within: Duration,
        /// The end of what it said.
        output: String,
    },
    /// Somebody listens where a server was to listen.
    #[error("{address} is taken by {by}")]
    PortTaken {
        /// Where.
        address: SocketAddr,
        /// Program and process id as far as they can be told.
        by: String,
    },
    /// No port is free on all the addresses that need it.
    #[error("no free port was found")]
    NoPort,
    /// A signal could not be sent, or the process is gone.
    #[error("process {pid} cannot be signalled")]
    Signal {
        /// The process id.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// The connection to a server broke or did not come about.
    #[error("{address} cannot be spoken to")]
    Connection {
        /// The server's address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A server understood and said no.
    #[error("refused: {message}")]
    Refused {
        /// Its words.
        message: String,
    },
    /// A server sent what its protocol does not know.
    #[error("not the protocol: {what}")]
    Protocol {
        /// What came.
        what: String,
    },
    /// A pid file that this crate did not write.
    #[error("{} is no pid file", path.display())]
    PidFile {
        /// Which.
        path: PathBuf,
    },
}

/// What the functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// For `map_err`: which file, and what was to happen to it.
pub(crate) fn file<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + use<'a> {
    move |source| Error::File { what, path: path.to_owned(), source }
}

/// The last [`TAIL_BYTES`] of each of these files together; what cannot be read is left out.
pub(crate) fn tail(files: &[&Path]) -> String {
    let mut text = String::new();
    for file in files {
        let Ok(content) = std::fs::read(file) else { continue };
        let end = &content[content.len().saturating_sub(TAIL_BYTES)..];
        text.push('\n');
        text.push_str(String::from_utf8_lossy(end).trim());
    }
    text
}

//! Why something did not come about.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::measure::ErrorKind;

/// What went wrong, of a kind that is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its kind.
    pub kind: ErrorKind,
    /// In words.
    pub what: String,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    /// The answer's status, if it was one.
    pub status: Option<u16>,
}

/// The longest wait that a server may ask for: a run ends some day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// How much of an answer's body is shown.
const SHOWN_BYTES: usize = 300;

impl Failure {
    /// With the words of an error and of what it came from.
    pub fn new(kind: ErrorKind, error: impl std::error::Error) -> Self {
        let mut what = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            what = format!("{what}: {cause}");
            source = cause.source();
        }
        Self::said(kind, what)
    }

    /// A connection that could not be made, or TLS on it.
    pub fn connect(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::InvalidData => ErrorKind::Handshake,
            _ => ErrorKind::Connect,
        };
        Self::new(kind, error)
    }

    /// In these words.
    pub fn said(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), retry_after: None, status: None }
    }

    /// An answer that is not the one that was asked for.
    pub fn answer(status: u16, retry_after: Option<&str>, body: &[u8]) -> Self {
        let kind = if matches!(status, 429 | 503) { ErrorKind::Busy } else { ErrorKind::Refused };
        let shown = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES)]);
        let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let retry_after = retry_after.map(|after| after.min(RETRY_AFTER_MAX));
        // Pages and pretty JSON have many lines: the words of a failure are one.
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        let what = format!("{status} {shown}").trim_end().to_owned();
        Self { kind, what, retry_after, status: Some(status) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.what)
    }
}

impl std::error::Error for Failure {}

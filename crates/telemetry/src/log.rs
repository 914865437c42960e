//! The log: one line per event on standard error, as text or JSON.
//!
//! Lines go through a bounded queue to a thread of their own ([`writer`]), so that a slow terminal
//! or a full pipe never holds up a request. On the way there, whatever looks like a token is
//! masked ([`mask`]): the rule "no token in a log" does not hang on every call site.

pub mod mask;
pub mod writer;

use std::fmt;
use std::io;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

pub use writer::Flush;

/// Which events are written: comma-separated `level` or `target=level`, such as
/// `info,godwit_edge=debug`. Levels: `off`, `error`, `warn`, `info`, `debug`, `trace`.
///
/// These are the directives of `EnvFilter` without its filters on spans and fields, which nobody
/// here needs and which would bring a regular expression engine into the binary.
#[derive(Clone, PartialEq)]
pub struct Filter {
    text: String,
    targets: Targets,
}

/// A text that is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a level (off, error, warn, info, debug, trace) or target=level, separated by commas")]
pub struct FilterError;

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        // `Targets` takes a bare word that is no level for a target at `trace`: "inof" would
        // silence everything but a crate of that name. Nobody means that, so levels are checked here.
        let sound = text.split(',').all(|part| {
            let level = part.rsplit('=').next().unwrap_or_default().trim();
            !part.trim().starts_with('=') && !level.is_empty() && level.parse::<LevelFilter>().is_ok()
        });
        if !sound {
            return Err(FilterError);
        }
        let targets = text.parse().map_err(|_| FilterError)?;
        Ok(Self { text: text.to_owned(), targets })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people: `2026-01-31T12:00:00.000000Z  INFO godwit: listening addr=127.0.0.1:8080`.
    Text,
    /// For collectors: one JSON object a line, with `timestamp`, `level`, `target` and the fields.
    Json,
}

/// Starts the log on standard error, for the rest of the process's life.
///
/// The lines that are still queued are written when the returned [`Flush`] is dropped: hold it
/// until the end of `main`. Fails when the process has a log already.
pub fn init(filter: &Filter, format: Format) -> Result<Flush, TryInitError> {
    let (writer, flush) = writer::start(io::stderr(), format);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    let layer = match format {
        Format::Text => layer.boxed(),
        Format::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
    };
    // No bridge from the `log` crate: the libraries that we use speak `tracing`.
    tracing_subscriber::registry().with(layer.with_filter(filter.targets.clone())).try_init()?;
    Ok(flush)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_levels_and_targets() {
        for text in ["info", "INFO", "off", "info,godwit_edge=debug", "warn, godwit_store=trace"] {
            assert_eq!(text.parse::<Filter>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_no_level() {
        for text in ["", " ", "inof", "info,,debug", "godwit_edge=loud", "info,debgu", "=info", "a="] {
            assert_eq!(text.parse::<Filter>().unwrap_err(), FilterError, "{text:?}");
        }
    }
}

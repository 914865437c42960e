//! What a node tells about itself: logs, metrics and heap profiles.
//!
//! Libraries only use the `tracing` and `metrics` macros; a binary calls [`log::init`] and
//! [`metrics::install`] once and passes the handles on. Nothing here opens a port, and nothing
//! here may hold up the work that it reports on: a log that nobody reads loses lines, and says how
//! many, before it makes a node wait.

pub mod allocator;
pub mod log;
pub mod metrics;

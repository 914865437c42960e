//! The real servers below Godwit, as child processes on loopback: Redis (single, cluster, sentinel),
//! Apache Cassandra (one node or a ring), and ScyllaDB where a container engine answers.
//!
//! For tests and for `cargo xtask services`. A server ends with the handle that started it, also when
//! the test is killed; only a detached one ([`Lifetime::Detached`]) outlives its starter, and leaves a
//! pid file. It must never end a process that it did not start, never listen beyond loopback, and
//! never become part of what ships.
//!
//! All calls block the thread: from async code call them in `spawn_blocking`. Linux only; besides the
//! servers it needs `setpriv` and `setsid` of util-linux.

pub mod cassandra;
pub mod cql;
pub mod environment;
mod error;
pub mod ports;
mod process;
pub mod redis;
pub mod scylla;

pub use error::{Error, Result};
pub use process::{Lifetime, Process};

//! The actors: thin ractor shells that carry out what `godwit-core` decides, and the door to them.
//!
//! [`Region`] is what the edge calls. Behind it shards activate conversations and accounts on demand,
//! the hub knows every stream, and appends bring rows to the store. Nothing here parses a request,
//! knows a socket, or decides what `core` can decide.

mod admission;
mod appends;
mod calls;
mod connection;
mod conversation;
#[cfg(feature = "faults")]
mod faults;
mod hub;
mod metrics;
mod node;
mod options;
mod region;
mod reply;
mod revocations;
mod shard;
mod shared;
mod stream;
mod tenure;
mod user;

pub use calls::HistoryPage;
#[cfg(feature = "faults")]
pub use faults::Fault;
pub use hub::StreamWatcher;
pub use metrics::describe as describe_metrics;
pub use options::Options;
pub use region::{Region, StartError};
pub use stream::{StreamHandle, StreamRequest};
pub use tenure::Tenure;

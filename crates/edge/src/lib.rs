//! The client-facing edge: authentication, the HTTP API and its streams, the operator's port.
//!
//! It reads requests, checks what needs no state, hands the rest to [`godwit_actors::Region`] and writes
//! answers. It decides nothing about conversations, inboxes or deliveries, and nothing that a client sends
//! may reach a panic or a buffer without a bound.

pub mod accept;
pub mod api;
pub mod auth;
pub mod dev;
pub mod operator;

mod answer;
mod cors;
mod events;
mod gate;
mod query;
mod rates;
pub mod stream;

pub use cors::Cors;
pub use gate::Gate;
pub use rates::Rates;

#[cfg(test)]
mod testing;

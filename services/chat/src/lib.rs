//! The `godwit` server: configuration, command line and the wiring of one node.
//!
//! This crate decides nothing about chat: it reads what the operator wrote, puts the parts
//! together, and stops them in order. The binary (`main.rs`) only sets the allocator and calls it.

pub mod banner;
mod cache;
pub mod cli;
pub mod config;
pub mod dev;
pub mod exit;
#[cfg(feature = "faults")]
mod faults;
pub mod listen;
pub mod migrate;
mod node;
mod page;
pub mod server;
pub mod signal;
mod store;
pub mod token;

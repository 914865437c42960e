//! The cache against real servers: one Redis, a cluster of three, a master with sentinels; all of them
//! on loopback, started and ended here.

#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

mod away;
mod contract;
mod push;
mod rate;
mod sentinel;
mod support;
mod trust;

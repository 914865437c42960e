//! The accept loop, from outside: raw sockets on a random port against a router and a source of frames that
//! belong to the test.

#![allow(clippy::unwrap_used, reason = "clippy exempts test functions, not what they call")]

#[path = "accept/drain.rs"]
mod drain;
#[path = "accept/heads.rs"]
mod heads;
#[path = "accept/http.rs"]
mod http_stack;
#[path = "accept/limits.rs"]
mod limits;
#[path = "accept/server.rs"]
mod server;
#[path = "accept/streams.rs"]
mod streams;

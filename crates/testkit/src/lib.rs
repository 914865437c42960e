//! What the process tests share: the real server as a child process, tokens right and wrong, an HTTP
//! client, streams that can be cut, stalled and resumed, and the checker of the guarantees.
//!
//! It knows a server as a client does, by its contract, and shares no code with it but the nouns: what
//! it parses it parses by itself, or with `godwit-sse`, which no server uses. What a test asks for and does not get is a panic that says what came
//! instead.

pub mod answer;
pub mod client;
pub mod connection;
pub mod server;
pub mod stream;
pub mod tokens;

pub use answer::Answer;
pub use client::Client;
pub use connection::Connection;
pub use godwit_judge as history;
pub use godwit_judge::History;
pub use godwit_sse as sse;
pub use server::{Launch, Server};
pub use stream::{Event, EventStream, StreamOptions};
pub use tokens::Tokens;

use std::time::Duration;

/// `ready` within `time`, else a panic that says what for.
pub async fn within<T>(time: Duration, what: &str, ready: impl Future<Output = T>) -> T {
    tokio::time::timeout(time, ready).await.unwrap_or_else(|_| panic!("{what}: not within {time:?}"))
}

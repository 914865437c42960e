//! A plain SSE server on axum, the baseline of `profiles/axum.toml`:
//! `cargo run --release -p godwit-loadgen --example plain_sse -- 127.0.0.1:8080`.
//!
//! Written as one writes such a server in an afternoon: a broadcast channel per name, `axum::serve`, the
//! response of `axum::response::sse`. No accounts, nothing stored, no ids; it is not tuned, and not slowed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::net::TcpListener;
use tokio::sync::broadcast::{self, Receiver, Sender};

/// Messages that a reader may be behind before it is cut off. tokio reserves room for all of them in every
/// channel, so that a higher number costs memory for each idle stream.
const BEHIND_MAX: usize = 64;

/// As often as godwit sends its heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(25);

type Channels = Arc<Mutex<HashMap<String, Sender<Arc<str>>>>>;

/// All of the server.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/events/{channel}", get(subscribe))
        .route("/messages/{channel}", post(publish))
        .with_state(Channels::default())
}

async fn subscribe(
    State(channels): State<Channels>,
    Path(channel): Path<String>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let receiver = {
        let mut channels = channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.entry(channel).or_insert_with(|| broadcast::channel(BEHIND_MAX).0).subscribe()
    };
    // Ends when messages were missed: the reader sees that, and does not take a gap for silence.
    let events = unfold(receiver, async |mut receiver: Receiver<Arc<str>>| {
        let message = receiver.recv().await.ok()?;
        Some((Ok(Event::default().data(&*message)), receiver))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}

async fn publish(State(channels): State<Channels>, Path(channel): Path<String>, body: String) -> StatusCode {
    let mut channels = channels.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = channels.get(&channel)
        && sender.send(body.into()).is_err()
    {
        // Nobody is left: a channel lives no longer than its readers.
        channels.remove(&channel);
    }
    StatusCode::ACCEPTED
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(&address).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, router().into_make_service()).await
}

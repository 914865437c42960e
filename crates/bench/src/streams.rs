//! Streams on which nothing happens but heartbeats, each of an account of its own.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::stream::Stream;
use crate::{Target, account, caller};

/// Streams that are being opened at once: a server's first moments after a restart, and well within its
/// limit of connections that have shown no token yet.
const OPENING_MAX: usize = 256;

/// How much.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Load {
    /// Streams. A process may have so many files open, and the kernel has 28,000 ports for one address.
    #[arg(long, default_value_t = 15_000)]
    streams: usize,
}

/// Opens them, holds them until the caller is done, and says how many were still open then.
pub(crate) async fn run(target: &Target, load: &Load) -> Result<()> {
    let permits = Arc::new(Semaphore::new(OPENING_MAX));
    let mut opening = JoinSet::new();
    for number in 0..load.streams {
        let (address, token) = (target.address, target.secret.token(&account::name(number)));
        let permits = Arc::clone(&permits);
        opening.spawn(async move {
            let _permit = permits.acquire().await.context("nobody closes the semaphore")?;
            Stream::open(address, &token).await
        });
    }
    let mut holding = JoinSet::new();
    while let Some(opened) = opening.join_next().await {
        holding.spawn(hold(opened??));
    }
    caller::begin()?;
    caller::until_dismissed().await?;
    while let Some(ended) = holding.try_join_next() {
        ended?;
    }
    caller::result(json!({"streams": load.streams, "open": holding.len()}))
}

/// Reads heartbeats until the stream ends.
async fn hold(mut stream: Stream) {
    while stream.read().await.is_ok() {
        while stream.buffered().is_some() {}
    }
}

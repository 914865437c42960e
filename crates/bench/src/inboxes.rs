//! Whether what was acknowledged is in the inboxes: a server that answers faster than it delivers
//! would only put the work off.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::connection::Connection;
use crate::pairs::Pair;
use crate::{Target, request};

/// A server that needs longer does not keep up with what it acknowledges.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Events in all inboxes of these accounts.
///
/// An event's id is `epoch-n-tag`, and `n` counts an inbox's events without gaps. Clients must not look
/// into an id; this one tests the server that makes them.
pub(crate) async fn events(target: &Target, pairs: &[Pair]) -> Result<u64> {
    let mut connection = Connection::open(target.address).await?;
    let mut events = 0;
    for token in pairs.iter().flat_map(|pair| &pair.tokens) {
        let answer = connection.exchange(&request::get("/v1/sync?limit=1", token)).await?;
        let answered: Value = serde_json::from_slice(answer.body).context("the answer is no JSON")?;
        let head = answered["head"].as_str().context("a delta without a head")?;
        let n = head.split('-').nth(1).and_then(|n| n.parse::<u64>().ok());
        events += n.with_context(|| format!("{head:?} is no id of an event"))?;
    }
    Ok(events)
}

/// Waits until the inboxes hold so many events and says how long that took.
pub(crate) async fn wait_for(target: &Target, pairs: &[Pair], wanted: u64) -> Result<Duration> {
    let began = Instant::now();
    loop {
        let held = events(target, pairs).await?;
        if held == wanted {
            return Ok(began.elapsed());
        }
        if held > wanted || began.elapsed() > WAIT_MAX {
            bail!("the inboxes hold {held} events and should hold {wanted}");
        }
    }
}

//! As many messages as the server acknowledges: every connection sends the next request when the last
//! one is answered.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use memchr::memmem;
use serde_json::json;
use tokio::task::JoinSet;

use crate::connection::{Answer, Connection};
use crate::pairs::Pair;
use crate::request::Posting;
use crate::{Target, caller, inboxes, pairs};

/// How much.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Load {
    /// Connections, and so requests that wait for an answer at once.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Pairs of accounts; both of a pair write.
    #[arg(long, default_value_t = 500)]
    pairs: usize,
    /// Messages in a request; 1: each by itself, more: an outbox for one conversation.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Seconds before the part that counts.
    #[arg(long, default_value_t = 3)]
    warm_up_s: u64,
    /// Seconds that count.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

/// When the part that counts begins and ends.
#[derive(Debug, Clone, Copy)]
struct Window {
    begin: Instant,
    end: Instant,
}

/// Messages that a connection had acknowledged.
#[derive(Debug, Default)]
struct Acknowledged {
    /// Within the window.
    counted: u64,
    /// In all.
    all: u64,
}

/// Sends, checks every answer, and waits until all inboxes hold what was acknowledged.
pub(crate) async fn run(target: &Target, load: &Load) -> Result<()> {
    let pairs = pairs::open(target, load.pairs).await?;
    let before = inboxes::events(target, &pairs).await?;
    let begin = Instant::now() + Duration::from_secs(load.warm_up_s);
    let window = Window { begin, end: begin + Duration::from_secs(load.seconds) };
    let mut sending = JoinSet::new();
    for connection in 0..load.connections {
        let postings = postings(&pairs, load, connection);
        let connection = Connection::open(target.address).await?;
        sending.spawn(send(connection, postings, window));
    }
    tokio::time::sleep_until(window.begin.into()).await;
    caller::begin()?;
    let mut total = Acknowledged::default();
    while let Some(sent) = sending.join_next().await {
        let Acknowledged { counted, all } = sent??;
        total.counted += counted;
        total.all += all;
    }
    caller::end()?;
    // Both members of a conversation have each of its messages.
    let behind = inboxes::wait_for(target, &pairs, before + 2 * total.all).await?;
    caller::result(json!({
        "messages": total.counted,
        "seconds": load.seconds,
        "inboxes_behind_ms": behind.as_millis() as u64,
    }))
}

/// The requests of the accounts that use this connection: every account has one of its own.
fn postings(pairs: &[Pair], load: &Load, connection: usize) -> Vec<Posting> {
    let accounts = pairs.iter().flat_map(|pair| pair.tokens.iter().map(|token| (&pair.conversation, token)));
    let own = accounts.skip(connection).step_by(load.connections);
    own.map(|(conversation, token)| match load.batch {
        1 => Posting::single(conversation, token),
        messages => Posting::batch(conversation, token, messages),
    })
    .collect()
}

async fn send(
    mut connection: Connection,
    mut postings: Vec<Posting>,
    window: Window,
) -> Result<Acknowledged> {
    ensure!(!postings.is_empty(), "there are more connections than accounts");
    let mut acknowledged = Acknowledged::default();
    for round in 0.. {
        for posting in &mut postings {
            let messages = posting.messages() as u64;
            // Unique for its sender, which is all that is asked of a client_id.
            let answer = connection.exchange(posting.stamped(round * messages)).await?;
            check(&answer, messages)?;
            acknowledged.all += messages;
            let now = Instant::now();
            if now >= window.end {
                return Ok(acknowledged);
            }
            if now >= window.begin {
                acknowledged.counted += messages;
            }
        }
    }
    Ok(acknowledged)
}

/// Every message must be new and stored.
fn check(answer: &Answer<'_>, messages: u64) -> Result<()> {
    let shown = answer.body.escape_ascii();
    if messages == 1 {
        ensure!(answer.status == 201, "a message was answered {}: {shown}", answer.status);
        return Ok(());
    }
    let stored = memmem::find_iter(answer.body, br#"{"status":201,"#).count() as u64;
    ensure!(answer.status == 200 && stored == messages, "a batch was answered {}: {shown}", answer.status);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_stored_counts() {
        let answer = |status, body: &'static str| Answer { status, body: body.as_bytes() };
        assert!(check(&answer(201, "{}"), 1).is_ok());
        assert!(check(&answer(200, "{}"), 1).is_err());
        let both = r#"{"results":[{"status":201,"message":{}},{"status":201,"message":{}}]}"#;
        let one = r#"{"results":[{"status":201,"message":{}},{"status":503,"problem":{}}]}"#;
        assert!(check(&answer(200, both), 2).is_ok());
        assert!(check(&answer(200, one), 2).is_err());
        assert!(check(&answer(503, both), 2).is_err());
    }

    #[test]
    fn every_account_uses_one_connection() {
        let pair = || Pair { tokens: ["a".to_owned(), "b".to_owned()], conversation: "c".to_owned() };
        let load = Load { connections: 3, pairs: 5, batch: 2, warm_up_s: 0, seconds: 0 };
        let pairs: Vec<Pair> = (0..load.pairs).map(|_| pair()).collect();
        let accounts: Vec<usize> =
            (0..3).map(|connection| postings(&pairs, &load, connection).len()).collect();
        assert_eq!(accounts, [4, 3, 3]);
        assert_eq!(postings(&pairs, &load, 0)[0].messages(), 2);
    }
}

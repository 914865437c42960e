//! Before the load: whether the server is there and believes us, tokens, conversations, streams.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::task::JoinSet;

use crate::device;
use crate::failure::Failure;
use crate::groups;
use crate::jobs::{JOBS_MAX, Job};
use crate::line::Line;
use crate::measure::ErrorKind;
use crate::plan::TokenSource;
use crate::sender;
use crate::server::{self, Call};
use crate::world::{Conversation, World};

/// Connections that set up.
pub const CONNECTIONS: u32 = 32;

/// Watchers look once a second.
const LOOKED_AT_BY: Duration = Duration::from_millis(1200);

/// Phases before the load that make no progress for so long are given up.
const STALLED: Duration = Duration::from_secs(30);

/// Whether the server is there, and is what it should be.
///
/// # Errors
/// What is wrong, and what to do about it.
pub async fn check(world: &World) -> Result<()> {
    let target = &world.plan.server.targets[0];
    if let Err(failure) = try_check(world).await {
        match (failure.kind, failure.status) {
            (ErrorKind::Connect, _) => {
                bail!("cannot connect to {target}: {}; is it running, and is --target right?", failure.what)
            }
            (ErrorKind::Handshake, _) => {
                bail!("no TLS or HTTP/2 with {target}: {}; see --ca-file and --http", failure.what)
            }
            (_, Some(401 | 403)) => bail!(
                "{target} does not believe the token: {}; see --token-secret-file and --tokens",
                failure.what
            ),
            (_, Some(404)) => bail!(
                "{target} does not know this address: {}; is it the server's public port?",
                failure.what
            ),
            (ErrorKind::NoAnswer, _) => bail!(
                "{target} does not answer: {}; is it a server of HTTP/{}? See --target and --http",
                failure.what,
                world.plan.server.http.name()
            ),
            _ => bail!("{target} does not answer as it should: {failure}"),
        }
    }
    Ok(())
}

async fn try_check(world: &World) -> Result<(), Failure> {
    if world.plan.server.tokens == TokenSource::Dev {
        ask_token(world, &mut Line::new(world.plan.server.http), 0).await?;
    }
    if !world.server.is_godwit() {
        // An account that never sends or receives anything else.
        let subscribe = world.server.subscribe(world, 0)?;
        return device::probe(world, &subscribe).await;
    }
    let token = world.accounts.borrow().token(0);
    let call = server::get("/v1/sync?limit=1", &token);
    let answer = Line::new(world.plan.server.http).exchange(&world.dialer, call).await?;
    match answer.status {
        200 => Ok(()),
        _ => Err(answer.failure()),
    }
}

/// Asks `godwit dev` for each account's token, where that is where they come from.
///
/// # Errors
/// When the server gives none.
pub async fn tokens(world: &Rc<World>) -> Result<()> {
    if world.plan.server.tokens != TokenSource::Dev {
        return Ok(());
    }
    let mut asking = JoinSet::new();
    for first in 0..CONNECTIONS {
        let world = Rc::clone(world);
        asking.spawn_local(async move {
            let mut line = Line::new(world.plan.server.http);
            for account in (first..world.plan.accounts.count).step_by(CONNECTIONS as usize) {
                ask_token(&world, &mut line, account).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    Ok(())
}

async fn ask_token(world: &World, line: &mut Line, account: u32) -> Result<(), Failure> {
    #[derive(serde::Deserialize)]
    struct Given {
        token: String,
    }
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let path = {
        let accounts = world.accounts.borrow();
        let (name, device) = (encoded(&accounts.name(account)), encoded(accounts.device(account)));
        format!("/dev/token?account={name}&device={device}")
    };
    let call = Call { method: Method::GET, path, headers: Vec::new(), body: bytes::Bytes::new() };
    let answer = line.exchange(&world.dialer, call).await?;
    let given = serde_json::from_slice::<Given>(&answer.body).ok().filter(|_| answer.status == 200);
    let Some(given) = given else {
        let mut failure = answer.failure();
        let others = "only `godwit dev` gives tokens away, others need --token-secret-file or --tokens";
        failure.what = format!("GET /dev/token: {}; {others}", failure.what);
        return Err(failure);
    };
    world.accounts.borrow_mut().keep(account, given.token);
    Ok(())
}

/// Opens the conversations, at the server's pace.
///
/// # Errors
/// When the server refuses one, or does not answer for long.
pub async fn conversations(world: &Rc<World>) -> Result<()> {
    if world.plan.conversations.is_none() {
        return Ok(());
    }
    let drawn = groups::of(&world.plan);
    let (prefix, first) = (&world.plan.accounts.prefix, world.plan.accounts.first);
    // To a server without conversations this is the name of a channel.
    let named = (0..drawn.len()).map(|number| format!("{prefix}{first}-c{number}"));
    let named = named.zip(drawn).map(|(id, members)| Conversation { id: id.into(), members: members.into() });
    world.conversations.borrow_mut().extend(named);
    if !world.server.is_godwit() {
        channels(world);
        return Ok(());
    }
    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        senders.spawn_local(sender::run(Rc::clone(world)));
    }
    let count = world.conversations.borrow().len() as u32;
    let mut progress = Progress::new();
    for conversation in 0..count {
        while world.jobs.waiting() > JOBS_MAX / 2 {
            progress.check(world, u64::from(conversation))?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // There is room, as was just seen.
        let _ = world.jobs.push(Job::Open { conversation });
    }
    while tokio::time::timeout(Duration::from_millis(200), world.jobs.idle()).await.is_err() {
        progress.check(world, u64::from(count) - world.jobs.waiting() as u64)?;
    }
    progress.check(world, u64::MAX)
}

/// Notes which channel each account listens to.
fn channels(world: &World) {
    let mut channels = world.channels.borrow_mut();
    channels.resize(world.plan.accounts.count as usize, u32::MAX);
    for (number, conversation) in (0u32..).zip(world.conversations.borrow().iter()) {
        conversation.members.iter().for_each(|&member| channels[member as usize] = number);
    }
}

/// Opens a stream and closes it, and waits until a watcher has looked. What a worker needs once, the pages of
/// its program among it, is there then, and what its memory grows by afterwards is that of its streams.
///
/// # Errors
/// When there is no stream to be had.
pub async fn rehearse(world: &World) -> Result<()> {
    let subscribe = world.server.subscribe(world, 0)?;
    device::probe(world, &subscribe).await?;
    tokio::time::sleep(LOOKED_AT_BY).await;
    Ok(())
}

/// Opens the streams; ready when all are.
///
/// # Errors
/// When no stream comes about for long.
pub async fn streams(world: &Rc<World>) -> Result<()> {
    let count = world.plan.accounts.count;
    let began = Instant::now();
    for account in 0..count {
        if let Some(per_s) = world.plan.streams.opened_per_s {
            let due = began + Duration::from_secs_f64(f64::from(account) / per_s);
            if due > Instant::now() {
                tokio::time::sleep_until(due.into()).await;
            }
        }
        tokio::task::spawn_local(device::run(Rc::clone(world), account));
    }
    let mut progress = Progress::new();
    while world.streams.get() < u64::from(count) {
        progress.check(world, world.streams.get())?;
        let _ = tokio::time::timeout(Duration::from_millis(200), world.changed.notified()).await;
    }
    Ok(())
}

/// Whether something moves.
struct Progress {
    done: u64,
    since: Instant,
}

impl Progress {
    fn new() -> Self {
        Self { done: 0, since: Instant::now() }
    }

    fn check(&mut self, world: &World, done: u64) -> Result<()> {
        if let Some(failure) = world.refused.borrow().as_ref() {
            bail!("the server refuses a conversation: {failure}");
        }
        if done != self.done {
            *self = Self { done, since: Instant::now() };
        }
        if self.since.elapsed() < STALLED {
            return Ok(());
        }
        let why = world.failed.borrow().as_ref().map(|failure| format!("; the first failure: {failure}"));
        bail!("nothing has moved for {} s, {done} done{}", STALLED.as_secs(), why.unwrap_or_default());
    }
}

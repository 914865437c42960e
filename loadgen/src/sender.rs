//! Those who send: each has a connection, takes a job, and stays with it until it is answered.

use std::rc::Rc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::arrivals::Arrivals;
use crate::client_id::ClientId;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::jobs::{Job, Post};
use crate::line::{Answer, Line};
use crate::measure::{Count, ErrorKind, Timed};
use crate::plan::{MessagesPlan, Pace};
use crate::server::Answered;
use crate::world::World;

/// After a first attempt without an answer. Doubled with each that follows.
const PAUSE_MIN: Duration = Duration::from_millis(25);

/// The longest time between two attempts: a restarted server is found within it.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// An account that writes, and a conversation where it does.
pub type Voice = (u32, u32);

/// Every account that writes, once for each of its conversations.
pub fn voices(world: &World, active_share: f64) -> Vec<Voice> {
    let mut random = StdRng::seed_from_u64(world.plan.seed);
    let count = world.accounts.borrow().count();
    let active: Vec<bool> = (0..count).map(|_| random.random::<f64>() < active_share).collect();
    let conversations = world.conversations.borrow();
    let numbered = (0u32..).zip(conversations.iter());
    let voices = numbered.flat_map(|(number, conversation)| {
        let active = conversation.members.iter().filter(|&&member| active[member as usize]);
        active.map(move |&member| (member, number)).collect::<Vec<_>>()
    });
    voices.collect()
}

/// Hands out messages at times that were drawn beforehand, until the load is over.
pub async fn open_loop(world: Rc<World>, plan: MessagesPlan, begin: Instant, mut clock: Clock) {
    let Pace::Open { per_s, ramp_s } = plan.pace else { return };
    let voices = voices(&world, plan.active_share);
    let seed = world.plan.seed ^ u64::from(world.plan.worker);
    let mut random = StdRng::seed_from_u64(seed);
    let mut number = 0;
    let end = world.plan.times.load();
    for at in Arrivals::new(seed, per_s / f64::from(plan.outbox), ramp_s).take_while(|at| *at < end) {
        // Messages that are late are handed out at once, and others must have their turn all the same.
        tokio::task::coop::consume_budget().await;
        let Some(&voice) = voices.choose(&mut random) else { return };
        let due = begin + at;
        if clock.sleep_until(due).await.is_err() || world.stopped.get() {
            return;
        }
        let post = post(&world, voice, number, plan.outbox, due);
        number += u64::from(plan.outbox);
        if world.jobs.push(Job::Post(post)).is_err() {
            let what =
                || "the server is slower than the load: lower --rate or raise --connections".to_owned();
            (0..plan.outbox).for_each(|_| world.fail_with(ErrorKind::Overrun, what));
        }
    }
}

/// Sends one request after the other on one connection, the next when the last was answered.
pub async fn closed_loop(world: Rc<World>, plan: MessagesPlan, connection: u32, begin: Instant) {
    let own: Vec<Voice> = voices(&world, plan.active_share)
        .into_iter()
        .filter(|(account, _)| account % plan.connections == connection)
        .collect();
    let mut line = Line::new(world.plan.server.http);
    let end = begin + world.plan.times.load();
    let mut number = u64::from(connection) << 40;
    for &voice in own.iter().cycle() {
        let due = Instant::now();
        if due >= end || world.stopped.get() {
            return;
        }
        let post = post(&world, voice, number, plan.outbox, due);
        number += u64::from(plan.outbox);
        deliver(&world, &mut line, Job::Post(post)).await;
    }
}

fn post(world: &World, (sender, conversation): Voice, number: u64, outbox: u32, due: Instant) -> Post {
    world.count_many(Count::Due, u64::from(outbox));
    let (run, worker, due_us) = (world.plan.run, world.plan.worker, world.micros(due));
    let id = ClientId { run, worker, conversation, sender, number, due_us };
    Post { id, count: outbox as u16, due, sent: None }
}

/// Takes jobs for ever.
pub async fn run(world: Rc<World>) {
    let mut line = Line::new(world.plan.server.http);
    loop {
        let job = world.jobs.take().await;
        deliver(&world, &mut line, job).await;
        world.jobs.finish();
    }
}

/// Sends a job, again and again, until it is answered for good or nobody waits for it any more.
pub async fn deliver(world: &World, line: &mut Line, mut job: Job) {
    if let Job::Post(post) = &mut job {
        if world.is_timed(post.id.due_us) {
            world.time(Timed::SentLate, post.due.elapsed());
        }
        post.sent = world.moment();
    }
    let mut pause = PAUSE_MIN;
    while let Err(failure) = attempt(world, line, &job).await {
        world.fail(&failure);
        if world.given_up.get() {
            return;
        }
        world.count(Count::Repeated);
        // Somewhere between half and whole, so that those who failed together do not come back together.
        let wait = failure.retry_after.unwrap_or_else(|| pause.mul_f64(rand::random_range(0.5..1.0)));
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Sends a job once.
///
/// # Errors
/// Why it is to be sent again.
async fn attempt(world: &World, line: &mut Line, job: &Job) -> Result<(), Failure> {
    let call = match world.server.call(world, job) {
        Ok(call) => call,
        Err(failure) => {
            world.fail(&failure);
            return Ok(());
        }
    };
    let answer = line.exchange(&world.dialer, call).await?;
    match job {
        Job::Post(post) => match world.server.answered(world, post, &answer) {
            Answered::Stored(messages) => acknowledged(world, post, messages),
            Answered::Again(failure) => return Err(failure),
            Answered::Never(failure) => world.fail(&failure),
        },
        Job::Open { conversation } => return opened(world, *conversation, &answer),
        Job::Ack { .. } => return told(world, Count::Ack, &answer),
        Job::State { .. } => return told(world, Count::StateChange, &answer),
    }
    Ok(())
}

fn acknowledged(world: &World, post: &Post, messages: Vec<godwit_judge::Message>) {
    world.count_many(Count::Acknowledged, u64::from(post.count));
    let conversations = world.conversations.borrow();
    let members = conversations[post.id.conversation as usize].members.len() as u64;
    world.count_many(Count::Owed, u64::from(post.count) * (members - 1));
    if world.is_timed(post.id.due_us) {
        world.time(Timed::Acknowledged, post.due.elapsed());
    }
    let (Some(history), Some(sent)) = (&world.history, post.sent) else { return };
    match messages.len() {
        1 => messages.into_iter().for_each(|message| history.acknowledged(sent, message)),
        _ => history.acknowledged_batch(sent, messages),
    }
}

/// Takes the answer to what a device tells the server.
fn told(world: &World, count: Count, answer: &Answer) -> Result<(), Failure> {
    match answer.status {
        200..300 => world.count(count),
        501 => world.count(Count::NotImplemented),
        429 | 503 => return Err(answer.failure()),
        _ => world.fail(&answer.failure()),
    }
    Ok(())
}

/// Takes the id of a conversation that was opened.
fn opened(world: &World, conversation: u32, answer: &Answer) -> Result<(), Failure> {
    match answer.status {
        200 | 201 => {
            let opened = serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
            let Some(id) = opened.as_ref().and_then(|opened| opened["id"].as_str()) else {
                world.refused.replace(Some(answer.failure()));
                return Ok(());
            };
            world.conversations.borrow_mut()[conversation as usize].id = id.into();
            world.count(Count::Conversation);
            Ok(())
        }
        429 | 503 => Err(answer.failure()),
        // Nothing that comes later can be right without it.
        _ => {
            world.refused.replace(Some(answer.failure()));
            Ok(())
        }
    }
}

//! After the load: what is under way arrives, and whoever judges has something to judge by.
//!
//! One more message is sent in each conversation after all others were answered. Inboxes are in one
//! order, so who has the last one has all.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use godwit_judge::Expected;

use crate::client_id::ClientId;
use crate::jobs::{Job, Post};
use crate::line::ANSWER_MAX;
use crate::measure::{Count, ErrorKind};
use crate::plan::VerifyPlan;
use crate::report::Verdict;
use crate::world::{Order, World};

/// Waits for answers to all messages; what is not answered is counted and given up.
pub async fn answers(world: &World, deadline: Instant) {
    if tokio::time::timeout_at(deadline.into(), world.jobs.idle()).await.is_err() {
        let unsent = world.jobs.clear();
        world.given_up.set(true);
        let what = || "the server did not answer in time: raise --settle-s, or lower --rate".to_owned();
        (0..unsent).for_each(|_| world.fail_with(ErrorKind::Unanswered, what));
        // Those that are on their way are answered, or given up by those who sent them.
        let _ = tokio::time::timeout(ANSWER_MAX + Duration::from_secs(1), world.jobs.idle()).await;
        world.given_up.set(false);
    }
}

/// Everyone listens, as fast as it comes.
pub fn listen(world: &World) {
    world.devices.iter().for_each(|device| device.tell(Order::Look));
}

/// Sends the last message of each conversation and waits until all members have it. Says whether they do.
pub async fn last_messages(world: &Rc<World>, deadline: Instant) -> bool {
    let ids: Vec<ClientId> = {
        let conversations = world.conversations.borrow();
        let numbered = (0u32..).zip(conversations.iter());
        let (run, worker, due_us) = (world.plan.run, world.plan.worker, world.micros(Instant::now()));
        let id = |(conversation, sender)| ClientId { run, worker, conversation, sender, number: 0, due_us };
        numbered.map(|(number, conversation)| id((number, conversation.members[0])).last()).collect()
    };
    let wanted: usize =
        world.conversations.borrow().iter().map(|conversation| conversation.members.len()).sum();
    for id in ids {
        world.count(Count::Due);
        let post = Post { id, count: 1, due: Instant::now(), sent: None };
        while world.jobs.push(Job::Post(post.clone())).is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    answers(world, deadline).await;
    while world.lasts.borrow().len() < wanted {
        let changed = world.changed.notified();
        if tokio::time::timeout_at(deadline.into(), changed).await.is_err() {
            return false;
        }
    }
    true
}

/// What the judge says, if one was asked for.
pub fn verdict(world: &World) -> Option<Verdict> {
    let history = world.history.as_ref()?;
    let mut verdict = Verdict::default();
    let away = world.devices.iter().filter(|device| !(device.ready.get() && device.caught_up.get())).count();
    if away > 0 {
        let reason = format!("{away} devices had no stream that had caught up when the time was over");
        verdict.inconclusive = Some(reason);
    }
    if history.full() {
        verdict.inconclusive = Some("the history was full: a shorter run, or a lower rate".to_owned());
    }
    // Who is away may yet get what is missing: without them, lost is not lost.
    match history.check(&expected(world)) {
        Ok(checked) => {
            verdict.messages = checked.messages as u64;
            verdict.deliveries = checked.deliveries as u64;
            verdict.events = checked.events as u64;
            verdict.streams = checked.streams as u64;
            verdict.resumes = checked.resumes as u64;
        }
        Err(violation) => verdict.violation = Some(violation.to_string()),
    }
    Some(verdict)
}

/// Members of each conversation, and the readers who have followed all the time and are here now.
fn expected(world: &World) -> Expected {
    let accounts = world.accounts.borrow();
    let conversations = world.conversations.borrow();
    let members = conversations.iter().map(|conversation| {
        (
            conversation.id.to_string(),
            conversation.members.iter().map(|&member| accounts.name(member)).collect(),
        )
    });
    let here =
        (0u32..).zip(&world.devices).filter(|(_, device)| device.ready.get() && device.caught_up.get());
    let complete = here.map(|(account, _)| (accounts.name(account), accounts.device(account).to_owned()));
    Expected { members: members.collect(), complete: complete.collect() }
}

/// Writes the whole history into the plan's directory, if it names one.
///
/// # Errors
/// When it cannot be written.
pub fn write(world: &World, plan: &VerifyPlan, mut verdict: Verdict) -> Result<Verdict> {
    let (Some(directory), Some(history)) = (&plan.history, &world.history) else { return Ok(verdict) };
    let path = directory.join(format!("worker-{}.jsonl", world.plan.worker));
    let written = std::fs::create_dir_all(directory).and_then(|()| File::create(&path)).and_then(|file| {
        let mut file = BufWriter::new(file);
        history.write(&mut file)?;
        file.flush()
    });
    written.with_context(|| format!("cannot write the history to {}", path.display()))?;
    verdict.history.push(path.display().to_string());
    Ok(verdict)
}

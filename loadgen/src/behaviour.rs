//! What devices do besides listening: streams end, phones leave, acknowledgements are sent.
//!
//! One task looks after all of them, twenty times a second: timers of their own would cost an idle
//! stream a third of its memory.

use std::cmp::Reverse;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::device::{self, LEFT_FOR};
use crate::jobs::Job;
use crate::world::{Order, World};

/// How exactly a stream's end is kept.
const STEP: Duration = Duration::from_millis(50);

/// Steps in which each device's turn to acknowledge comes once: 2 s, as the API asks.
const ACK_STEPS: usize = 40;

/// Looks for silent streams once in so many steps: 5 s.
const SILENT_STEPS: usize = 100;

/// A stream is silent after so many heartbeats that did not come.
const HEARTBEATS_MISSED: u64 = 3;

/// Runs for ever.
pub async fn run(world: Rc<World>) {
    let mut steps = tokio::time::interval(STEP);
    steps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut random = StdRng::seed_from_u64(!world.plan.seed ^ u64::from(world.plan.worker));
    let mut next_storm = None;
    for step in 0.. {
        let now = steps.tick().await.into_std();
        if world.is_loaded() {
            end_streams(&world, now, &mut random);
            storm(&world, now, &mut next_storm);
        }
        if world.plan.streams.acks {
            acknowledge(&world, step % ACK_STEPS);
        }
        if step % SILENT_STEPS == 0 {
            find_silent(&world);
        }
        forget_left(&world, now);
    }
}

/// Ends the streams whose time is over.
fn end_streams(world: &World, now: Instant, random: &mut StdRng) {
    loop {
        let due = world.ends.borrow().peek().map(|Reverse(end)| *end);
        let Some((_, account, opened)) = due.filter(|(end, ..)| *end <= now) else { return };
        world.ends.borrow_mut().pop();
        let device = &world.devices[account as usize];
        // It may be gone, or be another one already.
        if device.ready.get() && device.opened.get() == opened {
            device.tell(how(world, random));
        }
    }
}

/// How a stream ends.
fn how(world: &World, random: &mut StdRng) -> Order {
    let plan = &world.plan.streams;
    if random.random::<f64>() < plan.left_share {
        Order::Leave
    } else if random.random::<f64>() < plan.background_share {
        Order::Background
    } else {
        Order::Close
    }
}

/// Cuts all streams at once, when it is time.
fn storm(world: &World, now: Instant, next: &mut Option<Instant>) {
    let Some(every_s) = world.plan.streams.storm_every_s else { return };
    let every = Duration::from_secs_f64(every_s);
    let due = *next.get_or_insert(now + every);
    if now >= due {
        *next = Some(due + every);
        world.devices.iter().filter(|device| device.ready.get()).for_each(|device| device.tell(Order::Reset));
    }
}

/// Acknowledges for the devices whose turn it is.
fn acknowledge(world: &World, turn: usize) {
    let devices = (0u32..).zip(&world.devices).skip(turn).step_by(ACK_STEPS);
    for (account, device) in devices.filter(|(_, device)| device.ready.get()) {
        if device.owes_ack.replace(false) && world.jobs.push(Job::Ack { account }).is_err() {
            device.owes_ack.set(true);
        }
    }
}

fn find_silent(world: &World) {
    let heartbeat_s = world.heartbeat_ms.get().div_ceil(1000);
    if heartbeat_s == 0 {
        return;
    }
    let now_s = world.began.elapsed().as_secs();
    for (account, device) in (0u32..).zip(&world.devices) {
        let quiet_s = now_s.saturating_sub(u64::from(device.heard_s.get()));
        // One that reads slowly may be far behind.
        let waits = device.ready.get() && !device.slow.get();
        if waits && quiet_s > heartbeat_s * HEARTBEATS_MISSED {
            device::silent(world, account);
        }
    }
}

/// Resets streams that were left long ago: the server has had its time.
fn forget_left(world: &World, now: Instant) {
    let mut left = world.left.borrow_mut();
    while left.front().is_some_and(|(since, _)| now.duration_since(*since) > LEFT_FOR) {
        if let Some((_, stream)) = left.pop_front() {
            stream.reset();
        }
    }
}

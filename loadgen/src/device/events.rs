//! What a device does with what comes on its stream.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use godwit_sse::{Event, Item};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;

use crate::arrivals::exponential;
use crate::client_id::ClientId;
use crate::jobs::Job;
use crate::measure::{Count, Timed};
use crate::server::Seen;
use crate::world::World;

/// Takes an item of a stream that was wished for at `wish`.
pub(super) fn take(world: &World, account: u32, wish: Instant, item: Item<'_>) {
    let device = &world.devices[account as usize];
    device.heard_s.set(world.began.elapsed().as_secs() as u32);
    match item {
        Item::Retry(ms) => device.retry_ms.set(u32::try_from(ms).unwrap_or(u32::MAX)),
        Item::Comment(_) => world.count(Count::Heartbeat),
        Item::Event(event) => take_event(world, account, wish, &event),
    }
}

fn take_event(world: &World, account: u32, wish: Instant, event: &Event<'_>) {
    let device = &world.devices[account as usize];
    world.count(Count::Event);
    if event.has_id {
        event.last_event_id.clone_into(&mut device.last_event_id.borrow_mut());
    }
    if let (Some(history), Some(stream)) = (&world.history, device.stream.get()) {
        // What is no JSON the judge calls malformed.
        let data: Value = serde_json::from_str(event.data).unwrap_or_default();
        history.event(stream, event.event, if event.has_id { event.last_event_id } else { "" }, &data);
    }
    match world.server.seen(event) {
        Seen::Ready { heartbeat_ms } if !device.ready.get() => ready(world, account, wish, heartbeat_ms),
        Seen::Message(id) => message(world, account, id),
        Seen::CaughtUp => {
            device.caught_up.set(true);
            world.time(Timed::CaughtUp, wish.elapsed());
            world.changed.notify_waiters();
        }
        Seen::Gap => world.count(Count::Gap),
        Seen::Ready { .. } | Seen::Other => {}
    }
}

/// A stream is there.
pub(super) fn ready(world: &World, account: u32, wish: Instant, heartbeat_ms: Option<u64>) {
    let device = &world.devices[account as usize];
    device.ready.set(true);
    if let Some(heartbeat_ms) = heartbeat_ms {
        world.heartbeat_ms.set(heartbeat_ms.max(world.heartbeat_ms.get()));
    } else {
        // There is no replay, or none that says when it is over.
        device.caught_up.set(true);
    }
    if device.background.replace(false) {
        // The open stream says as much, should there be no room for it.
        let _ = world.jobs.push(Job::State { account, background: false });
    }
    world.time(Timed::Opened, wish.elapsed());
    world.streams.set(world.streams.get() + 1);
    world.changed.notify_waiters();
    plan_end(world, account);
}

/// Draws when the stream that a device has is to end, if streams do.
pub fn plan_end(world: &World, account: u32) {
    let Some(life_s) = world.plan.streams.life_s.filter(|_| world.is_loaded()) else { return };
    let opened = world.devices[account as usize].opened.get();
    let mut random = StdRng::seed_from_u64(!world.seed_of(account, opened));
    let end = Instant::now() + exponential(&mut random, Duration::from_secs_f64(life_s));
    world.ends.borrow_mut().push(Reverse((end, account, opened)));
}

fn message(world: &World, account: u32, id: ClientId) {
    if (id.run, id.worker) != (world.plan.run, world.plan.worker) {
        return;
    }
    world.devices[account as usize].owes_ack.set(true);
    if id.is_last() {
        world.lasts.borrow_mut().insert((account, id.conversation));
        world.changed.notify_waiters();
    }
    if id.sender == account {
        return;
    }
    world.count(Count::Arrived);
    if world.is_timed(id.due_us) {
        let arrived = world.micros(Instant::now());
        world.time(Timed::Arrived, Duration::from_micros(arrived.saturating_sub(id.due_us)));
    }
}

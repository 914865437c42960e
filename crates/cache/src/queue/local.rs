//! The push queue of a node by itself: in the process, gone with it.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::{Entry, Job, Pushed, REMEMBERED};
use crate::metrics;
use crate::options::PushBounds;

/// Ids that are remembered, twice what the queue holds by default; the oldest go.
const IDS_MAX: usize = 200_000;

pub(super) struct Local {
    bounds: PushBounds,
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    /// The number of the next job.
    next: u64,
    waiting: VecDeque<(u64, Held)>,
    taken: BTreeMap<u64, Taken>,
    dead: VecDeque<(String, u32, Bytes)>,
    ids: HashSet<Arc<str>>,
    /// The same ids, oldest first, and when they are forgotten.
    ends: VecDeque<(Instant, Arc<str>)>,
}

struct Held {
    id: Arc<str>,
    bytes: Bytes,
}

struct Taken {
    held: Held,
    consumer: Arc<str>,
    attempts: u32,
    /// From when on it counts as left behind.
    free_at: Instant,
}

impl Local {
    pub(super) fn new(bounds: PushBounds) -> Self {
        Self { bounds, state: Mutex::default(), arrived: Notify::new() }
    }

    pub(super) fn push(&self, id: &str, bytes: Bytes) -> Pushed {
        let (queued, pushed) = oneshot::channel();
        let mut state = self.state.lock();
        let id = Arc::from(id);
        if !state.remember(&id, Instant::now()) {
            let _ = queued.send(());
            return Pushed(pushed);
        }
        if state.waiting.len() + state.taken.len() >= self.bounds.queue_jobs {
            metrics::dropped(1);
            // All are with consumers: this one is the oldest that waits.
            if state.waiting.pop_front().is_none() {
                return Pushed(pushed);
            }
        }
        let number = state.next;
        state.next += 1;
        state.waiting.push_back((number, Held { id, bytes }));
        let _ = queued.send(());
        self.arrived.notify_one();
        Pushed(pushed)
    }

    pub(super) async fn claim(&self, consumer: &str, max: usize, block: Duration) -> Vec<Job> {
        let until = Instant::now() + block;
        let consumer = Arc::from(consumer);
        loop {
            let (jobs, free_at) = self.take(&consumer, max);
            if !jobs.is_empty() || Instant::now() >= until {
                return jobs;
            }
            let wake = free_at.map_or(until, |at| at.min(until));
            // Elapsed: a job may be free again, or the time is over.
            let _ = tokio::time::timeout_at(wake, self.arrived.notified()).await;
        }
    }

    /// Up to `max` jobs, else when the first that is with a consumer may be taken from it.
    fn take(&self, consumer: &Arc<str>, max: usize) -> (Vec<Job>, Option<Instant>) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let mut jobs = Vec::new();
        let left: Vec<u64> = state
            .taken
            .iter()
            .filter(|(_, taken)| taken.free_at <= now)
            .map(|(number, _)| *number)
            .take(max)
            .collect();
        for number in left {
            let Some(taken) = state.taken.remove(&number) else { continue };
            if taken.attempts >= self.bounds.tries {
                state.bury(taken, self.bounds.dead_jobs);
            } else {
                jobs.push(state.hand(
                    number,
                    taken.held,
                    taken.attempts + 1,
                    consumer,
                    now + self.bounds.idle,
                ));
            }
        }
        while jobs.len() < max
            && let Some((number, held)) = state.waiting.pop_front()
        {
            jobs.push(state.hand(number, held, 1, consumer, now + self.bounds.idle));
        }
        if !state.waiting.is_empty() {
            self.arrived.notify_one();
        }
        (jobs, state.taken.values().map(|taken| taken.free_at).min())
    }

    pub(super) fn done(&self, entry: &Entry) {
        if let Ok(number) = entry.at.parse() {
            self.state.lock().taken.remove::<u64>(&number);
        }
    }

    pub(super) fn failed(&self, entry: &Entry, retry_in: Duration) {
        let Ok(number) = entry.at.parse::<u64>() else { return };
        let mut state = self.state.lock();
        let Some(taken) = state.taken.get_mut(&number).filter(|taken| taken.consumer == entry.consumer)
        else {
            return;
        };
        if taken.attempts < self.bounds.tries {
            taken.free_at = Instant::now() + retry_in.min(self.bounds.idle);
        } else if let Some(taken) = state.taken.remove(&number) {
            state.bury(taken, self.bounds.dead_jobs);
        }
        drop(state);
        self.arrived.notify_one();
    }

    pub(super) fn dead(&self, max: usize) -> Vec<(String, u32, Bytes)> {
        self.state.lock().dead.iter().take(max).cloned().collect()
    }
}

impl State {
    /// False when the id is known.
    fn remember(&mut self, id: &Arc<str>, now: Instant) -> bool {
        while self.ends.front().is_some_and(|(end, _)| *end <= now) || self.ends.len() >= IDS_MAX {
            if let Some((_, old)) = self.ends.pop_front() {
                self.ids.remove(&old);
            }
        }
        let new = self.ids.insert(Arc::clone(id));
        if new {
            self.ends.push_back((now + REMEMBERED, Arc::clone(id)));
        }
        new
    }

    fn hand(&mut self, number: u64, held: Held, attempts: u32, consumer: &Arc<str>, free_at: Instant) -> Job {
        let entry = Entry { at: number.to_string(), consumer: Arc::clone(consumer) };
        let job = Job { entry, id: held.id.to_string(), attempts, bytes: held.bytes.clone() };
        self.taken.insert(number, Taken { held, consumer: Arc::clone(consumer), attempts, free_at });
        job
    }

    fn bury(&mut self, taken: Taken, dead_max: usize) {
        metrics::dead_letters(1);
        self.dead.push_back((taken.held.id.to_string(), taken.attempts, taken.held.bytes));
        while self.dead.len() > dead_max {
            self.dead.pop_front();
        }
    }
}

//! What a worker's parts share. One thread has it all, so nothing here is locked.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use anyhow::Result;
use godwit_judge::{History, Moment, StreamId};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{Notify, Semaphore};

use crate::account::Accounts;
use crate::dial::Dialer;
use crate::failure::Failure;
use crate::jobs::Jobs;
use crate::measure::{Count, ErrorKind, Phase, Tick, Timed};
use crate::plan::Plan;
use crate::server::Server;
use crate::stream::Stream;
use crate::stream::http2::Connections;

/// Streams that one worker opens at once. A few workers together stay below the connections that a
/// server takes from one address before they show a token (2,048 by default).
const OPENING_MAX: usize = 256;

/// What a worker's parts share.
pub struct World {
    /// What is to be done.
    pub plan: Plan,
    /// The way to the server.
    pub dialer: Dialer,
    /// What it speaks.
    pub server: Server,
    /// HTTP/2 connections of streams.
    pub connections: Connections,
    /// Who the clients are.
    pub accounts: RefCell<Accounts>,
    /// One for each account.
    pub devices: Vec<Device>,
    /// Who talks to whom; filled in the phase [`Phase::Setup`].
    pub conversations: RefCell<Vec<Conversation>>,
    /// What is to be sent.
    pub jobs: Jobs,
    /// What the judge will look at.
    pub history: Option<History>,
    /// What happened since the last tick was sent.
    pub tick: RefCell<Tick>,
    /// What is being done.
    pub phase: Cell<Phase>,
    /// Messages that are due from here to there, in microseconds from `began`, are timed.
    pub timed: Cell<(u64, u64)>,
    /// Streams that are past their `ready`.
    pub streams: Cell<u64>,
    /// Something changed that the worker's main line may wait for.
    pub changed: Notify,
    /// The load is over before its time.
    pub stopped: Cell<bool>,
    /// Nobody waits for answers any more.
    pub given_up: Cell<bool>,
    /// The first failure.
    pub failed: RefCell<Option<Failure>>,
    /// The conversation of each account, by their numbers; kept for servers that have channels only.
    pub channels: RefCell<Vec<u32>>,
    /// A conversation cannot be set up: why.
    pub refused: RefCell<Option<Failure>>,
    /// Streams that were left without a word, and when: the server does not know yet.
    pub left: RefCell<VecDeque<(Instant, Stream)>>,
    /// Streams that are to end, the next first: when, whose, and which of its streams.
    pub ends: RefCell<BinaryHeap<Reverse<(Instant, u32, u32)>>>,
    /// Last messages that were seen: by whom, and of which conversation.
    pub lasts: RefCell<HashSet<(u32, u32)>>,
    /// Streams that are being opened, at most.
    pub opening: Semaphore,
    /// The longest time between two heartbeats, as the server says, in milliseconds.
    pub heartbeat_ms: Cell<u64>,
    /// What all times are counted from.
    pub began: Instant,
}

/// A conversation that was set up.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    /// Its id; a channel, to a server that has no conversations.
    pub id: Rc<str>,
    /// Numbers of accounts.
    pub members: Box<[u32]>,
}

/// What a device is told to do with its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Hold it.
    #[default]
    Hold,
    /// Reset the connection and come back at once.
    Reset,
    /// Close it, come back later.
    Close,
    /// Say goodbye to the screen first, then close.
    Background,
    /// Leave without a word, come back later.
    Leave,
    /// Look again at what applies: the load is over.
    Look,
}

/// An account's device, as little as can be said of it: there are many thousand.
#[derive(Default)]
pub struct Device {
    /// What it is to do.
    pub order: Cell<Order>,
    /// Wakes its task.
    pub waker: Cell<Option<Waker>>,
    /// The stream that it has, by the judge's name; none while it has none or nobody judges.
    pub stream: Cell<Option<StreamId>>,
    /// What it would resume from; empty: nothing yet.
    pub last_event_id: RefCell<String>,
    /// When something last came, in seconds from the world's beginning.
    pub heard_s: Cell<u32>,
    /// Streams so far: tells a deadline of this one from one of an earlier one.
    pub opened: Cell<u32>,
    /// What the server says about when to come back, in milliseconds.
    pub retry_ms: Cell<u32>,
    /// Open and past its `ready`.
    pub ready: Cell<bool>,
    /// Has caught up after a resume, or did not need to.
    pub caught_up: Cell<bool>,
    /// Has something to acknowledge, and an acknowledgement of it is to be sent.
    pub owes_ack: Cell<bool>,
    /// Its app is in the background, and the server knows.
    pub background: Cell<bool>,
    /// Reads slowly while the load lasts.
    pub slow: Cell<bool>,
}

impl Device {
    /// Tells it what to do.
    pub fn tell(&self, order: Order) {
        self.order.set(order);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl World {
    /// Before anything has happened.
    ///
    /// # Errors
    /// When the plan asks for what cannot be: a target without an address, tokens that are not there.
    pub async fn new(plan: Plan) -> Result<Rc<Self>> {
        let accounts = Accounts::new(&plan.accounts, &plan.server.tokens)?;
        let server = match &plan.server.profile {
            Some(profile) => Server::Profile(Box::new(profile.parse()?)),
            None => Server::Godwit,
        };
        let slow = slow(&plan);
        Ok(Rc::new(Self {
            dialer: Dialer::new(&plan.server).await?,
            server,
            connections: Connections::new(plan.server.streams_per_connection),
            accounts: RefCell::new(accounts),
            devices: slow.map(|slow| Device { slow: Cell::new(slow), ..Device::default() }).collect(),
            conversations: RefCell::default(),
            jobs: Jobs::default(),
            history: plan.verify.as_ref().map(|verify| History::new(verify.records_max)),
            tick: RefCell::default(),
            phase: Cell::new(Phase::Setup),
            timed: Cell::default(),
            streams: Cell::default(),
            changed: Notify::new(),
            stopped: Cell::default(),
            given_up: Cell::default(),
            failed: RefCell::default(),
            channels: RefCell::default(),
            refused: RefCell::default(),
            left: RefCell::default(),
            ends: RefCell::default(),
            lasts: RefCell::default(),
            opening: Semaphore::new(OPENING_MAX),
            heartbeat_ms: Cell::default(),
            began: Instant::now(),
            plan,
        }))
    }

    /// Counts one.
    pub fn count(&self, count: Count) {
        self.count_many(count, 1);
    }

    /// Counts so many.
    pub fn count_many(&self, count: Count, many: u64) {
        self.tick.borrow_mut().counts[count] += many;
    }

    /// Records how long something took.
    pub fn time(&self, timed: Timed, took: Duration) {
        self.tick.borrow_mut().timings.record(timed, took.as_micros() as u64);
    }

    /// Records a failure.
    pub fn fail(&self, failure: &Failure) {
        self.fail_with(failure.kind, || failure.what.clone());
        self.failed.borrow_mut().get_or_insert_with(|| failure.clone());
    }

    /// Records a failure in these words.
    pub fn fail_with(&self, kind: ErrorKind, what: impl FnOnce() -> String) {
        self.tick.borrow_mut().errors.push(kind, what);
    }

    /// Microseconds from the world's beginning.
    pub fn micros(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_micros() as u64
    }

    /// Whether a message that is due then is one whose time counts.
    pub fn is_timed(&self, due_us: u64) -> bool {
        let (from, to) = self.timed.get();
        (from..to).contains(&due_us)
    }

    /// The judge's now, if there is one.
    pub fn moment(&self) -> Option<Moment> {
        self.history.as_ref().map(History::now)
    }

    /// Whether load is on: streams are cut and messages sent.
    pub fn is_loaded(&self) -> bool {
        matches!(self.phase.get(), Phase::WarmUp | Phase::Run) && !self.stopped.get()
    }

    /// A number for choices of one device, other for each of its streams.
    pub fn seed_of(&self, account: u32, stream: u32) -> u64 {
        let own = (u64::from(account) << 32) | u64::from(stream);
        self.plan.seed ^ own.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Which devices read slowly.
fn slow(plan: &Plan) -> impl Iterator<Item = bool> + use<> {
    let (share, mut random) = (plan.streams.slow_share, StdRng::seed_from_u64(!plan.seed));
    (0..plan.accounts.count).map(move |_| random.random::<f64>() < share)
}

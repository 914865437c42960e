//! A database of three replicas in memory, for tests and simulations of what several processes share.
//!
//! [`Database`] is the cluster, [`Memory`] one process that has connected to it. Writes and reads are at
//! quorum, two of three. Of two writes of one cell the one with the higher stamp counts, whichever lands
//! last; of two with one stamp a removal does. Nothing is kept beyond the process.
//!
//! # Writes
//!
//! `write` splits a batch by partition: the rows of one log in one bucket, one account's devices, one shard's
//! pending rows and so on. Each part goes to each replica as a *copy*. A copy lands whole. A write is
//! answered when every part of it has landed on two replicas. With no fault all copies land before `write`
//! returns.
//!
//! # Faults
//!
//! The test says what becomes of a client's next write ([`Fate`]) or swap ([`SwapFate`]), which replicas are
//! away, and, where writes are [held](Database::hold_writes), when and in which order copies land. What was
//! not said is drawn from the seed: which two replicas answer a read, which way an undecided swap
//! turns out. So the same seed and the same calls give the same answers. No clock, no runtime: a future
//! is ready at once, or when the test lets the copies land that it waits for.
//!
//! # Bounds
//!
//! None: memory grows with what is written. Removals of rows (one per trim or settling) are kept for good, and
//! each read of that log compares with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::Error;
use cluster::Cluster;

mod change;
mod cluster;
mod leases;
mod read;
mod replica;
mod store;

/// Replicas of a [`Database`].
pub const REPLICAS: usize = 3;

/// Replicas that have to have a write, and that answer a read.
pub const QUORUM: usize = 2;

/// What becomes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It lands on every replica that is not away. Copies for those that are away stay under way, as hints.
    Stored,
    /// The same, but the answer gets lost: an error.
    Unanswered,
    /// It lands nowhere, now or later, and the answer is an error.
    Lost,
    /// It lands on this replica; the other copies stay under way. The answer is an error.
    OnOne(usize),
    /// All copies are under way, in the hands of the test. The answer waits for them.
    Held,
}

/// What becomes of a compare-and-set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapFate {
    /// It is answered.
    Answered,
    /// It is carried out, and the answer gets lost: an error.
    Unanswered,
    /// It is not carried out, now or later; the answer is an error.
    Lost,
    /// Some replicas have taken it, too few to know. The answer is an error. The next serial read or swap of
    /// the same register decides, by the seed, whether it happened; until then a plain read may show it or not.
    Undecided,
    /// It has not begun: its coordinator is slow. The answer is an error. It is carried out, if then
    /// its condition holds, by [`Database::carry_out_late_swaps`], also after reads that did not show it.
    Late,
}

/// A cluster of three replicas. Clones are the same cluster.
#[derive(Clone)]
pub struct Database {
    cluster: Arc<Mutex<Cluster>>,
}

impl Database {
    /// An empty one, for that many shards. Everything left to chance is drawn from the seed.
    pub fn new(shards: u16, seed: u64) -> Self {
        Self { cluster: Arc::new(Mutex::new(Cluster::new(shards, seed))) }
    }

    /// One more process that uses it.
    pub fn client(&self) -> Memory {
        Memory {
            cluster: Arc::clone(&self.cluster),
            closed: AtomicBool::new(false),
            next_write: Mutex::new(None),
            next_swap: Mutex::new(None),
        }
    }

    /// Rows that are appended to an inbox from now on expire after that many seconds.
    pub fn expire_inboxes_after(&self, ttl_s: u32) {
        self.cluster.lock().inbox_ttl_s = Some(ttl_s);
    }

    /// Lets time pass by which rows expire.
    pub fn pass(&self, seconds: u64) {
        self.cluster.lock().now_s += seconds;
    }

    /// Whether writes without a [`Fate`] of their own are [`Fate::Held`] from now on.
    pub fn hold_writes(&self, held: bool) {
        self.cluster.lock().held = held;
    }

    /// Takes a replica (0, 1 or 2) away or brings it back. While it is away nothing lands on it and no read
    /// asks it; it keeps what it has, and what it missed stays under way. With two away every read and swap
    /// fails, and so do writes that are not held.
    pub fn set_away(&self, replica: usize, away: bool) {
        self.cluster.lock().away[replica] = away;
    }

    /// Which two replicas answer reads, if both are there; `None`: any two, by the seed.
    pub fn read_from(&self, pair: Option<[usize; QUORUM]>) {
        self.cluster.lock().read_from = pair;
    }

    /// How many copies are under way: of held writes, and those that replicas have missed.
    pub fn under_way(&self) -> usize {
        self.cluster.lock().copies.len()
    }

    /// How many copies have landed up to now: what two replicas say changes only when this does, when time
    /// passes, or by a swap.
    pub fn landed(&self) -> u64 {
        self.cluster.lock().landed
    }

    /// Copy number `i` of those under way lands. The last one takes its number. Whether it did: not on a
    /// replica that is away.
    pub fn land(&self, i: usize) -> bool {
        self.cluster.lock().land(i)
    }

    /// Copy number `i` of those under way is lost. The last one takes its number.
    pub fn lose(&self, i: usize) {
        self.cluster.lock().copies.swap_remove(i);
    }

    /// The write to which copy number `i` belongs is answered with an error, if it was not answered. Its copies
    /// stay under way.
    pub fn time_out(&self, i: usize) {
        self.cluster.lock().time_out(i);
    }

    /// Every copy under way lands, but for those of replicas that are away.
    pub fn land_all(&self) {
        self.cluster.lock().land_all();
    }

    /// Every copy under way is lost.
    pub fn lose_all(&self) {
        self.cluster.lock().copies.clear();
    }

    /// Carries out the swaps that were [`SwapFate::Late`], in the order in which they were asked for.
    pub fn carry_out_late_swaps(&self) {
        self.cluster.lock().leases.carry_out_late();
    }
}

/// One process that uses a [`Database`]: a [`Store`](crate::Store) and a [`LeaseStore`](crate::LeaseStore).
pub struct Memory {
    cluster: Arc<Mutex<Cluster>>,
    closed: AtomicBool,
    next_write: Mutex<Option<Fate>>,
    next_swap: Mutex<Option<SwapFate>>,
}

impl Memory {
    /// What becomes of the next write of this client.
    pub fn next_write(&self, fate: Fate) {
        *self.next_write.lock() = Some(fate);
    }

    /// What becomes of the next swap of this client.
    pub fn next_swap(&self, fate: SwapFate) {
        *self.next_swap.lock() = Some(fate);
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }
}

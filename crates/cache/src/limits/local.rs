//! Buckets in the process: all there is without Redis, and what applies while it is away.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use godwit_types::AccountId;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::gcra::{self, Limit, Verdict};

/// Locks over which the buckets are spread.
const STRIPES: usize = 16;
/// Buckets that are not full which one stripe remembers, 1 M in all and some 100 MB: more accounts than
/// one node serves within the seconds that a bucket needs to fill. Beyond it new ones are granted and
/// not remembered: a bound on memory must not lock out those who did nothing.
const BUCKETS_MAX: usize = 65_536;
/// Fewer buckets are never searched for full ones.
const SWEEP_MIN: usize = 1024;

/// Which limit, of whom.
type Key = (&'static str, AccountId);

pub(super) struct Local {
    start: Instant,
    hasher: RandomState,
    stripes: Vec<Mutex<Stripe>>,
}

#[derive(Default)]
struct Stripe {
    /// When each is full, in microseconds since the start.
    full_us: HashMap<Key, u64>,
    /// At how many they are searched for full ones.
    sweep_at: usize,
}

impl Local {
    pub(super) fn new() -> Self {
        let stripes = (0..STRIPES).map(|_| Mutex::default()).collect();
        Self { start: Instant::now(), hasher: RandomState::new(), stripes }
    }

    pub(super) fn take(&self, what: &'static str, of: &AccountId, cost: u32, limit: Limit) -> Verdict {
        let now = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX / 2);
        let key = (what, of.clone());
        let stripe = self.hasher.hash_one(&key) as usize % STRIPES;
        self.stripes[stripe].lock().take(key, now, cost, limit)
    }

    #[cfg(test)]
    fn buckets(&self) -> usize {
        self.stripes.iter().map(|stripe| stripe.lock().full_us.len()).sum()
    }
}

impl Stripe {
    fn take(&mut self, key: Key, now: u64, cost: u32, limit: Limit) -> Verdict {
        if let Some(full) = self.full_us.get_mut(&key) {
            let (next, verdict) = gcra::take(*full, now, cost, limit);
            *full = next;
            return verdict;
        }
        let (next, verdict) = gcra::take(now, now, cost, limit);
        if self.full_us.len() >= self.sweep_at.max(SWEEP_MIN) {
            self.full_us.retain(|_, full| *full > now);
            // Twice what is left: each bucket pays for a constant share of the sweeps.
            self.sweep_at = (self.full_us.len() * 2).min(BUCKETS_MAX);
        }
        if self.full_us.len() < BUCKETS_MAX {
            self.full_us.insert(key, next);
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn account(n: usize) -> AccountId {
        AccountId::new(&format!("u{n}")).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn full_buckets_are_forgotten() {
        let local = Local::new();
        let limit = Limit { per_second: 1, burst: 10 };
        let sweeps = STRIPES * SWEEP_MIN;
        for n in 0..sweeps * 4 {
            assert!(local.take("x", &account(n), 1, limit).allowed);
            tokio::time::advance(Duration::from_micros(500)).await;
        }
        // A second and thus 2,000 accounts are in debt at any moment.
        assert!(local.buckets() < sweeps * 2, "{}", local.buckets());
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_as_there_may_be_lock_nobody_out() {
        let mut stripe = Stripe::default();
        let limit = Limit { per_second: 1, burst: 1 };
        for n in 0..BUCKETS_MAX + 10 {
            assert!(stripe.take(("x", account(n)), 0, 1, limit).allowed, "{n}");
        }
        assert_eq!(stripe.full_us.len(), BUCKETS_MAX);
        assert!(!stripe.take(("x", account(3)), 0, 1, limit).allowed, "who is remembered is limited");
    }
}

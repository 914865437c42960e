//! Sending a request once more, within a budget.
//!
//! A database that is overloaded is not helped by everybody asking twice. So what the driver's own policy
//! would repeat has to be paid for from a bucket that successful traffic fills.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scylla::policies::retry::{DefaultRetryPolicy, RequestInfo, RetryDecision, RetryPolicy, RetrySession};
use scylla::policies::speculative_execution::{Context, SpeculativeExecutionPolicy};
use tokio::time::Instant;

use crate::usage;

/// Retries per request: one in ten, so that a database in trouble sees a tenth more and not twice as much.
const RETRIES_PER_REQUEST: f64 = 0.1;

/// Retries per second that are free, so that a quiet node has some too.
const RETRIES_PER_SECOND: f64 = 5.0;

/// Retries that may be saved up: what a node's restart costs at a few thousand requests per second.
const RETRIES_MAX: f64 = 200.0;

/// A read that has no answer by then is asked of a second node: several times what a read takes, less than
/// what a pause of one node may cost.
pub(crate) const SECOND_READ_AFTER: Duration = Duration::from_millis(150);

/// The same for a write, which costs every replica a sync: only where a node seems to stand still. With one of
/// three nodes paused, writes took 0.7 s at most instead of failing after the request timeout.
pub(crate) const SECOND_WRITE_AFTER: Duration = Duration::from_millis(500);

/// The bucket.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Budget {
    /// A full one.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Bucket { tokens: RETRIES_MAX, filled: Instant::now() })))
    }

    fn request(&self) {
        let mut bucket = self.0.lock();
        bucket.tokens = (bucket.tokens + RETRIES_PER_REQUEST).min(RETRIES_MAX);
    }

    /// Takes a token, if there is one.
    fn take(&self) -> bool {
        let mut bucket = self.0.lock();
        let now = Instant::now();
        let by_time = now.duration_since(bucket.filled).as_secs_f64() * RETRIES_PER_SECOND;
        bucket.tokens = (bucket.tokens + by_time).min(RETRIES_MAX);
        bucket.filled = now;
        let enough = bucket.tokens >= 1.0;
        if enough {
            bucket.tokens -= 1.0;
            usage::retry();
        } else {
            usage::budget_exhausted();
        }
        enough
    }

    /// More than half is left: there is no trouble now.
    fn is_ample(&self) -> bool {
        self.0.lock().tokens > RETRIES_MAX / 2.0
    }
}

/// The driver's default policy, as far as the budget reaches.
#[derive(Debug)]
pub(crate) struct Budgeted(pub(crate) Arc<Budget>);

impl RetryPolicy for Budgeted {
    fn new_session(&self) -> Box<dyn RetrySession> {
        self.0.request();
        Box::new(Request { inner: DefaultRetryPolicy::new().new_session(), budget: Arc::clone(&self.0) })
    }
}

struct Request {
    inner: Box<dyn RetrySession>,
    budget: Arc<Budget>,
}

impl RetrySession for Request {
    fn decide_should_retry(&mut self, request: RequestInfo<'_>) -> RetryDecision {
        let decision = self.inner.decide_should_retry(request);
        let again = matches!(decision, RetryDecision::RetrySameTarget(_) | RetryDecision::RetryNextTarget(_));
        if again && !self.budget.take() { RetryDecision::DontRetry } else { decision }
    }

    fn reset(&mut self) {
        self.inner.reset();
        self.budget.request();
    }
}

/// One more attempt at another node while the first has not answered, as long as there is no trouble. Both may
/// land: what a read or a stamped write does twice is done once.
#[derive(Debug)]
pub(crate) struct SecondTry {
    /// What is left for it.
    pub(crate) budget: Arc<Budget>,
    /// How long the first has for itself.
    pub(crate) after: Duration,
}

impl SpeculativeExecutionPolicy for SecondTry {
    fn max_retry_count(&self, _: &Context) -> usize {
        usize::from(self.budget.is_ample())
    }

    fn retry_interval(&self, _: &Context) -> Duration {
        self.after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_spent_budget_fills_with_requests_and_with_time() {
        let budget = Budget::new();
        let taken = (0..1000).filter(|_| budget.take()).count();
        assert_eq!(taken, RETRIES_MAX as usize);
        assert!(!budget.is_ample());
        (0..25).for_each(|_| budget.request());
        assert_eq!((0..1000).filter(|_| budget.take()).count(), 2);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!((0..1000).filter(|_| budget.take()).count(), 15);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!((0..1000).filter(|_| budget.take()).count(), RETRIES_MAX as usize);
    }
}

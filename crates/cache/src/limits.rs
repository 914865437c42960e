//! Rate limits: one bucket per limit and account, shared by all nodes through Redis.
//!
//! The clock is the Redis server's. While it is away each node counts for itself, from full buckets.

mod gcra;
mod local;

use std::sync::Arc;
use std::time::Duration;

use godwit_types::AccountId;

pub use gcra::{Limit, Verdict};

use crate::keys::encoded;
use crate::link::Link;
use crate::metrics::{self, Facility};
use crate::script::Script;
use local::Local;

/// The buckets.
pub struct Limits {
    local: Local,
    shared: Option<Shared>,
}

struct Shared {
    link: Arc<Link>,
    script: Script,
}

impl Limits {
    pub(crate) fn new(link: Option<&Arc<Link>>) -> Self {
        let script = || Script::new(include_str!("scripts/rate.lua"));
        Self {
            local: Local::new(),
            shared: link.map(|link| Shared { link: Arc::clone(link), script: script() }),
        }
    }

    /// Takes `cost` tokens from the bucket `what` of an account, or none and says when to come back.
    /// What costs more than a whole bucket costs the bucket. Answers within the time of a command.
    pub async fn take(&self, what: &'static str, of: &AccountId, cost: u32, limit: Limit) -> Verdict {
        let shared = match &self.shared {
            Some(shared) => shared.take(what, of, cost, limit).await,
            None => None,
        };
        let verdict = shared.unwrap_or_else(|| self.local.take(what, of, cost, limit));
        if !verdict.allowed {
            metrics::limited(what);
        }
        verdict
    }
}

impl Shared {
    /// None when Redis does not serve.
    async fn take(&self, what: &str, of: &AccountId, cost: u32, limit: Limit) -> Option<Verdict> {
        let key = format!("{}rate:{}:{what}", self.link.options.prefix, encoded(of));
        let answer = self
            .link
            .script(Facility::Rate, &self.script, &[&key], |command| {
                command.arg(limit.cost(cost)).arg(limit.token_us()).arg(limit.burst());
            })
            .await
            .ok()?;
        let (allowed, remaining, wait, full, _now): (bool, u32, u64, u64, u64) =
            redis::from_redis_value(answer).ok()?;
        Some(Verdict {
            allowed,
            remaining,
            retry_after: Duration::from_micros(wait),
            full_in: Duration::from_micros(full),
            limit,
        })
    }
}

//! How often an account may ask, and how a refusal reads.
//!
//! When a rate is off nothing is done for it: no lookup, no allocation. In the process a request costs a
//! lock and a lookup by a key whose text is the token's; on Redis one round trip, bounded by its timeout.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use godwit_cache::{Cache, Limit, Verdict};
use godwit_types::AccountId;
use godwit_wire::{Code, Problem};
use http::header::{HeaderName, HeaderValue};

use crate::answer;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Rates for each account. None: no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// Requests; opening a stream is none of them.
    pub requests: Option<Limit>,
    /// Messages, in an outbox each.
    pub messages: Option<Limit>,
}

impl Rates {
    /// One request of this account. Errors: what to answer it.
    pub(crate) async fn request(&self, cache: &Cache, account: &AccountId) -> Result<(), Limited> {
        take(cache, "requests", account, 1, self.requests).await
    }

    /// That many messages of this account. Errors: what to answer, and none of them is taken.
    pub(crate) async fn messages(
        &self,
        cache: &Cache,
        account: &AccountId,
        count: usize,
    ) -> Result<(), Limited> {
        take(cache, "messages", account, u32::try_from(count).unwrap_or(u32::MAX), self.messages).await
    }
}

async fn take(
    cache: &Cache,
    name: &'static str,
    account: &AccountId,
    cost: u32,
    limit: Option<Limit>,
) -> Result<(), Limited> {
    let Some(limit) = limit.filter(|_| cost > 0) else { return Ok(()) };
    let verdict = cache.limits().take(name, account, cost, limit).await;
    if verdict.allowed { Ok(()) } else { Err(Limited { name, verdict }) }
}

/// Too many: a 429 with `Retry-After` and the fields of draft-ietf-httpapi-ratelimit-headers-10.
#[derive(Debug)]
pub(crate) struct Limited {
    name: &'static str,
    verdict: Verdict,
}

impl Limited {
    fn problem(&self) -> Problem {
        let Limit { per_second, burst } = self.verdict.limit;
        let detail = format!(
            "an account has {per_second} {} a second, and {burst} at once after a pause; wait as Retry-After says",
            self.name
        );
        let mut problem = Problem::new(Code::RateLimited, detail);
        problem.retry_after_s = Some(seconds(self.verdict.retry_after));
        problem
    }
}

impl IntoResponse for Limited {
    fn into_response(self) -> Response {
        let Verdict { limit, remaining, full_in, .. } = self.verdict;
        let mut response = answer::problem(&self.problem()).map(Body::from);
        // `w`: the time in which the whole quota comes back; `t`: until it is there.
        let window = limit.burst.div_ceil(limit.per_second.max(1));
        let policy = format!("\"{}\";q={};w={window}", self.name, limit.burst);
        let state = format!("\"{}\";r={remaining};t={}", self.name, seconds(full_in));
        for (name, text) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, state)] {
            if let Ok(value) = HeaderValue::try_from(text) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// Whole seconds, rounded up: who comes back then is served.
fn seconds(time: std::time::Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_says_which_quota_and_when_to_come_back() {
        let cache = Cache::open(None);
        let ann = AccountId::new("ann").unwrap();
        let rates = Rates { requests: Some(Limit { per_second: 2, burst: 5 }), messages: None };
        for _ in 0..5 {
            assert!(rates.request(&cache, &ann).await.is_ok());
        }
        assert!(rates.messages(&cache, &ann, 1000).await.is_ok(), "that rate is off");
        let response = rates.request(&cache, &ann).await.unwrap_err().into_response();
        assert_eq!(response.status(), 429);
        let header = |name: &str| response.headers()[name].to_str().unwrap();
        assert_eq!(header("retry-after"), "1");
        assert_eq!(header("ratelimit-policy"), "\"requests\";q=5;w=3");
        assert_eq!(header("ratelimit"), "\"requests\";r=0;t=3");
        assert_eq!(header("content-type"), "application/problem+json");
    }
}

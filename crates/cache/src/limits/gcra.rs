//! The generic cell rate algorithm: `scripts/rate.lua` in Rust, number for number.

use std::time::Duration;

/// A rate and how far it may be exceeded for a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Tokens that come back in a second, 1 to 10,000. Kept in whole microseconds a token, rounded
    /// down, so that a rate is met within 1 % and never undercut.
    pub per_second: u32,
    /// Tokens of a full bucket, at least 1.
    pub burst: u32,
}

impl Limit {
    /// Highest [`Limit::per_second`] that is met within 1 %.
    pub const PER_SECOND_MAX: u32 = 10_000;

    /// Microseconds in which one token comes back.
    pub(super) fn token_us(self) -> u64 {
        1_000_000 / u64::from(self.per_second.clamp(1, Self::PER_SECOND_MAX))
    }

    pub(super) fn burst(self) -> u32 {
        self.burst.max(1)
    }

    /// Who asks for more than a bucket holds would wait for ever: it costs the whole bucket.
    pub(super) fn cost(self, asked: u32) -> u32 {
        asked.clamp(1, self.burst())
    }
}

/// What a limit says to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the tokens were taken.
    pub allowed: bool,
    /// Tokens that are left.
    pub remaining: u32,
    /// After how long the same request would be granted; zero when this one was.
    pub retry_after: Duration,
    /// After how long the bucket is full again.
    pub full_in: Duration,
    /// What was applied.
    pub limit: Limit,
}

/// Takes `cost` tokens at `now_us` from a bucket that is full at `full_us`. Returns when the bucket is
/// full from now on, and the verdict.
pub(super) fn take(full_us: u64, now_us: u64, cost: u32, limit: Limit) -> (u64, Verdict) {
    let (token, window) = (limit.token_us(), u64::from(limit.burst()) * limit.token_us());
    // A clock that was set back must not lock a bucket for longer than it takes to fill.
    let full = full_us.clamp(now_us, now_us + window);
    let after = full + u64::from(limit.cost(cost)) * token;
    let owed = after - now_us;
    let allowed = owed <= window;
    let now_full = if allowed { after } else { full };
    let left = (window - (now_full - now_us)) / token;
    let verdict = Verdict {
        allowed,
        remaining: u32::try_from(left).unwrap_or(u32::MAX),
        retry_after: Duration::from_micros(owed.saturating_sub(window)),
        full_in: Duration::from_micros(now_full - now_us),
        limit,
    };
    (now_full, verdict)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let limit = Limit { per_second: 50, burst: 3 };
        let mut full = 0;
        let mut ask = |now, cost| {
            let (next, verdict) = take(full, now, cost, limit);
            full = next;
            (verdict.allowed, verdict.remaining, verdict.retry_after.as_micros())
        };
        let start = 1_000_000_000;
        assert_eq!(ask(start, 1), (true, 2, 0));
        assert_eq!(ask(start, 2), (true, 0, 0));
        assert_eq!(ask(start, 1), (false, 0, 20_000));
        assert_eq!(ask(start + 19_999, 1), (false, 0, 1));
        assert_eq!(ask(start + 20_000, 1), (true, 0, 0));
        assert_eq!(ask(start + 80_000, 7), (true, 0, 0), "more than the bucket holds costs the bucket");
        assert_eq!(ask(start - 500_000, 1), (false, 0, 20_000), "a clock set back locks nobody out");
    }

    proptest! {
        /// Against the definition: over any time t no more than burst + t × rate is granted, and what
        /// is refused is granted after exactly `retry_after`.
        #[test]
        fn no_more_than_the_rate_is_granted_and_a_wait_is_exact(
            per_second in 1u32..=10_000,
            burst in 1u32..500,
            asks in proptest::collection::vec((0u64..200_000, 1u32..20), 1..200),
        ) {
            let limit = Limit { per_second, burst };
            let start = 1_700_000_000_000_000u64;
            let (mut full, mut now, mut granted) = (0, start, 0u64);
            for (gap, cost) in asks {
                now += gap;
                let (next, verdict) = take(full, now, cost, limit);
                if verdict.allowed {
                    granted += u64::from(cost.min(burst));
                    prop_assert!(granted <= u64::from(burst) + (now - start) / limit.token_us());
                } else {
                    let wait = verdict.retry_after.as_micros() as u64;
                    prop_assert!(!take(next, now + wait - 1, cost, limit).1.allowed);
                    prop_assert!(take(next, now + wait, cost, limit).1.allowed);
                }
                full = next;
            }
        }
    }
}

//! When each message is to be sent: a Poisson process, drawn and not waited for.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The times, from the start of the load, at which messages of senders that know nothing of one another
/// are sent. Unlike even steps they have bursts, and so has a real evening.
#[derive(Debug)]
pub struct Arrivals {
    random: StdRng,
    per_s: f64,
    ramp_s: f64,
    /// Messages that were expected until the last one's time.
    expected: f64,
}

impl Arrivals {
    /// `per_s` messages a second, growing evenly from none over `ramp_s`.
    pub fn new(seed: u64, per_s: f64, ramp_s: f64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), per_s, ramp_s, expected: 0.0 }
    }

    /// When so many messages are expected to have been sent, in seconds: the inverse of the rate's
    /// integral, which is `per_s · t² / (2 · ramp_s)` in the ramp and a straight line after it.
    fn when(&self, expected: f64) -> f64 {
        let in_ramp = self.per_s * self.ramp_s / 2.0;
        if expected < in_ramp {
            return (2.0 * self.ramp_s * expected / self.per_s).sqrt();
        }
        self.ramp_s + (expected - in_ramp) / self.per_s
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // 1 - [0, 1) is never 0, of which there is no logarithm.
        self.expected -= (1.0 - self.random.random::<f64>()).ln();
        Duration::try_from_secs_f64(self.when(self.expected)).ok()
    }
}

/// A time of an exponential distribution with this mean.
pub fn exponential(random: &mut StdRng, mean: Duration) -> Duration {
    mean.mul_f64(-(1.0 - random.random::<f64>()).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(seconds: u64, arrivals: Arrivals) -> Vec<Duration> {
        arrivals.take_while(|at| *at < Duration::from_secs(seconds)).collect()
    }

    #[test]
    fn has_the_wanted_rate_and_bursts() {
        let times = until(30, Arrivals::new(3, 1000.0, 0.0));
        assert!((29_000..31_000).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted());
        // Of gaps that are distributed exponentially, 1 - 1/e are below their mean.
        let short = times.windows(2).filter(|pair| pair[1] - pair[0] < Duration::from_millis(1)).count();
        assert!((0.6..0.66).contains(&(short as f64 / times.len() as f64)), "{short}");
    }

    #[test]
    fn grows_in_the_ramp() {
        let times = until(20, Arrivals::new(3, 1000.0, 10.0));
        let between = |from: u64, to: u64| {
            let of = Duration::from_secs(from)..Duration::from_secs(to);
            times.iter().filter(|at| of.contains(at)).count()
        };
        // Half of a full rate in the ramp, of it a quarter in its first half.
        for (from, to, expected) in [(0, 10, 5000), (0, 5, 1250), (10, 20, 10_000)] {
            let found = between(from, to);
            assert!(found.abs_diff(expected) < expected / 10, "{found} from {from} to {to}");
        }
    }

    #[test]
    fn one_seed_is_one_run() {
        let first = |seed| Arrivals::new(seed, 10.0, 0.0).take(5).collect::<Vec<_>>();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }
}

//! When each message is to be sent, drawn before the first one is.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The same in each run, so that two servers get the same load.
const SEED: u64 = 3;

/// The times, from the start, of a Poisson process: senders that know nothing of one another. Unlike
/// even steps it has bursts, and so has a real evening.
pub(crate) fn poisson(per_second: f64, length: Duration) -> Vec<Duration> {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut at = 0.0;
    std::iter::from_fn(|| {
        // 1 - [0, 1) is never 0, of which there is no logarithm.
        at -= (1.0 - random.random::<f64>()).ln() / per_second;
        Some(Duration::from_secs_f64(at)).filter(|at| *at < length)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_wanted_rate_and_bursts() {
        let times = poisson(1000.0, Duration::from_secs(30));
        assert!((29_000..31_000).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted());
        // Of gaps that are distributed exponentially, 1 - 1/e are below their mean.
        let short = times.windows(2).filter(|pair| pair[1] - pair[0] < Duration::from_millis(1)).count();
        assert!((0.6..0.66).contains(&(short as f64 / times.len() as f64)), "{short}");
    }
}

//! How long the program needs from its start to its first answer.

use std::time::Duration;

use anyhow::Result;

use super::Bench;
use super::report::Row;
use super::server::{Server, StartTimes};

/// Enough that the median is steady, few enough for half a minute.
const RUNS: usize = 101;

/// Starts the program [`RUNS`] times, each on an empty directory.
///
/// # Errors
/// When one start or stop fails.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let runs = bench.size(RUNS, 3);
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let server = Server::start(&bench.program)?;
        times.push(server.start_times);
        server.stop()?;
    }
    let how = format!("median (min–max) of {runs} starts, empty data directory");
    let row = |what: &str, pick: fn(&StartTimes) -> Duration| {
        Row::new(what, spread(times.iter().map(pick).collect()), &how)
    };
    Ok(vec![
        row("start until a connection is accepted", |times| times.accepts),
        row("start until `GET /livez` is answered", |times| times.answers),
    ])
}

/// `3.1 ms (2.8–9.0)`: the median and the extremes.
pub(super) fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let ms = |at: usize| times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    format!("{:.1} ms ({:.1}–{:.1})", ms(times.len() / 2), ms(0), ms(times.len().saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_median_and_extremes() {
        let times = [9, 3, 4, 5, 2].map(Duration::from_millis).to_vec();
        assert_eq!(spread(times), "4.0 ms (2.0–9.0)");
    }
}

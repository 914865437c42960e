//! From histograms to the figures of a report.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::measure::{Phase, Tick, Timed, Timings};
use crate::report::{Second, Summary};

/// Points of the percentile curve between 0 and 50 %, and again on each half of the way to 100 %: what
/// the plots of HdrHistogram use, about 100 points for a million values.
const POINTS_PER_HALF: u32 = 5;

/// One second of the series.
pub(super) fn second(at: Duration, phase: Phase, tick: &Tick) -> Second {
    let timings = recorded(&tick.timings).map(|(timed, times)| {
        let at = |quantile| quantile_us(times, quantile);
        (timed.name().to_owned(), at(0.5), at(0.99), times.max())
    });
    Second {
        at_s: at.as_secs_f64(),
        phase,
        streams: tick.streams,
        queued: tick.queued,
        counts: tick.counts.clone(),
        errors: tick.errors.clone(),
        timings: timings.collect(),
    }
}

/// A summary of each thing that was timed at least once.
pub(super) fn summaries(timings: &Timings) -> Vec<Summary> {
    recorded(timings).map(|(timed, times)| summary(timed.name(), times)).collect()
}

/// The histograms that are not empty.
pub(super) fn recorded(timings: &Timings) -> impl Iterator<Item = (Timed, &Histogram<u64>)> {
    Timed::ALL.into_iter().map(|timed| (timed, timings.of(timed))).filter(|(_, times)| !times.is_empty())
}

/// The time that this part of all took at most.
pub(super) fn quantile_us(times: &Histogram<u64>, quantile: f64) -> u64 {
    // A histogram answers with the end of a step, and the last step ends behind the largest value.
    times.value_at_quantile(quantile).min(times.max())
}

fn summary(name: &str, times: &Histogram<u64>) -> Summary {
    let mut curve: Vec<(f64, u64)> = Vec::new();
    for step in times.iter_quantiles(POINTS_PER_HALF) {
        let point = (step.quantile_iterated_to(), step.value_iterated_to().min(times.max()));
        if curve.last().is_none_or(|last| last.0 < point.0) {
            curve.push(point);
        }
    }
    Summary {
        name: name.to_owned(),
        count: times.len(),
        mean_us: times.mean(),
        min_us: times.min(),
        p50_us: quantile_us(times, 0.5),
        p90_us: quantile_us(times, 0.9),
        p99_us: quantile_us(times, 0.99),
        p999_us: quantile_us(times, 0.999),
        max_us: times.max(),
        curve,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_agrees_with_what_was_timed() {
        let mut timings = Timings::default();
        for us in 1..=10_000 {
            timings.record(Timed::Arrived, us);
        }
        let all = summaries(&timings);
        assert_eq!(all.len(), 1, "only what occurred");
        let arrived = &all[0];
        assert_eq!((arrived.name.as_str(), arrived.count, arrived.min_us), ("arrived", 10_000, 1));
        // A histogram knows a time to 1 %.
        let near = |us: u64, exact: f64| (us as f64 / exact - 1.0).abs() < 0.01;
        assert!(near(arrived.p50_us, 5_000.0), "{arrived:?}");
        assert!(near(arrived.p90_us, 9_000.0), "{arrived:?}");
        assert!(near(arrived.p99_us, 9_900.0), "{arrived:?}");
        assert!(near(arrived.p999_us, 9_990.0), "{arrived:?}");
        assert!(near(arrived.max_us, 10_000.0), "{arrived:?}");
        assert!((arrived.mean_us / 5_000.5 - 1.0).abs() < 0.01, "{arrived:?}");
        assert!(arrived.curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{:?}", arrived.curve);
        assert_eq!(arrived.curve.last(), Some(&(1.0, arrived.max_us)));
        assert!(arrived.curve.len() > 20, "{:?}", arrived.curve);
    }
}

//! Points over time whose number is bounded, however long the run.

use super::Look;
use crate::report::Second;

/// Points that are kept: two hours of seconds. A page with more of them is slow to open and no screen
/// has as many columns. One second is about 1 KB of JSON, so a report stays below 10 MB.
pub(super) const POINTS_MAX: usize = 7_200;

/// A point that can take up the one that follows it.
pub(super) trait Point {
    /// Whether both may be told as one.
    fn joins(&self, later: &Self) -> bool;
    /// Takes up a later one.
    fn join(&mut self, later: Self);
}

/// Points in order of time. When there are too many, each two become one, and from then on twice as
/// many go into each.
#[derive(Debug)]
pub(super) struct Series<P> {
    points: Vec<P>,
    /// How many pushed points become one.
    stride: u32,
    /// How many are in the last one.
    held: u32,
}

impl<P> Default for Series<P> {
    fn default() -> Self {
        Self { points: Vec::new(), stride: 1, held: 0 }
    }
}

impl<P: Point> Series<P> {
    pub(super) fn push(&mut self, point: P) {
        match self.points.last_mut() {
            Some(last) if self.held < self.stride && last.joins(&point) => {
                last.join(point);
                self.held += 1;
            }
            _ => {
                self.points.push(point);
                self.held = 1;
            }
        }
        if self.points.len() >= POINTS_MAX {
            self.halve();
        }
    }

    pub(super) fn as_slice(&self) -> &[P] {
        &self.points
    }

    pub(super) fn into_vec(self) -> Vec<P> {
        self.points
    }

    fn halve(&mut self) {
        let mut halved: Vec<P> = Vec::with_capacity(self.points.len() / 2 + 8);
        let mut alone = false;
        for point in self.points.drain(..) {
            match halved.last_mut() {
                Some(last) if alone && last.joins(&point) => {
                    last.join(point);
                    alone = false;
                }
                _ => {
                    halved.push(point);
                    alone = true;
                }
            }
        }
        self.points = halved;
        self.stride = self.stride.saturating_mul(2);
        self.held = self.stride;
    }
}

impl Point for Second {
    /// Phases stay apart: a second belongs to one.
    fn joins(&self, later: &Self) -> bool {
        self.phase == later.phase
    }

    fn join(&mut self, later: Self) {
        self.at_s = later.at_s;
        self.streams = later.streams;
        self.queued = later.queued;
        self.counts.add(&later.counts);
        self.errors.add(&later.errors);
        for (name, p50, p99, max) in later.timings {
            match self.timings.iter_mut().find(|mine| mine.0 == name) {
                // Percentiles cannot be added up. The larger one hides no peak.
                Some(mine) => *mine = (name, mine.1.max(p50), mine.2.max(p99), mine.3.max(max)),
                None => self.timings.push((name, p50, p99, max)),
            }
        }
    }
}

impl Point for Look {
    /// Figures are differences between the ends of phases, and within the life of a process. One that
    /// began anew has used less processor time than before.
    fn joins(&self, later: &Self) -> bool {
        let began_anew = matches!(
            (self.sample.cpu_s, later.sample.cpu_s),
            (Some(before), Some(after)) if after < before
        );
        self.phase == later.phase && !began_anew
    }

    fn join(&mut self, later: Self) {
        *self = later;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Count, Counts, Errors, Phase};
    use crate::report::Sample;

    fn second(at: usize, phase: Phase, p99: u64) -> Second {
        let mut counts = Counts::default();
        counts[Count::Due] = 3;
        let timings = vec![("arrived".to_owned(), 1, p99, p99)];
        Second {
            at_s: at as f64,
            phase,
            streams: at as u64,
            queued: 0,
            counts,
            errors: Errors::default(),
            timings,
        }
    }

    #[test]
    fn a_long_run_stays_bounded_and_loses_no_count_and_no_peak() {
        let mut series = Series::default();
        let ticks = 5 * POINTS_MAX;
        for at in 0..ticks {
            let phase = if at < 1_001 { Phase::Open } else { Phase::Run };
            series.push(second(at, phase, if at == 777 { 9_000 } else { 5 }));
            assert!(series.as_slice().len() < POINTS_MAX);
        }
        let points = series.into_vec();
        assert!(points.len() >= POINTS_MAX / 4, "{} points are too coarse", points.len());
        let due: u64 = points.iter().map(|point| point.counts[Count::Due]).sum();
        assert_eq!(due, 3 * ticks as u64);
        assert!(points.is_sorted_by(|a, b| a.at_s < b.at_s));
        let open: u64 = points
            .iter()
            .filter(|point| point.phase == Phase::Open)
            .map(|point| point.counts[Count::Due])
            .sum();
        assert_eq!(open, 3 * 1_001);
        assert_eq!(points.iter().filter(|point| point.timings[0].2 == 9_000).count(), 1);
        assert_eq!(points.last().map(|point| point.at_s), Some((ticks - 1) as f64));
    }

    #[test]
    fn thinned_samples_keep_the_last_look_of_a_phase_and_of_a_process() {
        let look = |at: usize, cpu_s| Look {
            phase: Some(if at < 55 { Phase::Setup } else { Phase::Open }),
            sample: Sample { at_s: at as f64, resident_bytes: 1, private_bytes: None, cpu_s: Some(cpu_s) },
        };
        let mut series = Series::default();
        for at in 0..POINTS_MAX {
            // It begins anew at an odd place, where a pair would be joined.
            series.push(look(at, if at < 101 { at as f64 } else { (at - 101) as f64 }));
        }
        let points = series.into_vec();
        assert!(points.len() <= POINTS_MAX / 2 + 2);
        let mut pairs = points.windows(2).map(|two| (&two[0].sample, &two[1].sample));
        let before = pairs.find(|two| two.1.cpu_s < two.0.cpu_s).map(|two| two.0.at_s);
        assert_eq!(before, Some(100.0));
        let of_setup = points.iter().rfind(|look| look.phase == Some(Phase::Setup));
        assert_eq!(of_setup.map(|look| look.sample.at_s), Some(54.0));
    }
}

//! What streams and load cost, from looks at processes.

use crate::measure::Phase;
use crate::report::{Cpu, Memory, PhaseTime, Sample, Second, Watched};

/// How far from the moment that is meant a look may be: one a second is taken, one may be missed, and
/// an older one may be of a process that is gone.
const LOOK_DISTANCE_S: f64 = 2.5;

/// With fewer streams the growth is that of the process itself, some megabytes whatever it does.
const STREAMS_MIN: u64 = 500;

/// Growth of memory between the beginning of [`Phase::Open`] and the end of [`Phase::Run`], by the streams
/// that were open then. Nothing if the run did not come that far or no stream was open.
pub(super) fn memory(
    phases: &[PhaseTime],
    series: &[Second],
    servers: &[Watched],
    generators: &[Watched],
) -> Option<Memory> {
    let before_s = phases.iter().find(|time| time.phase == Phase::Open)?.at_s;
    let run = phases.iter().find(|time| time.phase == Phase::Run)?;
    let after_s = run.at_s + run.seconds;
    let streams = series.iter().rfind(|second| second.phase == Phase::Run)?.streams;
    let per_stream = |watched: &[Watched]| {
        let grown = sum(watched, |samples| growth(samples, before_s, after_s))?;
        Some(grown / streams as f64)
    };
    let (server, generator) = (per_stream(servers), per_stream(generators));
    (streams >= STREAMS_MIN && (server.is_some() || generator.is_some())).then_some(Memory {
        streams,
        server_bytes_per_stream: server,
        generator_bytes_per_stream: generator,
    })
}

/// Busy cores in a phase.
pub(super) fn cpu(phase: PhaseTime, servers: &[Watched], generators: &[Watched]) -> Option<Cpu> {
    let (from_s, until_s) = (phase.at_s, phase.at_s + phase.seconds);
    let of = |watched: &[Watched]| sum(watched, |samples| cores(samples, from_s, until_s));
    let cpu = Cpu { server_cores: of(servers), generator_cores: of(generators) };
    (cpu.server_cores.is_some() || cpu.generator_cores.is_some()).then_some(cpu)
}

/// Busy cores between two moments; time over which a process began anew is left out.
pub(super) fn cores<'s>(
    samples: impl IntoIterator<Item = &'s Sample>,
    from_s: f64,
    until_s: f64,
) -> Option<f64> {
    let mut inside = samples.into_iter().filter(|sample| sample.at_s >= from_s && sample.at_s <= until_s);
    let mut before = inside.next()?;
    let (mut busy_s, mut seconds) = (0.0, 0.0);
    for after in inside {
        let used_s = after.cpu_s? - before.cpu_s?;
        if used_s >= 0.0 {
            busy_s += used_s;
            seconds += after.at_s - before.at_s;
        }
        before = after;
    }
    (seconds > 0.0).then(|| busy_s / seconds)
}

/// The sum over all that are watched; a sum that misses one would be wrong.
fn sum(watched: &[Watched], figure: impl Fn(&[Sample]) -> Option<f64>) -> Option<f64> {
    if watched.is_empty() {
        return None;
    }
    watched.iter().map(|one| figure(&one.samples)).sum()
}

fn growth(samples: &[Sample], before_s: f64, after_s: f64) -> Option<f64> {
    let near = |moment_s: f64| {
        let last = samples.iter().rfind(|sample| sample.at_s <= moment_s)?;
        (moment_s - last.at_s <= LOOK_DISTANCE_S).then_some(last)
    };
    let (before, after) = (near(before_s)?, near(after_s)?);
    let began_anew = samples
        .windows(2)
        .filter(|two| two[0].at_s >= before.at_s && two[1].at_s <= after.at_s)
        .any(|two| two[1].cpu_s < two[0].cpu_s);
    (!began_anew).then_some(after.resident_bytes as f64 - before.resident_bytes as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_s: f64, resident_bytes: u64, cpu_s: f64) -> Sample {
        Sample { at_s, resident_bytes, private_bytes: None, cpu_s: Some(cpu_s) }
    }

    #[test]
    fn cores_are_busy_time_by_time_without_restarts() {
        let samples = [
            sample(0.0, 0, 10.0),
            sample(1.0, 0, 11.5),
            // Killed and started again: the second between is nobody's.
            sample(2.0, 0, 0.1),
            sample(3.0, 0, 0.6),
        ];
        assert_eq!(cores(&samples, 0.0, 3.0), Some(1.0));
        assert_eq!(cores(&samples, 0.5, 1.5), None, "one look is no time");
        let silent = samples.map(|sample| Sample { cpu_s: None, ..sample });
        assert_eq!(cores(&silent, 0.0, 3.0), None);
    }

    #[test]
    fn growth_needs_looks_at_both_ends_at_one_process() {
        let samples = [sample(0.0, 1_000, 1.0), sample(1.0, 5_000, 2.0), sample(2.0, 9_000, 3.0)];
        assert_eq!(growth(&samples, 0.2, 2.4), Some(8_000.0));
        assert_eq!(growth(&samples, 0.2, 9.0), None, "it was gone by then");
        assert_eq!(growth(&samples[1..], 0.2, 2.4), None, "not seen at the beginning");
        let anew = [samples[0], samples[1], sample(2.0, 9_000, 0.1)];
        assert_eq!(growth(&anew, 0.2, 2.4), None, "another process");
    }

    #[test]
    fn a_sum_that_misses_one_is_not_given() {
        let named = |samples: &[Sample]| Watched { name: "pid 1".into(), samples: samples.to_vec() };
        let known = named(&[sample(0.0, 0, 0.0), sample(1.0, 0, 0.5)]);
        let run = PhaseTime { phase: Phase::Run, at_s: 0.0, seconds: 2.0 };
        let both = cpu(run, &[known.clone(), known.clone()], &[]).expect("servers are known");
        assert_eq!((both.server_cores, both.generator_cores), (Some(1.0), None));
        assert!(cpu(run, &[known, named(&[])], &[]).is_none());
    }
}

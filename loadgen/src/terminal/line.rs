//! A moment as one line of words, `key value`, for logs and grep.

use std::fmt::Write as _;

use crate::measure::{Count, Phase};
use crate::recorder::Live;

/// A phase begins.
pub(super) fn phase(live: &Live) -> String {
    let mut line = format!("phase {}", live.phase.name());
    if let Some(planned) = live.planned {
        let _ = write!(line, " planned_s {}", planned.as_secs_f64());
    }
    if live.phase == Phase::Setup && live.conversations_wanted > 0 {
        let _ = write!(line, " conversations_wanted {}", live.conversations_wanted);
    }
    if live.phase == Phase::Open && live.streams_wanted > 0 {
        let _ = write!(line, " streams_wanted {}", live.streams_wanted);
    }
    let _ = write!(line, " at_s {:.1}", live.total.as_secs_f64());
    line
}

/// What happens in it. Rates are of the last seconds, the rest is so far.
pub(super) fn figures(live: &Live) -> String {
    let mut line = format!("{} {} s streams {}", live.phase.name(), live.elapsed.as_secs(), live.streams);
    if live.phase == Phase::Setup {
        let _ = write!(line, " conversations {}", live.counts[Count::Conversation]);
    }
    for (key, count) in [
        ("due_per_s", Count::Due),
        ("acknowledged_per_s", Count::Acknowledged),
        ("arrived_per_s", Count::Arrived),
    ] {
        if live.counts[count] > 0 {
            let _ = write!(line, " {key} {:.1}", live.rate(count));
        }
    }
    if live.counts[Count::Opened] > 0 {
        let _ = write!(line, " opened_per_s {:.1}", live.rate(Count::Opened));
    }
    for times in &live.recent {
        let (name, ms) = (times.timed.name(), |us: u64| us as f64 / 1_000.0);
        let _ = write!(line, " {name}_p50_ms {:.2} {name}_p99_ms {:.2}", ms(times.p50_us), ms(times.p99_us));
    }
    let _ = write!(line, " queued {} errors {}", live.queued, live.errors.total());
    for (whose, usage) in [("server", live.server), ("generator", live.generator)] {
        let Some(usage) = usage else { continue };
        let _ = write!(line, " {whose}_bytes {}", usage.resident_bytes);
        if let Some(cores) = usage.cores {
            let _ = write!(line, " {whose}_cores {cores:.2}");
        }
    }
    if let Some(checked) = live.checked {
        let _ = write!(line, " checked_messages {} violations {}", checked.messages, checked.violations);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::live;

    #[test]
    fn every_key_has_a_value() {
        let line = figures(&live());
        let behind = line.strip_prefix("run 41 s ").expect("the phase comes first");
        let words: Vec<_> = behind.split(' ').collect();
        for pair in words.chunks(2) {
            assert!(pair[0].starts_with(|c: char| c.is_ascii_lowercase()), "{pair:?} in {line}");
            assert!(pair.get(1).is_some_and(|value| value.parse::<f64>().is_ok()), "{pair:?} in {line}");
        }
        for key in [
            "streams",
            "due_per_s",
            "arrived_p99_ms",
            "errors",
            "server_bytes",
            "generator_cores",
            "violations",
        ] {
            assert!(words.iter().step_by(2).any(|word| *word == key), "no {key} in {line}");
        }
    }
}

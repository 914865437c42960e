//! Lines for logs and for other programs: words with figures behind them, easy to search.

use crate::measure::{Count, Timed};
use crate::recorder::Live;

/// A phase has begun.
pub(super) fn phase(live: &Live) -> String {
    format!("phase {} at_s {:.1}", live.phase.name(), live.total.as_secs_f64())
}

/// What is now.
pub(super) fn figures(live: &Live) -> String {
    let mut line = format!(
        "at_s {:.0} phase {} streams {} due_per_s {:.1} acknowledged_per_s {:.1} arrived_per_s {:.1}",
        live.total.as_secs_f64(),
        live.phase.name(),
        live.streams,
        live.rate(Count::Due),
        live.rate(Count::Acknowledged),
        live.rate(Count::Arrived),
    );
    for times in live.recent.iter().filter(|times| times.timed != Timed::SentLate) {
        let name = times.timed.name();
        let ms = |us: u64| us as f64 / 1e3;
        line += &format!(" {name}_p50_ms {:.2} {name}_p99_ms {:.2}", ms(times.p50_us), ms(times.p99_us));
    }
    if live.queued > 0 {
        line += &format!(" queued {}", live.queued);
    }
    if let Some(server) = live.server {
        line += &format!(" server_resident_bytes {}", server.resident_bytes);
    }
    if let Some(checked) = live.checked {
        line += &format!(" checked_messages {} violations {}", checked.messages, checked.violations);
    }
    line + &format!(" errors {}", live.errors.total())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_line_is_words_with_figures_behind_them() {
        let live = sample::live();
        let line = figures(&live);
        assert!(!line.contains('\n'), "{line}");
        let words: Vec<&str> = line.split(' ').collect();
        assert!(words.len().is_multiple_of(2), "{line}");
        for pair in words.chunks(2) {
            assert!(
                pair[0]
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            );
            assert!(pair[0] == "phase" || pair[1].parse::<f64>().is_ok(), "{pair:?}");
        }
        for word in ["streams", "arrived_p99_ms", "server_resident_bytes", "checked_messages", "errors"] {
            assert!(words.contains(&word), "{word} in {line}");
        }
        assert!(phase(&live).starts_with("phase run at_s "));
    }
}

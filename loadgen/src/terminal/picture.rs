//! The lines below the progress bar.

use console::{Style, truncate_str};

use crate::measure::{Count, Phase};
use crate::recorder::{Live, Usage};
use crate::report::figure::{bytes, clock, ms, one_line, rate, whole};

/// Lines of kinds of errors, at most: the report has them all.
const ERRORS_MAX: usize = 4;

/// What is now, in lines of `width` columns at most.
pub(super) fn picture(live: &Live, width: usize) -> String {
    let mut lines = vec![progress(live), load(live)];
    lines.extend(times(live));
    lines.extend(usage(live));
    if let Some(checked) = live.checked {
        let figures = format!("{} messages, {} events", whole(checked.messages), whole(checked.events));
        let verdict = format!("{} violations in {figures}", checked.violations);
        let style = if checked.violations == 0 { Style::new().green() } else { Style::new().red().bold() };
        lines.push(row("judge", &style.for_stderr().apply_to(verdict).to_string()));
    }
    lines.extend(errors(live));
    let fitted =
        lines.iter().map(|line| truncate_str(line, width.saturating_sub(1).max(1), "…").into_owned());
    fitted.collect::<Vec<_>>().join("\n")
}

fn row(name: &str, text: &str) -> String {
    format!("{} {text}", Style::new().for_stderr().dim().apply_to(format!("{name:9}")))
}

/// How far the phase is.
fn progress(live: &Live) -> String {
    let mut parts = vec![match live.planned {
        Some(planned) => format!("{} of {}", clock(live.elapsed.as_secs()), clock(planned.as_secs())),
        None => clock(live.elapsed.as_secs()),
    }];
    if live.phase == Phase::Setup && live.conversations_wanted > 0 {
        let done = whole(live.counts[Count::Conversation]);
        parts.push(format!("{done} of {} conversations", whole(live.conversations_wanted)));
    }
    parts.push(match live.streams_wanted {
        0 => format!("{} streams", whole(live.streams)),
        wanted => format!("{} of {} streams", whole(live.streams), whole(wanted)),
    });
    row("", &parts.join(" · "))
}

/// What happens a second.
fn load(live: &Live) -> String {
    let shown = [
        (Count::Due, "due"),
        (Count::Acknowledged, "acknowledged"),
        (Count::Arrived, "arrived"),
        (Count::Opened, "opened"),
        (Count::Ended, "ended"),
    ];
    let happens = shown.iter().filter(|(count, _)| live.counts[*count] > 0);
    let mut parts: Vec<String> =
        happens.map(|(count, name)| format!("{} {name}", rate(live.rate(*count)))).collect();
    if live.queued > 0 {
        parts.push(format!("{} waiting", whole(live.queued)));
    }
    row("a second", &parts.join(" · "))
}

/// How long things take, now.
fn times(live: &Live) -> impl Iterator<Item = String> {
    live.recent.iter().map(|times| {
        let [p50, p99, max] = [times.p50_us, times.p99_us, times.max_us].map(|us| ms(us as f64));
        let name = times.timed.name().replace('_', " ");
        row("ms", &format!("{name:13} p50 {p50:>8}   p99 {p99:>8}   most {max:>8}"))
    })
}

/// What both ends use.
fn usage(live: &Live) -> Option<String> {
    let of = |name: &str, usage: Option<Usage>| {
        let usage = usage?;
        let cores = usage.cores.map_or_else(String::new, |cores| format!(", {cores:.2} cores"));
        Some(format!("{name} {}{cores}", bytes(usage.resident_bytes as f64)))
    };
    let both: Vec<String> =
        [of("server", live.server), of("load generator", live.generator)].into_iter().flatten().collect();
    (!both.is_empty()).then(|| row("uses", &both.join(" · ")))
}

/// What went wrong, each kind with the first one's words.
fn errors(live: &Live) -> impl Iterator<Item = String> {
    let style = Style::new().for_stderr().yellow();
    live.errors.iter().take(ERRORS_MAX).map(move |(kind, failures)| {
        let said = format!("{} {}: {}", whole(failures.count), kind.name(), one_line(&failures.first));
        row("errors", &style.apply_to(said).to_string())
    })
}

#[cfg(test)]
mod tests {
    use console::{measure_text_width, strip_ansi_codes};

    use super::*;
    use crate::report::sample;

    #[test]
    fn shows_what_matters_and_fits_any_width() {
        let live = sample::live();
        let wide = picture(&live, 120);
        let text = strip_ansi_codes(&wide);
        for part in ["of 2,000 streams", "acknowledged", "p99", "server", "0 violations"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        for width in [0, 1, 20, 80] {
            let lines = picture(&live, width);
            assert!(lines.lines().all(|line| measure_text_width(line) < width.max(2)), "{width}:\n{lines}");
        }
    }
}

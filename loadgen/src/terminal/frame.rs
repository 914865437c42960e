//! The block of lines that is drawn again and again.

use console::{Style, measure_text_width, truncate_str};

use crate::measure::{Count, Phase, Timed};
use crate::recorder::{Live, Percentiles, Usage};
use crate::report::figure::{bytes, clock, ms, one_line, rate, whole};

/// Columns of the names at the left.
const NAME: usize = 14;

/// Columns of the bar at most: a wider one says no more.
const BAR_MAX: usize = 40;

/// Kinds of errors that are shown at once; the report has all.
const ERRORS_MAX: usize = 4;

/// The lines, none wider than `columns`.
pub(super) fn lines(live: &Live, columns: usize, colours: bool) -> Vec<String> {
    let style = |style: Style| style.force_styling(colours);
    let painter = Painter {
        name: style(Style::new().dim()),
        phase: style(Style::new().bold()),
        bar: style(Style::new().cyan()),
        good: style(Style::new().green()),
        bad: style(Style::new().red()),
    };
    let mut lines = vec![painter.progress(live, columns)];
    painter.streams(live, &mut lines);
    painter.messages(live, &mut lines);
    painter.timings(live, &mut lines);
    painter.errors(live, &mut lines);
    for (name, usage) in [("server", live.server), ("generator", live.generator)] {
        lines.extend(usage.map(|usage| painter.named(name, &used(usage))));
    }
    if let Some(checked) = live.checked {
        let paint = if checked.violations > 0 { &painter.bad } else { &painter.good };
        let violations = paint.apply_to(format!("{} violations", whole(checked.violations)));
        let (messages, events) = (whole(checked.messages), whole(checked.events));
        lines
            .push(painter.named("checked", &format!("{violations} in {messages} messages, {events} events")));
    }
    lines.iter().map(|line| truncate_str(line, columns, "…").into_owned()).collect()
}

struct Painter {
    name: Style,
    phase: Style,
    bar: Style,
    good: Style,
    bad: Style,
}

impl Painter {
    fn named(&self, name: &str, rest: &str) -> String {
        format!("{}{rest}", self.name.apply_to(format!("{name:NAME$}")))
    }

    fn progress(&self, live: &Live, columns: usize) -> String {
        let elapsed = clock(live.elapsed.as_secs());
        let of = live.planned.map_or_else(String::new, |planned| format!(" of {}", clock(planned.as_secs())));
        let phase = self.phase.apply_to(format!("{:NAME$}", live.phase.name()));
        let times = format!("{elapsed}{of}");
        let Some(done) = live.done() else { return format!("{phase}{times}") };
        let percent = format!(" {:3.0} %  ", done * 100.0);
        let room = columns.saturating_sub(NAME + measure_text_width(&percent) + times.len()).min(BAR_MAX);
        if room < 8 {
            return format!("{phase}{times}{}", percent.trim_end());
        }
        let full = (done * room as f64).round() as usize;
        let (done, open) = ("━".repeat(full), "─".repeat(room - full));
        format!("{phase}{}{}{percent}{times}", self.bar.apply_to(done), self.name.apply_to(open))
    }

    fn streams(&self, live: &Live, lines: &mut Vec<String>) {
        if live.phase == Phase::Setup && live.conversations_wanted > 0 {
            let (done, wanted) = (whole(live.counts[Count::Conversation]), whole(live.conversations_wanted));
            let per_second = rate(live.rate(Count::Conversation));
            lines.push(self.named("conversations", &format!("{done} of {wanted}, {per_second}/s")));
        }
        let wanted = match live.streams_wanted {
            0 => String::new(),
            wanted => format!(" of {}", whole(wanted)),
        };
        let mut line = format!("{}{wanted} open", whole(live.streams));
        for (count, word) in [
            (Count::Opened, "opened"),
            (Count::Cut, "cut"),
            (Count::Left, "left"),
            (Count::Ended, "ended by the server"),
        ] {
            if live.recent_counts[count] > 0 {
                line += &format!(", {}/s {word}", rate(live.rate(count)));
            }
        }
        lines.push(self.named("streams", &line));
    }

    fn messages(&self, live: &Live, lines: &mut Vec<String>) {
        if live.counts[Count::Due] == 0 && live.counts[Count::Arrived] == 0 {
            return;
        }
        let parts = [(Count::Due, "due"), (Count::Acknowledged, "acknowledged"), (Count::Arrived, "arrived")];
        let mut parts: Vec<_> =
            parts.iter().map(|(count, word)| format!("{}/s {word}", rate(live.rate(*count)))).collect();
        if live.queued > 0 {
            parts.push(format!("{} wait", whole(live.queued)));
        }
        lines.push(self.named("messages", &parts.join(", ")));
    }

    /// Of the last seconds at the left, so far at the right.
    fn timings(&self, live: &Live, lines: &mut Vec<String>) {
        let columns = |head: [&str; 3]| head.map(|cell| format!("{cell:>9}")).concat();
        let heads = columns(["p50", "p99", "max"]);
        if !live.so_far.is_empty() {
            let head = format!("{heads}   {heads}   (last seconds; so far)");
            lines.push(self.name.apply_to(format!("{:NAME$}{head}", "times in ms")).to_string());
        }
        for so_far in &live.so_far {
            let row = |times: &Percentiles| {
                let [p50, p99, max] = [times.p50_us, times.p99_us, times.max_us].map(|us| ms(us as f64));
                columns([&p50, &p99, &max])
            };
            let recent = live.recent.iter().find(|recent| recent.timed == so_far.timed);
            let recent = recent.map_or_else(|| columns(["–"; 3]), row);
            lines.push(self.named(words(so_far.timed), &format!("{recent}   {}", row(so_far))));
        }
    }

    fn errors(&self, live: &Live, lines: &mut Vec<String>) {
        if live.errors.total() == 0 {
            return lines.push(self.named("errors", "none"));
        }
        let total = self.bad.apply_to(whole(live.errors.total()));
        lines.push(self.named("errors", &total.to_string()));
        let mut kinds: Vec<_> = live.errors.iter().collect();
        kinds.sort_by_key(|(_, failures)| std::cmp::Reverse(failures.count));
        for (kind, failures) in kinds.iter().take(ERRORS_MAX) {
            let first = one_line(&failures.first);
            lines.push(self.named("", &format!("{} {}: {first}", whole(failures.count), kind.name())));
        }
    }
}

fn words(timed: Timed) -> &'static str {
    match timed {
        Timed::Acknowledged => "acknowledged",
        Timed::Arrived => "arrived",
        Timed::Opened => "opened",
        Timed::CaughtUp => "caught up",
        Timed::SentLate => "sent late",
    }
}

fn used(usage: Usage) -> String {
    let cores = usage.cores.map_or_else(String::new, |cores| format!(", {cores:.2} cores"));
    format!("{}{cores}", bytes(usage.resident_bytes as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::ErrorKind;
    use crate::recorder::Checked;
    use crate::report::sample::live;

    #[test]
    fn the_block_fits_every_terminal() {
        let mut live = live();
        live.errors.push(ErrorKind::Refused, || format!("\u{1b}[2J\n{}", "très long ".repeat(40)));
        for columns in [1, 9, 20, 40, 80, 300] {
            for colours in [false, true] {
                let lines = lines(&live, columns, colours);
                assert!(
                    lines.iter().all(|line| measure_text_width(line) <= columns),
                    "{columns}: {lines:#?}"
                );
                assert!(lines.iter().all(|line| !line.contains('\n') && !line.contains("[2J\u{1b}")));
                assert_eq!(lines.concat().contains('\u{1b}'), colours, "{lines:#?}");
            }
        }
    }

    #[test]
    fn the_block_says_what_happens_now() {
        let mut live = live();
        let text = lines(&live, 100, false).join("\n");
        for part in
            ["run ", "0:41 of 1:30", "46 %", "2,000 of 2,000 open", "/s due", "arrived ", "none", "cores"]
        {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        assert!(text.contains("0 violations in 40,000 messages"), "{text}");
        live.checked = Some(Checked { violations: 1, ..Checked::default() });
        live.errors.push(ErrorKind::Connect, || "refused".into());
        let text = lines(&live, 100, false).join("\n");
        assert!(text.contains("1 violations") && text.contains("1 cannot connect: refused"), "{text}");
    }
}

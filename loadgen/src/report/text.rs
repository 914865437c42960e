//! The closing summary, for terminals and logs.

use std::fmt::Write as _;

use super::figure::{bytes, ms, one_line, rate, time, whole};
use super::{Report, Summary, Verdict, Watched};
use crate::measure::{Count, Counts, Timed};

/// Columns of a line at most: it fits a terminal, a log and a mail.
const COLUMNS: usize = 100;

/// Columns of the names at the left.
const NAME: usize = 18;

/// Lines of a violation's excerpt that are shown; the whole is in the report as JSON.
const EXCERPT_LINES_MAX: usize = 40;

/// Servers that have a line of their own; more of them are summed up.
const SERVERS_MAX: usize = 8;

/// The summary, lines of at most 100 columns without colours, with a line feed at its end.
pub fn text(report: &Report) -> String {
    let mut text = Text(String::new());
    text.header(report);
    text.happened(report);
    text.timings(report);
    text.errors(report);
    text.resources(report);
    if let Some(verdict) = &report.verdict {
        text.verdict(verdict);
    }
    text.0
}

struct Text(String);

impl Text {
    /// A line that is cut where it would be too long.
    fn line(&mut self, line: &str) {
        let line = one_line(line.trim_end());
        match line.char_indices().nth(COLUMNS) {
            None => self.0 += &line,
            Some(_) => {
                self.0.extend(line.chars().take(COLUMNS - 1));
                self.0.push('…');
            }
        }
        self.0.push('\n');
    }

    /// A line of evidence: nothing of it is cut away.
    fn wrapped(&mut self, line: &str) {
        let letters: Vec<char> = line.chars().collect();
        for (index, piece) in letters.chunks(COLUMNS - 6).enumerate() {
            let indent = if index == 0 { "  " } else { "      " };
            self.line(&format!("{indent}{}", String::from_iter(piece)));
        }
    }

    fn named(&mut self, name: &str, rest: &str) {
        self.line(&format!("  {name:NAME$}{rest}"));
    }

    /// Parts behind a name, on as many lines as they need.
    fn parts(&mut self, name: &str, parts: &[String]) {
        let (mut name, mut line) = (name, String::new());
        for part in parts {
            if !line.is_empty() && 2 + NAME + line.chars().count() + 3 + part.chars().count() > COLUMNS {
                self.named(name, &line);
                (name, line) = ("", String::new());
            }
            let _ = write!(line, "{}{part}", if line.is_empty() { "" } else { " · " });
        }
        self.named(name, &line);
    }

    fn header(&mut self, report: &Report) {
        let Report { version, scenario, server, .. } = report;
        self.line(&format!("godwit-loadgen {version}: {scenario} against {server}"));
        self.parts("targets", &report.targets);
        self.named("started", &format!("{} on {}", report.started_at, report.machine));
        let workers = if report.workers == 1 { "worker" } else { "workers" };
        self.named("load from", &format!("{} {workers}, seed {}", report.workers, report.seed));
        let phases =
            report.phases.iter().map(|phase| format!("{} {}", phase.phase.name(), time(phase.seconds)));
        let mut phases: Vec<_> = phases.collect();
        if report.interrupted {
            phases.push("ended before its time".to_owned());
        }
        self.parts("phases", &phases);
    }

    /// What happened, in the run and in all phases.
    fn happened(&mut self, report: &Report) {
        let (run, all) = (&report.run, &report.all);
        self.line("");
        let title = format!("run of {}", time(run.seconds));
        self.line(&format!("{title:20}{:>14}{:>16}{:>18}", "count", "a second", "in all phases"));
        for &count in Count::ALL.iter().filter(|count| all.counts[**count] > 0) {
            let per_second = if run.seconds > 0.0 { run.counts[count] as f64 / run.seconds } else { 0.0 };
            let figures = [whole(run.counts[count]), rate(per_second), whole(all.counts[count])];
            self.line(&format!(
                "  {:20}{:>12}{:>16}{:>18}",
                words(count.name()),
                figures[0],
                figures[1],
                figures[2]
            ));
        }
        if all.counts == Counts::default() {
            self.line("  nothing happened");
        }
        let most = report.series.iter().map(|second| second.streams).max().unwrap_or_default();
        if most > 0 {
            self.line(&format!("  {:20}{:>12}", "most streams open", whole(most)));
        }
    }

    fn timings(&mut self, report: &Report) {
        self.line("");
        let heads = ["count", "mean", "p50", "p90", "p99", "p99.9", "max"];
        self.line(&format!("{:20}{}", "times in ms", cells(&heads.map(str::to_owned))));
        let of = |summaries: &[Summary], timed: Timed| {
            summaries.iter().find(|summary| summary.name == timed.name()).cloned()
        };
        let mut some = false;
        for timed in Timed::ALL {
            // Streams are mostly opened before the run; a message is only timed in it.
            let (summary, mark) = match of(&report.run.timings, timed) {
                Some(summary) => (summary, ""),
                None => match of(&report.all.timings, timed) {
                    Some(summary) => (summary, " *"),
                    None => continue,
                },
            };
            some = true;
            let times = [summary.p50_us, summary.p90_us, summary.p99_us, summary.p999_us, summary.max_us];
            let mut row = vec![whole(summary.count), ms(summary.mean_us)];
            row.extend(times.map(|us| ms(us as f64)));
            self.named(&format!("{}{mark}", words(timed.name())), &cells(&row));
        }
        let outside = |summary: &Summary| !report.run.timings.iter().any(|run| run.name == summary.name);
        if report.all.timings.iter().any(outside) {
            self.line("  * before or after the run, where it did not occur");
        }
        if !some {
            self.line("  nothing was timed");
        }
    }

    fn errors(&mut self, report: &Report) {
        let errors = &report.all.errors;
        self.line("");
        if errors.total() == 0 {
            return self.line("no errors");
        }
        self.line(&format!(
            "errors: {} in all phases, {} of them in the run",
            whole(errors.total()),
            whole(report.run.errors.total())
        ));
        for (kind, failures) in errors.iter() {
            self.line(&format!(
                "  {:22}{:>10}  first: {}",
                kind.name(),
                whole(failures.count),
                failures.first
            ));
        }
    }

    fn resources(&mut self, report: &Report) {
        if report.servers.is_empty() && report.generators.is_empty() {
            return;
        }
        self.line("");
        self.line("memory and processor");
        for watched in report.servers.iter().take(SERVERS_MAX) {
            let mut parts = vec![watched.name.clone()];
            parts.extend(resident(std::slice::from_ref(watched)));
            self.parts("server", &parts);
        }
        if let Some(more) = report.servers.get(SERVERS_MAX..).filter(|more| !more.is_empty()) {
            self.named("", &format!("and {} more servers", more.len()));
        }
        let (memory, cpu) = (report.memory.as_ref(), report.cpu.as_ref());
        let per_stream = memory.and_then(|memory| memory.server_bytes_per_stream);
        self.used("all servers", cpu.and_then(|cpu| cpu.server_cores), per_stream, report);
        if !report.generators.is_empty() {
            self.parts("workers", &Vec::from_iter(resident(&report.generators)));
            let per_stream = memory.and_then(|memory| memory.generator_bytes_per_stream);
            self.used("all workers", cpu.and_then(|cpu| cpu.generator_cores), per_stream, report);
        }
    }

    fn used(&mut self, name: &str, cores: Option<f64>, per_stream: Option<f64>, report: &Report) {
        let mut parts = Vec::new();
        parts.extend(cores.map(|cores| format!("{cores:.2} cores busy in the run")));
        let streams = report.memory.map_or(0, |memory| memory.streams);
        parts.extend(per_stream.map(|per_stream| {
            format!("{} bytes a stream ({} streams)", one_decimal(per_stream), whole(streams))
        }));
        if !parts.is_empty() {
            self.parts(name, &parts);
        }
    }

    fn verdict(&mut self, verdict: &Verdict) {
        self.line("");
        let found = looked_at(verdict);
        match (&verdict.violation, &verdict.inconclusive) {
            (Some(violation), _) => {
                self.line("VIOLATION of the guarantees:");
                for line in violation.lines().take(EXCERPT_LINES_MAX) {
                    self.wrapped(line);
                }
                let more = violation.lines().count().saturating_sub(EXCERPT_LINES_MAX);
                if more > 0 {
                    self.line(&format!("  … and {more} more lines, in the report as JSON"));
                }
                self.parts("looked at", &found);
            }
            (None, Some(why)) => {
                self.line(&format!("NO VERDICT: {why}"));
                self.parts("looked at", &found);
            }
            (None, None) => {
                let line = format!("0 violations in {}", found.join(", "));
                // Long only where numbers are very large.
                if line.chars().count() <= COLUMNS {
                    self.line(&line)
                } else {
                    self.parts("0 violations in", &found)
                }
            }
        }
        if !verdict.history.is_empty() {
            self.parts("history", &verdict.history);
        }
    }
}

/// What the checker looked at, each part with its number.
fn looked_at(verdict: &Verdict) -> Vec<String> {
    let Verdict { messages, deliveries, events, streams, resumes, .. } = verdict;
    let named = [
        (messages, "messages"),
        (deliveries, "deliveries"),
        (events, "events"),
        (streams, "streams"),
        (resumes, "resumes"),
    ];
    named.map(|(count, name)| format!("{} {name}", whole(*count))).to_vec()
}

/// First, most and last memory of processes together: at their looks by number, which are a second apart.
fn resident(watched: &[Watched]) -> Option<String> {
    let looks = watched.iter().map(|one| one.samples.len()).max().filter(|looks| *looks > 0)?;
    let at = |look: usize| -> u64 {
        let of = |one: &Watched| one.samples.get(look).or(one.samples.last()).map_or(0, |x| x.resident_bytes);
        watched.iter().map(of).sum()
    };
    let most = (0..looks).map(at).max().unwrap_or_default();
    let [first, most, last] = [at(0), most, at(looks - 1)].map(|resident| bytes(resident as f64));
    Some(format!("resident {first} at first, {most} at most, {last} at last"))
}

/// Bytes are counted, so thousands of them have no fraction worth telling.
fn one_decimal(number: f64) -> String {
    if number.abs() < 1_000.0 { format!("{number:.1}") } else { with_sign(number) }
}

fn with_sign(number: f64) -> String {
    let sign = if number < 0.0 { "-" } else { "" };
    format!("{sign}{}", whole(number.abs().round() as u64))
}

fn cells(cells: &[String]) -> String {
    let mut line = String::new();
    for cell in cells {
        let _ = write!(line, "{cell:>11}");
    }
    line
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{busy, failed, nothing};

    #[test]
    fn a_summary_has_what_a_person_wants_first() {
        let text = text(&busy());
        for part in [
            "chat against godwit",
            "messages acknowledged",
            "acknowledged ",
            "cannot connect",
            "first: connection refused",
            "bytes a stream",
            "cores busy in the run",
            "0 violations in",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"));
    }

    #[test]
    fn a_violation_is_shown_with_its_excerpt_and_nothing_moves_the_cursor() {
        let text = text(&failed());
        assert!(text.contains("VIOLATION of the guarantees:\n  G1"), "{text}");
        assert!(text.contains("ended before its time"), "{text}");
        assert!(text.contains("n 208"), "nothing of the excerpt is cut away: {text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
    }

    #[test]
    fn a_run_without_anything_says_so() {
        let text = text(&nothing());
        for part in ["nothing happened", "nothing was timed", "no errors"] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }
}

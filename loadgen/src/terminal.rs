//! What a person sees while a run goes on. All of it goes to standard error: standard output is for
//! what the run found.

mod frame;
mod line;

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::measure::Phase;
use crate::recorder::Live;

/// Between two drawings. More often only flickers, and costs processor time that the load is to have.
const REDRAW: Duration = Duration::from_millis(200);

/// Between two lines where there is no terminal: a run of an hour is a log of 720 lines.
const LINE: Duration = Duration::from_secs(5);

/// How much is shown, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A block of lines that is drawn again and again.
    Live,
    /// A line now and then, for logs.
    Lines,
    /// Phases only.
    Quiet,
}

impl Mode {
    /// What suits standard error.
    pub fn fitting(quiet: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        match (quiet, std::io::stderr().is_terminal() && !dumb) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Live,
            (false, false) => Self::Lines,
        }
    }
}

/// The view. Dropping it leaves a clean screen.
#[derive(Debug)]
pub struct View<W: Write = std::io::Stderr> {
    out: W,
    /// The block of lines, in [`Mode::Live`].
    block: Option<(Term, ProgressBar)>,
    quiet: bool,
    phase: Option<Phase>,
    shown: Option<Instant>,
}

impl View {
    /// A view on standard error.
    pub fn new(mode: Mode) -> Self {
        let mut view = Self::to(std::io::stderr(), mode == Mode::Quiet);
        if mode == Mode::Live {
            let term = Term::buffered_stderr();
            // This view limits drawings itself, so that a new phase is seen at once.
            let target = ProgressDrawTarget::term(term.clone(), 20);
            let bar = ProgressBar::with_draw_target(None, target);
            bar.set_style(ProgressStyle::with_template("{msg}").expect("this template is valid"));
            view.block = Some((term, bar));
        }
        view
    }
}

impl<W: Write> View<W> {
    fn to(out: W, quiet: bool) -> Self {
        Self { out, block: None, quiet, phase: None, shown: None }
    }

    /// Shows what happens now. Called more often than is good to look at, it does nothing.
    pub fn show(&mut self, live: &Live) {
        self.show_at(live, Instant::now());
    }

    fn show_at(&mut self, live: &Live, now: Instant) {
        let begins = self.phase != Some(live.phase);
        let interval = if self.block.is_some() { REDRAW } else { LINE };
        if !begins && self.shown.is_some_and(|shown| now.saturating_duration_since(shown) < interval) {
            return;
        }
        (self.phase, self.shown) = (Some(live.phase), Some(now));
        match &self.block {
            Some((term, bar)) => {
                let (rows, columns) = term.size();
                let mut lines = frame::lines(live, usize::from(columns), console::colors_enabled_stderr());
                // A block that is higher than the screen could not be drawn over.
                lines.truncate(usize::from(rows).saturating_sub(1).max(1));
                bar.set_message(lines.join("\n"));
            }
            None if begins => self.print(&line::phase(live)),
            None if !self.quiet => self.print(&line::figures(live)),
            None => {}
        }
    }

    /// A notice, above what is drawn.
    pub fn line(&mut self, text: &str) {
        match &self.block {
            Some((_, bar)) => bar.println(text),
            None => self.print(text),
        }
    }

    /// Takes the block of lines away. What follows begins on a line of its own.
    pub fn end(&mut self) {
        if let Some((_, bar)) = self.block.take() {
            bar.finish_and_clear();
        }
    }

    /// That nobody reads any more is no reason to end the load.
    fn print(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
    }
}

impl<W: Write> Drop for View<W> {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::live;

    fn written(view: &View<Vec<u8>>) -> String {
        String::from_utf8(view.out.clone()).expect("text")
    }

    #[test]
    fn logs_get_a_line_for_each_phase_and_one_every_few_seconds() {
        let (mut view, start) = (View::to(Vec::new(), false), Instant::now());
        let mut live = live();
        for second in 0..12 {
            view.show_at(&live, start + Duration::from_secs(second));
        }
        live.phase = Phase::Settle;
        view.show_at(&live, start + Duration::from_secs(12));
        view.line("a notice");
        view.end();
        let text = written(&view);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[0].starts_with("phase run planned_s 90 "), "{text}");
        assert!(lines[1].starts_with("run 41 s "), "{text}");
        assert!(lines[3].starts_with("phase settle"), "{text}");
        assert_eq!(lines[4], "a notice");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn quiet_shows_phases_and_notices_only() {
        let (mut view, start) = (View::to(Vec::new(), true), Instant::now());
        let live = live();
        (0..60).for_each(|second| view.show_at(&live, start + Duration::from_secs(second)));
        view.line("a notice");
        let text = written(&view);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.starts_with("phase run ") && text.ends_with("a notice\n"), "{text}");
    }
}

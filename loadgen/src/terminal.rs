//! What people look at while a load runs. All of it goes to standard error: standard output is for what
//! came of it.

mod lines;
mod picture;

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::measure::Phase;
use crate::recorder::Live;

/// Pictures a second, at most: as many as an eye follows figures.
const PICTURES_PER_S: u8 = 4;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The whole of a progress bar.
const WHOLE: u64 = 1000;

/// The live view.
pub struct View {
    mode: Mode,
    phase: Option<Phase>,
}

enum Mode {
    /// A picture that is drawn over itself.
    Picture(ProgressBar),
    /// A line now and then; the time of the last one.
    Lines(Option<Duration>),
    /// Phases only.
    Quiet,
}

impl View {
    /// A picture on a terminal, lines elsewhere, and with `quiet` only a line for each phase.
    pub fn new(quiet: bool) -> Self {
        let mode = match quiet {
            true => Mode::Quiet,
            false if io::stderr().is_terminal() => Mode::Picture(bar()),
            false => Mode::Lines(None),
        };
        Self { mode, phase: None }
    }

    /// Shows the moment.
    pub fn show(&mut self, live: &Live) {
        let new_phase = self.phase.replace(live.phase) != Some(live.phase);
        match &mut self.mode {
            Mode::Picture(bar) => {
                let width = console::Term::stderr().size().1.into();
                bar.set_prefix(live.phase.name());
                bar.set_position(live.done().map_or(0, |done| (done.clamp(0.0, 1.0) * WHOLE as f64) as u64));
                bar.set_message(picture::picture(live, width));
                bar.tick();
            }
            Mode::Lines(last) => {
                if new_phase {
                    say(&lines::phase(live));
                }
                if last.is_none_or(|last| live.total >= last + LINE_EVERY) {
                    *last = Some(live.total);
                    say(&lines::figures(live));
                }
            }
            Mode::Quiet if new_phase => say(&lines::phase(live)),
            Mode::Quiet => {}
        }
    }

    /// Says something besides.
    pub fn line(&mut self, text: &str) {
        match &self.mode {
            Mode::Picture(bar) => bar.println(text),
            Mode::Lines(_) | Mode::Quiet => say(text),
        }
    }

    /// Leaves a clean screen.
    pub fn end(&mut self) {
        if let Mode::Picture(bar) = &self.mode {
            bar.finish_and_clear();
        }
    }
}

/// If nobody reads standard error, nobody misses it.
fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(WHOLE), ProgressDrawTarget::stderr_with_hz(PICTURES_PER_S));
    let style = ProgressStyle::with_template("{prefix:9} {wide_bar:.cyan/dim}\n{msg}");
    bar.with_style(style.expect("this template is valid").progress_chars("━╸─"))
}

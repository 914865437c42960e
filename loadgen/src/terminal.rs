//! stub
use crate::recorder::Live;
/// v
pub struct View(bool);
impl View {
    /// n
    pub fn new(quiet: bool) -> Self {
        View(quiet)
    }
    /// s
    pub fn show(&mut self, live: &Live) {
        if !self.0 && rand::random_ratio(1, 8) {
            eprintln!(
                "{:?} {:.0?} streams {} ack {} arrived {} errors {} recent {:?}",
                live.phase,
                live.total,
                live.streams,
                live.counts[crate::measure::Count::Acknowledged],
                live.counts[crate::measure::Count::Arrived],
                live.errors.total(),
                live.recent.iter().map(|p| (p.timed.name(), p.p50_us, p.p99_us)).collect::<Vec<_>>()
            );
        }
    }
    /// l
    pub fn line(&mut self, t: &str) {
        eprintln!("{t}")
    }
    /// e
    pub fn end(&mut self) {}
}

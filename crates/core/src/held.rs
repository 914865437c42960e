//! Answers that wait for the row on which they rest.

use std::collections::VecDeque;

/// Things held back until a row is committed, in the order in which they came.
///
/// No bound of its own: each entry is a command that admission has let in, and admission is bounded.
#[derive(Debug)]
pub struct Held<T> {
    waiting: VecDeque<(u64, T)>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new() }
    }
}

impl<T> Held<T> {
    /// Holds `item` until row `n` is committed. `n` is the last row there is, so it never goes back.
    pub fn until(&mut self, n: u64, item: T) {
        debug_assert!(self.waiting.back().is_none_or(|(last, _)| *last <= n), "answers rest on the last row");
        self.waiting.push_back((n, item));
    }

    /// The next item that rests on nothing beyond row `committed`.
    pub fn release(&mut self, committed: u64) -> Option<T> {
        self.waiting.pop_front_if(|(n, _)| *n <= committed).map(|(_, item)| item)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

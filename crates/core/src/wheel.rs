//! A timer wheel for a node's heartbeats: one entry of eight bytes per stream, no timer of its own each.

use std::collections::VecDeque;

/// Things that are due at some tick. Ticks are counted by whoever turns the wheel.
#[derive(Debug)]
pub struct Wheel<T> {
    slots: VecDeque<Vec<T>>,
    span: usize,
}

impl<T> Wheel<T> {
    /// A wheel that reaches `span` ticks ahead.
    pub fn new(span: usize) -> Self {
        Self { slots: VecDeque::new(), span: span.max(1) }
    }

    /// `item` is due in `ticks` ticks: at least one, at most the wheel's span.
    pub fn schedule(&mut self, ticks: usize, item: T) {
        let slot = ticks.clamp(1, self.span) - 1;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, Vec::new);
        }
        self.slots[slot].push(item);
    }

    /// One tick has passed: what is due now.
    pub fn turn(&mut self) -> Vec<T> {
        self.slots.pop_front().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_up_when_they_are_due() {
        let mut wheel = Wheel::new(4);
        wheel.schedule(1, 'a');
        wheel.schedule(3, 'c');
        wheel.schedule(99, 'z');
        wheel.schedule(0, 'b');
        let turns: Vec<Vec<char>> = (0..5).map(|_| wheel.turn()).collect();
        assert_eq!(turns, [vec!['a', 'b'], vec![], vec!['c'], vec!['z'], vec![]]);
    }
}

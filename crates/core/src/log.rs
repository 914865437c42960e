//! The writing end of a log: which number a row gets, and when it is committed.
//!
//! A row is *stored* when its write was answered, *confirmed* when the guard passed after that, and
//! *committed* when it and every row before it are confirmed. Nothing may leave the owner before it is
//! committed. (Confirming row by row is enough: when the last of a prefix is confirmed, a guard has passed
//! that started after all of the prefix was stored.)

use std::collections::VecDeque;

use godwit_types::Position;

/// Rows of one log that may be on their way to the store at once. A successor reads the last 65 rows to
/// find the tail: one committed and a window beyond it. 64 also fill one batch of the CQL store.
pub const WINDOW_MAX: usize = 64;

/// A log as its owner sees it. `T` is what the owner wants back when a row is committed.
#[derive(Debug)]
pub struct Log<T> {
    epoch: u64,
    tail: Position,
    in_flight: VecDeque<Slot<T>>,
}

#[derive(Debug)]
struct Slot<T> {
    confirmed: bool,
    item: T,
}

/// What a new row is to say of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Where it stands.
    pub position: Position,
    /// The highest `n` known committed now.
    pub stable: u64,
}

impl<T> Log<T> {
    /// A log whose last committed row is `tail`, written from now on under `epoch`.
    pub fn new(epoch: u64, tail: Position) -> Self {
        debug_assert!(tail.epoch <= epoch, "a row of a later owner must have been noticed at activation");
        Self { epoch, tail, in_flight: VecDeque::new() }
    }

    /// The last committed row, [`Position::START`] when there is none.
    pub fn tail(&self) -> Position {
        self.tail
    }

    /// The number of the last row, committed or not.
    pub fn last_n(&self) -> u64 {
        self.tail.n + self.in_flight.len() as u64
    }

    /// How many more rows may be under way.
    pub fn room(&self) -> usize {
        WINDOW_MAX - self.in_flight.len()
    }

    /// Whether every row is committed.
    pub fn is_quiet(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Takes the next number for a row. `None` when the window is full: wait for a commit.
    pub fn append(&mut self, item: T) -> Option<Place> {
        if self.in_flight.len() == WINDOW_MAX {
            return None;
        }
        self.in_flight.push_back(Slot { confirmed: false, item });
        Some(Place { position: Position { epoch: self.epoch, n: self.last_n() }, stable: self.tail.n })
    }

    /// The row `n` was stored and the guard passed since. Says what is committed by that, in order.
    /// A number outside the window is old news and changes nothing.
    pub fn confirm(&mut self, n: u64) -> Vec<(Position, T)> {
        let Some(slot) =
            n.checked_sub(self.tail.n + 1).and_then(|i| self.in_flight.get_mut(usize::try_from(i).ok()?))
        else {
            return Vec::new();
        };
        slot.confirmed = true;
        let mut committed = Vec::new();
        while let Some(slot) = self.in_flight.pop_front_if(|slot| slot.confirmed) {
            self.tail = Position { epoch: self.epoch, n: self.tail.n + 1 };
            committed.push((self.tail, slot.item));
        }
        committed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_are_committed_in_order_whatever_order_they_are_confirmed_in() {
        let mut log = Log::new(7, Position { epoch: 3, n: 10 });
        let places: Vec<_> = ["a", "b", "c"].map(|item| log.append(item).unwrap()).to_vec();
        assert_eq!(places[0], Place { position: Position { epoch: 7, n: 11 }, stable: 10 });
        assert_eq!(log.confirm(13), []);
        assert_eq!(log.tail(), Position { epoch: 3, n: 10 });
        assert_eq!(log.confirm(11), [(Position { epoch: 7, n: 11 }, "a")]);
        assert_eq!(log.confirm(12).len(), 2);
        assert_eq!(log.confirm(12), [], "old news");
        assert!(log.is_quiet());
    }

    #[test]
    fn the_window_is_bounded() {
        let mut log = Log::new(1, Position::START);
        for _ in 0..WINDOW_MAX {
            assert!(log.append(()).is_some());
        }
        assert_eq!((log.append(()), log.room()), (None, 0));
        log.confirm(1);
        assert!(log.append(()).is_some());
    }

    proptest! {
        /// G3: commits are 1, 2, 3 … without gap or repeat under any order of confirmations.
        #[test]
        fn commits_count_without_gaps(steps in prop::collection::vec((any::<bool>(), 0u64..80), 1..400)) {
            let mut log = Log::new(1, Position::START);
            let (mut stored, mut expected) = (std::collections::BTreeSet::new(), 1);
            for (append, pick) in steps {
                if append {
                    if let Some(place) = log.append(log.last_n() + 1) {
                        prop_assert!(place.stable < place.position.n);
                        prop_assert!(place.position.n - place.stable <= WINDOW_MAX as u64);
                    }
                    continue;
                }
                let n = log.tail().n + pick;
                if n <= log.last_n() { stored.insert(n); }
                for (position, item) in log.confirm(n) {
                    prop_assert_eq!((position.n, item), (expected, expected));
                    prop_assert!(stored.contains(&position.n), "committed what was not stored");
                    expected += 1;
                }
            }
        }
    }
}

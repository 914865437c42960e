//! Finding the tail of a log after its owner is gone.

use godwit_types::Position;

use crate::log::WINDOW_MAX;

/// Rows that an activation reads, newest first: a window that may have holes, and the committed row before it.
pub const TAIL_ROWS: usize = WINDOW_MAX + 1;

/// What a row says of the log before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowHead {
    /// Where it stands.
    pub position: Position,
    /// The highest `n` known committed when it was written.
    pub stable: u64,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The last row of the longest prefix without a hole; [`Position::START`] for an empty log.
    pub position: Position,
    /// Rows read that lie beyond it: never committed, to be hidden by the settling.
    pub beyond: usize,
}

/// Rows that were committed are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("row {missing} is missing, but a later row knew {stable} as committed; the store has lost data")]
pub struct Hole {
    /// The first number that is not there.
    pub missing: u64,
    /// What was known committed.
    pub stable: u64,
}

/// The tail of a log by its last [`TAIL_ROWS`] rows (fewer when it has fewer), newest first.
/// `trimmed_below` is the first number that the retention has kept. Where nothing at all is left of the
/// committed part, the answer is [`Position::START`], and the log's summary knows better.
pub fn tail(newest_first: &[RowHead], trimmed_below: u64) -> Result<Tail, Hole> {
    let stable = newest_first.iter().map(|row| row.stable).max().unwrap_or(0);
    let mut rows = newest_first.iter().rev().peekable();
    let Some(first) = rows.peek() else {
        return Ok(Tail { position: Position::START, beyond: 0 });
    };
    let whole_log = newest_first.len() < TAIL_ROWS;
    if whole_log && first.position.n > trimmed_below.max(1) {
        return missing(trimmed_below.max(1), stable, newest_first.len());
    }
    let mut position = first.position;
    for (i, row) in newest_first.iter().rev().enumerate().skip(1) {
        if row.position.n != position.n + 1 {
            let beyond = newest_first.len() - i;
            return if position.n < stable {
                missing(position.n + 1, stable, beyond)
            } else {
                Ok(Tail { position, beyond })
            };
        }
        position = row.position;
    }
    Ok(Tail { position, beyond: 0 })
}

fn missing(n: u64, stable: u64, beyond: usize) -> Result<Tail, Hole> {
    if stable >= n {
        return Err(Hole { missing: n, stable });
    }
    Ok(Tail { position: Position::START, beyond })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(n: u64, stable: u64) -> RowHead {
        RowHead { position: Position { epoch: 1, n }, stable }
    }

    #[test]
    fn the_tail_is_before_the_first_hole() {
        assert_eq!(tail(&[], 0).unwrap().position, Position::START);
        assert_eq!(tail(&[row(3, 0), row(2, 0), row(1, 0)], 0).unwrap().position.n, 3);
        assert_eq!(
            tail(&[row(4, 1), row(2, 0), row(1, 0)], 0),
            Ok(Tail { position: row(2, 0).position, beyond: 1 })
        );
        assert_eq!(tail(&[row(3, 0), row(2, 0)], 0), Ok(Tail { position: Position::START, beyond: 2 }));
    }

    #[test]
    fn what_was_committed_may_not_be_missing() {
        assert_eq!(tail(&[row(4, 3), row(2, 0), row(1, 0)], 0), Err(Hole { missing: 3, stable: 3 }));
        assert_eq!(tail(&[row(9, 5), row(8, 5)], 6), Ok(Tail { position: Position::START, beyond: 2 }));
        assert_eq!(tail(&[row(9, 7), row(8, 7)], 6), Err(Hole { missing: 6, stable: 7 }));
    }

    #[test]
    fn a_trimmed_log_starts_later() {
        assert_eq!(tail(&[row(9, 8), row(8, 7)], 8).unwrap().position.n, 9);
    }

    proptest! {
        /// Whatever subset of a window landed, the tail is at or above everything that was committed.
        #[test]
        fn nothing_committed_is_cut_off(committed in 0u64..200, landed in prop::collection::vec(any::<bool>(), WINDOW_MAX)) {
            let mut rows: Vec<_> = (1..=committed).map(|n| row(n, n.saturating_sub(1))).collect();
            let window = (committed + 1..).zip(landed.iter()).filter(|(_, there)| **there);
            rows.extend(window.map(|(n, _)| row(n, committed)));
            rows.reverse();
            rows.truncate(TAIL_ROWS);
            let found = tail(&rows, 0).unwrap().position.n;
            let run = landed.iter().take_while(|there| **there).count() as u64;
            prop_assert_eq!(found, committed + run);
        }
    }
}

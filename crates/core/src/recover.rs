//! Finding the tail of a log after its owner is gone.

use godwit_types::{Position, Stamp};

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
    /// When it was written.
    pub stamp: Stamp,
}

/// What is known of a log besides its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The number of the row that its summary speaks of, 0 where it has none.
    pub summarised: u64,
    /// The first number that should be there.
    pub held_from: u64,
    /// Whether rows expire by themselves, so that the log may begin later than `held_from`.
    pub expires: bool,
    /// The lowest stamp of the last owner that took the log's shard from one that may have crashed;
    /// [`Stamp::MIN`] where nobody else can write.
    pub unclean_base: Stamp,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The last row of the longest prefix without a hole; [`Position::START`] when none is left.
    pub position: Position,
    /// Rows read that lie beyond it: never committed, to be hidden by the settling.
    pub beyond: usize,
    /// What has to be done before anything is read or written.
    pub settle: Option<Settle>,
}

/// A former owner may have left rows that are not at quorum, and may still bring others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settle {
    /// Hide what is above this number.
    pub tail: u64,
    /// Store the rows above this number, up to the tail, once more.
    pub above: u64,
}

/// Rows that were committed are not there, or two owners have written to one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A hole below a row that knew it filled.
    #[error("row {missing} is missing, but a later row knew {stable} as committed; the store has lost data")]
    Hole {
        /// The first number that is not there.
        missing: u64,
        /// What was known committed.
        stable: u64,
    },
    /// Two rows of one number.
    #[error("row {} was written under epochs {} and {}; the store's compare-and-set has let two owners in", .0.n, .0.epoch, .1.epoch)]
    Twice(Position, Position),
}

/// The tail of a log by its last [`TAIL_ROWS`] rows (fewer when it has fewer), newest first.
pub fn tail(newest_first: &[RowHead], known: Known) -> Result<Tail, Broken> {
    let (position, beyond) = prefix(newest_first, known)?;
    let last = newest_first.get(beyond).filter(|_| position != Position::START);
    let is_unclean = match last {
        Some(last) => last.stamp < known.unclean_base,
        None => known.unclean_base > Stamp::MIN,
    };
    let settle = is_unclean.then(|| Settle {
        tail: position.n.max(known.summarised),
        above: last.map_or(u64::MAX, |last| last.stable),
    });
    Ok(Tail { position, beyond, settle })
}

/// The end of the longest prefix without a hole, and how many rows lie beyond it.
fn prefix(newest_first: &[RowHead], known: Known) -> Result<(Position, usize), Broken> {
    let stable = newest_first.iter().map(|row| row.stable).max().unwrap_or(0);
    let Some(first) = newest_first.last() else { return Ok((Position::START, 0)) };
    let whole_log = newest_first.len() < TAIL_ROWS;
    // What has expired was committed, and later rows or the summary knew it.
    let gone = if known.expires { stable.max(known.summarised) + 1 } else { 0 };
    let starts_by = known.held_from.max(gone).max(1);
    if whole_log && first.position.n > starts_by {
        let nothing_left = Ok((Position::START, newest_first.len()));
        return if stable >= starts_by { hole(starts_by, stable) } else { nothing_left };
    }
    let mut position = first.position;
    for (i, row) in newest_first.iter().rev().enumerate().skip(1) {
        if row.position.n == position.n {
            return Err(Broken::Twice(position, row.position));
        }
        if row.position.n != position.n + 1 {
            let beyond = newest_first.len() - i;
            return if position.n < stable { hole(position.n + 1, stable) } else { Ok((position, beyond)) };
        }
        position = row.position;
    }
    Ok((position, 0))
}

fn hole<T>(missing: u64, stable: u64) -> Result<T, Broken> {
    Err(Broken::Hole { missing, stable })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(n: u64, stable: u64) -> RowHead {
        RowHead { position: Position { epoch: 1, n }, stable, stamp: Stamp::from_us(n as i64) }
    }

    fn held_from(held_from: u64) -> Known {
        Known { summarised: 0, held_from, expires: false, unclean_base: Stamp::MIN }
    }

    fn found(newest_first: &[RowHead], known: Known) -> (u64, usize) {
        let tail = tail(newest_first, known).unwrap();
        (tail.position.n, tail.beyond)
    }

    #[test]
    fn the_tail_is_before_the_first_hole() {
        assert_eq!(found(&[], held_from(0)), (0, 0));
        assert_eq!(found(&[row(3, 0), row(2, 0), row(1, 0)], held_from(0)), (3, 0));
        assert_eq!(found(&[row(4, 1), row(2, 0), row(1, 0)], held_from(0)), (2, 1));
        assert_eq!(found(&[row(3, 0), row(2, 0)], held_from(0)), (0, 2));
    }

    #[test]
    fn what_was_committed_may_not_be_missing() {
        let hole = |missing, stable| Err(Broken::Hole { missing, stable });
        assert_eq!(tail(&[row(4, 3), row(2, 0), row(1, 0)], held_from(0)), hole(3, 3));
        assert_eq!(found(&[row(9, 5), row(8, 5)], held_from(6)), (0, 2));
        assert_eq!(tail(&[row(9, 7), row(8, 7)], held_from(6)), hole(6, 7));
    }

    #[test]
    fn a_trimmed_log_starts_later() {
        assert_eq!(found(&[row(9, 8), row(8, 7)], held_from(8)), (9, 0));
    }

    #[test]
    fn a_log_that_expires_starts_behind_what_was_committed() {
        let known = Known { summarised: 5, expires: true, ..held_from(1) };
        assert_eq!(found(&[row(9, 8), row(8, 7)], known), (9, 0));
        assert_eq!(found(&[row(7, 5), row(6, 5)], known), (7, 0));
        assert_eq!(found(&[row(8, 5), row(7, 5)], known), (0, 2), "6 was never there");
        assert_eq!(found(&[], known), (0, 0));
    }

    #[test]
    fn two_rows_for_one_place_are_an_alarm() {
        let (one, other) = (row(2, 1), RowHead { position: Position { epoch: 9, n: 2 }, ..row(2, 1) });
        let twice = Err(Broken::Twice(one.position, other.position));
        assert_eq!(tail(&[other, one, row(1, 0)], held_from(0)), twice);
    }

    #[test]
    fn a_log_is_settled_once_after_a_crash() {
        let rows = [row(6, 3), row(4, 3), row(3, 1)];
        let known = |base| Known { unclean_base: Stamp::from_us(base), ..held_from(3) };
        assert_eq!(tail(&rows, known(4)).unwrap().settle, None, "its last row is of this owner");
        assert_eq!(tail(&rows, known(5)).unwrap().settle, Some(Settle { tail: 4, above: 3 }));
        let nothing = Known { summarised: 7, ..known(5) };
        assert_eq!(tail(&[], nothing).unwrap().settle, Some(Settle { tail: 7, above: u64::MAX }));
        assert_eq!(tail(&[], held_from(0)).unwrap().settle, None, "nobody else can write");
    }

    proptest! {
        /// Whatever subset of a window landed, the tail is at or above everything that was committed.
        #[test]
        fn nothing_committed_is_cut_off(
            committed in 0u64..200,
            expired in 0u64..200,
            landed in prop::collection::vec(any::<bool>(), WINDOW_MAX),
        ) {
            let expired = expired.min(committed);
            let mut rows: Vec<_> = (expired + 1..=committed).map(|n| row(n, n.saturating_sub(1))).collect();
            let window = (committed + 1..).zip(landed.iter()).filter(|(_, there)| **there);
            rows.extend(window.map(|(n, _)| row(n, committed)));
            rows.reverse();
            rows.truncate(TAIL_ROWS);
            let known = Known { summarised: expired, expires: expired > 0, ..held_from(0) };
            let found = found(&rows, known).0;
            let run = landed.iter().take_while(|there| **there).count() as u64;
            let nothing_left = expired == committed && run == 0;
            prop_assert_eq!(found, if nothing_left { 0 } else { committed + run });
        }
    }
}

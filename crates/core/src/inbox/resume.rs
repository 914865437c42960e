//! Where a stream or a sync starts: what an event id leads to.

use godwit_types::{Cursor, Position};
use godwit_wire::GapReason;
use godwit_wire::event::GapData;

use super::Inbox;

/// What is to be read for a resume: rows after `after`, up to `upto`, both by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The place before the first row to show.
    pub after: Position,
    /// The last committed row.
    pub upto: Position,
    /// What cannot be shown.
    pub gap: Option<GapData>,
}

/// The part of the log that the retention has kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// First row.
    pub from: u64,
    /// Last row.
    pub to: u64,
}

/// What is known of an event id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// All that is needed.
    Known(Grant),
    /// Whether there is such an event is for its row to say: read row `n`, then [`Inbox::resolve`].
    Row {
        /// The row.
        n: u64,
    },
    /// It cannot be served whole: read row [`Held::from`], then [`Inbox::gap`].
    Gap(GapReason),
}

impl Inbox {
    /// What the retention has kept.
    pub fn held(&self) -> Held {
        Held { from: self.held_from, to: self.tail().n }
    }

    /// A start without an id: live from now on.
    pub fn from_now(&self) -> Grant {
        Grant { after: self.tail(), upto: self.tail(), gap: None }
    }

    /// A start after an event id.
    pub fn look_up(&self, cursor: Cursor) -> Lookup {
        let (asked, tail) = (cursor.position, self.tail());
        if !cursor.is_of(&self.account) || asked.n > tail.n || (asked.n == 0 && asked != Position::START) {
            return Lookup::Gap(GapReason::Unknown);
        }
        if asked.n == tail.n {
            return self.resolve(cursor, Some(tail));
        }
        if asked.n + 1 < self.held_from {
            return Lookup::Gap(GapReason::Expired);
        }
        if asked == Position::START {
            return self.resolve(cursor, Some(asked));
        }
        Lookup::Row { n: asked.n }
    }

    /// The same once the row's position was read; `None` when there is no such row.
    pub fn resolve(&self, cursor: Cursor, row: Option<Position>) -> Lookup {
        // The row before the first that is held may be gone already, but nothing after it is: no gap.
        let may_be_gone = cursor.position.n + 1 == self.held_from;
        match row.or(may_be_gone.then_some(cursor.position)) {
            Some(after) if after == cursor.position => {
                Lookup::Known(Grant { after, upto: self.tail(), gap: None })
            }
            _ => Lookup::Gap(GapReason::Unknown),
        }
    }

    /// Everything that is held, behind a gap. `first` is the position of the first row that is held; `None`
    /// when none is.
    pub fn gap(&self, asked: Cursor, reason: GapReason, first: Option<Position>) -> Grant {
        let (after, held_from) = match first {
            Some(first) => (Position { n: first.n - 1, ..first }, Cursor::new(&self.account, first)),
            None => (self.tail(), self.head()),
        };
        let gap = gap_data(reason, asked, held_from, self.head());
        Grant { after, upto: self.tail(), gap: Some(gap) }
    }
}

/// `data` of a gap.
pub fn gap_data(reason: GapReason, asked: Cursor, held_from: Cursor, head: Cursor) -> GapData {
    GapData::Resume {
        reason,
        requested: asked.to_string(),
        held_from: held_from.to_string(),
        head: head.to_string(),
    }
}

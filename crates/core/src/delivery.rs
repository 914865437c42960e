//! One stream's queue: replay, then live, with no seam between them, and never more than its bound.
//!
//! Rows have numbers without gaps, so one number says all of where a stream is: `position`, the last row
//! that was put into the queue or knowingly left out. A live row that is not the next one was missed on the
//! way, and the stream goes back to reading the store.

use std::collections::VecDeque;

use bytes::Bytes;
use godwit_types::{AccountId, Cursor, Position};
use godwit_wire::event::{self, CaughtUpData, GapData};
use godwit_wire::{EventKind, GapReason, sse};

use crate::inbox::{Grant, gap_data};

/// What happens when a client reads too slowly for its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The queue is dropped and refilled from the store once the client reads again: nothing is lost.
    #[default]
    Replay,
    /// The oldest queued events go; a `gap` says which.
    DropOldest,
    /// The newest events do not come in; a `gap` says which.
    DropNewest,
    /// The stream ends.
    Disconnect,
}

/// The bounds of a queue.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes that may wait. One event that alone is larger is let in when nothing else waits.
    pub queue_bytes: usize,
    /// What happens beyond.
    pub overflow: Overflow,
}

/// A committed row as a stream shows it.
#[derive(Debug, Clone)]
pub struct Event {
    /// Where it stands in the inbox.
    pub position: Position,
    /// The server-sent event, made once for all of an account's streams.
    pub frame: Bytes,
}

/// A read that a replay needs: rows with `after < n <= upto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// The last row that the stream has.
    pub after: u64,
    /// The last row that was granted.
    pub upto: u64,
    /// Room in the queue, in bytes.
    pub bytes: usize,
}

/// What becomes of a stream by an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Fate {
    /// It goes on.
    Open,
    /// It is to end with `bye` `slow`.
    Slow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Rows up to `upto` come from the store; `announce` says that a `caught_up` follows them.
    Replay {
        upto: Position,
        announce: bool,
    },
    Live,
}

/// What waits, in the order in which the client gets it.
#[derive(Debug)]
enum Queued {
    /// Not of the log (ready, its gap, bye): never dropped.
    Control(Bytes),
    /// A stored event.
    Stored(Bytes, Position),
    /// All that was asked for is before it.
    CaughtUp(Bytes),
    /// A gap that the retention made: rows up to there are no longer held.
    Expired(Bytes, Position),
    /// A run of stored events that was dropped here, first and last. Its frame is made when it is taken.
    /// Counts no bytes: a frame lies between any two of them, so there are never more than frames.
    Dropped(Position, Position),
}

impl Queued {
    fn len(&self) -> usize {
        match self {
            Self::Control(bytes) | Self::CaughtUp(bytes) => bytes.len(),
            Self::Stored(bytes, _) | Self::Expired(bytes, _) => bytes.len(),
            Self::Dropped(..) => 0,
        }
    }

    /// The last row that a client knows of once it has this, where that changes.
    fn reached(&self) -> Option<Position> {
        match self {
            Self::Control(_) | Self::CaughtUp(_) => None,
            Self::Stored(_, position) | Self::Expired(_, position) | Self::Dropped(_, position) => {
                Some(*position)
            }
        }
    }
}

/// The queue of one stream that has something to do; an idle stream keeps only its position.
#[derive(Debug)]
pub struct Delivery {
    account: AccountId,
    bounds: Bounds,
    phase: Phase,
    position: Position,
    /// The last row that the socket took.
    taken: Position,
    queue: VecDeque<Queued>,
    bytes: usize,
}

impl Delivery {
    /// A stream that has shown everything up to `position`.
    pub fn live(account: AccountId, bounds: Bounds, position: Position) -> Self {
        Self {
            account,
            bounds,
            phase: Phase::Live,
            position,
            taken: position,
            queue: VecDeque::new(),
            bytes: 0,
        }
    }

    /// A stream that begins: `ready`, the gap if there is one, and if an event id was given (`announce`), rows
    /// up to the grant's end and then `caught_up`.
    pub fn granted(account: AccountId, bounds: Bounds, ready: Bytes, grant: Grant, announce: bool) -> Self {
        let mut new = Self::live(account, bounds, grant.after);
        new.control(ready);
        if let Some(gap) = grant.gap {
            new.control(sse::frame(None, EventKind::Gap, &event::data(&gap)));
        }
        if announce {
            new.phase = Phase::Replay { upto: grant.upto, announce };
            new.arrive();
        }
        new
    }

    /// The last row that was queued or knowingly left out.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is left to do until something happens.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Live && self.queue.is_empty()
    }

    /// The next row of the inbox was committed.
    pub fn event(&mut self, event: &Event) -> Fate {
        if event.position.n <= self.position.n {
            return Fate::Open; // a second owner's or a second way's: known
        }
        if self.phase != Phase::Live || event.position.n != self.position.n + 1 {
            return self.missed(event.position);
        }
        if self.fits(event.frame.len()) {
            self.show(event);
            return Fate::Open;
        }
        self.overflow(event)
    }

    /// Rows up to there are committed; some may not have come this way.
    pub fn missed(&mut self, upto: Position) -> Fate {
        match &mut self.phase {
            Phase::Replay { upto: end, .. } => *end = (*end).max(upto),
            Phase::Live if upto.n > self.position.n => self.phase = Phase::Replay { upto, announce: false },
            Phase::Live => {}
        }
        Fate::Open
    }

    /// What is to be read now: when a replay is under way and the queue is at most half full.
    pub fn read(&self) -> Option<Read> {
        let room = self.bounds.queue_bytes.saturating_sub(self.bytes);
        match self.phase {
            Phase::Replay { upto, .. } if self.bytes <= self.bounds.queue_bytes / 2 => {
                Some(Read { after: self.position.n, upto: upto.n, bytes: room })
            }
            _ => None,
        }
    }

    /// Rows that were read, in order, from behind `read.after`. An empty page means that nothing of what was
    /// asked for is held any more.
    pub fn page(&mut self, read: Read, rows: &[Event]) {
        let Phase::Replay { upto, .. } = self.phase else { return };
        if read.after != self.position.n {
            return; // an overflow came between: it is read again
        }
        for (i, event) in rows.iter().enumerate() {
            if event.position.n != self.position.n + 1 {
                let before = Position { n: event.position.n - 1, ..event.position };
                self.expired(event.position, upto, before);
            }
            // The reader counts payloads, the queue frames. The first one goes in, so that a page is progress.
            if i > 0 && !self.fits(event.frame.len()) {
                break;
            }
            self.show(event);
        }
        // Where the grant has grown since, what came last is held: it is read with the next page.
        if rows.is_empty() && read.upto == upto.n && upto.n > self.position.n {
            self.expired(upto, upto, upto);
        }
        self.arrive();
    }

    /// Queues what is not a stored event, behind what waits; it is never dropped.
    pub fn control(&mut self, bytes: Bytes) {
        self.push(Queued::Control(bytes));
    }

    /// Takes what the socket can write now, whole events, up to about `bytes_max` bytes.
    pub fn take(&mut self, frames: &mut Vec<Bytes>, bytes_max: usize) {
        let mut bytes = 0;
        while bytes < bytes_max
            && let Some(next) = self.queue.pop_front()
        {
            self.bytes -= next.len();
            self.taken = next.reached().unwrap_or(self.taken);
            let frame = match next {
                Queued::Control(frame) | Queued::CaughtUp(frame) => frame,
                Queued::Stored(frame, _) | Queued::Expired(frame, _) => frame,
                Queued::Dropped(from, to) => self.dropped(from, to),
            };
            bytes += frame.len();
            frames.push(frame);
        }
        if self.queue.is_empty() {
            self.queue = VecDeque::new(); // its memory too: most streams wait most of the time
        }
    }

    /// Whether the socket has anything to take.
    pub fn has_frames(&self) -> bool {
        !self.queue.is_empty()
    }

    fn fits(&self, len: usize) -> bool {
        self.bytes == 0 || self.bytes + len <= self.bounds.queue_bytes
    }

    fn show(&mut self, event: &Event) {
        self.push(Queued::Stored(event.frame.clone(), event.position));
        self.position = event.position;
    }

    fn push(&mut self, queued: Queued) {
        self.bytes += queued.len();
        self.queue.push_back(queued);
    }

    fn overflow(&mut self, event: &Event) -> Fate {
        match self.bounds.overflow {
            Overflow::Replay => {
                let announce = self.rewind();
                self.phase = Phase::Replay { upto: event.position, announce };
            }
            Overflow::DropOldest => self.drop_oldest(event),
            Overflow::DropNewest => {
                match self.queue.back_mut() {
                    Some(Queued::Dropped(_, to)) => *to = event.position,
                    _ => self.push(Queued::Dropped(event.position, event.position)),
                }
                self.position = event.position;
            }
            Overflow::Disconnect => {
                self.rewind();
                return Fate::Slow;
            }
        }
        Fate::Open
    }

    /// Drops everything from the first stored event on, and goes back to before it. Whether a `caught_up`
    /// was among it: it has an id, and must not reach a client before the events that this id covers.
    fn rewind(&mut self) -> bool {
        let first = self.queue.iter().position(|queued| matches!(queued, Queued::Stored(..)));
        let rest = self.queue.split_off(first.unwrap_or(self.queue.len()));
        let mut announce = false;
        for queued in rest {
            self.bytes -= queued.len();
            match queued {
                Queued::Control(_) => self.push(queued),
                Queued::CaughtUp(_) => announce = true,
                Queued::Stored(..) | Queued::Expired(..) | Queued::Dropped(..) => {}
            }
        }
        self.position = self.queue.iter().rev().find_map(Queued::reached).unwrap_or(self.taken);
        announce
    }

    fn drop_oldest(&mut self, event: &Event) {
        let stored = |queued: &Queued| matches!(queued, Queued::Stored(..));
        while !self.fits(event.frame.len())
            && let Some(at) = self.queue.iter().position(stored)
            && let Some(Queued::Stored(frame, position)) = self.queue.remove(at)
        {
            self.bytes -= frame.len();
            match at.checked_sub(1).and_then(|before| self.queue.get_mut(before)) {
                Some(Queued::Dropped(_, to)) => *to = position,
                _ => self.queue.insert(at, Queued::Dropped(position, position)),
            }
        }
        self.show(event);
    }

    /// The retention has removed what lay between here and `held_from`.
    fn expired(&mut self, held_from: Position, head: Position, reached: Position) {
        let cursor = |position| Cursor::new(&self.account, position);
        let gap = gap_data(GapReason::Expired, cursor(self.position), cursor(held_from), cursor(head));
        self.push(Queued::Expired(sse::frame(None, EventKind::Gap, &event::data(&gap)), reached));
        self.position = reached;
    }

    /// Goes live when the replay has shown all that was granted.
    fn arrive(&mut self) {
        let Phase::Replay { upto, announce } = self.phase else { return };
        if self.position.n < upto.n {
            return;
        }
        self.phase = Phase::Live;
        if announce {
            let head = Cursor::new(&self.account, self.position);
            let data = event::data(&CaughtUpData { head });
            self.push(Queued::CaughtUp(sse::frame(Some(head), EventKind::CaughtUp, &data)));
        }
    }

    fn dropped(&self, from: Position, to: Position) -> Bytes {
        let text = |position| Cursor::new(&self.account, position).to_string();
        let gap = GapData::Dropped { reason: GapReason::Dropped, from: text(from), to: text(to) };
        sse::frame(None, EventKind::Gap, &event::data(&gap))
    }
}

#[cfg(test)]
mod tests;

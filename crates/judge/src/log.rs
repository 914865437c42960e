//! The records as they are kept: 32 bytes each, with their texts beside them. A run has millions.

use std::collections::HashMap;

use godwit_types::Position;

use crate::names::{Name, Names};
use crate::record::{Kind, Message, Moment, Record, StreamId};
use crate::{Rule, Violation};

/// The number of a record.
pub(crate) type Index = u32;
/// The number of a [`Told`].
pub(crate) type Telling = u32;

/// Records that lie in one piece. A longer history has more pieces, so that it grows without being
/// copied while writers and readers wait.
const PIECE_RECORDS: usize = 1 << 14;

/// A record.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entry {
    Acknowledged { telling: Telling, sent: Moment, batch: Option<Moment> },
    Opened { stream: StreamId, after: Option<Position> },
    Message { stream: StreamId, at: Position, telling: Telling },
    Change { stream: StreamId, at: Position, change: u32 },
    Mark { stream: StreamId, at: Position },
    Gap { stream: StreamId, gap: u32 },
    Malformed { stream: StreamId, event: u32 },
}

/// A place in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) conversation: Name,
    pub(crate) seq: u64,
}

/// A message in the words of one record, and of all that say the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) place: Place,
    pub(crate) id: Name,
    pub(crate) sender: Name,
    pub(crate) client_id: Name,
    /// The first record that says so.
    pub(crate) first: Index,
}

impl Told {
    pub(crate) fn says_the_same(&self, other: &Told) -> bool {
        let words = |told: &Told| (told.place, told.id, told.sender, told.client_id);
        words(self) == words(other)
    }
}

/// What a stream said to be missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gap {
    pub(crate) from: Option<Position>,
    pub(crate) resumes_at: u64,
}

/// A message whose texts belong to someone else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageRef<'a> {
    pub(crate) conversation: &'a str,
    pub(crate) seq: u64,
    pub(crate) id: &'a str,
    pub(crate) sender: &'a str,
    pub(crate) client_id: &'a str,
}

/// Records in their order.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pieces: Vec<Vec<Entry>>,
    names: Names,
    told: Vec<Told>,
    /// The first telling of each message, by its id.
    by_id: HashMap<Name, Telling>,
    /// Account and device of each stream.
    streams: Vec<(Name, Name)>,
    changes: Vec<Place>,
    gaps: Vec<Gap>,
    malformed: Vec<Box<str>>,
}

impl Log {
    pub(crate) fn len(&self) -> usize {
        let last = self.pieces.last().map_or(0, Vec::len);
        self.pieces.len().saturating_sub(1) * PIECE_RECORDS + last
    }

    /// The number of the record that comes next. A history's bound keeps it within 32 bits.
    pub(crate) fn next(&self) -> Index {
        self.len() as Index
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        match self.pieces.last_mut() {
            Some(piece) if piece.len() < PIECE_RECORDS => piece.push(entry),
            _ => self.pieces.push(vec![entry]),
        }
    }

    pub(crate) fn entry(&self, index: Index) -> Entry {
        self.pieces[index as usize / PIECE_RECORDS][index as usize % PIECE_RECORDS]
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (Index, Entry)> {
        (0..).zip(self.pieces.iter().flatten().copied())
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn stream(&mut self, account: &str, device: &str) -> StreamId {
        let stream = StreamId(self.streams.len() as u32);
        self.streams.push((self.names.intern(account), self.names.intern(device)));
        stream
    }

    /// Account and device of a stream.
    pub(crate) fn reader(&self, stream: StreamId) -> (Name, Name) {
        self.streams[stream.0 as usize]
    }

    /// The number of what the next record says of a message.
    pub(crate) fn tell(&mut self, message: MessageRef<'_>) -> Telling {
        let told = Told {
            place: self.place(message.conversation, message.seq),
            id: self.names.intern(message.id),
            sender: self.names.intern(message.sender),
            client_id: self.names.intern(message.client_id),
            first: self.next(),
        };
        let new = self.told.len() as Telling;
        let first = *self.by_id.entry(told.id).or_insert(new);
        if first != new && self.told(first).says_the_same(&told) {
            return first;
        }
        self.told.push(told);
        new
    }

    pub(crate) fn told(&self, telling: Telling) -> &Told {
        &self.told[telling as usize]
    }

    /// The first telling of the message that this is one of.
    pub(crate) fn first_told(&self, telling: Telling) -> Telling {
        self.by_id[&self.told(telling).id]
    }

    pub(crate) fn change(&mut self, conversation: &str, seq: u64) -> u32 {
        let place = self.place(conversation, seq);
        self.changes.push(place);
        self.changes.len() as u32 - 1
    }

    pub(crate) fn gap(&mut self, gap: Gap) -> u32 {
        self.gaps.push(gap);
        self.gaps.len() as u32 - 1
    }

    pub(crate) fn gap_at(&self, gap: u32) -> Gap {
        self.gaps[gap as usize]
    }

    pub(crate) fn malformed(&mut self, event: &str) -> u32 {
        self.malformed.push(event.into());
        self.malformed.len() as u32 - 1
    }

    /// The stream of a stored event, where it stood in the inbox, and what in a conversation it is.
    pub(crate) fn event(&self, index: Index) -> Option<(StreamId, Position, Place)> {
        match self.entry(index) {
            Entry::Message { stream, at, telling } => Some((stream, at, self.told(telling).place)),
            Entry::Change { stream, at, change } => Some((stream, at, self.changes[change as usize])),
            _ => None,
        }
    }

    /// A record with its texts.
    pub(crate) fn record(&self, index: Index) -> Record {
        let text = |name: Name| self.names.text(name).to_owned();
        let message = |telling: Telling| {
            let Told { place, id, sender, client_id, .. } = *self.told(telling);
            Message {
                conversation: text(place.conversation),
                seq: place.seq,
                id: text(id),
                sender: text(sender),
                client_id: text(client_id),
            }
        };
        let kind = match self.entry(index) {
            Entry::Acknowledged { telling, sent, batch } => {
                Kind::Acknowledged { message: message(telling), sent, batch }
            }
            Entry::Opened { stream, after } => {
                let (account, device) = self.reader(stream);
                Kind::Opened { stream, account: text(account), device: text(device), after }
            }
            Entry::Message { stream, at, telling } => Kind::Message { stream, at, message: message(telling) },
            Entry::Change { stream, at, change } => {
                let place = self.changes[change as usize];
                Kind::Change { stream, at, conversation: text(place.conversation), seq: place.seq }
            }
            Entry::Mark { stream, at } => Kind::Mark { stream, at },
            Entry::Gap { stream, gap } => {
                let Gap { from, resumes_at } = self.gap_at(gap);
                Kind::Gap { stream, from, resumes_at }
            }
            Entry::Malformed { stream, event } => {
                Kind::Malformed { stream, event: self.malformed[event as usize].to_string() }
            }
        };
        Record { number: index as usize, kind }
    }

    pub(crate) fn violation(
        &self,
        rule: Rule,
        what: String,
        records: impl IntoIterator<Item = Index>,
    ) -> Violation {
        let mut indices: Vec<Index> = records.into_iter().collect();
        indices.sort_unstable();
        indices.dedup();
        Violation { rule, what, excerpt: indices.into_iter().map(|index| self.record(index)).collect() }
    }

    fn place(&mut self, conversation: &str, seq: u64) -> Place {
        Place { conversation: self.names.intern(conversation), seq }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_small() {
        assert_eq!(size_of::<Entry>(), 32);
        assert_eq!(size_of::<Told>(), 32);
    }

    #[test]
    fn records_keep_their_numbers_over_many_pieces() {
        let mut log = Log::default();
        let stream = log.stream("ann", "phone");
        let count = 2 * PIECE_RECORDS as u64 + 3;
        for n in 0..count {
            assert_eq!(u64::from(log.next()), n);
            log.push(Entry::Mark { stream, at: Position { epoch: 1, n } });
        }
        let n_of = |entry| match entry {
            Entry::Mark { at, .. } => at.n,
            other => panic!("{other:?}"),
        };
        assert!(log.entries().map(|(index, entry)| (u64::from(index), n_of(entry))).eq((0..count).zip(0..)));
        assert_eq!(n_of(log.entry(PIECE_RECORDS as Index)), PIECE_RECORDS as u64);
    }
}

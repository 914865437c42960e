//! An account's inbox as its owner holds it: one ordered log of everything that happens to the account, its
//! conversations with their marks, its devices, and who is streaming.

mod resume;
mod stored_push;
mod streams;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use bytes::Bytes;
use godwit_types::{AccountId, ConversationId, Cursor, DeviceId, Position, Timestamp};
use godwit_wire::api::{Push, PutDevice};
use godwit_wire::{EventKind, InboxEvent, payload};
use serde::{Deserialize, Serialize};

pub use resume::{Grant, Held, Lookup, gap_data};
pub use streams::{Attached, STREAMS_PER_DEVICE, Streams};

use crate::log::{Log, Place};

/// Rows after which a summary is due.
pub const SUMMARY_ROWS: u64 = 256;

/// How long and how much an inbox keeps.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Events at most.
    pub events: u64,
    /// Age at most, in milliseconds.
    pub age_ms: u64,
}

/// One account's inbox.
#[derive(Debug)]
pub struct Inbox {
    account: AccountId,
    log: Log<Arrival>,
    held_from: u64,
    trimmed_below: u64,
    summarised: u64,
    summarising: bool,
    last_at: Timestamp,
    conversations: HashMap<ConversationId, Membership>,
    dirty: HashSet<ConversationId>,
    devices: BTreeMap<DeviceId, Device>,
}

/// What the account holds of one conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Membership {
    /// The highest row of the conversation that is in the inbox.
    pub mark: u64,
    /// The inbox's number of the conversation's newest event.
    pub activity: u64,
    /// Messages of others that have not been read.
    pub unread: u64,
    /// Up to where the account has read.
    pub read_seq: u64,
    /// Whether the account is a member.
    pub present: bool,
}

/// A device that registered or acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Device {
    /// What kind of device, once it was registered.
    pub platform: Option<String>,
    /// What its owner calls it.
    pub name: Option<String>,
    /// How to reach it without a stream.
    #[serde(with = "stored_push")]
    pub push: Option<Push>,
    /// The newest event that it acknowledged.
    pub acknowledged: Position,
}

/// A row to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRow {
    /// Where it stands.
    pub place: Place,
    /// When.
    pub at: Timestamp,
    /// An encoded [`InboxEvent`].
    pub payload: Bytes,
}

/// A committed row on its way to the streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// An encoded [`InboxEvent`].
    pub payload: Bytes,
}

/// What a parcel comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Store these rows (there may be none); answer `Taken(mark)` when row `rests_on` is committed.
    Taken {
        /// What is new.
        rows: Vec<NewRow>,
        /// The answer.
        mark: u64,
        /// The inbox's row on which the answer rests.
        rests_on: u64,
    },
    /// Rows before the parcel's are not here; answer `Missing(mark)` when row `rests_on` is committed.
    Missing {
        /// The answer.
        mark: u64,
        /// The inbox's row on which the answer rests.
        rests_on: u64,
    },
    /// The window has no room for it: try again after the next commit.
    Wait,
    /// A row that this program cannot read.
    Unreadable(payload::PayloadError),
}

/// What is to be stored from time to time.
#[derive(Debug)]
pub struct SummaryDue {
    /// The last row that it speaks of.
    pub upto: u64,
    /// The log's summary.
    pub summary: Bytes,
    /// The memberships that changed.
    pub memberships: Vec<(ConversationId, Bytes)>,
    /// Rows of these numbers may go, if that is news; what is below went before.
    pub trim: Option<Range<u64>>,
}

#[derive(Serialize, Deserialize)]
struct Summary {
    upto: Position,
    held_from: u64,
    last_at: Timestamp,
}

/// What an activation reads besides rows.
#[derive(Debug, Default)]
pub struct Stored {
    /// The log's summary.
    pub summary: Option<Bytes>,
    /// The account's conversations.
    pub memberships: Vec<(ConversationId, Bytes)>,
    /// The account's devices.
    pub devices: Vec<(DeviceId, Bytes)>,
}

impl Inbox {
    /// The inbox as its store has it. [`Inbox::replay`] the rows above [`Inbox::summarised`] next, then
    /// [`Inbox::own`].
    pub fn load(account: AccountId, stored: Stored) -> Result<Self, payload::PayloadError> {
        let summary = stored.summary.as_deref().map(payload::decode::<Summary>).transpose()?;
        let summary =
            summary.unwrap_or(Summary { upto: Position::START, held_from: 1, last_at: Timestamp::default() });
        let conversations =
            stored.memberships.into_iter().map(|(id, bytes)| Ok((id, payload::decode(&bytes)?)));
        let devices = stored.devices.into_iter().map(|(id, bytes)| Ok((id, payload::decode(&bytes)?)));
        Ok(Self {
            account,
            log: Log::new(summary.upto.epoch, summary.upto),
            held_from: summary.held_from,
            trimmed_below: summary.held_from,
            summarised: summary.upto.n,
            summarising: false,
            last_at: summary.last_at,
            conversations: conversations.collect::<Result<_, payload::PayloadError>>()?,
            dirty: HashSet::new(),
            devices: devices.collect::<Result<_, payload::PayloadError>>()?,
        })
    }

    /// Takes in the next row of the log, in order.
    pub fn replay(
        &mut self,
        position: Position,
        at: Timestamp,
        payload: &Bytes,
    ) -> Result<(), payload::PayloadError> {
        let event = InboxEvent::decode(payload)?;
        self.log = Log::new(position.epoch, position);
        self.last_at = at;
        self.note(&event, position.n);
        Ok(())
    }

    /// Appends under `epoch` from now on.
    pub fn own(&mut self, epoch: u64) {
        self.log = Log::new(epoch, self.log.tail());
    }

    /// Whose it is.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The last committed row.
    pub fn tail(&self) -> Position {
        self.log.tail()
    }

    /// The cursor of the last committed row.
    pub fn head(&self) -> Cursor {
        Cursor::new(&self.account, self.tail())
    }

    /// The number of the last row, committed or not.
    pub fn last_n(&self) -> u64 {
        self.log.last_n()
    }

    /// Whether all rows are committed.
    pub fn is_quiet(&self) -> bool {
        self.log.is_quiet()
    }

    /// Up to which row a summary is stored.
    pub fn summarised(&self) -> u64 {
        self.summarised
    }

    /// The first row that is held by the retention.
    pub fn held_from(&self) -> u64 {
        self.held_from
    }

    /// Takes rows of a conversation, without holes between them; `joined_n` is the row by which the account
    /// joined it.
    pub fn deliver<'a>(
        &mut self,
        conversation: &ConversationId,
        joined_n: u64,
        rows: impl ExactSizeIterator<Item = (u64, &'a Bytes)>,
        now: Timestamp,
    ) -> Delivered {
        if rows.len() > self.log.room() || self.last_n() >= self.summarised + 2 * SUMMARY_ROWS {
            return Delivered::Wait;
        }
        let mark = self.mark(conversation);
        let mut events = Vec::with_capacity(rows.len());
        // All are read before the first is appended: a row that cannot be read must leave no place behind it.
        for (n, payload) in rows.filter(|(n, _)| *n > mark) {
            if events.is_empty() && n != mark + 1 && n != joined_n {
                return Delivered::Missing { mark, rests_on: self.last_n() };
            }
            match InboxEvent::decode(payload) {
                Ok(event) => events.push((event, payload)),
                Err(error) => return Delivered::Unreadable(error),
            }
        }
        let mut new = Vec::with_capacity(events.len());
        for (event, payload) in events {
            let Some(place) = self.log.append(Arrival { payload: payload.clone() }) else { break };
            self.last_at = self.last_at.max(now);
            self.note(&event, place.position.n);
            new.push(NewRow { place, at: self.last_at, payload: payload.clone() });
        }
        Delivered::Taken { rows: new, mark: self.mark(conversation), rests_on: self.last_n() }
    }

    /// A row was stored and the guard passed since; what is committed by that, in order.
    pub fn confirm(&mut self, n: u64) -> Vec<(Position, Arrival)> {
        self.log.confirm(n)
    }

    /// The account's conversations, newest activity first, from below `before`.
    pub fn conversations(&self, before: u64, limit: usize) -> Vec<(&ConversationId, &Membership)> {
        let mut list: Vec<_> =
            self.conversations.iter().filter(|(_, m)| m.present && m.activity < before).collect();
        list.sort_unstable_by_key(|(_, m)| std::cmp::Reverse(m.activity));
        list.truncate(limit);
        list
    }

    /// What the account holds of a conversation.
    pub fn membership(&self, conversation: &ConversationId) -> Option<&Membership> {
        self.conversations.get(conversation)
    }

    /// The account's devices.
    pub fn devices(&self) -> impl Iterator<Item = (&DeviceId, &Device)> {
        self.devices.iter()
    }

    /// Registers a device; what is to be stored.
    pub fn put_device(&mut self, device: &DeviceId, request: PutDevice) -> Bytes {
        let entry = self.devices.entry(device.clone()).or_default();
        entry.platform = Some(request.platform);
        entry.name = request.name;
        entry.push = request.push;
        payload::encode(entry)
    }

    /// Removes a device.
    pub fn delete_device(&mut self, device: &DeviceId) {
        self.devices.remove(device);
    }

    /// A device has everything up to `position`: what is to be stored, unless that is old news.
    pub fn acknowledge(&mut self, device: &DeviceId, position: Position) -> Option<Bytes> {
        let known = self.devices.get(device).map_or(0, |entry| entry.acknowledged.n);
        if known >= position.n {
            return None;
        }
        let entry = self.devices.entry(device.clone()).or_default();
        entry.acknowledged = position;
        Some(payload::encode(entry))
    }

    /// Rows up to `n` are older than the retention allows.
    pub fn expire_through(&mut self, n: u64) {
        self.held_from = self.held_from.max(n.min(self.tail().n) + 1);
    }

    /// Applies the retention by number, and says what is to be stored if a summary is due: `every` rows after
    /// the last one, and nothing under way. [`Inbox::summary_stored`] follows when it is stored.
    pub fn summary(&mut self, every: u64, retention: Retention) -> Option<SummaryDue> {
        let tail = self.log.tail();
        self.held_from = self.held_from.max((tail.n + 1).saturating_sub(retention.events));
        let due = tail.n >= self.summarised + every || self.held_from >= self.trimmed_below + SUMMARY_ROWS;
        if self.summarising || !self.log.is_quiet() || !due || tail.n == 0 {
            return None;
        }
        self.summarising = true;
        let trim = (self.held_from > self.trimmed_below).then_some(self.trimmed_below..self.held_from);
        self.trimmed_below = self.held_from;
        let dirty = std::mem::take(&mut self.dirty);
        let memberships = dirty.into_iter().filter_map(|id| {
            let value = payload::encode(self.conversations.get(&id)?);
            Some((id, value))
        });
        let memberships = memberships.collect();
        let summary = Summary { upto: tail, held_from: self.held_from, last_at: self.last_at };
        Some(SummaryDue { upto: tail.n, summary: payload::encode(&summary), memberships, trim })
    }

    /// The summary up to row `n` is stored.
    pub fn summary_stored(&mut self, n: u64) {
        self.summarised = n;
        self.summarising = false;
    }

    fn mark(&self, conversation: &ConversationId) -> u64 {
        self.conversations.get(conversation).map_or(0, |membership| membership.mark)
    }

    /// What an event changes in what the account holds of its conversation. Applying one twice, or one that
    /// a stored membership knows already, changes nothing.
    fn note(&mut self, event: &InboxEvent, n: u64) {
        let membership = self.conversations.entry(event.conversation.clone()).or_default();
        if event.seq <= membership.mark {
            return;
        }
        membership.mark = event.seq;
        membership.activity = n;
        membership.present = event.kind != EventKind::ConversationRemoved;
        if event.kind == EventKind::Message && event.by != self.account {
            membership.unread += 1;
        }
        self.dirty.insert(event.conversation.clone());
    }
}

#[cfg(test)]
mod tests;

//! The search for a violation, record by record in their order. What must have arrived at the end is
//! looked for in [`crate::lost`].

use std::collections::{BTreeMap, HashMap};

use godwit_types::Position;

use crate::log::{Entry, Gap, Index, Log, Place, Telling};
use crate::names::Name;
use crate::record::{Moment, StreamId};
use crate::{Checked, Rule, Violation};

/// No record of a history has this number.
const NONE: Index = Index::MAX;

/// What is known of a stream.
#[derive(Debug)]
struct Stream {
    /// The number that the next stored event must have; unknown until a live stream is ready.
    next: Option<u64>,
    epoch: u64,
    /// The record that `next` follows from.
    since: Index,
}

/// What the streams of an account showed of its inbox.
#[derive(Debug, Default)]
struct Inbox {
    /// What stands at a number.
    events: BTreeMap<u64, Index>,
    /// Where a change of a conversation stands. Both ascend together.
    changes: BTreeMap<(Name, u64), Index>,
}

/// What is known of one who writes in a conversation.
#[derive(Debug, Default)]
struct Spoken {
    /// Answers in their order, but for those with a number below that of one before.
    answers: Vec<Index>,
    /// The newest item of the newest batch.
    batch: Option<(Moment, Index)>,
}

/// What follows from the records so far.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    streams: Vec<Stream>,
    inboxes: HashMap<Name, Inbox>,
    /// The message at each number of a conversation.
    conversations: HashMap<Name, BTreeMap<u64, Telling>>,
    /// The first answer to each message, by its telling.
    acknowledged: Vec<Index>,
    /// By conversation and sender.
    voices: HashMap<(Name, Name), Spoken>,
    checked: Checked,
}

impl Checker {
    /// Looks at the newest record. After a violation the checker has seen enough.
    pub(crate) fn take(&mut self, log: &Log, index: Index) -> Result<(), Violation> {
        match log.entry(index) {
            Entry::Acknowledged { telling, sent, batch } => {
                self.same_message(log, index, telling)?;
                if self.acknowledge(telling, index) {
                    self.sender_order(log, index, telling, sent, batch)?;
                }
                Ok(())
            }
            Entry::Opened { after, .. } => {
                self.open(index, after);
                Ok(())
            }
            Entry::Message { stream, at, telling } => {
                self.stored(log, index, stream, at)?;
                self.same_message(log, index, telling)
            }
            Entry::Change { stream, at, .. } => self.stored(log, index, stream, at),
            Entry::Mark { stream, at } => self.mark(log, index, stream, at),
            Entry::Gap { stream, gap } => self.gap(log, index, stream, log.gap_at(gap)),
            Entry::Malformed { .. } => {
                let what = "an event that is not of the contract".to_owned();
                Err(log.violation(Rule::Malformed, what, [index]))
            }
        }
    }

    /// What was looked at so far, but for deliveries.
    pub(crate) fn checked(&self) -> Checked {
        self.checked
    }

    /// Acknowledged messages in their order: the record of the first answer, and the telling.
    pub(crate) fn acknowledged(&self) -> Vec<(Index, Telling)> {
        let answers = self.acknowledged.iter().copied().zip(0..);
        let mut acknowledged: Vec<_> = answers.filter(|&(index, _)| index != NONE).collect();
        acknowledged.sort_unstable();
        acknowledged
    }

    /// Whether this is the first answer to the message.
    fn acknowledge(&mut self, telling: Telling, index: Index) -> bool {
        let at = telling as usize;
        if self.acknowledged.len() <= at {
            self.acknowledged.resize(at + 1, NONE);
        }
        let first = self.acknowledged[at] == NONE;
        if first {
            self.acknowledged[at] = index;
            self.checked.messages += 1;
        }
        first
    }

    fn open(&mut self, index: Index, after: Option<Position>) {
        self.checked.streams += 1;
        self.checked.resumes += usize::from(after.is_some());
        self.streams.push(Stream {
            next: after.map(|after| after.n.saturating_add(1)),
            epoch: after.map_or(0, |after| after.epoch),
            since: index,
        });
    }

    fn stored(&mut self, log: &Log, index: Index, stream: StreamId, at: Position) -> Result<(), Violation> {
        self.checked.events += 1;
        self.in_stream(log, index, stream, at)?;
        self.in_inbox(log, index)
    }

    /// G2 and G4 on one stream: its events have ascending numbers without holes.
    fn in_stream(&mut self, log: &Log, index: Index, id: StreamId, at: Position) -> Result<(), Violation> {
        let stream = &mut self.streams[id.0 as usize];
        let next = stream.next.unwrap_or(at.n);
        if at.n == next && at.epoch >= stream.epoch {
            (stream.next, stream.epoch, stream.since) = (Some(at.n.saturating_add(1)), at.epoch, index);
            return Ok(());
        }
        let since = stream.since;
        if at.n > next {
            let inbox = self.inboxes.get(&log.reader(id).0);
            let missing = inbox.and_then(|inbox| inbox.events.get(&next)).copied();
            let what = format!("event number {next} should come and {} came", at.n);
            return Err(log.violation(Rule::Skipped, what, missing.into_iter().chain([since, index])));
        }
        // A stream has no holes, so nobody kept what it showed: a repeat is looked for when there is one.
        let shown = (0..index).find(|&earlier| {
            log.event(earlier).is_some_and(|(stream, before, _)| stream == id && before.n == at.n)
        });
        if let Some(first) = shown {
            let what = format!("event {at} twice on one stream");
            return Err(log.violation(Rule::Repeated, what, [first, index]));
        }
        let what = format!("event {at} came after what follows it");
        Err(log.violation(Rule::OutOfOrder, what, [since, index]))
    }

    /// G3 in one inbox, which all streams of an account show: each change of a conversation is there
    /// once, and their numbers ascend.
    fn in_inbox(&mut self, log: &Log, index: Index) -> Result<(), Violation> {
        let Some((stream, at, Place { conversation, seq })) = log.event(index) else { return Ok(()) };
        let (account, _) = log.reader(stream);
        let inbox = self.inboxes.entry(account).or_default();
        let text = |name| log.names().text(name);

        let first = *inbox.events.entry(at.n).or_insert(index);
        if first != index {
            let known = log.event(first).map(|(_, at, place)| (at, place));
            if known == Some((at, Place { conversation, seq })) {
                return Ok(());
            }
            let what = format!("two events at number {} of the inbox of {}", at.n, text(account));
            return Err(log.violation(Rule::Disagreement, what, [first, index]));
        }
        let n_of = |index: Index| log.event(index).map_or(0, |(_, at, _)| at.n);
        let key = (conversation, seq);
        let before = inbox.changes.range((conversation, 0)..key).next_back();
        let after = inbox.changes.range(key..=(conversation, u64::MAX)).next();
        match (before, after) {
            (_, Some((&known, &first))) if known == key => {
                let (conversation, account) = (text(conversation), text(account));
                let what = format!("number {seq} of {conversation} twice in the inbox of {account}");
                Err(log.violation(Rule::Doubled, what, [first, index]))
            }
            (Some((&(_, lower), &first)), _) if n_of(first) > at.n => {
                let what = format!("number {lower} of {} stands behind {seq}", text(conversation));
                Err(log.violation(Rule::OutOfOrder, what, [first, index]))
            }
            (_, Some((&(_, higher), &first))) if n_of(first) < at.n => {
                let what = format!("number {seq} of {} stands behind {higher}", text(conversation));
                Err(log.violation(Rule::OutOfOrder, what, [first, index]))
            }
            _ => {
                inbox.changes.insert(key, index);
                Ok(())
            }
        }
    }

    /// A number of a conversation is one message, a message one number.
    fn same_message(&mut self, log: &Log, index: Index, telling: Telling) -> Result<(), Violation> {
        let told = log.told(telling);
        let text = |name| log.names().text(name);
        let Place { conversation, seq } = told.place;
        let there = *self.conversations.entry(conversation).or_default().entry(seq).or_insert(telling);
        let there = log.told(there);
        if there.id != told.id {
            let what = format!("two messages at number {seq} of {}", text(conversation));
            return Err(log.violation(Rule::Disagreement, what, [there.first, index]));
        }
        let first = log.first_told(telling);
        if first == telling {
            return Ok(());
        }
        let first = log.told(first);
        if first.place != told.place {
            let what = format!("message {} under two numbers", text(told.id));
            return Err(log.violation(Rule::Doubled, what, [first.first, index]));
        }
        let what = format!("message {} is told in two ways", text(told.id));
        Err(log.violation(Rule::Disagreement, what, [first.first, index]))
    }

    fn sender_order(
        &mut self,
        log: &Log,
        index: Index,
        telling: Telling,
        sent: Moment,
        batch: Option<Moment>,
    ) -> Result<(), Violation> {
        let told = log.told(telling);
        let seq = told.place.seq;
        let seq_of = |index: Index| match log.entry(index) {
            Entry::Acknowledged { telling, .. } => log.told(telling).place.seq,
            _ => 0,
        };
        let spoken = self.voices.entry((told.place.conversation, told.sender)).or_default();
        let answered_before = spoken.answers.partition_point(|&answered| answered < sent.0);
        // Their numbers ascend: the last is the highest.
        let highest = answered_before.checked_sub(1).map(|last| spoken.answers[last]);
        let in_batch = spoken.batch.filter(|&(of, _)| Some(of) == batch).map(|(_, item)| item);
        if let Some(batch) = batch {
            spoken.batch = Some((batch, index));
        }
        if spoken.answers.last().is_none_or(|&last| seq_of(last) < seq) {
            spoken.answers.push(index);
        }
        match highest.into_iter().chain(in_batch).find(|&earlier| seq_of(earlier) >= seq) {
            Some(earlier) => {
                let what = format!("number {seq} was sent after {} was answered", seq_of(earlier));
                Err(log.violation(Rule::SenderOrder, what, [earlier, index]))
            }
            None => Ok(()),
        }
    }

    /// An id on a passing event must not lead a resume past an event that was not shown.
    fn mark(&mut self, log: &Log, index: Index, id: StreamId, at: Position) -> Result<(), Violation> {
        let stream = &mut self.streams[id.0 as usize];
        match stream.next {
            Some(next) if at.n >= next => {
                let what = format!("a passing event bears {at}, event number {next} was not shown");
                Err(log.violation(Rule::Skipped, what, [stream.since, index]))
            }
            Some(_) => Ok(()),
            None => {
                (stream.next, stream.epoch, stream.since) = (Some(at.n.saturating_add(1)), at.epoch, index);
                Ok(())
            }
        }
    }

    fn gap(&mut self, log: &Log, index: Index, id: StreamId, gap: Gap) -> Result<(), Violation> {
        let stream = &mut self.streams[id.0 as usize];
        if let (Some(from), Some(next)) = (gap.from, stream.next)
            && from.n != next
        {
            let what = format!("a gap from {from}, but event number {next} should come");
            return Err(log.violation(Rule::Skipped, what, [stream.since, index]));
        }
        (stream.next, stream.since) = (Some(gap.resumes_at), index);
        if gap.from.is_none() {
            // What was requested may be of an epoch, or beyond a number, that this inbox never had.
            stream.epoch = 0;
        }
        Ok(())
    }
}

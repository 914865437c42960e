//! The search for a violation: one pass over the records in their order, then one over what must have
//! arrived.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use godwit_types::Position;

use super::{Checked, Expected, Message, Moment, Record, Rule, StreamId, Violation};

/// A conversation and one who writes there.
type Voice = (Arc<str>, Arc<str>);
/// A conversation and a number there.
type Place = (Arc<str>, u64);
/// The number of a record.
type Index = usize;

/// Looks for a violation in `records`.
pub(super) fn check(records: &[Record], expected: &Expected) -> Result<Checked, Violation> {
    let mut checker = Checker { records, ..Checker::default() };
    for (index, record) in records.iter().enumerate() {
        checker.take(index, record)?;
    }
    checker.lost(expected)?;
    checker.checked.messages = checker.acknowledged.len();
    Ok(checker.checked)
}

/// What is known of a stream.
struct Stream {
    account: Arc<str>,
    device: Arc<str>,
    /// The number that the next stored event must have; unknown until a live stream is ready.
    next: Option<u64>,
    epoch: u64,
    /// The record that `next` follows from.
    since: Index,
    /// Stored events so far, by number.
    seen: HashMap<u64, Index>,
    /// The newest number of each conversation.
    seqs: HashMap<Arc<str>, (u64, Index)>,
}

/// What is known of one who writes in a conversation.
#[derive(Default)]
struct Spoken {
    /// Answers in their order, each with the highest `seq` up to there and the record that has it.
    answers: Vec<(Moment, u64, Index)>,
    /// The newest item of the newest batch.
    batch: Option<(Moment, u64, Index)>,
}

#[derive(Default)]
struct Checker<'a> {
    records: &'a [Record],
    streams: HashMap<StreamId, Stream>,
    /// What stands at a number of a conversation.
    places: HashMap<Place, Index>,
    /// Where a message stands.
    messages: HashMap<Arc<str>, Index>,
    /// What stands at a number of an account's inbox.
    inboxes: HashMap<(Arc<str>, u64), Index>,
    /// Where in an account's inbox a change of a conversation stands.
    delivered: HashMap<(Arc<str>, Place), Index>,
    /// Acknowledged messages by their id.
    acknowledged: HashMap<Arc<str>, Index>,
    voices: HashMap<Voice, Spoken>,
    checked: Checked,
}

impl<'a> Checker<'a> {
    fn take(&mut self, index: Index, record: &'a Record) -> Result<(), Violation> {
        match record {
            Record::Acknowledged { message, sent, batch } => {
                self.same_message(index, message)?;
                if let Entry::Vacant(first) = self.acknowledged.entry(message.id.clone()) {
                    first.insert(index);
                    self.sender_order(index, message, *sent, *batch)?;
                }
                Ok(())
            }
            Record::Opened { stream, account, device, after } => {
                self.open(index, *stream, account, device, *after);
                Ok(())
            }
            Record::Event { stream, at, conversation, seq, message } => {
                self.checked.events += 1;
                self.in_stream(index, *stream, *at)?;
                self.in_conversation(index, *stream, conversation, *seq)?;
                self.in_inbox(index, *stream, *at, (conversation.clone(), *seq))?;
                message.as_ref().map_or(Ok(()), |message| self.same_message(index, message))
            }
            Record::Mark { stream, at } => self.mark(index, *stream, *at),
            Record::Gap { stream, from, resumes_at } => self.gap(index, *stream, *from, *resumes_at),
            Record::Malformed { event, .. } => {
                Err(self.violation(Rule::Malformed, format!("not of the contract: {event}"), [index]))
            }
        }
    }

    fn open(
        &mut self,
        index: Index,
        stream: StreamId,
        account: &Arc<str>,
        device: &Arc<str>,
        after: Option<Position>,
    ) {
        self.checked.streams += 1;
        self.checked.resumes += usize::from(after.is_some());
        let opened = Stream {
            account: account.clone(),
            device: device.clone(),
            next: after.map(|after| after.n + 1),
            epoch: after.map_or(0, |after| after.epoch),
            since: index,
            seen: HashMap::new(),
            seqs: HashMap::new(),
        };
        self.streams.insert(stream, opened);
    }

    /// G2 and G4 on one stream: its events have ascending numbers without holes.
    fn in_stream(&mut self, index: Index, id: StreamId, at: Position) -> Result<(), Violation> {
        let stream = self.stream(id);
        let (next, since, epoch) = (stream.next.unwrap_or(at.n), stream.since, stream.epoch);
        if let Some(&first) = stream.seen.get(&at.n) {
            return Err(self.violation(
                Rule::Repeated,
                format!("event {at} twice on one stream"),
                [first, index],
            ));
        }
        if at.n < next || at.epoch < epoch {
            let what = format!("event {at} came after what follows it");
            return Err(self.violation(Rule::OutOfOrder, what, [since, index]));
        }
        if at.n > next {
            let missing = self.inboxes.get(&(self.streams[&id].account.clone(), next)).copied();
            let what = format!("event number {next} should come and {} came", at.n);
            return Err(self.violation(Rule::Skipped, what, missing.into_iter().chain([since, index])));
        }
        let stream = self.stream(id);
        stream.seen.insert(at.n, index);
        (stream.next, stream.epoch, stream.since) = (Some(at.n + 1), at.epoch, index);
        Ok(())
    }

    /// G3 on one stream: each conversation's numbers ascend.
    fn in_conversation(
        &mut self,
        index: Index,
        id: StreamId,
        conversation: &Arc<str>,
        seq: u64,
    ) -> Result<(), Violation> {
        match self.stream(id).seqs.insert(conversation.clone(), (seq, index)) {
            Some((before, first)) if before >= seq => {
                let what = format!("number {seq} of {conversation} came after {before}");
                Err(self.violation(Rule::OutOfOrder, what, [first, index]))
            }
            _ => Ok(()),
        }
    }

    /// All streams of an account show one inbox, with each change of a conversation once.
    fn in_inbox(&mut self, index: Index, id: StreamId, at: Position, place: Place) -> Result<(), Violation> {
        let account = self.stream(id).account.clone();
        let first = *self.inboxes.entry((account.clone(), at.n)).or_insert(index);
        if self.change(first) != Some((at, &place.0, place.1)) {
            let what = format!("two events at number {} of the inbox of {account}", at.n);
            return Err(self.violation(Rule::Disagreement, what, [first, index]));
        }
        let first = *self.delivered.entry((account.clone(), place.clone())).or_insert(index);
        if self.change(first).is_some_and(|(elsewhere, ..)| elsewhere != at) {
            let what = format!("number {} of {} twice in the inbox of {account}", place.1, place.0);
            return Err(self.violation(Rule::Doubled, what, [first, index]));
        }
        Ok(())
    }

    /// A number of a conversation is one message, a message one number.
    fn same_message(&mut self, index: Index, message: &Message) -> Result<(), Violation> {
        let place = (message.conversation.clone(), message.seq);
        let first = *self.places.entry(place).or_insert(index);
        if self.message(first).map(|known| &known.id) != Some(&message.id) {
            let what = format!("two messages at number {} of {}", message.seq, message.conversation);
            return Err(self.violation(Rule::Disagreement, what, [first, index]));
        }
        let first = *self.messages.entry(message.id.clone()).or_insert(index);
        match self.message(first) {
            Some(known) if (known.seq, &known.conversation) != (message.seq, &message.conversation) => {
                let what = format!("message {} under two numbers", message.id);
                Err(self.violation(Rule::Doubled, what, [first, index]))
            }
            Some(known) if known != message => {
                let what = format!("message {} is told in two ways", message.id);
                Err(self.violation(Rule::Disagreement, what, [first, index]))
            }
            _ => Ok(()),
        }
    }

    fn sender_order(
        &mut self,
        index: Index,
        message: &Message,
        sent: Moment,
        batch: Option<Moment>,
    ) -> Result<(), Violation> {
        let voice = (message.conversation.clone(), message.sender.clone());
        let spoken = self.voices.entry(voice).or_default();
        let answered_before = spoken.answers.partition_point(|&(answered, ..)| answered < sent);
        let highest = answered_before.checked_sub(1).map(|last| spoken.answers[last]);
        let in_batch = spoken.batch.filter(|&(of, ..)| Some(of) == batch);
        if let Some(batch) = batch {
            spoken.batch = Some((batch, message.seq, index));
        }
        let so_far = spoken.answers.last().map_or((0, index), |&(_, seq, of)| (seq, of));
        let (seq, of) = so_far.max((message.seq, index));
        spoken.answers.push((Moment(index), seq, of));
        match highest.into_iter().chain(in_batch).find(|&(_, seq, _)| seq >= message.seq) {
            Some((_, before, first)) => {
                let what = format!("number {} was sent after {before} was answered", message.seq);
                Err(self.violation(Rule::SenderOrder, what, [first, index]))
            }
            None => Ok(()),
        }
    }

    /// An id on a passing event must not lead a resume past an event that was not shown.
    fn mark(&mut self, index: Index, id: StreamId, at: Position) -> Result<(), Violation> {
        let stream = self.stream(id);
        let (next, since) = (stream.next, stream.since);
        match next {
            Some(next) if at.n >= next => {
                let what = format!("a passing event bears {at}, event number {next} was not shown");
                Err(self.violation(Rule::Skipped, what, [since, index]))
            }
            Some(_) => Ok(()),
            None => {
                (stream.next, stream.epoch, stream.since) = (Some(at.n + 1), at.epoch, index);
                Ok(())
            }
        }
    }

    fn gap(
        &mut self,
        index: Index,
        id: StreamId,
        from: Option<Position>,
        resumes_at: u64,
    ) -> Result<(), Violation> {
        let stream = self.stream(id);
        let (next, since) = (stream.next, stream.since);
        if let (Some(from), Some(next)) = (from, next)
            && from.n != next
        {
            let what = format!("a gap from {from}, but event number {next} should come");
            return Err(self.violation(Rule::Skipped, what, [since, index]));
        }
        let stream = self.stream(id);
        (stream.next, stream.since) = (Some(resumes_at), index);
        if from.is_none() {
            // What was requested may be of an epoch, or beyond a number, that this inbox never had.
            stream.epoch = 0;
        }
        Ok(())
    }

    /// G1: every complete reader of a member has seen every acknowledged message.
    fn lost(&mut self, expected: &Expected) -> Result<(), Violation> {
        let mut seen: HashMap<(&str, &str), HashSet<&str>> = HashMap::new();
        for record in self.records {
            if let Record::Event { stream, message: Some(message), .. } = record {
                let stream = &self.streams[stream];
                seen.entry((&stream.account, &stream.device)).or_default().insert(&message.id);
            }
        }
        let mut acknowledged: Vec<Index> = self.acknowledged.values().copied().collect();
        acknowledged.sort_unstable();
        let mut deliveries = 0;
        for index in acknowledged {
            let Some(message) = self.message(index) else { continue };
            for (account, device) in expected.readers_of(&message.conversation) {
                if !seen.get(&(account, device)).is_some_and(|seen| seen.contains(&*message.id)) {
                    let what = format!("message {} never came to {account} on {device}", message.id);
                    let around = self.around(account, device, message);
                    return Err(self.violation(Rule::Lost, what, [index].into_iter().chain(around)));
                }
                deliveries += 1;
            }
        }
        self.checked.deliveries = deliveries;
        Ok(())
    }

    /// The events that a reader saw right before and right after the place where a message should be.
    fn around(&self, account: &str, device: &str, message: &Message) -> Vec<Index> {
        let events = self.records.iter().enumerate().filter_map(|(index, record)| match record {
            Record::Event { stream, conversation, seq, .. } if *conversation == message.conversation => {
                let stream = &self.streams[stream];
                ((&*stream.account, &*stream.device) == (account, device)).then_some((*seq, index))
            }
            _ => None,
        });
        let (before, after): (Vec<_>, Vec<_>) = events.partition(|&(seq, _)| seq < message.seq);
        before.into_iter().max().into_iter().chain(after.into_iter().min()).map(|(_, index)| index).collect()
    }

    /// A stream that was opened: only [`super::History::opened`] makes a [`StreamId`].
    fn stream(&mut self, id: StreamId) -> &mut Stream {
        self.streams.get_mut(&id).expect("a stream is recorded before its events")
    }

    fn message(&self, index: Index) -> Option<&'a Message> {
        match &self.records[index] {
            Record::Acknowledged { message, .. } | Record::Event { message: Some(message), .. } => {
                Some(message)
            }
            _ => None,
        }
    }

    fn change(&self, index: Index) -> Option<(Position, &'a Arc<str>, u64)> {
        match &self.records[index] {
            Record::Event { at, conversation, seq, .. } => Some((*at, conversation, *seq)),
            _ => None,
        }
    }

    fn violation(&self, rule: Rule, what: String, records: impl IntoIterator<Item = Index>) -> Violation {
        let mut indices: Vec<Index> = records.into_iter().collect();
        indices.sort_unstable();
        indices.dedup();
        Violation {
            rule,
            what,
            excerpt: indices.into_iter().map(|index| self.records[index].clone()).collect(),
        }
    }
}

impl Expected {
    fn readers_of(&self, conversation: &str) -> impl Iterator<Item = (&str, &str)> {
        let members = self.members.iter().find(|(id, _)| id == conversation);
        let members = members.map_or(&[][..], |(_, accounts)| accounts);
        let is_member = move |account: &String| members.contains(account);
        self.complete
            .iter()
            .filter(move |(account, _)| is_member(account))
            .map(|(account, device)| (account.as_str(), device.as_str()))
    }
}

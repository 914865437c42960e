//! One conversation, its store, the network, and its members' inboxes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use godwit_core::conversation::{Decision, NewRow};
use godwit_core::fanout::{Answer, EventRow, PARCEL_ROWS, Parcel};
use godwit_core::log::WINDOW_MAX;
use godwit_core::{Conversation, Fanout};
use godwit_types::{AccountId, ClientId, ConversationId, Timestamp};
use godwit_wire::api::{Kind, NewMessage, OpenConversation};
use godwit_wire::{Change, ConversationRow, EventKind, InboxEvent, payload};
use serde_json::value::RawValue;

use crate::seat::{Post, Seat};

/// The first opens the group, with the second and third; the last may come later.
pub(crate) const ACCOUNTS: [&str; 4] = ["ann", "bob", "cat", "dan"];

pub(crate) struct World {
    id: ConversationId,
    conversation: Conversation,
    fanout: Fanout,
    epoch: u64,
    now: Timestamp,
    /// What is stored.
    rows: BTreeMap<u64, NewRow>,
    summaries: Vec<Option<Bytes>>,
    /// Whether work may be unfinished, as a new owner finds it noted.
    pending: bool,
    /// Writes under way.
    writes: Vec<NewRow>,
    /// Rows that were committed under their owner, so that answers may have left.
    acknowledged: BTreeMap<u64, Bytes>,
    sent: u64,
    parcels: Vec<Post>,
    pub(crate) answers: Vec<(usize, Answer)>,
    pub(crate) inboxes: Vec<Seat>,
}

fn account(index: usize) -> AccountId {
    AccountId::new(ACCOUNTS[index]).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        let id = ConversationId::new("c1").unwrap();
        let mut conversation = Conversation::load(id.clone(), None).unwrap();
        conversation.own(1);
        let mut world = Self {
            id,
            conversation,
            fanout: Fanout::new(0),
            epoch: 1,
            now: Timestamp::from_ms(1_000_000),
            rows: BTreeMap::new(),
            summaries: vec![None],
            pending: false,
            writes: Vec::new(),
            acknowledged: BTreeMap::new(),
            sent: 0,
            parcels: Vec::new(),
            answers: Vec::new(),
            inboxes: (0..ACCOUNTS.len()).map(|i| Seat::new(i, account(i))).collect(),
        };
        let members = vec![account(1), account(2)];
        let request = OpenConversation { kind: Kind::Group, members, title: None, client_id: None };
        let decision = world.conversation.open(&account(0), &request, world.now);
        world.decided(decision);
        world.store_rows();
        world
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn post(&mut self, who: usize) {
        self.sent += 1;
        let client_id = ClientId::new(&format!("m{}", self.sent)).unwrap();
        let body =
            RawValue::from_string(format!("{{\"type\":\"text\",\"text\":\"{}\"}}", self.sent)).unwrap();
        let message = NewMessage { client_id, body, reply_to: None, mentions: Vec::new() };
        let decision = self.conversation.post(&account(who), &message, self.now);
        self.decided(decision);
    }

    pub(crate) fn put(&mut self, by: usize, who: usize) {
        let decision = self.conversation.put_member(&account(by), &account(who), None, self.now);
        self.decided(decision);
    }

    pub(crate) fn remove(&mut self, by: usize, who: usize) {
        let decision = self.conversation.remove_member(&account(by), &account(who), self.now);
        self.decided(decision);
    }

    /// What is refused or has to wait is not tried again: the steps that follow are attempts enough.
    fn decided(&mut self, decision: Decision) {
        if let Decision::Append(row) = decision {
            self.pending = true;
            self.writes.push(row);
        }
    }

    pub(crate) fn store_row(&mut self, pick: usize) {
        if self.writes.is_empty() {
            return;
        }
        let row = self.writes.remove(pick % self.writes.len());
        let n = row.place.position.n;
        self.rows.insert(n, row);
        let events = self.conversation.confirm(n);
        for event in &events {
            self.acknowledged.insert(event.n, self.rows[&event.n].payload.clone());
        }
        if let Some(state) = self.conversation.state() {
            let parcels = self.fanout.committed(events, &state.members, self.now);
            self.send(parcels);
        }
        self.summarise_if_due();
    }

    pub(crate) fn store_rows(&mut self) {
        while !self.writes.is_empty() {
            self.store_row(0);
        }
    }

    pub(crate) fn summarise(&mut self) {
        self.summarise_every(1);
    }

    pub(crate) fn summarise_if_due(&mut self) {
        self.summarise_every(godwit_core::conversation::SUMMARY_ROWS);
    }

    fn summarise_every(&mut self, every: u64) {
        if let Some((upto, summary)) = self.conversation.summary(every) {
            self.summaries.push(Some(summary));
            self.conversation.summary_stored(upto);
        }
    }

    fn send(&mut self, parcels: Vec<Parcel>) {
        for parcel in parcels {
            assert!(parcel.from <= parcel.to && parcel.to - parcel.from < PARCEL_ROWS, "G6: {parcel:?}");
            assert!(parcel.to <= self.conversation.tail().n, "not committed: {parcel:?}");
            let rows = self.fanout.rows(&parcel).unwrap_or_else(|| self.read(&parcel));
            for (to, joined_n) in parcel.accounts {
                let row = |row: &EventRow| match &row.special {
                    Some((who, own)) if *who == to => (row.n, own.clone()),
                    _ => (row.n, row.payload.clone()),
                };
                let rows = rows.iter().map(row).collect();
                let to = ACCOUNTS.iter().position(|name| *name == to.as_str()).unwrap();
                self.parcels.push(Post { to, conversation: self.id.clone(), joined_n, rows, at: self.now });
            }
        }
        if self.fanout.is_done() {
            self.conversation.all_taken();
            self.pending = !self.conversation.is_quiet();
        }
    }

    /// What is no longer in memory, out of the log.
    fn read(&self, parcel: &Parcel) -> Vec<EventRow> {
        let event = |(n, row): (&u64, &NewRow)| {
            let read: ConversationRow = payload::decode(&row.payload).unwrap();
            self.conversation.event(&read, *n, row.at)
        };
        self.rows.range(parcel.from..=parcel.to).map(event).collect()
    }

    pub(crate) fn parcel(&mut self, pick: usize, arrives: bool, again: bool) {
        if self.parcels.is_empty() {
            return;
        }
        let pick = pick % self.parcels.len();
        let post = if again { self.parcels[pick].clone() } else { self.parcels.remove(pick) };
        if arrives {
            self.inboxes[post.to].deliver(post, &mut self.answers);
        }
    }

    pub(crate) fn answer(&mut self, pick: usize, arrives: bool, again: bool) {
        if self.answers.is_empty() {
            return;
        }
        let pick = pick % self.answers.len();
        let (from, answer) = if again { self.answers[pick] } else { self.answers.remove(pick) };
        if arrives && let Some(state) = self.conversation.state() {
            let parcels = self.fanout.answered(&account(from), answer, &state.members, self.now);
            self.send(parcels);
        }
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        if let Some(state) = self.conversation.state() {
            let parcels = self.fanout.poll(&state.members, self.now);
            self.send(parcels);
        }
    }

    /// The owner is gone. The next one starts from the summary that is `older` before the newest, and finishes
    /// the fan-out if it is noted as under way.
    pub(crate) fn crash(&mut self, older: usize) {
        self.writes.clear();
        let whole = (1..).take_while(|n| self.rows.contains_key(n)).count() as u64;
        self.rows.retain(|n, _| *n <= whole);
        let summary = self.summaries[self.summaries.len().saturating_sub(older + 1)].clone();
        self.conversation = Conversation::load(self.id.clone(), summary.as_deref()).unwrap();
        let above = self.conversation.summarised();
        for row in self.rows.values().filter(|row| row.place.position.n > above) {
            let change = payload::decode::<ConversationRow>(&row.payload).unwrap().change;
            self.conversation.replay(row.place.position, row.at, row.key, &change);
        }
        self.epoch += 1;
        self.conversation.own(self.epoch);
        self.fanout = Fanout::new(self.conversation.tail().n);
        if self.pending
            && let Some(state) = self.conversation.state()
        {
            let parcels = self.fanout.recheck(&state.members, self.now);
            self.send(parcels);
        }
        self.summarise_if_due();
    }

    /// Nothing fails any more: in bounded time all comes to rest.
    pub(crate) fn heal(&mut self) {
        for _ in 0..1_000 {
            self.store_rows();
            while !self.parcels.is_empty() {
                self.parcel(0, true, false);
            }
            for inbox in &mut self.inboxes {
                inbox.store_rows(&mut self.answers);
            }
            while !self.answers.is_empty() {
                self.answer(0, true, false);
            }
            if self.parcels.is_empty() && self.fanout.is_done() {
                return;
            }
            if self.parcels.is_empty() {
                let due = self.fanout.next_due().unwrap();
                self.wait(due.ms_since(self.now));
            }
        }
        panic!("the fan-out never ends: {:?}", self.fanout);
    }

    pub(crate) fn judge_bounds(&self) {
        assert!(self.writes.len() <= WINDOW_MAX);
        self.inboxes.iter().for_each(Seat::judge_bounds);
    }

    pub(crate) fn judge(&self) {
        assert!(self.conversation.is_quiet() && !self.pending);
        for (n, payload) in &self.acknowledged {
            assert_eq!(
                self.rows.get(n).map(|row| &row.payload),
                Some(payload),
                "G1: row {n} was acknowledged"
            );
        }
        let owed = self.owed();
        let mut shared = BTreeMap::new();
        for inbox in &self.inboxes {
            inbox.judge_rest();
            let events: Vec<_> = inbox.rows().map(|row| InboxEvent::decode(&row.payload).unwrap()).collect();
            let numbers: Vec<_> = events.iter().map(|event| event.seq).collect();
            let owed = &owed[inbox.account()];
            assert_eq!(&numbers, owed, "G2, G3, G4: {}", inbox.account());
            for event in events.iter().filter(|event| event.kind == EventKind::Message) {
                let same = shared.entry(event.seq).or_insert_with(|| event.clone());
                assert_eq!(same, event, "G3: all see the same");
            }
            self.judge_membership(inbox, &events);
        }
    }

    fn judge_membership(&self, inbox: &Seat, events: &[InboxEvent]) {
        let Some(held) = inbox.inbox().membership(&self.id) else {
            assert!(events.is_empty());
            return;
        };
        let unread = |event: &&InboxEvent| event.kind == EventKind::Message && event.by != *inbox.account();
        assert_eq!(held.unread, events.iter().filter(unread).count() as u64);
        assert_eq!((held.mark, held.activity), (events.last().unwrap().seq, inbox.inbox().tail().n));
        let member = self.conversation.state().unwrap().members.contains(inbox.account());
        assert_eq!(held.present, member, "{} knows whether it is a member", inbox.account());
    }

    /// The rows that each account is to have, by the log alone.
    fn owed(&self) -> BTreeMap<AccountId, Vec<u64>> {
        let mut owed: BTreeMap<_, Vec<u64>> = (0..ACCOUNTS.len()).map(|i| (account(i), Vec::new())).collect();
        let mut present = BTreeSet::new();
        for (n, row) in &self.rows {
            let mut gone = None;
            match payload::decode::<ConversationRow>(&row.payload).unwrap().change {
                Change::Created { members, .. } => present.extend(members),
                Change::MemberPut { account, .. } => _ = present.insert(account),
                Change::MemberRemoved { account, .. } => gone = Some(account),
                Change::Message { .. } | Change::Titled { .. } => {}
            }
            for account in &present {
                owed.get_mut(account).unwrap().push(*n);
            }
            gone.inspect(|account| _ = present.remove(account));
        }
        owed
    }
}

//! An account's inbox with its store.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use godwit_core::Held;
use godwit_core::fanout::Answer;
use godwit_core::inbox::{Delivered, Inbox, NewRow, Retention, SUMMARY_ROWS, Stored};
use godwit_core::log::WINDOW_MAX;
use godwit_types::{AccountId, ConversationId, Timestamp};

const RETENTION: Retention = Retention { events: u64::MAX, age_ms: u64::MAX };

/// Rows of a conversation on their way to one account.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) to: usize,
    pub(crate) conversation: ConversationId,
    pub(crate) joined_n: u64,
    pub(crate) rows: Vec<(u64, Bytes)>,
    pub(crate) at: Timestamp,
}

pub(crate) struct Seat {
    index: usize,
    account: AccountId,
    inbox: Inbox,
    epoch: u64,
    /// What is stored.
    rows: BTreeMap<u64, NewRow>,
    summaries: Vec<Option<Bytes>>,
    memberships: BTreeMap<ConversationId, Bytes>,
    /// Writes under way.
    writes: Vec<NewRow>,
    held: Held<Answer>,
    waiting: VecDeque<Post>,
}

impl Seat {
    pub(crate) fn new(index: usize, account: AccountId) -> Self {
        let mut inbox = Inbox::load(account.clone(), Stored::default()).unwrap();
        inbox.own(1);
        Self {
            index,
            account,
            inbox,
            epoch: 1,
            rows: BTreeMap::new(),
            summaries: vec![None],
            memberships: BTreeMap::new(),
            writes: Vec::new(),
            held: Held::default(),
            waiting: VecDeque::new(),
        }
    }

    pub(crate) fn account(&self) -> &AccountId {
        &self.account
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// The stored rows, in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &NewRow> {
        self.rows.values()
    }

    pub(crate) fn deliver(&mut self, post: Post, answers: &mut Vec<(usize, Answer)>) {
        if !self.waiting.is_empty() || !self.try_deliver(&post) {
            self.waiting.push_back(post);
        }
        self.settle(answers);
    }

    fn try_deliver(&mut self, post: &Post) -> bool {
        let rows = post.rows.iter().map(|(n, payload)| (*n, payload));
        match self.inbox.deliver(&post.conversation, post.joined_n, rows, post.at) {
            Delivered::Taken { rows, mark, rests_on } => {
                self.writes.extend(rows);
                self.held.until(rests_on, Answer::Taken(mark));
            }
            Delivered::Missing { mark, rests_on } => self.held.until(rests_on, Answer::Missing(mark)),
            Delivered::Wait => return false,
            Delivered::Unreadable(error) => panic!("{error}"),
        }
        true
    }

    /// Gives the answers whose rows are committed, writes a summary that is due, and goes on with what waits.
    fn settle(&mut self, answers: &mut Vec<(usize, Answer)>) {
        loop {
            while let Some(answer) = self.held.release(self.inbox.tail().n) {
                answers.push((self.index, answer));
            }
            self.summarise_every(SUMMARY_ROWS);
            let Some(post) = self.waiting.pop_front() else { return };
            if !self.try_deliver(&post) {
                self.waiting.push_front(post);
                return;
            }
        }
    }

    pub(crate) fn store_row(&mut self, pick: usize, answers: &mut Vec<(usize, Answer)>) {
        if !self.writes.is_empty() {
            let row = self.writes.remove(pick % self.writes.len());
            let n = row.place.position.n;
            self.rows.insert(n, row);
            self.inbox.confirm(n);
        }
        self.settle(answers);
    }

    pub(crate) fn store_rows(&mut self, answers: &mut Vec<(usize, Answer)>) {
        for _ in 0..self.writes.len() {
            self.store_row(0, answers);
        }
    }

    pub(crate) fn summarise(&mut self) {
        self.summarise_every(1);
    }

    fn summarise_every(&mut self, every: u64) {
        if let Some(due) = self.inbox.summary(every, RETENTION) {
            self.summaries.push(Some(due.summary));
            self.memberships.extend(due.memberships);
            self.inbox.summary_stored(due.upto);
        }
    }

    /// The owner is gone. The next one starts from the summary that is `older` before the newest, with the
    /// newest memberships: each may land without the other.
    pub(crate) fn crash(&mut self, older: usize, told: bool, answers: &mut Vec<(usize, Answer)>) {
        let mut unanswered = self.waiting.len();
        while self.held.release(u64::MAX).is_some() {
            unanswered += 1;
        }
        if told {
            answers.extend((0..unanswered).map(|_| (self.index, Answer::Lost)));
        }
        self.waiting.clear();
        self.writes.clear();
        cut_at_hole(&mut self.rows);
        let summary = self.summaries[self.summaries.len().saturating_sub(older + 1)].clone();
        let memberships = self.memberships.clone().into_iter().collect();
        let stored = Stored { summary, memberships, devices: Vec::new() };
        self.inbox = Inbox::load(self.account.clone(), stored).unwrap();
        let above = self.inbox.summarised();
        for row in self.rows.values().filter(|row| row.place.position.n > above) {
            self.inbox.replay(row.place.position, row.at, &row.payload).unwrap();
        }
        self.epoch += 1;
        self.inbox.own(self.epoch);
    }

    pub(crate) fn judge_bounds(&self) {
        assert!(self.writes.len() <= WINDOW_MAX);
        assert!(self.inbox.last_n() - self.inbox.tail().n <= WINDOW_MAX as u64);
    }

    pub(crate) fn judge_rest(&self) {
        assert!(self.held.is_empty() && self.waiting.is_empty() && self.inbox.is_quiet());
        assert_eq!(self.inbox.tail().n, self.rows.len() as u64);
    }
}

/// Rows beyond a hole were never committed: the next owner hides them.
fn cut_at_hole(rows: &mut BTreeMap<u64, NewRow>) {
    let whole = (1..).take_while(|n| rows.contains_key(n)).count() as u64;
    rows.retain(|n, _| *n <= whole);
}

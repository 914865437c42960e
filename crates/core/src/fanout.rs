//! Bringing a conversation's committed rows into every member's inbox.
//!
//! One parcel is under way per member at a time: what is committed meanwhile goes with the next one, so
//! that a busy conversation sends batches and the receiver never sees a hole that the network made. An
//! inbox answers with its mark, the highest row of this conversation that it durably has.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use godwit_types::{AccountId, Timestamp};

use crate::conversation::Members;
use crate::log::WINDOW_MAX;

/// Rows in one parcel: they must fit the receiving inbox's window at once.
pub const PARCEL_ROWS: u64 = WINDOW_MAX as u64;
/// Committed rows kept in memory for the next parcels; what is older is read from the log again.
const RECENT_ROWS: usize = 2 * WINDOW_MAX;
/// Their bytes: 128 messages of 16 KiB would be 2 MiB, too much for every busy conversation.
const RECENT_BYTES: usize = 256 * 1024;
/// How long an inbox may take to answer before its parcel is sent again, in milliseconds. Sending again is
/// harmless (an inbox knows what it has), so this is short against the 8 s that a sender waits.
const SILENCE_MS: u64 = 2_000;
/// First and longest wait after a parcel is known to be lost (its account's actor failed), in milliseconds.
/// The longest bounds how late an account is back after a fault.
const LOST_RETRY_MS: (u64, u64) = (10, 40);

/// One row as its members get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its number in the conversation.
    pub n: u64,
    /// An encoded `InboxEvent`.
    pub payload: Bytes,
    /// The one member that gets another payload: who is removed reads that it was.
    pub special: Option<(AccountId, Bytes)>,
}

/// Rows `from..=to` for these accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// First row.
    pub from: u64,
    /// Last row.
    pub to: u64,
    /// Who gets it, each with the row by which it joined.
    pub accounts: Vec<(AccountId, u64)>,
}

/// What an inbox answers to a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It durably has every row up to there.
    Taken(u64),
    /// It cannot take the parcel, because it has only the rows up to there.
    Missing(u64),
    /// It failed; nothing is known.
    Lost,
}

/// Who still has to get what.
#[derive(Debug, Default)]
pub struct Fanout {
    head: u64,
    behind: HashMap<AccountId, Progress>,
    recent: VecDeque<EventRow>,
    recent_bytes: usize,
}

#[derive(Debug)]
struct Progress {
    taken: u64,
    /// Last row of the parcel under way; none while waiting to send again.
    sent: Option<u64>,
    due: Timestamp,
    lost: u32,
}

impl Fanout {
    /// Nothing is owed up to `head`.
    pub fn new(head: u64) -> Self {
        Self { head, ..Self::default() }
    }

    /// A former owner's fan-out may not be finished: offer everyone the last row and see who misses some.
    /// Who left and came back is offered the last row before it left: an inbox takes the row of its joining
    /// whatever it has, so that what it misses of the time before has to come first.
    pub fn recheck(&mut self, members: &Members, now: Timestamp) -> Vec<Parcel> {
        if self.head == 0 {
            return Vec::new();
        }
        for account in members.everyone() {
            let last = first_period_end(members, account, self.head).unwrap_or(0);
            if last > 0 {
                let progress = Progress { taken: last - 1, sent: None, due: now, lost: 0 };
                self.behind.insert(account.clone(), progress);
            }
        }
        self.poll(members, now)
    }

    /// Rows were committed, in order.
    pub fn committed(&mut self, rows: Vec<EventRow>, members: &Members, now: Timestamp) -> Vec<Parcel> {
        for row in rows {
            self.head = row.n;
            for (account, _) in members.at(row.n) {
                self.behind.entry(account.clone()).or_insert(Progress {
                    taken: row.n - 1,
                    sent: None,
                    due: now,
                    lost: 0,
                });
            }
            self.recent_bytes += row.payload.len();
            self.recent.push_back(row);
        }
        while self.recent.len() > RECENT_ROWS || self.recent_bytes > RECENT_BYTES {
            let Some(old) = self.recent.pop_front() else { break };
            self.recent_bytes -= old.payload.len();
        }
        self.poll(members, now)
    }

    /// An inbox answered.
    pub fn answered(
        &mut self,
        account: &AccountId,
        answer: Answer,
        members: &Members,
        now: Timestamp,
    ) -> Vec<Parcel> {
        let Some(progress) = self.behind.get_mut(account) else { return Vec::new() };
        match answer {
            Answer::Taken(mark) => {
                progress.taken = progress.taken.max(mark);
                if progress.sent.is_some_and(|sent| sent > progress.taken) {
                    return Vec::new(); // an answer to an earlier parcel
                }
                *progress = Progress { taken: progress.taken, sent: None, due: now, lost: 0 };
            }
            Answer::Missing(mark) => *progress = Progress { taken: mark, sent: None, due: now, lost: 0 },
            Answer::Lost => {
                let (first, longest) = LOST_RETRY_MS;
                let wait = (first << progress.lost.min(8)).min(longest);
                progress.sent = None;
                progress.due = now.plus_ms(wait);
                progress.lost += 1;
            }
        }
        self.parcels(std::slice::from_ref(account), members, now)
    }

    /// What is due by now.
    pub fn poll(&mut self, members: &Members, now: Timestamp) -> Vec<Parcel> {
        let due: Vec<_> =
            self.behind.iter().filter(|(_, p)| p.due <= now).map(|(account, _)| account.clone()).collect();
        self.parcels(&due, members, now)
    }

    /// When [`Fanout::poll`] has something next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.behind.values().map(|progress| progress.due).min()
    }

    /// Whether everyone has everything.
    pub fn is_done(&self) -> bool {
        self.behind.is_empty()
    }

    /// The rows of a parcel, if they are all still in memory.
    pub fn rows(&self, parcel: &Parcel) -> Option<Vec<EventRow>> {
        let first = self.recent.front()?.n;
        let start = usize::try_from(parcel.from.checked_sub(first)?).ok()?;
        let len = usize::try_from(parcel.to - parcel.from + 1).ok()?;
        let rows: Vec<_> = self.recent.iter().skip(start).take(len).cloned().collect();
        (rows.len() == len).then_some(rows)
    }

    fn parcels(&mut self, accounts: &[AccountId], members: &Members, now: Timestamp) -> Vec<Parcel> {
        let mut by_range: BTreeMap<(u64, u64), Vec<(AccountId, u64)>> = BTreeMap::new();
        for account in accounts {
            let Some(progress) = self.behind.get_mut(account) else { continue };
            let Some((from, to, joined_n)) = next_range(members, account, progress.taken, self.head) else {
                self.behind.remove(account);
                continue;
            };
            if progress.due > now {
                continue;
            }
            progress.sent = Some(to);
            progress.due = now.plus_ms(SILENCE_MS);
            by_range.entry((from, to)).or_default().push((account.clone(), joined_n));
        }
        if self.behind.is_empty() {
            self.recent = VecDeque::new();
            self.recent_bytes = 0;
        }
        by_range.into_iter().map(|((from, to), accounts)| Parcel { from, to, accounts }).collect()
    }
}

/// The next rows after `taken` that the account is to get, within one of its periods.
fn next_range(members: &Members, account: &AccountId, taken: u64, head: u64) -> Option<(u64, u64, u64)> {
    members.periods(account).into_iter().find_map(|period| {
        let from = period.joined_n.max(taken + 1);
        let to = period.left_n.unwrap_or(head).min(head).min(from + PARCEL_ROWS - 1);
        (from <= to).then_some((from, to, period.joined_n))
    })
}

fn first_period_end(members: &Members, account: &AccountId, head: u64) -> Option<u64> {
    members.periods(account).first().map(|period| period.left_n.unwrap_or(head).min(head))
}

#[cfg(test)]
mod tests;

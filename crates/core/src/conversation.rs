//! A conversation as its owner holds it: who is in it, what was said, and what its members are to get.
//!
//! Commands are decided against the state with everything that is under way, since that is the order in
//! which it will be. So an answer may rest on rows that are not committed yet: every [`Decision`] says on
//! which one, and whoever carries it out holds the answer back until then.

mod events;
mod members;
mod state;

use bytes::Bytes;
use godwit_types::{AccountId, ConversationId, MessageId, Position, Timestamp};
use godwit_wire::api::{Kind, NewMessage, OpenConversation, Role};
use godwit_wire::{Change, Code, ConversationRow, Problem, payload};

pub use members::{MEMBERS_MAX, Members, Period};
pub use state::State;

use crate::fanout::EventRow;
use crate::keys::{Keys, StoredKeys};
use crate::log::{Log, Place};

/// Rows after which a summary is due.
pub const SUMMARY_ROWS: u64 = 256;

/// One conversation.
#[derive(Debug)]
pub struct Conversation {
    id: ConversationId,
    log: Log<EventRow>,
    keys: Keys,
    state: Option<State>,
    summarised: u64,
    summarising: bool,
    members_max: usize,
}

/// A row to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRow {
    /// Where it stands.
    pub place: Place,
    /// When.
    pub at: Timestamp,
    /// Its key, 0 for none.
    pub key: u64,
    /// What it says: a [`ConversationRow`].
    pub payload: Bytes,
}

/// What a command comes to.
#[derive(Debug)]
pub enum Decision {
    /// Store this row; when it is committed the command has been carried out.
    Append(NewRow),
    /// Nothing is to be changed: it is so already, as of row `n`.
    Already {
        /// The row on which the answer rests.
        n: u64,
    },
    /// A message with that key is row `n`. Read it, compare, and answer with it or with 409.
    Known {
        /// The row.
        n: u64,
    },
    /// The window is full: ask again after the next commit.
    Wait,
    /// No, as of row `n`.
    Refused {
        /// The row on which the answer rests.
        n: u64,
        /// Why.
        problem: Problem,
    },
}

/// A conversation's summary, as stored.
#[derive(serde::Serialize, serde::Deserialize)]
struct Summary {
    upto: Position,
    state: State,
    keys: StoredKeys,
}

impl Conversation {
    /// The conversation as its store has it: the summary if there is one; [`Conversation::replay`] the rows
    /// above [`Conversation::summarised`] next, then [`Conversation::own`].
    pub fn load(id: ConversationId, summary: Option<&[u8]>) -> Result<Self, payload::PayloadError> {
        let mut log_tail = Position::START;
        let (mut keys, mut state) = (Keys::default(), None);
        if let Some(bytes) = summary {
            let read: Summary = payload::decode(bytes)?;
            log_tail = read.upto;
            keys = Keys::from_stored(read.keys);
            state = Some(read.state);
        }
        Ok(Self {
            id,
            log: Log::new(log_tail.epoch, log_tail),
            keys,
            state,
            summarised: log_tail.n,
            summarising: false,
            members_max: MEMBERS_MAX,
        })
    }

    /// Up to which row a summary is stored.
    pub fn summarised(&self) -> u64 {
        self.summarised
    }

    /// Takes in the next row of the log, in order.
    pub fn replay(&mut self, position: Position, at: Timestamp, key: u64, change: &Change) {
        State::apply(&mut self.state, change, position.n, at);
        self.keys.insert(key, position.n, at);
        self.log = Log::new(position.epoch, position);
    }

    /// Takes so many members at most, and never more than [`MEMBERS_MAX`].
    pub fn with_members_max(mut self, members_max: usize) -> Self {
        self.members_max = members_max.min(MEMBERS_MAX);
        self
    }

    /// Appends under `epoch` from now on.
    pub fn own(&mut self, epoch: u64) {
        self.log = Log::new(epoch, self.log.tail());
    }

    /// Its id.
    pub fn id(&self) -> &ConversationId {
        &self.id
    }

    /// The last committed row.
    pub fn tail(&self) -> Position {
        self.log.tail()
    }

    /// The number of the last row, committed or not: what an answer rests on.
    pub fn last_n(&self) -> u64 {
        self.log.last_n()
    }

    /// Whether all rows are committed.
    pub fn is_quiet(&self) -> bool {
        self.log.is_quiet()
    }

    /// What it consists of, once it was opened.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Whether another row can be appended now. If not, a command that may append is to wait for a commit, or
    /// for a summary: one is never more than 512 rows behind (`docs/architecture.md`).
    pub fn can_append(&self) -> bool {
        self.log.room() > 0 && self.last_n() < self.summarised + 2 * SUMMARY_ROWS
    }

    /// The state as `reader` may see it: none for who is no member.
    pub fn state_for(&self, reader: &AccountId) -> Result<&State, Problem> {
        self.state.as_ref().filter(|state| state.members.contains(reader)).ok_or_else(Problem::not_found)
    }

    /// Opens it; a repeat finds it open.
    pub fn open(&mut self, caller: &AccountId, request: &OpenConversation, now: Timestamp) -> Decision {
        if let Some(state) = &self.state {
            let n = self.last_n();
            return match state.members.contains(caller) {
                true => Decision::Already { n },
                false => self.refuse(Problem::not_found()), // the creator of a group who has left it since
            };
        }
        let mut members = vec![caller.clone()];
        for member in &request.members {
            if !members.contains(member) {
                members.push(member.clone());
            }
        }
        if members.len() > self.members_max {
            return self
                .refuse(Problem::new(Code::TooManyMembers, format!("at most {} members", self.members_max)));
        }
        let title = request.title.clone();
        self.append(Change::Created { kind: request.kind, by: caller.clone(), members, title }, 0, now)
    }

    /// Takes a message; `body` is checked, compact JSON.
    pub fn post(&mut self, sender: &AccountId, message: &NewMessage, now: Timestamp) -> Decision {
        if let Err(problem) = self.state_for(sender) {
            return self.refuse(problem);
        }
        let id = MessageId::of(&self.id, sender, &message.client_id);
        if let Some(n) = self.keys.find(id.key()) {
            return Decision::Known { n };
        }
        if message.reply_to.is_some_and(|seq| seq == 0 || seq > self.last_n()) {
            return self.refuse(Problem::field("/reply_to", "names no message of this conversation"));
        }
        let change = Change::Message {
            id,
            sender: sender.clone(),
            client_id: message.client_id.clone(),
            body: message.body.get().to_owned(),
            reply_to: message.reply_to,
            mentions: message.mentions.clone(),
        };
        self.append(change, id.key(), now)
    }

    /// Gives it another title, or none.
    pub fn rename(&mut self, caller: &AccountId, title: Option<String>, now: Timestamp) -> Decision {
        let state = match self.group_of_owner(caller) {
            Ok(state) => state,
            Err(problem) => return self.refuse(problem),
        };
        if state.title == title {
            return Decision::Already { n: self.last_n() };
        }
        self.append(Change::Titled { by: caller.clone(), title }, 0, now)
    }

    /// Adds a member, or gives one another role.
    pub fn put_member(
        &mut self,
        caller: &AccountId,
        account: &AccountId,
        role: Option<Role>,
        now: Timestamp,
    ) -> Decision {
        let state = match self.group_of_owner(caller) {
            Ok(state) => state,
            Err(problem) => return self.refuse(problem),
        };
        let present = state.members.role(account);
        let role = role.or(present).unwrap_or(Role::Member);
        if present == Some(role) {
            return Decision::Already { n: self.last_n() };
        }
        if present.is_none() && state.members.len() >= self.members_max {
            return self
                .refuse(Problem::new(Code::TooManyMembers, format!("at most {} members", self.members_max)));
        }
        if present == Some(Role::Owner) && state.members.owners() == 1 {
            let detail = "the last owner stays one; make another member owner first, or leave";
            return self.refuse(Problem::new(Code::NotOwner, detail));
        }
        self.append(Change::MemberPut { by: caller.clone(), account: account.clone(), role }, 0, now)
    }

    /// Removes a member; any member may remove itself.
    pub fn remove_member(&mut self, caller: &AccountId, account: &AccountId, now: Timestamp) -> Decision {
        let checked = match caller == account {
            true => self.group(caller),
            false => self.group_of_owner(caller),
        };
        match checked {
            Err(problem) => self.refuse(problem),
            Ok(state) if !state.members.contains(account) => Decision::Already { n: self.last_n() },
            // Who has left is remembered until the last event has arrived; an inbox that fails must not make
            // that grow for ever.
            Ok(state) if state.members.former() >= MEMBERS_MAX => self.refuse(Problem::new(
                Code::Overloaded,
                "earlier removals have not reached everyone yet; come back in a moment",
            )),
            Ok(_) => {
                self.append(Change::MemberRemoved { by: caller.clone(), account: account.clone() }, 0, now)
            }
        }
    }

    /// A row was stored and the guard passed since; the events that are committed by that, in order.
    pub fn confirm(&mut self, n: u64) -> Vec<EventRow> {
        self.log.confirm(n).into_iter().map(|(_, row)| row).collect()
    }

    /// The event that row `n` is to its members.
    pub fn event(&self, row: &ConversationRow, n: u64, at: Timestamp) -> EventRow {
        events::event_row(&self.id, row, n, at)
    }

    /// A summary of what is committed, if one is due: `every` rows after the last one, and nothing under way.
    /// [`Conversation::summary_stored`] follows when it is stored.
    pub fn summary(&mut self, every: u64) -> Option<(u64, Bytes)> {
        let tail = self.log.tail();
        if self.summarising || !self.log.is_quiet() || tail.n < self.summarised + every {
            return None;
        }
        let summary = Summary { upto: tail, state: self.state.clone()?, keys: self.keys.to_stored() };
        self.summarising = true;
        Some((tail.n, payload::encode(&summary)))
    }

    /// The summary up to row `n` is stored.
    pub fn summary_stored(&mut self, n: u64) {
        self.summarised = n;
        self.summarising = false;
    }

    /// Forgets who left, once every committed event has reached everyone. While rows are under way nobody is
    /// forgotten: one of them may be the last event of who has left by it.
    pub fn all_taken(&mut self) {
        if let Some(state) = self.state.as_mut().filter(|_| self.log.is_quiet()) {
            state.members.forget_former();
        }
    }

    fn refuse(&self, problem: Problem) -> Decision {
        Decision::Refused { n: self.last_n(), problem }
    }

    fn group(&self, caller: &AccountId) -> Result<&State, Problem> {
        let state = self.state_for(caller)?;
        match state.kind {
            Kind::Group => Ok(state),
            Kind::Direct => Err(Problem::new(
                Code::DirectUnchangeable,
                "a direct conversation keeps its two members and has no title",
            )),
        }
    }

    fn group_of_owner(&self, caller: &AccountId) -> Result<&State, Problem> {
        let state = self.group(caller)?;
        match state.members.role(caller) {
            Some(Role::Owner) => Ok(state),
            _ => Err(Problem::new(Code::NotOwner, "ask an owner of the group")),
        }
    }

    fn append(&mut self, change: Change, key: u64, now: Timestamp) -> Decision {
        if !self.can_append() {
            return Decision::Wait;
        }
        let n = self.last_n() + 1;
        let at = self.state.as_ref().map_or(now, |state| now.max(state.last_at));
        State::apply(&mut self.state, &change, n, at);
        self.keys.insert(key, n, at);
        let Some(state) = &self.state else {
            return self.refuse(Problem::not_found()); // only `Created` is appended to an empty log
        };
        let told = events::told(&self.id, state, &change, n, at);
        let row = ConversationRow { change, told };
        match self.log.append(events::event_row(&self.id, &row, n, at)) {
            Some(place) => Decision::Append(NewRow { place, at, key, payload: payload::encode(&row) }),
            None => Decision::Wait,
        }
    }
}

#[cfg(test)]
mod tests;

//! What a conversation consists of: the fold of its rows.

use godwit_types::{AccountId, ConversationId, Timestamp};
use godwit_wire::Change;
use godwit_wire::api::{Kind, MEMBERS_SHOWN, SharedConversation};
use serde::{Deserialize, Serialize};

use super::members::Members;

/// A conversation that has been opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Direct or group.
    pub kind: Kind,
    /// A group's name.
    pub title: Option<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// Time of the last row: times never go back within a conversation.
    pub last_at: Timestamp,
    /// Number of the newest message.
    pub last_message: Option<u64>,
    /// Who is in it.
    pub members: Members,
}

impl State {
    /// Takes in row `n`. The one place where a row changes a conversation, on the way in and on replay.
    pub(super) fn apply(state: &mut Option<State>, change: &Change, n: u64, at: Timestamp) {
        if let Change::Created { kind, by, members, title } = change {
            let members = Members::founded(*kind, by, members, n, at);
            *state = Some(State {
                kind: *kind,
                title: title.clone(),
                created_at: at,
                last_at: at,
                last_message: None,
                members,
            });
            return;
        }
        let Some(state) = state else { return };
        state.last_at = at;
        match change {
            Change::Created { .. } => {}
            Change::Message { .. } => state.last_message = Some(n),
            Change::Titled { title, .. } => state.title.clone_from(title),
            Change::MemberPut { account, role, .. } => state.members.put(account, *role, n, at),
            Change::MemberRemoved { account, .. } => state.members.remove(account, n),
        }
    }

    /// The conversation as row `last_seq` leaves it, without what differs from reader to reader.
    pub fn shared(&self, id: &ConversationId, last_seq: u64) -> SharedConversation {
        SharedConversation {
            id: id.clone(),
            kind: self.kind,
            title: self.title.clone(),
            member_count: self.members.len(),
            members: self.members.page(0, MEMBERS_SHOWN).0,
            created_at: self.created_at,
            last_seq,
        }
    }

    /// From which row on `reader` may read: that of its joining.
    pub fn readable_from(&self, reader: &AccountId) -> u64 {
        self.members.joined_n(reader).unwrap_or(u64::MAX)
    }
}

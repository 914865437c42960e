//! What the rows of the two kinds of log say, as the store keeps it: postcard behind a version byte.

use bytes::Bytes;
use godwit_types::{AccountId, ClientId, ConversationId, MessageId};
use serde::{Deserialize, Serialize};

use crate::api::{Kind, Role};
use crate::event::EventKind;

/// First byte of every payload.
const VERSION: u8 = 1;

/// A payload that this program cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Written by a later version.
    #[error("payload version {0} is not known here")]
    Version(u8),
    /// Not what the version says.
    #[error("payload is damaged: {0}")]
    Damaged(String),
}

/// One row of a conversation: a change that everybody sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Row 1.
    Created {
        /// Direct or group.
        kind: Kind,
        /// Who opened it, also a member.
        by: AccountId,
        /// All members, the creator among them.
        members: Vec<AccountId>,
        /// A group's name.
        title: Option<String>,
    },
    /// Somebody said something.
    Message {
        /// Its identity.
        id: MessageId,
        /// Who said it.
        sender: AccountId,
        /// What the sender calls it.
        client_id: ClientId,
        /// What was said: compact JSON.
        body: String,
        /// `seq` of the message that it answers.
        reply_to: Option<u64>,
        /// Whom it mentions.
        mentions: Vec<AccountId>,
    },
    /// The title changed.
    Titled {
        /// Who did it.
        by: AccountId,
        /// The new one; none takes it away.
        title: Option<String>,
    },
    /// Somebody came, or has another role now.
    MemberPut {
        /// Who did it.
        by: AccountId,
        /// Whom.
        account: AccountId,
        /// As what.
        role: Role,
    },
    /// Somebody went.
    MemberRemoved {
        /// Who did it; the member itself when it left.
        by: AccountId,
        /// Whom.
        account: AccountId,
    },
}

/// A row of a conversation as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationRow {
    /// What happened.
    pub change: Change,
    /// What the members are told of it, for what cannot be told from the change alone: the conversation as it
    /// was then. A message says everything itself.
    pub told: Option<Told>,
}

/// Encoded [`InboxEvent`]s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// For the members.
    pub all: Vec<u8>,
    /// For the one that the change removes.
    pub removed: Option<(AccountId, Vec<u8>)>,
}

/// Version byte and postcard.
pub fn encode(value: &impl Serialize) -> Bytes {
    // Writing to memory does not fail, and no value of ours has a length that postcard cannot know.
    postcard::to_extend(value, vec![VERSION]).map(Bytes::from).unwrap_or_default()
}

/// The reverse of [`encode`].
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, PayloadError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => {
            postcard::from_bytes(rest).map_err(|error| PayloadError::Damaged(error.to_string()))
        }
        Some((&version, _)) => Err(PayloadError::Version(version)),
        None => Err(PayloadError::Damaged("it is empty".into())),
    }
}

/// One row of an inbox: an event as its account's streams show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEvent {
    /// Its name.
    pub kind: EventKind,
    /// The conversation that it comes from.
    pub conversation: ConversationId,
    /// Its number there.
    pub seq: u64,
    /// Who caused it: what one did oneself is not unread.
    pub by: AccountId,
    /// `data` as a stream shows it: compact JSON.
    pub data: Bytes,
}

#[derive(Serialize, Deserialize)]
struct InboxEventRef<'a> {
    kind: EventKind,
    conversation: &'a str,
    seq: u64,
    by: &'a str,
    #[serde(borrow)]
    data: &'a [u8],
}

impl InboxEvent {
    /// As the store keeps it; the same bytes for every member.
    pub fn encode(&self) -> Bytes {
        encode(&InboxEventRef {
            kind: self.kind,
            conversation: self.conversation.as_str(),
            seq: self.seq,
            by: self.by.as_str(),
            data: &self.data,
        })
    }

    /// The reverse; `data` stays in the bytes that it came in.
    pub fn decode(bytes: &Bytes) -> Result<Self, PayloadError> {
        let read: InboxEventRef<'_> = decode(bytes)?;
        let damaged = |what: godwit_types::IdError| PayloadError::Damaged(what.to_string());
        Ok(Self {
            kind: read.kind,
            conversation: ConversationId::new(read.conversation).map_err(damaged)?,
            seq: read.seq,
            by: AccountId::new(read.by).map_err(damaged)?,
            data: bytes.slice_ref(read.data),
        })
    }
}

/// Name and `data` of a stored event, without what a stream does not show: two slices and no copy.
pub fn inbox_event_frame(bytes: &Bytes) -> Result<(EventKind, Bytes), PayloadError> {
    let read: InboxEventRef<'_> = decode(bytes)?;
    Ok((read.kind, bytes.slice_ref(read.data)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> InboxEvent {
        InboxEvent {
            kind: EventKind::Message,
            conversation: ConversationId::new("c1").unwrap(),
            seq: 42,
            by: AccountId::new("u7").unwrap(),
            data: Bytes::from_static(br#"{"seq":42}"#),
        }
    }

    #[test]
    fn an_event_reads_back_without_a_copy() {
        let bytes = event().encode();
        assert_eq!(InboxEvent::decode(&bytes), Ok(event()));
        let (kind, data) = inbox_event_frame(&bytes).unwrap();
        assert_eq!((kind, &data[..]), (EventKind::Message, &br#"{"seq":42}"#[..]));
        assert!(bytes.as_ptr_range().contains(&data.as_ptr()));
    }

    #[test]
    fn the_stored_form_is_fixed() {
        assert_eq!(&event().encode()[..], b"\x01\x00\x02c1\x2a\x02u7\x0a{\"seq\":42}");
    }

    #[test]
    fn a_later_version_is_refused_as_such() {
        assert_eq!(InboxEvent::decode(&Bytes::from_static(b"\x02xyz")), Err(PayloadError::Version(2)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = InboxEvent::decode(&Bytes::from(bytes.clone()));
            let _ = decode::<Change>(&bytes);
        }

        #[test]
        fn damage_is_an_answer(at in 0usize..20, with: u8) {
            let mut bytes = event().encode().to_vec();
            let at = at % bytes.len();
            bytes[at] = with;
            let _ = InboxEvent::decode(&Bytes::from(bytes));
        }
    }
}

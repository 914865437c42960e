//! Faults that a test switches on. Not in a release: feature `faults` only.
//!
//! One makes an account's actor panic; the others break one guarantee each, now and then, so that whoever
//! checks the guarantees can show that a breach is seen. All that they do is here. The actors only let pass
//! what is on its way: parcels to an inbox, messages to a conversation, rows to the store, events to streams.

mod fault;
mod frame;

use std::time::Duration;

use bytes::Bytes;
use godwit_core::Conversation;
use godwit_core::delivery::Event;
use godwit_core::fanout::{EventRow, PARCEL_ROWS};
use godwit_types::{AccountId, ConversationId, MessageId, Timestamp};
use godwit_wire::api::{NewMessage, Posted};
use godwit_wire::{EventKind, InboxEvent, sse};
use parking_lot::Mutex;

pub use self::fault::Fault;
use self::fault::Place;
use crate::reply::Reply;
use crate::user::Delivery;

/// Of what passes a fault's place, every so-manieth is spoiled, and the first is not. Seldom enough that
/// there is something right before and after, often enough for a test of a few hundred messages.
const EVERY: u64 = 50;
/// How late a row is written that was answered before: far longer than a test needs to kill the process, and
/// well below the 8 s that senders of the rows behind it wait.
const LATE: Duration = Duration::from_secs(1);

/// A message on its way to its conversation.
pub(crate) type Post = (AccountId, NewMessage, Reply<(bool, Posted)>);

/// What is broken on purpose.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    poisoned: Mutex<Option<AccountId>>,
    broken: Mutex<Option<Broken>>,
}

/// A fault that is switched on.
#[derive(Debug)]
struct Broken {
    fault: Fault,
    /// What has passed its place.
    passed: u64,
    /// What it has begun to spoil; while there is something, it begins nothing else.
    begun: Option<Begun>,
}

#[derive(Debug)]
enum Begun {
    /// Row `n` does not come into the inbox of this account. Until a later row has.
    LeftOut { account: AccountId, conversation: ConversationId, n: u64 },
    /// This was answered, and comes behind the next message of its conversation.
    Overtaken { conversation: ConversationId, sender: AccountId, message: NewMessage },
    /// The next row of this conversation was answered before it is written.
    Answered { conversation: ConversationId },
    /// This event of the account waits for the next one.
    Held { account: AccountId, frame: Bytes },
}

impl Faults {
    /// From now on every event of this account makes its actor panic; none ends it.
    pub(crate) fn poison(&self, account: Option<AccountId>) {
        *self.poisoned.lock() = account;
    }

    /// From now on a guarantee is broken now and then; none ends it, and drops what was half done.
    pub(crate) fn switch(&self, fault: Option<Fault>) {
        *self.broken.lock() = fault.map(|fault| Broken { fault, passed: 0, begun: None });
    }

    /// A parcel that comes to its account's inbox; none: it is lost on the way. Panics where the account
    /// is poisoned.
    #[allow(clippy::panic)]
    pub(crate) fn parcel(&self, account: &AccountId, mut delivery: Delivery) -> Option<Delivery> {
        let poisoned = self.poisoned.lock().as_ref() == Some(account);
        assert!(!poisoned, "poisoned by a test");
        let arrives = match &mut *self.broken.lock() {
            Some(broken) => broken.parcel(account, &mut delivery),
            None => true,
        };
        arrives.then_some(delivery)
    }

    /// A message that comes to its conversation; the messages that the conversation is to take now instead.
    pub(crate) fn messages(&self, conversation: &Conversation, post: Post, now: Timestamp) -> Vec<Post> {
        match &mut *self.broken.lock() {
            Some(broken) => broken.messages(conversation, post, now),
            None => vec![post],
        }
    }

    /// Writes a new row of a conversation: now, or late where it was answered already.
    pub(crate) fn append(&self, conversation: &ConversationId, write: impl FnOnce() + Send + 'static) {
        let mut broken = self.broken.lock();
        let begun = broken.as_mut().map(|broken| &mut broken.begun);
        let answered = begun.and_then(|begun| {
            begun.take_if(|begun| matches!(begun, Begun::Answered { conversation: of } if of == conversation))
        });
        drop(broken);
        if answered.is_none() {
            return write();
        }
        tokio::spawn(async move {
            tokio::time::sleep(LATE).await;
            write();
        });
    }

    /// Events on their way to the open streams of an account.
    pub(crate) fn live(&self, account: &AccountId, mut events: Vec<Event>) -> Vec<Event> {
        if let Some(broken) = &mut *self.broken.lock() {
            let messages = events.iter_mut().filter(|event| frame::is_message(&event.frame));
            messages.for_each(|event| broken.live(account, event));
        }
        events
    }

    /// Events on their way to a stream that catches up.
    pub(crate) fn replayed(&self, mut events: Vec<Event>) -> Vec<Event> {
        if let Some(broken) = &mut *self.broken.lock() {
            for event in events.iter_mut().filter(|event| frame::is_message(&event.frame)) {
                if broken.fires(Place::Replay) {
                    event.frame = nothing();
                }
            }
        }
        events
    }
}

impl Broken {
    fn fires(&mut self, at: Place) -> bool {
        if self.fault.place() != at || self.begun.is_some() {
            return false;
        }
        self.passed += 1;
        self.passed.is_multiple_of(EVERY)
    }

    /// Whether the parcel arrives.
    fn parcel(&mut self, account: &AccountId, delivery: &mut Delivery) -> bool {
        let Some(row) = delivery.rows.first().filter(|row| is_message(row)).cloned() else { return true };
        if !self.fires(Place::Parcel) {
            return self.leave_out(account, delivery);
        }
        match self.fault {
            Fault::Doubled if (delivery.rows.len() as u64) < PARCEL_ROWS => {
                delivery.rows = [row].into_iter().chain(delivery.rows.iter().cloned()).collect();
                true
            }
            Fault::Lost => {
                let (account_id, conversation) = (account.clone(), delivery.conversation.clone());
                self.begun = Some(Begun::LeftOut { account: account_id, conversation, n: row.n });
                self.leave_out(account, delivery)
            }
            _ => true,
        }
    }

    /// An inbox takes rows with a hole only before the one that it believes is its joining. So a parcel with
    /// nothing but the row does not arrive, and the one with rows behind it begins there.
    fn leave_out(&mut self, account: &AccountId, delivery: &mut Delivery) -> bool {
        let Some(Begun::LeftOut { account: of, conversation, n }) = &self.begun else { return true };
        if of != account || *conversation != delivery.conversation {
            return true;
        }
        let rows: Vec<EventRow> = delivery.rows.iter().filter(|row| row.n > *n).cloned().collect();
        let Some(first) = rows.first() else { return false };
        delivery.joined_n = first.n;
        delivery.rows = rows.into();
        self.begun = None;
        true
    }

    fn messages(&mut self, conversation: &Conversation, post: Post, now: Timestamp) -> Vec<Post> {
        let (sender, message, reply) = post;
        let is_overtaken = |begun: &mut Begun| match begun {
            Begun::Overtaken { conversation: of, .. } => of == conversation.id(),
            _ => false,
        };
        if let Some(Begun::Overtaken { sender: first, message: overtaken, .. }) =
            self.begun.take_if(is_overtaken)
        {
            if first != sender {
                self.passed -= 1; // two senders have no order between them: once more with the next message
            }
            return vec![(sender, message, reply), (first, overtaken, to_nobody())];
        }
        if conversation.state_for(&sender).is_err() || !self.fires(Place::Message) {
            return vec![(sender, message, reply)];
        }
        let id = conversation.id().clone();
        let answer = |seq| {
            let id = MessageId::of(conversation.id(), &sender, &message.client_id);
            let conversation_id = conversation.id().clone();
            Ok((true, Posted { id, conversation_id, seq, sender: sender.clone(), sent_at: now }))
        };
        if self.fault == Fault::SenderOrder {
            // Behind the next message of the conversation, whoever's that is.
            reply.send(answer(conversation.last_n() + 2));
            self.begun = Some(Begun::Overtaken { conversation: id, sender, message });
            return Vec::new();
        }
        reply.send(answer(conversation.last_n() + 1));
        self.begun = Some(Begun::Answered { conversation: id });
        vec![(sender, message, to_nobody())]
    }

    fn live(&mut self, account: &AccountId, event: &mut Event) {
        let is_before = |begun: &mut Begun| matches!(begun, Begun::Held { account: of, .. } if of == account);
        if let Some(Begun::Held { frame, .. }) = self.begun.take_if(is_before) {
            event.frame = frame::crossed(&frame, &event.frame);
            return;
        }
        if !self.fires(Place::Live) {
            return;
        }
        event.frame = match self.fault {
            Fault::OutOfOrder => {
                self.begun = Some(Begun::Held { account: account.clone(), frame: event.frame.clone() });
                nothing()
            }
            Fault::Disagreement => frame::with_another_id(&event.frame),
            Fault::Repeated => [&event.frame[..], &event.frame].concat().into(),
            Fault::MalformedId => frame::without_event_id(&event.frame),
            Fault::MalformedData => frame::without_seq(&event.frame),
            _ => nothing(),
        };
    }
}

/// Not an empty frame: one alone would be the empty chunk by which HTTP/1.1 ends an answer.
fn nothing() -> Bytes {
    Bytes::from_static(sse::HEARTBEAT)
}

fn to_nobody() -> Reply<(bool, Posted)> {
    Reply::new(None).0
}

fn is_message(row: &EventRow) -> bool {
    InboxEvent::decode(&row.payload).is_ok_and(|event| event.kind == EventKind::Message)
}

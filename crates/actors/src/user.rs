//! The UserActor: carries out what [`Inbox`] decides. The only writer of its account's log, and the one place
//! that knows all its devices.

mod activate;
mod streams;

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use godwit_core::delivery::Event;
use godwit_core::fanout::{Answer, EventRow};
use godwit_core::inbox::{self, Delivered, Grant, Held as HeldRows, Lookup, NewRow, Streams};
use godwit_core::{Held, Inbox};
use godwit_store::{Mutation, Revocation, Row};
use godwit_types::{AccountId, ConnectionId, ConversationId, Cursor, DeviceId, LogId, Position, Timestamp};
use godwit_wire::api::{Device, Devices, PutDevice};
use godwit_wire::{ByeReason, Code, Problem, payload, sse};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::conversation::ConversationCommand;
use crate::metrics;
use crate::node::Node;
use crate::reply::{HeldAnswer, Reply};
use crate::shard::{EntityId, ShardMessage};
use crate::stream::Stream;
use crate::tenure::Owned;

/// Parcels that may wait for room in the log's window. Each conversation has one under way at most, so this is
/// how many conversations can be busy with one account at once before some are told to try again.
const WAITING_MAX: usize = 1_024;
/// Rows since the last summary that are worth one when an actor passivates; fewer come with the tail anyway.
const PASSIVATE_ROWS: u64 = godwit_core::recover::TAIL_ROWS as u64;

pub(crate) enum UserCommand {
    /// Rows of a conversation.
    Deliver(Delivery),
    /// A new stream.
    Attach(Arc<Stream>),
    /// A stream's socket is gone.
    Detach(ConnectionId),
    Conversations {
        before: u64,
        limit: usize,
        reply: Reply<Listed>,
    },
    Membership {
        conversation: ConversationId,
        reply: Reply<Unread>,
    },
    Acknowledge {
        device: DeviceId,
        cursor: Cursor,
        reply: Reply<()>,
    },
    /// What a sync after this event id, or of all that is held, is to read.
    Sync {
        since: Option<Cursor>,
        reply: Reply<SyncGrant>,
    },
    Devices {
        reply: Reply<Devices>,
    },
    PutDevice {
        device: DeviceId,
        request: PutDevice,
        reply: Reply<()>,
    },
    DeleteDevice {
        device: DeviceId,
        reply: Reply<()>,
    },
}

/// A page of an account's conversations, newest activity first.
pub(crate) struct Listed {
    pub(crate) conversations: Vec<(ConversationId, Unread)>,
    pub(crate) next: Option<u64>,
    pub(crate) head: Cursor,
}

/// What an account holds of a conversation.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Unread {
    pub(crate) unread: u64,
    pub(crate) read_seq: u64,
}

/// What a sync may read.
pub(crate) struct SyncGrant {
    pub(crate) grant: Grant,
    pub(crate) held: HeldRows,
    pub(crate) head: Cursor,
}

pub(crate) enum UserMessage {
    Command(UserCommand),
    /// These rows were stored, and the guard passed since.
    Confirmed(RangeInclusive<u64>),
    /// The summary up to row `n` is stored.
    Summarised(u64),
    Tick,
}

/// Rows of a conversation for one account. Dropped without an answer it says that it was lost, so that an
/// actor that fails with it in hand, or in its mailbox, is known at once.
pub(crate) struct Delivery {
    node: Arc<Node>,
    pub(crate) conversation: ConversationId,
    account: AccountId,
    pub(crate) joined_n: u64,
    pub(crate) rows: Arc<[EventRow]>,
    answered: bool,
}

impl Delivery {
    pub(crate) fn new(
        node: &Arc<Node>,
        conversation: &ConversationId,
        account: &AccountId,
        joined_n: u64,
        rows: &Arc<[EventRow]>,
    ) -> Self {
        Self {
            node: Arc::clone(node),
            conversation: conversation.clone(),
            account: account.clone(),
            joined_n,
            rows: Arc::clone(rows),
            answered: false,
        }
    }

    fn answer(mut self, answer: Answer) {
        self.answered = true;
        self.say(answer);
    }

    fn say(&self, answer: Answer) {
        let command = ConversationCommand::Answered { account: self.account.clone(), answer };
        self.node.conversation(&self.conversation, command);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.answered {
            self.say(Answer::Lost);
        }
    }
}

pub(crate) struct UserActor;

pub(crate) struct UserState {
    node: Arc<Node>,
    owned: Owned,
    shard: ActorRef<ShardMessage>,
    inbox: Inbox,
    streams: Streams<Arc<Stream>>,
    held: Held<HeldAnswer>,
    waiting: VecDeque<Delivery>,
    last_command: Timestamp,
    received: u64,
}

impl Actor for UserActor {
    type Msg = UserMessage;
    type State = (UserState, Vec<Arc<Stream>>);
    type Arguments = (AccountId, Owned, Arc<Node>, ActorRef<ShardMessage>, Vec<Arc<Stream>>);

    async fn pre_start(
        &self,
        _myself: ActorRef<UserMessage>,
        (account, owned, node, shard, streams): Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        metrics::activated("user");
        let state = UserState {
            inbox: Inbox::load(account, inbox::Stored::default())?,
            streams: Streams::new(node.options.streams_per_account),
            held: Held::default(),
            waiting: VecDeque::new(),
            last_command: node.now(),
            received: 0,
            node,
            owned,
            shard,
        };
        Ok((state, streams))
    }

    /// Here and not before the start, so that the shard does not wait for the store.
    async fn post_start(
        &self,
        myself: ActorRef<UserMessage>,
        (state, streams): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.inbox = activate::inbox(&state.node, &state.owned, state.inbox.account()).await?;
        state.summarise(&myself, inbox::SUMMARY_ROWS).await?;
        for stream in std::mem::take(streams) {
            state.attach(stream).await?;
        }
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<UserMessage>,
        message: UserMessage,
        (state, _): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            UserMessage::Command(command) => {
                state.received += 1;
                state.last_command = state.node.now();
                state.command(&myself, command).await?;
            }
            UserMessage::Confirmed(rows) => {
                state.confirmed(rows)?;
                state.summarise(&myself, inbox::SUMMARY_ROWS).await?;
                state.retry_waiting(&myself);
            }
            UserMessage::Summarised(n) => {
                state.inbox.summary_stored(n);
                state.retry_waiting(&myself);
            }
            UserMessage::Tick => state.rest(&myself).await?,
        }
        Ok(())
    }
}

type Outcome = Result<(), ActorProcessingErr>;

impl UserState {
    async fn command(&mut self, myself: &ActorRef<UserMessage>, command: UserCommand) -> Outcome {
        match command {
            UserCommand::Deliver(delivery) => {
                #[cfg(feature = "faults")]
                let Some(delivery) = self.node.faults.parcel(self.inbox.account(), delivery) else {
                    return Ok(());
                };
                // What is over the bound is dropped, and so sent again later.
                if !self.waiting.is_empty() {
                    if self.waiting.len() < WAITING_MAX {
                        self.waiting.push_back(delivery);
                    }
                } else if let Some(delivery) = self.deliver(myself, delivery) {
                    self.waiting.push_back(delivery);
                }
            }
            UserCommand::Attach(stream) => self.attach(stream).await?,
            UserCommand::Detach(connection) => self.streams.detach(connection),
            UserCommand::Conversations { before, limit, reply } => {
                let listed = self.listed(before, limit);
                self.hold(reply, listed);
            }
            UserCommand::Membership { conversation, reply } => {
                let unread = self.inbox.membership(&conversation).map_or(Unread::default(), unread);
                self.hold(reply, unread);
            }
            UserCommand::Acknowledge { device, cursor, reply } => {
                self.acknowledge(device, cursor, reply).await?
            }
            UserCommand::Sync { since, reply } => {
                let grant = match since {
                    Some(cursor) => self.look_up(cursor).await?,
                    None => self.all_held().await?,
                };
                let held = self.inbox.held();
                reply.send(Ok(SyncGrant { grant, held, head: self.inbox.head() }));
            }
            UserCommand::Devices { reply } => reply.send(Ok(self.devices())),
            UserCommand::PutDevice { device, request, reply } => {
                let value = Some(self.inbox.put_device(&device, request));
                self.store_device(device, value, reply);
            }
            UserCommand::DeleteDevice { device, reply } => self.delete_device(device, reply),
        }
        Ok(())
    }

    /// Takes a parcel; gives it back when there is no room for it now.
    fn deliver(&mut self, myself: &ActorRef<UserMessage>, delivery: Delivery) -> Option<Delivery> {
        let rows = delivery.rows.iter().map(|row| match &row.special {
            Some((account, payload)) if *account == delivery.account => (row.n, payload),
            _ => (row.n, &row.payload),
        });
        let now = self.node.now();
        match self.inbox.deliver(&delivery.conversation, delivery.joined_n, rows, now) {
            Delivered::Wait => return Some(delivery),
            Delivered::Taken { rows, mark, rests_on } => {
                self.append(myself, rows);
                self.hold_until(rests_on, move || delivery.answer(Answer::Taken(mark)));
            }
            Delivered::Missing { mark, rests_on } => {
                self.hold_until(rests_on, move || delivery.answer(Answer::Missing(mark)));
            }
            Delivered::Unreadable(error) => {
                tracing::error!(account = %delivery.account, conversation = %delivery.conversation, %error, "rows of a conversation cannot be read");
            }
        }
        None
    }

    fn append(&self, myself: &ActorRef<UserMessage>, rows: Vec<NewRow>) {
        let log = self.log();
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
        let numbers = first.place.position.n..=last.place.position.n;
        let batch = rows.into_iter().map(|row| Mutation::Append {
            log: log.clone(),
            row: Row {
                position: row.place.position,
                stable: row.place.stable,
                at: row.at,
                key: 0,
                payload: row.payload,
            },
        });
        let (batch, myself) = (batch.collect(), myself.clone());
        self.node.appends.write(&self.owned, log, batch, move || {
            // An actor that is gone has a successor that reads the rows.
            let _ = myself.cast(UserMessage::Confirmed(numbers));
        });
    }

    fn confirmed(&mut self, rows: RangeInclusive<u64>) -> Outcome {
        let committed: Vec<_> = rows.flat_map(|n| self.inbox.confirm(n)).collect();
        while let Some(answer) = self.held.release(self.inbox.tail().n) {
            answer();
        }
        if self.streams.is_empty() || committed.is_empty() {
            return Ok(());
        }
        let account = self.inbox.account();
        let mut events = Vec::with_capacity(committed.len());
        for (position, arrival) in committed {
            let (kind, data) = payload::inbox_event_frame(&arrival.payload)?;
            let frame = sse::frame(Some(Cursor::new(account, position)), kind, &data);
            events.push(Event { position, frame });
        }
        #[cfg(feature = "faults")]
        let events = self.node.faults.live(account, events);
        for stream in self.streams.iter() {
            metrics::streamed(events.len());
            let need = stream.events(&events, &self.node.options);
            self.node.hub.serve(stream, need);
        }
        Ok(())
    }

    fn retry_waiting(&mut self, myself: &ActorRef<UserMessage>) {
        while let Some(delivery) = self.waiting.pop_front() {
            if let Some(delivery) = self.deliver(myself, delivery) {
                self.waiting.push_front(delivery);
                return;
            }
        }
    }

    /// Passivates an account that has nothing to do. Its streams stay with the shard.
    async fn rest(&mut self, myself: &ActorRef<UserMessage>) -> Outcome {
        let idle_ms = self.node.options.idle.as_millis() as u64;
        let idle = self.node.now().ms_since(self.last_command) >= idle_ms;
        if idle && self.inbox.is_quiet() && self.waiting.is_empty() && self.held.is_empty() {
            // Where rows expire, the summary has to know the last of them before they do: numbers never begin again.
            let rows = if self.node.options.inbox_expires { 1 } else { PASSIVATE_ROWS };
            self.summarise(myself, rows).await?;
            let id = EntityId::User(self.inbox.account().clone());
            let _ = self.shard.cast(ShardMessage::Passivate(id, self.received));
        }
        Ok(())
    }

    async fn summarise(&mut self, myself: &ActorRef<UserMessage>, every: u64) -> Outcome {
        let tail = self.inbox.tail().n;
        if tail >= self.inbox.summarised() + every {
            activate::expire(&self.node, &self.owned, &mut self.inbox).await?;
        }
        let Some(due) = self.inbox.summary(every, self.node.options.retention) else { return Ok(()) };
        let log = self.log();
        let account = self.inbox.account();
        let memberships: Vec<_> = due
            .memberships
            .into_iter()
            .map(|(conversation, value)| Mutation::Membership {
                account: account.clone(),
                conversation,
                value: Some(value),
            })
            .collect();
        // In turn: rows must not go before the summary says from where on they are held, and the summary must
        // not speak of rows that the memberships do not know.
        let summary = Mutation::Summary { log: log.clone(), value: due.summary };
        let trim =
            due.trim.map(|trim| Mutation::Trim { log: log.clone(), from: trim.start, below: trim.end });
        let further = std::iter::once(vec![summary]).chain(trim.map(|trim| vec![trim])).collect();
        let myself = myself.clone();
        self.node.appends.write_in_turn(&self.owned, log, memberships, further, move || {
            let _ = myself.cast(UserMessage::Summarised(due.upto));
        });
        Ok(())
    }

    fn listed(&self, before: u64, limit: usize) -> Listed {
        let page = self.inbox.conversations(before, limit);
        let next = page.last().filter(|_| page.len() == limit).map(|(_, membership)| membership.activity);
        let conversations =
            page.into_iter().map(|(id, membership)| (id.clone(), unread(membership))).collect();
        Listed { conversations, next, head: self.inbox.head() }
    }

    async fn acknowledge(&mut self, device: DeviceId, cursor: Cursor, reply: Reply<()>) -> Outcome {
        match self.find(cursor).await? {
            Lookup::Known(_) => {
                let value = self.inbox.acknowledge(&device, cursor.position);
                self.store_device(device, value, reply);
            }
            // Older than anything that is held: the device has it, and nobody asks for it any more.
            Lookup::Gap(godwit_wire::GapReason::Expired) => reply.send(Ok(())),
            _ => {
                let detail = format!("{cursor} is no event of this account");
                reply.send(Err(Problem::new(Code::CursorUnknown, detail)));
            }
        }
        Ok(())
    }

    fn devices(&self) -> Devices {
        let account = self.inbox.account();
        let devices = self.inbox.devices().map(|(id, device)| Device {
            device: id.clone(),
            platform: device.platform.clone(),
            name: device.name.clone(),
            push: device.push.as_ref().map(|push| push.provider),
            acknowledged: (device.acknowledged != Position::START)
                .then(|| Cursor::new(account, device.acknowledged).to_string()),
            streams: self.streams.of(id),
        });
        Devices { devices: devices.collect() }
    }

    fn delete_device(&mut self, device: DeviceId, reply: Reply<()>) {
        self.inbox.delete_device(&device);
        let account = self.inbox.account().clone();
        let revocation =
            Revocation { account: account.clone(), device: Some(device.clone()), at: self.node.now() };
        self.node.revocations.insert(&revocation);
        for stream in self.streams.remove_device(&device) {
            stream.end(ByeReason::Revoked, 0);
        }
        let batch = vec![Mutation::Device { account, device, value: None }, Mutation::Revoke(revocation)];
        self.node.appends.write(&self.owned, self.log(), batch, move || reply.send(Ok(())));
    }

    /// Stores a device and answers when it is stored; at once when there is nothing to store.
    fn store_device(&self, device: DeviceId, value: Option<bytes::Bytes>, reply: Reply<()>) {
        if value.is_none() {
            return reply.send(Ok(()));
        }
        let account = self.inbox.account().clone();
        let batch = vec![Mutation::Device { account, device, value }];
        self.node.appends.write(&self.owned, self.log(), batch, move || reply.send(Ok(())));
    }

    fn hold<T: Send + Sync + 'static>(&mut self, reply: Reply<T>, answer: T) {
        self.hold_until(self.inbox.last_n(), move || reply.send(Ok(answer)));
    }

    fn hold_until(&mut self, n: u64, answer: impl FnOnce() + Send + Sync + 'static) {
        if n <= self.inbox.tail().n {
            return answer();
        }
        self.held.until(n, Box::new(answer));
    }

    fn log(&self) -> LogId {
        LogId::Inbox(self.inbox.account().clone())
    }
}

fn unread(membership: &inbox::Membership) -> Unread {
    Unread { unread: membership.unread, read_seq: membership.read_seq }
}

//! The ConversationActor: carries out what [`Conversation`] decides. The only writer of its log.

mod activate;
mod repeat;

pub(crate) use activate::{Found, rows_above};

use std::collections::VecDeque;
use std::sync::Arc;

use godwit_core::conversation::{self, Decision, NewRow};
use godwit_core::fanout::{Answer, EventRow, Parcel};
use godwit_core::{Conversation, Fanout, Held};
use godwit_store::{Mutation, Pending, PendingKind, Row};
use godwit_types::{AccountId, ConversationId, LogId, MessageId, Timestamp};
use godwit_wire::api::{
    Members, NewMessage, OpenConversation, Posted, PutMember, Rename, SharedConversation,
};
use godwit_wire::{Code, Problem};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use crate::metrics;
use crate::node::Node;
use crate::reply::{HeldAnswer, Reply};
use crate::shard::{EntityId, ShardMessage};
use crate::tenure::Owned;
use crate::user::{Delivery, UserCommand};

/// Commands that may wait for room in the log's window. A window is committed within milliseconds; so many
/// commands for one conversation are more than it can take in the 8 s that their senders wait.
const WAITING_MAX: usize = 4_096;
/// How long a conversation stays noted as under way after its last append, so that a busy one is not noted and
/// struck out for every message.
const PENDING_LINGER_MS: u64 = 1_000;
/// Rows since the last summary that are worth one when an actor passivates; fewer come with the tail anyway.
const PASSIVATE_ROWS: u64 = godwit_core::recover::TAIL_ROWS as u64;

pub(crate) enum ConversationCommand {
    Open {
        caller: AccountId,
        request: OpenConversation,
        reply: Reply<(bool, View)>,
    },
    View {
        caller: AccountId,
        reply: Reply<View>,
    },
    Rename {
        caller: AccountId,
        request: Rename,
        reply: Reply<View>,
    },
    Members {
        caller: AccountId,
        start: usize,
        limit: usize,
        reply: Reply<Members>,
    },
    PutMember {
        caller: AccountId,
        account: AccountId,
        request: PutMember,
        reply: Reply<()>,
    },
    RemoveMember {
        caller: AccountId,
        account: AccountId,
        reply: Reply<()>,
    },
    Post {
        sender: AccountId,
        message: NewMessage,
        reply: Reply<(bool, Posted)>,
    },
    /// Which rows the caller may read.
    Readable {
        caller: AccountId,
        reply: Reply<Readable>,
    },
    /// An inbox answered to a parcel.
    Answered {
        account: AccountId,
        answer: Answer,
    },
    /// Be there, and finish what a former owner may have left unfinished; `done` is dropped when it is.
    Finish {
        done: Option<oneshot::Sender<()>>,
    },
}

/// A conversation as a member sees it, without what the member's own inbox knows.
pub(crate) struct View {
    pub(crate) shared: SharedConversation,
    pub(crate) last_message: Option<u64>,
}

/// Rows that a member may read, both ends included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readable {
    pub(crate) from: u64,
    pub(crate) upto: u64,
}

pub(crate) enum ConversationMessage {
    Command(ConversationCommand),
    /// Row `n` was stored, and the guard passed since.
    Confirmed(u64),
    /// The summary up to row `n` is stored.
    Summarised(u64),
    /// A parcel may be due.
    Due,
    Tick,
}

pub(crate) struct ConversationActor;

pub(crate) struct ConversationState {
    node: Arc<Node>,
    owned: Owned,
    shard: ActorRef<ShardMessage>,
    conversation: Conversation,
    fanout: Fanout,
    held: Held<HeldAnswer>,
    waiting: VecDeque<ConversationCommand>,
    finishing: Vec<oneshot::Sender<()>>,
    /// Whether this conversation is noted as under way.
    pending: bool,
    due_at: Option<Timestamp>,
    last_append: Timestamp,
    last_command: Timestamp,
    received: u64,
}

impl Actor for ConversationActor {
    type Msg = ConversationMessage;
    type State = ConversationState;
    type Arguments = (ConversationId, Owned, Arc<Node>, ActorRef<ShardMessage>);

    async fn pre_start(
        &self,
        _myself: ActorRef<ConversationMessage>,
        (id, owned, node, shard): Self::Arguments,
    ) -> Result<ConversationState, ActorProcessingErr> {
        metrics::activated("conversation");
        let now = node.now();
        Ok(ConversationState {
            conversation: Conversation::load(id, None)?,
            fanout: Fanout::new(0),
            held: Held::default(),
            waiting: VecDeque::new(),
            finishing: Vec::new(),
            pending: false,
            due_at: None,
            last_append: now,
            last_command: now,
            received: 0,
            node,
            owned,
            shard,
        })
    }

    /// Here and not before the start, so that the shard does not wait for the store.
    async fn post_start(
        &self,
        myself: ActorRef<ConversationMessage>,
        state: &mut ConversationState,
    ) -> Result<(), ActorProcessingErr> {
        let id = state.conversation.id().clone();
        let (conversation, settled) = activate::conversation(&state.node, &state.owned, &id).await?;
        state.conversation = conversation;
        state.fanout = Fanout::new(state.conversation.tail().n);
        state.summarise(&myself, conversation::SUMMARY_ROWS);
        // Before the first command: what a former owner began is finished by the members as they are now.
        if settled {
            // Rows were written again, and what noted them as under way may never have landed.
            let (log, noted) = (LogId::Conversation(id), vec![state.noted(true)]);
            if !state.node.appends.store(&state.owned, &log, noted).await {
                return Err("the conversation has another owner".into());
            }
            state.pending = true;
            state.recheck(&myself).await?;
        } else if activate::is_pending(&state.node, &state.owned, &id).await? {
            state.pending = true;
            state.recheck(&myself).await?;
        }
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<ConversationMessage>,
        message: ConversationMessage,
        state: &mut ConversationState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ConversationMessage::Command(command) => {
                state.received += 1;
                state.last_command = state.node.now();
                state.command(&myself, command).await?;
            }
            ConversationMessage::Confirmed(n) => state.confirmed(&myself, n).await?,
            ConversationMessage::Summarised(n) => {
                state.conversation.summary_stored(n);
                state.retry_waiting(&myself).await?;
            }
            ConversationMessage::Due => {
                state.due_at = None;
                state.poll_fanout(&myself).await?;
            }
            ConversationMessage::Tick => {
                state.poll_fanout(&myself).await?;
                state.rest(&myself);
            }
        }
        Ok(())
    }
}

type Outcome = Result<(), ActorProcessingErr>;

impl ConversationCommand {
    /// Whether it may append a row, and so has to wait its turn when there is no room for one.
    fn may_append(&self) -> bool {
        match self {
            Self::Open { .. }
            | Self::Rename { .. }
            | Self::PutMember { .. }
            | Self::RemoveMember { .. }
            | Self::Post { .. } => true,
            Self::View { .. }
            | Self::Members { .. }
            | Self::Readable { .. }
            | Self::Answered { .. }
            | Self::Finish { .. } => false,
        }
    }
}

impl ConversationState {
    async fn command(
        &mut self,
        myself: &ActorRef<ConversationMessage>,
        command: ConversationCommand,
    ) -> Outcome {
        if command.may_append() && (!self.waiting.is_empty() || !self.conversation.can_append()) {
            // What is over the bound is dropped, and its sender told to send it again.
            if self.waiting.len() < WAITING_MAX {
                self.waiting.push_back(command);
            }
            return Ok(());
        }
        self.carry_out(myself, command).await
    }

    async fn carry_out(
        &mut self,
        myself: &ActorRef<ConversationMessage>,
        command: ConversationCommand,
    ) -> Outcome {
        let now = self.node.now();
        match command {
            ConversationCommand::Open { caller, request, reply } => {
                let decision = self.conversation.open(&caller, &request, now);
                self.settle(myself, decision, reply, |state, new| {
                    state.view(&caller).map(|view| (new.is_some(), view))
                });
            }
            ConversationCommand::Rename { caller, request, reply } => {
                let decision = self.conversation.rename(&caller, request.title, now);
                self.settle(myself, decision, reply, |state, _| state.view(&caller));
            }
            ConversationCommand::PutMember { caller, account, request, reply } => {
                let decision = self.conversation.put_member(&caller, &account, request.role, now);
                self.settle(myself, decision, reply, |_, _| Ok(()));
            }
            ConversationCommand::RemoveMember { caller, account, reply } => {
                let decision = self.conversation.remove_member(&caller, &account, now);
                self.settle(myself, decision, reply, |_, _| Ok(()));
            }
            ConversationCommand::Post { sender, message, reply } => {
                #[cfg(feature = "faults")]
                let posts = self.node.faults.messages(&self.conversation, (sender, message, reply), now);
                #[cfg(not(feature = "faults"))]
                let posts = [(sender, message, reply)];
                for (sender, message, reply) in posts {
                    self.post(myself, sender, message, reply, now);
                }
            }
            ConversationCommand::View { caller, reply } => self.hold(reply, self.view(&caller)),
            ConversationCommand::Members { caller, start, limit, reply } => {
                self.hold(reply, self.members(&caller, start, limit));
            }
            ConversationCommand::Readable { caller, reply } => {
                let readable = self.conversation.state_for(&caller).map(|state| Readable {
                    from: state.readable_from(&caller),
                    upto: self.conversation.last_n(),
                });
                self.hold(reply, readable);
            }
            ConversationCommand::Answered { account, answer } => {
                let Some(state) = self.conversation.state() else { return Ok(()) };
                let parcels = self.fanout.answered(&account, answer, &state.members, now);
                self.send(myself, parcels).await?;
                self.fanout_moved();
            }
            // The activation has begun it already.
            ConversationCommand::Finish { done } => {
                self.finishing.extend(done);
                self.fanout_moved();
            }
        }
        Ok(())
    }

    fn post(
        &mut self,
        myself: &ActorRef<ConversationMessage>,
        sender: AccountId,
        message: NewMessage,
        reply: Reply<(bool, Posted)>,
        now: Timestamp,
    ) {
        match self.conversation.post(&sender, &message, now) {
            Decision::Known { n } => {
                let (node, id) = (Arc::clone(&self.node), self.conversation.id().clone());
                self.hold_until(n, move || {
                    tokio::spawn(
                        async move { reply.send(repeat::answer(&node, id, n, sender, message).await) },
                    );
                });
            }
            decision => {
                let id = MessageId::of(self.conversation.id(), &sender, &message.client_id);
                self.settle(myself, decision, reply, |state, new| {
                    let new = new.ok_or_else(Problem::not_found)?; // a message is new, known or refused
                    metrics::message("stored");
                    let conversation_id = state.conversation.id().clone();
                    Ok((true, Posted { id, conversation_id, seq: new.0, sender, sent_at: new.1 }))
                });
            }
        }
    }

    /// Carries a decision out, and answers when that on which the answer rests is committed. `value` makes the
    /// answer from the state after the decision and, if a row is new, its number and time.
    fn settle<T: Send + Sync + 'static>(
        &mut self,
        myself: &ActorRef<ConversationMessage>,
        decision: Decision,
        reply: Reply<T>,
        value: impl FnOnce(&Self, Option<(u64, Timestamp)>) -> Result<T, Problem>,
    ) {
        let answer = match decision {
            Decision::Append(row) => {
                let new = (row.place.position.n, row.at);
                self.append(myself, row);
                value(self, Some(new))
            }
            Decision::Already { .. } | Decision::Known { .. } => value(self, None),
            Decision::Refused { problem, .. } => Err(problem),
            // Not reached: what may append has waited for room before it was decided.
            Decision::Wait => {
                Err(Problem::new(Code::Overloaded, "the conversation has more under way than it takes on"))
            }
        };
        self.hold(reply, answer);
    }

    fn append(&mut self, myself: &ActorRef<ConversationMessage>, row: NewRow) {
        let log = LogId::Conversation(self.conversation.id().clone());
        let n = row.place.position.n;
        let row = Row {
            position: row.place.position,
            stable: row.place.stable,
            at: row.at,
            key: row.key,
            payload: row.payload,
        };
        let mut batch = vec![Mutation::Append { log: log.clone(), row }];
        if !self.pending {
            self.pending = true;
            batch.push(self.noted(true));
        }
        self.last_append = self.node.now();
        let myself = myself.clone();
        let stored = move || {
            // An actor that is gone has a successor that reads the row.
            let _ = myself.cast(ConversationMessage::Confirmed(n));
        };
        #[cfg(feature = "faults")]
        self.node.faults.append(self.conversation.id(), {
            let (appends, owned) = (Arc::clone(&self.node.appends), self.owned);
            move || appends.write(&owned, log, batch, stored)
        });
        #[cfg(not(feature = "faults"))]
        self.node.appends.write(&self.owned, log, batch, stored);
    }

    async fn confirmed(&mut self, myself: &ActorRef<ConversationMessage>, n: u64) -> Outcome {
        let rows = self.conversation.confirm(n);
        if rows.is_empty() {
            return Ok(());
        }
        while let Some(answer) = self.held.release(self.conversation.tail().n) {
            answer();
        }
        if let Some(state) = self.conversation.state() {
            let parcels = self.fanout.committed(rows, &state.members, self.node.now());
            self.send(myself, parcels).await?;
        }
        self.summarise(myself, conversation::SUMMARY_ROWS);
        self.retry_waiting(myself).await
    }

    async fn retry_waiting(&mut self, myself: &ActorRef<ConversationMessage>) -> Outcome {
        while self.conversation.can_append()
            && let Some(command) = self.waiting.pop_front()
        {
            self.carry_out(myself, command).await?;
        }
        Ok(())
    }

    async fn poll_fanout(&mut self, myself: &ActorRef<ConversationMessage>) -> Outcome {
        if let Some(state) = self.conversation.state() {
            let parcels = self.fanout.poll(&state.members, self.node.now());
            self.send(myself, parcels).await?;
        }
        Ok(())
    }

    /// Brings parcels on their way, and sees to it that the next one that is due is not forgotten.
    async fn send(&mut self, myself: &ActorRef<ConversationMessage>, parcels: Vec<Parcel>) -> Outcome {
        for parcel in parcels {
            let rows: Arc<[EventRow]> = match self.fanout.rows(&parcel) {
                Some(rows) => rows.into(),
                None => {
                    activate::event_rows(&self.node, &self.owned, &self.conversation, &parcel).await?.into()
                }
            };
            for (account, joined_n) in parcel.accounts {
                let delivery = Delivery::new(&self.node, self.conversation.id(), &account, joined_n, &rows);
                self.node.user(&account, UserCommand::Deliver(delivery));
            }
        }
        let now = self.node.now();
        if let Some(due) = self.fanout.next_due().filter(|due| self.due_at.is_none_or(|at| *due < at)) {
            self.due_at = Some(due);
            let wait = std::time::Duration::from_millis(due.ms_since(now));
            myself.send_after(wait, || ConversationMessage::Due);
        }
        Ok(())
    }

    async fn recheck(&mut self, myself: &ActorRef<ConversationMessage>) -> Outcome {
        if let Some(state) = self.conversation.state() {
            let parcels = self.fanout.recheck(&state.members, self.node.now());
            self.send(myself, parcels).await?;
        }
        Ok(())
    }

    fn fanout_moved(&mut self) {
        if self.fanout.is_done() {
            self.finishing.clear();
            if self.conversation.is_quiet() {
                self.conversation.all_taken();
            }
        }
    }

    /// Strikes out what is done, and passivates a conversation that has nothing to do.
    fn rest(&mut self, myself: &ActorRef<ConversationMessage>) {
        let now = self.node.now();
        let done = self.fanout.is_done() && self.conversation.is_quiet() && self.waiting.is_empty();
        if !done || now.ms_since(self.last_append) < PENDING_LINGER_MS {
            return;
        }
        if self.pending {
            self.pending = false;
            self.node.appends.write_once(&self.owned, vec![self.noted(false)]);
        }
        let idle_ms = self.node.options.idle.as_millis() as u64;
        if now.ms_since(self.last_command) >= idle_ms && self.held.is_empty() {
            self.summarise(myself, PASSIVATE_ROWS);
            let id = EntityId::Conversation(self.conversation.id().clone());
            let _ = self.shard.cast(ShardMessage::Passivate(id, self.received));
        }
    }

    fn summarise(&mut self, myself: &ActorRef<ConversationMessage>, every: u64) {
        let Some((n, value)) = self.conversation.summary(every) else { return };
        let log = LogId::Conversation(self.conversation.id().clone());
        let myself = myself.clone();
        let batch = vec![Mutation::Summary { log: log.clone(), value }];
        self.node.appends.write(&self.owned, log, batch, move || {
            let _ = myself.cast(ConversationMessage::Summarised(n));
        });
    }

    fn noted(&self, under_way: bool) -> Mutation {
        let id = self.conversation.id().as_str();
        let pending = Pending { shard: self.owned.shard, kind: PendingKind::Fanout, id: id.to_owned() };
        Mutation::Pending { pending, under_way }
    }

    fn view(&self, caller: &AccountId) -> Result<View, Problem> {
        let state = self.conversation.state_for(caller)?;
        let last_message = state.last_message.filter(|n| *n >= state.readable_from(caller));
        Ok(View { shared: state.shared(self.conversation.id(), self.conversation.last_n()), last_message })
    }

    fn members(&self, caller: &AccountId, start: usize, limit: usize) -> Result<Members, Problem> {
        let (members, next) = self.conversation.state_for(caller)?.members.page(start, limit);
        Ok(Members { members, next: next.map(|next| next.to_string()) })
    }

    /// Answers once everything that is under way now is committed: an answer may rest on any of it.
    fn hold<T: Send + Sync + 'static>(&mut self, reply: Reply<T>, answer: Result<T, Problem>) {
        self.hold_until(self.conversation.last_n(), move || reply.send(answer));
    }

    fn hold_until(&mut self, n: u64, answer: impl FnOnce() + Send + Sync + 'static) {
        if n <= self.conversation.tail().n {
            return answer();
        }
        self.held.until(self.conversation.last_n(), Box::new(answer));
    }
}

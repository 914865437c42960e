//! The ShardActor: activates conversations and accounts on demand, passivates them, and keeps for each
//! account without an actor the record of its streams.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use godwit_types::{AccountId, ConnectionId, ConversationId, Timestamp};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::conversation::{ConversationActor, ConversationCommand, ConversationMessage};
use crate::metrics;
use crate::node::Node;
use crate::stream::Stream;
use crate::tenure::Owned;
use crate::user::{UserActor, UserCommand, UserMessage};

/// How often actors look whether something is due: half of what a client notices.
pub(crate) const TICK: Duration = Duration::from_millis(500);
/// First and longest pause before the failed actor of an account with streams is started again. The longest
/// bounds how late a stream hears of what was stored but not shown.
const RESTART_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(40));

/// Time without a failure after which the next one counts as the first.
const FAILURES_FORGOTTEN_MS: u64 = 10_000;

pub(crate) enum ShardMessage {
    Conversation(ConversationId, ConversationCommand),
    User(AccountId, UserCommand),
    /// A new stream of an account.
    Attach(Arc<Stream>),
    /// A stream's socket is gone.
    Detach(AccountId, ConnectionId),
    /// An actor has nothing to do; `received` is how many commands it has had.
    Passivate(EntityId, u64),
    /// An actor failed a moment ago, and has something to go on with.
    Restart(EntityId),
    Tick,
}

/// Which actor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum EntityId {
    Conversation(ConversationId),
    User(AccountId),
}

pub(crate) struct ShardActor;

pub(crate) struct ShardState {
    /// What gives it and its children the right to write. The actor ends with it.
    owned: Owned,
    node: Arc<Node>,
    conversations: HashMap<ConversationId, Entity<ConversationMessage>>,
    users: HashMap<AccountId, Entity<UserMessage>>,
    by_actor: HashMap<ActorId, EntityId>,
    /// Streams by account: what is left of an account whose actor is passivated.
    streams: HashMap<AccountId, Vec<Arc<Stream>>>,
    failures: HashMap<EntityId, Failures>,
    ticking: bool,
}

struct Failures {
    count: u32,
    last: Timestamp,
}

struct Entity<M> {
    actor: ActorRef<M>,
    /// Commands sent to it. Only the shard sends commands, so an actor that has had as many has none waiting.
    sent: u64,
}

impl Actor for ShardActor {
    type Msg = ShardMessage;
    type State = ShardState;
    type Arguments = (Owned, Arc<Node>);

    async fn pre_start(
        &self,
        _myself: ActorRef<ShardMessage>,
        (owned, node): Self::Arguments,
    ) -> Result<ShardState, ActorProcessingErr> {
        metrics::activated("shard");
        Ok(ShardState {
            owned,
            node,
            conversations: HashMap::new(),
            users: HashMap::new(),
            by_actor: HashMap::new(),
            streams: HashMap::new(),
            failures: HashMap::new(),
            ticking: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ShardMessage::Conversation(id, command) => state.send_conversation(&myself, id, command).await,
            ShardMessage::User(account, command) => state.send_user(&myself, account, command).await,
            ShardMessage::Attach(stream) => state.attach(&myself, stream).await,
            ShardMessage::Detach(account, connection) => state.detach(&account, connection),
            ShardMessage::Passivate(id, received) => {
                state.passivate(id, received);
                Ok(())
            }
            ShardMessage::Restart(EntityId::User(account)) => match state.streams.contains_key(&account) {
                true => state.user(&myself, &account).await.map(|_| ()),
                false => Ok(()),
            },
            ShardMessage::Restart(EntityId::Conversation(id)) => {
                state.send_conversation(&myself, id, ConversationCommand::Finish { done: None }).await
            }
            ShardMessage::Tick => {
                state.tick(&myself);
                Ok(())
            }
        }
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<ShardMessage>,
        event: SupervisionEvent,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(actor, ..) => {
                state.forget(actor.get_id());
            }
            SupervisionEvent::ActorFailed(actor, error) => {
                if let Some(entity) = state.forget(actor.get_id()) {
                    state.failed(&myself, entity, &error);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl ShardState {
    async fn send_conversation(
        &mut self,
        myself: &ActorRef<ShardMessage>,
        id: ConversationId,
        command: ConversationCommand,
    ) -> Result<(), ActorProcessingErr> {
        if !self.conversations.contains_key(&id) {
            let arguments = (id.clone(), self.owned, Arc::clone(&self.node), myself.clone());
            let spawned = Actor::spawn_linked(None, ConversationActor, arguments, myself.get_cell()).await?;
            self.by_actor.insert(spawned.0.get_id(), EntityId::Conversation(id.clone()));
            self.conversations.insert(id.clone(), Entity { actor: spawned.0, sent: 0 });
            self.keep_ticking(myself);
        }
        if let Some(entity) = self.conversations.get_mut(&id) {
            entity.sent += 1;
            // An actor that has just failed drops what it is sent, and whoever waits for it hears of that.
            let _ = entity.actor.cast(ConversationMessage::Command(command));
        }
        Ok(())
    }

    async fn send_user(
        &mut self,
        myself: &ActorRef<ShardMessage>,
        account: AccountId,
        command: UserCommand,
    ) -> Result<(), ActorProcessingErr> {
        let entity = self.user(myself, &account).await?;
        entity.sent += 1;
        let _ = entity.actor.cast(UserMessage::Command(command));
        Ok(())
    }

    /// The account's actor, started with the record of its streams if it is not there.
    async fn user(
        &mut self,
        myself: &ActorRef<ShardMessage>,
        account: &AccountId,
    ) -> Result<&mut Entity<UserMessage>, ActorProcessingErr> {
        if !self.users.contains_key(account) {
            let streams = self.streams.get(account).cloned().unwrap_or_default();
            let arguments = (account.clone(), self.owned, Arc::clone(&self.node), myself.clone(), streams);
            let spawned = Actor::spawn_linked(None, UserActor, arguments, myself.get_cell()).await?;
            self.by_actor.insert(spawned.0.get_id(), EntityId::User(account.clone()));
            self.users.insert(account.clone(), Entity { actor: spawned.0, sent: 0 });
            self.keep_ticking(myself);
        }
        self.users.get_mut(account).ok_or_else(|| "an actor that was started is not there".into())
    }

    async fn attach(
        &mut self,
        myself: &ActorRef<ShardMessage>,
        stream: Arc<Stream>,
    ) -> Result<(), ActorProcessingErr> {
        // Its socket may be gone already, and its `Detach` have come first.
        if stream.is_over() {
            return Ok(());
        }
        let account = stream.account.clone();
        let known = self.streams.get(&account);
        if known.is_some_and(|known| known.iter().any(|known| known.id == stream.id)) {
            return Ok(());
        }
        if self.users.contains_key(&account) {
            self.streams.entry(account.clone()).or_default().push(Arc::clone(&stream));
            self.send_user(myself, account, UserCommand::Attach(stream)).await
        } else {
            self.streams.entry(account.clone()).or_default().push(stream);
            self.user(myself, &account).await.map(|_| ())
        }
    }

    fn detach(&mut self, account: &AccountId, connection: ConnectionId) -> Result<(), ActorProcessingErr> {
        if let Some(streams) = self.streams.get_mut(account) {
            streams.retain(|stream| stream.id != connection);
            if streams.is_empty() {
                self.streams.remove(account);
            }
        }
        if let Some(user) = self.users.get_mut(account) {
            user.sent += 1;
            let _ = user.actor.cast(UserMessage::Command(UserCommand::Detach(connection)));
        }
        Ok(())
    }

    fn passivate(&mut self, id: EntityId, received: u64) {
        let stopped = match &id {
            EntityId::Conversation(id) => {
                self.conversations.get(id).filter(|e| e.sent == received).map(|e| e.actor.get_cell())
            }
            EntityId::User(id) => {
                self.users.get(id).filter(|e| e.sent == received).map(|e| e.actor.get_cell())
            }
        };
        if let Some(actor) = stopped {
            self.forget(actor.get_id());
            actor.stop(None);
        }
    }

    fn forget(&mut self, actor: ActorId) -> Option<EntityId> {
        let entity = self.by_actor.remove(&actor)?;
        match &entity {
            EntityId::Conversation(id) => {
                metrics::gone("conversation");
                self.conversations.remove(id);
            }
            EntityId::User(account) => {
                metrics::gone("user");
                self.users.remove(account);
            }
        }
        Some(entity)
    }

    /// An actor failed: it is started again in a moment if there is something to go on with, a fan-out or a
    /// stream, and else when it is needed.
    fn failed(&mut self, myself: &ActorRef<ShardMessage>, entity: EntityId, error: &ActorProcessingErr) {
        if !self.node.tenure.holds(&self.owned) {
            return;
        }
        metrics::failed(match entity {
            EntityId::Conversation(_) => "conversation",
            EntityId::User(_) => "user",
        });
        let now = self.node.now();
        let failures = self.failures.entry(entity.clone()).or_insert(Failures { count: 0, last: now });
        failures.count += 1;
        failures.last = now;
        // One that fails again and again is said less and less often.
        if failures.count.is_power_of_two() {
            tracing::error!(shard = %self.owned.shard, ?entity, times = failures.count, %error, "an actor failed");
        }
        let pause = (RESTART_PAUSE.0 * (1 << failures.count.min(8))).min(RESTART_PAUSE.1);
        myself.send_after(pause, move || ShardMessage::Restart(entity));
    }

    fn keep_ticking(&mut self, myself: &ActorRef<ShardMessage>) {
        if !self.ticking {
            self.ticking = true;
            myself.send_after(TICK, || ShardMessage::Tick);
        }
    }

    fn tick(&mut self, myself: &ActorRef<ShardMessage>) {
        self.ticking = false;
        for entity in self.conversations.values() {
            let _ = entity.actor.cast(ConversationMessage::Tick);
        }
        for entity in self.users.values() {
            let _ = entity.actor.cast(UserMessage::Tick);
        }
        let now = self.node.now();
        self.failures.retain(|_, failures| now.ms_since(failures.last) < FAILURES_FORGOTTEN_MS);
        if !self.by_actor.is_empty() {
            self.keep_ticking(myself);
        }
    }
}

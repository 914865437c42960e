//! The ShardRegion: the node's door to its actors, and the supervisor of its shards.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use godwit_store::{PendingKind, Store};
use godwit_types::{ConversationId, ShardId};
use parking_lot::RwLock;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::AbortHandle;

use crate::admission::Admission;
use crate::appends::Appends;
use crate::conversation::ConversationCommand;
use crate::hub::Hub;
use crate::metrics;
use crate::node::Node;
use crate::options::Options;
use crate::revocations::Revocations;
use crate::shard::{ShardActor, ShardMessage};
use crate::tenure::{self, Tenure};

/// Conversations whose fan-out is finished at once after a crash: enough to keep the store busy, few enough
/// that the actors that do it (10 KB each) stay small beside everything else.
const RECOVERIES_AT_ONCE: usize = 256;

/// The node's door to its actors. Cheap to clone. Its calls are those of the client API.
#[derive(Clone)]
pub struct Region {
    pub(crate) node: Arc<Node>,
    keeper: AbortHandle,
}

/// Why a node's actors could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store could not be read.
    #[error("the store cannot be read")]
    Store(#[from] godwit_store::Error),
    /// An actor could not be started.
    #[error("an actor could not be started")]
    Spawn(#[from] SpawnErr),
}

impl Region {
    /// Starts a node's actors over a store. They serve the shards that `tenure` gives them, as soon as it does;
    /// fan-outs that a former owner left under way are finished beside the first requests.
    pub async fn start(store: Arc<dyn Store>, tenure: Tenure, options: Options) -> Result<Self, StartError> {
        let revocations = Revocations::new(store.revocations().await?);
        let (hub, seats) = Hub::start(options.clone()).await?;
        let (region, _) = Actor::spawn(None, RegionActor, ()).await?;
        let shards = (0..store.shards()).map(|_| RwLock::default()).collect();
        let tenure = Arc::new(tenure);
        let node = Arc::new(Node {
            appends: Arc::new(Appends::new(Arc::clone(&store), Arc::clone(&tenure))),
            tenure,
            admission: Admission::new(options.commands_max),
            hub,
            revocations,
            #[cfg(feature = "faults")]
            faults: Default::default(),
            region,
            shards,
            store,
            options,
            ended: watch::Sender::new(None),
        });
        for seat in seats {
            seat.seat(&node);
        }
        // The region's actor ends with the node only.
        let _ = node.region.cast(RegionMessage::Seat(Arc::clone(&node)));
        tokio::spawn(Hub::beat_all(Arc::downgrade(&node)));
        // With the embedded store all shards are here from the start; else the keeper says when.
        let everything: Vec<_> = (0..node.store.shards()).map(ShardId).collect();
        node.adopt(everything.into_iter().filter(|shard| node.tenure.owned(*shard).is_some()).collect());
        let keeper = tokio::spawn(tenure::keep(Arc::clone(&node))).abort_handle();
        Ok(Self { node, keeper })
    }

    /// Why the node does not serve everything that it could, for whoever decides where clients go.
    pub fn waits_for(&self) -> Option<String> {
        self.node.tenure.waits_for()
    }

    /// Waits until the node cannot go on; says why.
    pub async fn ended(&self) -> String {
        let mut ended = self.node.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "the node is gone".to_owned(),
        }
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.node.hub.streams()
    }

    /// Says `bye` to all streams, takes no new commands and finishes the writes. Whether all of that was done
    /// within the deadline.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.node.admission.close();
        self.node.hub.drain();
        let written = tokio::time::timeout(deadline, self.node.appends.all_quiet()).await.is_ok();
        self.keeper.abort();
        if written {
            self.node.tenure.resign().await;
        }
        written
    }

    /// Makes the actor of this account panic at every event from now on; none ends it. For tests.
    #[cfg(feature = "faults")]
    pub fn poison(&self, account: Option<godwit_types::AccountId>) {
        self.node.faults.poison(account);
    }

    /// Breaks a guarantee now and then from now on; none ends it. For tests.
    #[cfg(feature = "faults")]
    pub fn break_on_purpose(&self, fault: Option<crate::Fault>) {
        self.node.faults.switch(fault);
    }
}

/// Finishes the fan-outs that the last owners of these shards left under way.
async fn recover(node: Arc<Node>, shards: HashSet<ShardId>) {
    let slots = Arc::new(Semaphore::new(RECOVERIES_AT_ONCE));
    let some = shards.iter().next().and_then(|shard| node.tenure.owned(*shard));
    let Some(owned) = some else { return };
    let found = match shards.len() {
        // Which of many have any is one question.
        many if many > 1 => node.read(&owned, || node.store.shards_with_pending()).await,
        _ => Ok(shards.iter().copied().collect()),
    };
    let mut conversations = 0;
    for shard in found.unwrap_or_default().into_iter().filter(|shard| shards.contains(shard)) {
        let Some(owned) = node.tenure.owned(shard) else { continue };
        // An error says that the store was closed or the shard lost: it is for the next owner then.
        let pending = node.read(&owned, || node.store.pending(shard)).await.unwrap_or_default();
        for pending in pending.into_iter().filter(|pending| pending.kind == PendingKind::Fanout) {
            let Ok(id) = ConversationId::new(&pending.id) else { continue };
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let (done, finished) = oneshot::channel();
            node.conversation(&id, ConversationCommand::Finish { done: Some(done) });
            tokio::spawn(async move {
                // Answered or dropped: either way the place is free for the next one.
                let _ = finished.await;
                drop(slot);
            });
            conversations += 1;
        }
    }
    if conversations > 0 {
        tracing::info!(conversations, "fan-outs that were under way are being finished");
    }
}

pub(crate) enum RegionMessage {
    /// The node that it works for.
    Seat(Arc<Node>),
    /// To a shard that does not run yet.
    Start(ShardId, ShardMessage),
    /// Shards that are this node's now: what was under way in them, and the streams of their accounts.
    Adopt(Vec<ShardId>),
    /// A shard that is no longer this node's.
    Stop(ActorRef<ShardMessage>),
}

/// Starts shards and supervises them.
struct RegionActor;

#[derive(Default)]
struct RegionState {
    node: Option<Arc<Node>>,
    shards: HashMap<ActorId, ShardId>,
}

impl Actor for RegionActor {
    type Msg = RegionMessage;
    type State = RegionState;
    type Arguments = ();

    async fn pre_start(
        &self,
        _myself: ActorRef<RegionMessage>,
        _: (),
    ) -> Result<RegionState, ActorProcessingErr> {
        Ok(RegionState::default())
    }

    async fn handle(
        &self,
        myself: ActorRef<RegionMessage>,
        message: RegionMessage,
        state: &mut RegionState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RegionMessage::Seat(node) => state.node = Some(node),
            RegionMessage::Start(shard, message) => state.start(&myself, shard, message).await?,
            RegionMessage::Adopt(shards) => state.adopt(shards),
            RegionMessage::Stop(actor) => {
                state.shards.remove(&actor.get_id());
                actor.stop(None);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<RegionMessage>,
        event: SupervisionEvent,
        state: &mut RegionState,
    ) -> Result<(), ActorProcessingErr> {
        let gone = match &event {
            SupervisionEvent::ActorTerminated(actor, ..) => actor,
            SupervisionEvent::ActorFailed(actor, error) => {
                metrics::failed("shard");
                tracing::error!(%error, "a shard's actor failed and is started again");
                actor
            }
            _ => return Ok(()),
        };
        let Some(shard) = state.shards.remove(&gone.get_id()) else { return Ok(()) };
        let Some(node) = &state.node else { return Ok(()) };
        *node.shards[usize::from(shard.0)].write() = None;
        // The shard knew the streams of its accounts; the hub knows them all.
        state.attach_streams(&HashSet::from([shard]));
        Ok(())
    }
}

impl RegionState {
    async fn start(
        &mut self,
        myself: &ActorRef<RegionMessage>,
        shard: ShardId,
        message: ShardMessage,
    ) -> Result<(), ActorProcessingErr> {
        let Some(node) = &self.node else { return Ok(()) };
        let place = &node.shards[usize::from(shard.0)];
        let running = place.read().clone();
        let actor = match running {
            Some(actor) => actor,
            None => {
                // Lost since the message was sent.
                let Some(owned) = node.tenure.owned(shard) else { return Ok(()) };
                let arguments = (owned, Arc::clone(node));
                let spawned = Actor::spawn_linked(None, ShardActor, arguments, myself.get_cell()).await?;
                self.shards.insert(spawned.0.get_id(), shard);
                spawned.0
            }
        };
        // The message first: once the shard is in the table others reach it without coming here.
        let _ = actor.cast(message);
        *place.write() = Some(actor);
        Ok(())
    }

    fn adopt(&self, shards: Vec<ShardId>) {
        let Some(node) = &self.node else { return };
        let shards: HashSet<_> = shards.into_iter().collect();
        self.attach_streams(&shards);
        tokio::spawn(recover(Arc::clone(node), shards));
    }

    /// Tells these shards of the streams that their accounts have here.
    fn attach_streams(&self, shards: &HashSet<ShardId>) {
        let Some(node) = &self.node else { return };
        for stream in node.hub.all() {
            let shard = node.shard_of(stream.account.as_str());
            if shards.contains(&shard) {
                node.cast(shard, ShardMessage::Attach(stream));
            }
        }
    }
}

//! All streams of a node: who is there, when their hearts beat, and who reads for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use godwit_core::Wheel;
use godwit_types::{AccountId, ConnectionId, DeviceId, Timestamp};
use godwit_wire::ByeReason;
use parking_lot::Mutex;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use rand::RngExt;

use crate::connection::ConnectionActor;
use crate::metrics;
use crate::node::Node;
use crate::options::Options;
use crate::region::Region;
use crate::stream::{Need, Stream};

/// One step of the heartbeat wheel: a beat that may come 20 % early or late needs no finer one.
const TICK: Duration = Duration::from_millis(250);
/// The longest heartbeat a client may ask for, and a fifth, in steps of the wheel.
const WHEEL_TICKS: usize = 300 * 4 * 6 / 5;
/// Locks over which the streams are spread.
const STRIPES: usize = 64;
/// Supervisors of connection actors: linking an actor takes a lock of its supervisor's.
const SUPERVISORS: usize = 8;
/// Pause before a failed replay is tried again.
const REPLAY_PAUSE: Duration = Duration::from_millis(50);

/// Is told of every stream of the node: presence begins here. Called where sockets are opened and closed,
/// so it must wait for nothing.
pub trait StreamWatcher: Send + Sync {
    /// A device has opened a stream. It may have others.
    fn opened(&self, account: &AccountId, device: &DeviceId);
    /// A stream that was opened is gone.
    fn closed(&self, account: &AccountId, device: &DeviceId);
}

/// The node's streams.
pub(crate) struct Hub {
    stripes: Vec<Mutex<HashMap<ConnectionId, Arc<Stream>>>>,
    open: AtomicUsize,
    wheel: Mutex<Wheel<ConnectionId>>,
    supervisors: Vec<ActorRef<HubMessage>>,
    draining: AtomicBool,
    watcher: OnceLock<Arc<dyn StreamWatcher>>,
    options: Options,
}

pub(crate) enum HubMessage {
    /// Start a connection actor for this stream.
    Replay(Arc<Stream>),
}

impl Region {
    /// Has every stream that is opened from now on reported. Once, before clients are served: a second
    /// watcher is not taken.
    pub fn watch_streams(&self, watcher: Arc<dyn StreamWatcher>) {
        let _ = self.node.hub.watcher.set(watcher);
    }
}

impl Hub {
    /// Starts the supervisors; [`Hub::beat_all`] follows when the node exists.
    pub(crate) async fn start(options: Options) -> Result<(Self, Vec<HubSeat>), SpawnErr> {
        let (mut supervisors, mut seats) = (Vec::new(), Vec::new());
        for _ in 0..SUPERVISORS {
            let seat = HubSeat::default();
            let (actor, _) = Actor::spawn(None, HubActor, seat.clone()).await?;
            supervisors.push(actor);
            seats.push(seat);
        }
        let hub = Self {
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            open: AtomicUsize::new(0),
            wheel: Mutex::new(Wheel::new(WHEEL_TICKS)),
            supervisors,
            draining: AtomicBool::new(false),
            watcher: OnceLock::new(),
            options,
        };
        Ok((hub, seats))
    }

    /// Takes in a new stream, unless the node is going away.
    pub(crate) fn open(&self, stream: &Arc<Stream>, now: Timestamp) -> bool {
        self.stripe(stream.id).lock().insert(stream.id, Arc::clone(stream));
        metrics::streams(self.open.fetch_add(1, Ordering::Relaxed) + 1);
        if let Some(watcher) = self.watcher.get() {
            watcher.opened(&stream.account, &stream.device);
        }
        self.schedule(stream, now);
        // After the insertion: whoever drains sees the stream, or the stream sees the draining.
        if self.draining.load(Ordering::SeqCst) {
            stream.end(ByeReason::Drain, self.retry_ms());
            return false;
        }
        true
    }

    /// Forgets a stream whose socket is gone.
    pub(crate) fn close(&self, id: ConnectionId) {
        let removed = self.stripe(id).lock().remove(&id);
        if let Some(stream) = removed {
            metrics::streams(self.open.fetch_sub(1, Ordering::Relaxed) - 1);
            if let Some(watcher) = self.watcher.get() {
                watcher.closed(&stream.account, &stream.device);
            }
        }
    }

    /// How many streams there are.
    pub(crate) fn streams(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Every stream, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<Stream>> {
        self.stripes.iter().flat_map(|stripe| stripe.lock().values().cloned().collect::<Vec<_>>()).collect()
    }

    /// Does what a change of a stream asks for.
    pub(crate) fn serve(&self, stream: &Arc<Stream>, need: Need) {
        if need == Need::Replay {
            metrics::replay();
            let supervisor = &self.supervisors[stream.id.0 as usize % SUPERVISORS];
            // A hub's actor ends with the node only, and then nobody is left to read for.
            let _ = supervisor.cast(HubMessage::Replay(Arc::clone(stream)));
        }
    }

    /// What a stream is told to wait for before it comes back: drawn anew each time, so that a million
    /// clients do not come back at once.
    pub(crate) fn retry_ms(&self) -> u32 {
        let (min, max) = self.options.retry_ms;
        rand::rng().random_range(min..=max)
    }

    /// Says `bye` to all streams and takes no new ones.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        for stream in self.all() {
            stream.end(ByeReason::Drain, self.retry_ms());
        }
    }

    /// Beats all hearts for as long as the node lives.
    pub(crate) async fn beat_all(node: Weak<Node>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        loop {
            ticks.tick().await;
            let Some(node) = node.upgrade() else { return };
            let due = node.hub.wheel.lock().turn();
            let now = node.now();
            for id in &due {
                let Some(stream) = node.hub.stripe(*id).lock().get(id).cloned() else { continue };
                node.hub.serve(&stream, stream.beat(now));
                if !stream.is_over() {
                    node.hub.schedule(&stream, now);
                }
            }
            if !due.is_empty() {
                metrics::heartbeats(due.len());
            }
        }
    }

    /// The next beat: a heartbeat from now, 20 % earlier or later, or when the token's time is over.
    fn schedule(&self, stream: &Stream, now: Timestamp) {
        let middle = u64::from(stream.heartbeat_ms);
        let beat = rand::rng().random_range(middle * 4 / 5..=middle * 6 / 5);
        let ms = beat.min(stream.expires_in_ms(now));
        let ticks = usize::try_from(ms.div_ceil(TICK.as_millis() as u64)).unwrap_or(WHEEL_TICKS);
        self.wheel.lock().schedule(ticks, stream.id);
    }

    fn stripe(&self, id: ConnectionId) -> &Mutex<HashMap<ConnectionId, Arc<Stream>>> {
        &self.stripes[id.0 as usize % STRIPES]
    }
}

/// Where a hub's actor finds its node, once there is one.
#[derive(Clone, Default)]
pub(crate) struct HubSeat(Arc<Mutex<Weak<Node>>>);

impl HubSeat {
    pub(crate) fn seat(&self, node: &Arc<Node>) {
        *self.0.lock() = Arc::downgrade(node);
    }

    fn node(&self) -> Option<Arc<Node>> {
        self.0.lock().upgrade()
    }
}

/// Supervises a share of the node's connection actors.
struct HubActor;

struct HubState {
    seat: HubSeat,
    replays: HashMap<ActorId, Arc<Stream>>,
}

impl Actor for HubActor {
    type Msg = HubMessage;
    type State = HubState;
    type Arguments = HubSeat;

    async fn pre_start(
        &self,
        _myself: ActorRef<HubMessage>,
        seat: HubSeat,
    ) -> Result<HubState, ActorProcessingErr> {
        Ok(HubState { seat, replays: HashMap::new() })
    }

    async fn handle(
        &self,
        myself: ActorRef<HubMessage>,
        message: HubMessage,
        state: &mut HubState,
    ) -> Result<(), ActorProcessingErr> {
        let HubMessage::Replay(stream) = message;
        let Some(node) = state.seat.node() else { return Ok(()) };
        let arguments = (Arc::clone(&stream), node);
        match Actor::spawn_linked(None, ConnectionActor, arguments, myself.get_cell()).await {
            Ok((actor, _)) => _ = state.replays.insert(actor.get_id(), stream),
            // One stream's trouble must not end the supervisor of the others.
            Err(error) => replay_failed(&myself, stream, &error),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<HubMessage>,
        event: SupervisionEvent,
        state: &mut HubState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(actor, ..) => {
                state.replays.remove(&actor.get_id());
            }
            SupervisionEvent::ActorFailed(actor, error) => {
                if let Some(stream) = state.replays.remove(&actor.get_id()) {
                    replay_failed(&myself, stream, &error);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn replay_failed(myself: &ActorRef<HubMessage>, stream: Arc<Stream>, error: &impl std::fmt::Display) {
    metrics::failed("connection");
    tracing::error!(connection = %stream.id, %error, "a connection's actor failed and is started again");
    if stream.replay_failed() == Need::Replay {
        myself.send_after(REPLAY_PAUSE, move || HubMessage::Replay(stream));
    }
}

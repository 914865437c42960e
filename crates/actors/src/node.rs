//! What all actors of a node share: the store, the shards' addresses, the streams, the limits.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use godwit_store::{Error, Store};
use godwit_types::{AccountId, ConversationId, ShardId, Timestamp};
use parking_lot::RwLock;
use ractor::{ActorProcessingErr, ActorRef, MessagingErr};
use tokio::sync::watch;

use crate::admission::Admission;
use crate::appends::Appends;
use crate::conversation::ConversationCommand;
use crate::hub::Hub;
use crate::options::Options;
use crate::region::RegionMessage;
use crate::revocations::Revocations;
use crate::shard::ShardMessage;
use crate::stream::Stream;
use crate::tenure::{Owned, Tenure};
use crate::user::UserCommand;

/// First and longest pause before a read that the store did not answer is tried again.
const READ_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A node's actors, as they see each other.
pub(crate) struct Node {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) options: Options,
    pub(crate) tenure: Arc<Tenure>,
    pub(crate) appends: Arc<Appends>,
    pub(crate) hub: Hub,
    pub(crate) admission: Admission,
    pub(crate) revocations: Revocations,
    #[cfg(feature = "faults")]
    pub(crate) faults: crate::faults::Faults,
    /// The region's actor; it starts shards.
    pub(crate) region: ActorRef<RegionMessage>,
    /// Shards that run. Nothing on the hot path goes through the region's actor: this table does.
    pub(crate) shards: Vec<RwLock<Option<ActorRef<ShardMessage>>>>,
    /// Why the node has to end, once there is a reason.
    pub(crate) ended: watch::Sender<Option<String>>,
}

impl Node {
    /// The wall clock. The one place where actors ask it.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from(SystemTime::now())
    }

    /// To the owner of a conversation.
    pub(crate) fn conversation(&self, id: &ConversationId, command: ConversationCommand) {
        self.cast(self.shard_of(id.as_str()), ShardMessage::Conversation(id.clone(), command));
    }

    /// To the owner of an account.
    pub(crate) fn user(&self, account: &AccountId, command: UserCommand) {
        self.cast(self.shard_of(account.as_str()), ShardMessage::User(account.clone(), command));
    }

    /// A socket is gone: its account's owner forgets the stream.
    pub(crate) fn stream_closed(&self, stream: &Arc<Stream>) {
        self.hub.close(stream.id);
        let shard = self.shard_of(stream.account.as_str());
        self.cast(shard, ShardMessage::Detach(stream.account.clone(), stream.id));
    }

    pub(crate) fn shard_of(&self, id: &str) -> ShardId {
        ShardId::of(id, self.store.shards())
    }

    /// To a shard, which is started if it does not run. For one that is not this node's the message is dropped:
    /// who waits for it hears of that, and streams are attached once the shard is here.
    pub(crate) fn cast(&self, shard: ShardId, message: ShardMessage) {
        if self.tenure.owned(shard).is_none() {
            return;
        }
        let running = self.shards[usize::from(shard.0)].read().clone();
        let message = match running {
            Some(actor) => match actor.cast(message) {
                Ok(()) => return,
                Err(MessagingErr::SendErr(message)) => message,
                Err(_) => return,
            },
            None => message,
        };
        // When the region is gone the node is ending: what the message holds says so by being dropped.
        let _ = self.region.cast(RegionMessage::Start(shard, message));
    }

    /// Shards are this node's from now on.
    pub(crate) fn adopt(&self, shards: Vec<ShardId>) {
        if !shards.is_empty() {
            let _ = self.region.cast(RegionMessage::Adopt(shards));
        }
    }

    /// Shards are no longer this node's: their actors stop. Streams stay open, and wait.
    pub(crate) fn let_go(&self, shards: &[ShardId]) {
        for shard in shards {
            if let Some(actor) = self.shards[usize::from(shard.0)].write().take() {
                let _ = self.region.cast(RegionMessage::Stop(actor));
            }
        }
    }

    /// The node cannot go on.
    pub(crate) fn end(&self, why: String) {
        self.ended.send_replace(Some(why));
    }

    /// A read on behalf of an owner, tried again for as long as the store does not answer and the shard is
    /// this node's.
    pub(crate) async fn read<T, F>(
        &self,
        owned: &Owned,
        read: impl Fn() -> F,
    ) -> Result<T, ActorProcessingErr>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut pause = READ_PAUSE.0;
        loop {
            match read().await {
                Ok(found) => return Ok(found),
                Err(error) if matches!(error, Error::Closed) || !self.tenure.holds(owned) => {
                    return Err(error.into());
                }
                Err(error) => {
                    tracing::debug!(shard = %owned.shard, %error, "a read waits for the store");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(READ_PAUSE.1);
                }
            }
        }
    }
}

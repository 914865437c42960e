//! What all actors of a node share: the store, the shards' addresses, the streams, the limits.

use std::sync::Arc;
use std::time::SystemTime;

use godwit_store::Store;
use godwit_types::{AccountId, ConversationId, ShardId, Timestamp};
use parking_lot::RwLock;
use ractor::{ActorRef, MessagingErr};

use crate::admission::Admission;
use crate::appends::Appends;
use crate::conversation::ConversationCommand;
use crate::hub::Hub;
use crate::options::Options;
use crate::region::RegionMessage;
use crate::revocations::Revocations;
use crate::shard::ShardMessage;
use crate::stream::Stream;
use crate::user::UserCommand;

/// A node's actors, as they see each other.
pub(crate) struct Node {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) options: Options,
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

    /// To a shard, which is started if it does not run.
    pub(crate) fn cast(&self, shard: ShardId, message: ShardMessage) {
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
}

//! What may be lost, wired to the streams: presence begins and ends with them.

use std::time::Duration;

use godwit_actors::{Region, StreamWatcher};
use godwit_cache::{Cache, Standing};
use godwit_types::{AccountId, DeviceId};

use crate::config::Redis;

/// How long a start waits for Redis's first answer. One that is away refuses at once or is not waited
/// for: the node serves without it.
const FIRST_ANSWER: Duration = Duration::from_secs(3);

/// Redis answers and will not have this node: somebody must change something first.
#[derive(Debug, thiserror::Error)]
#[error("redis refuses this node ({0}); check redis.user and redis.password_file")]
pub(crate) struct Refused(String);

/// Opens the cache.
///
/// # Errors
/// When Redis refuses for good.
pub(crate) async fn open(redis: &Redis) -> Result<Cache, Refused> {
    let cache = Cache::open(redis.0.clone());
    match cache.settled(FIRST_ANSWER).await {
        Standing::Refused(reason) => Err(Refused(reason)),
        _ => Ok(cache),
    }
}

/// Devices are present as long as they have a stream.
pub(crate) fn follow_streams(region: &Region, cache: &Cache) {
    region.watch_streams(std::sync::Arc::new(Streams(cache.clone())));
}

struct Streams(Cache);

impl StreamWatcher for Streams {
    fn opened(&self, account: &AccountId, device: &DeviceId) {
        self.0.presence().opened(account, device);
    }

    fn closed(&self, account: &AccountId, device: &DeviceId) {
        self.0.presence().closed(account, device);
    }
}

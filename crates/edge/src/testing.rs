//! What unit tests of this crate share.

use std::sync::Arc;
use std::time::Duration;

use godwit_actors::{Options, Region};
use godwit_core::delivery::{Bounds, Overflow};
use godwit_core::inbox::Retention;
use godwit_store::{Embedded, Store};
use tempfile::TempDir;

use crate::auth::tests::by_secret;
use crate::cors::Cors;
use crate::gate::Gate;
use crate::rates::Rates;

/// A node on a directory of its own, which goes with it.
pub(crate) struct Node {
    pub(crate) region: Region,
    _directory: TempDir,
}

impl Node {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(godwit_store::Options::new(directory.path().join("store"), 64)).unwrap();
        let tenure = godwit_actors::Tenure::alone(store.epoch());
        let store: Arc<dyn Store> = Arc::new(store);
        let options = Options {
            heartbeat_ms: 25_000,
            retry_ms: (1_000, 5_000),
            queue: Bounds { queue_bytes: 64 * 1024, overflow: Overflow::Replay },
            streams_per_account: 20,
            members_max: 1000,
            retention: Retention { events: 1000, age_ms: 24 * 3_600_000 },
            inbox_expires: false,
            commands_max: 1000,
            idle: Duration::from_secs(30),
        };
        Self { region: Region::start(store, tenure, options).await.unwrap(), _directory: directory }
    }

    /// Takes tokens of [`SECRET`](crate::auth::tests::SECRET); every device named `stolen` is revoked.
    pub(crate) fn gate(&self, cors: Cors) -> Gate {
        let cache = godwit_cache::Cache::open(None);
        let gate = Gate::new(Arc::new(by_secret()), self.region.clone(), cors, cache, Rates::default());
        gate.with_revoked(|who| who.device.as_str() == "stolen")
    }
}

//! A master that dies, and the replica that takes over.

use bytes::Bytes;
use godwit_cache::Standing;
use tokio::time::Instant;

use crate::support::{PATIENCE, behind, queued, sentinel, until, up};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn all_goes_on_with_the_new_master() {
    let Some(mut watched) = sentinel() else { return };
    let cache = up(&behind(&watched)).await;
    assert!(cache.queue().push("before", Bytes::new()).unwrap().is_queued().await);
    until("the replica has it", || async { queued(&watched.replica) == 1 }).await;
    watched.master.kill9().unwrap();
    let start = Instant::now();
    until("away", || async { cache.standing() != Standing::Up }).await;
    assert!(cache.queue().push("after", Bytes::new()).unwrap().is_queued().await);
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    let jobs = cache.queue().claim("relay", 5, PATIENCE).await;
    assert_eq!(jobs.iter().map(|job| &*job.id).collect::<Vec<_>>(), ["before", "after"]);
}

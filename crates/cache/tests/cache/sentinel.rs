//! A master that dies, and the replica that takes over.

use bytes::Bytes;
use godwit_cache::{Settings, Standing};
use tokio::time::Instant;

use crate::support::{PATIENCE, settings, until, up, watched};

#[tokio::test]
async fn all_goes_on_with_the_new_master() {
    let mut watched = watched().await;
    let urls = watched.sentinels.iter().map(|sentinel| sentinel.url()).collect();
    let cache = up(&Settings { sentinel_master: Some("main".to_owned()), ..settings(urls) }).await;
    assert!(cache.queue().push("before", Bytes::new()).unwrap().is_queued().await);
    until("the replica has it", || async {
        watched.replica.ask::<u32>(&["XLEN", "godwit:{push}:jobs"]).await == 1
    })
    .await;
    watched.master.kill();
    let start = Instant::now();
    until("away", || async { cache.standing() != Standing::Up }).await;
    assert!(cache.queue().push("after", Bytes::new()).unwrap().is_queued().await);
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    let jobs = cache.queue().claim("relay", 5, PATIENCE).await;
    assert_eq!(jobs.iter().map(|job| &*job.id).collect::<Vec<_>>(), ["before", "after"]);
}

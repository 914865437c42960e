//! The bounds of the push queue.

use bytes::Bytes;
use godwit_cache::{PushBounds, Settings};

use crate::support::{PATIENCE, absent_server, open, queued, server, settings, until, up};

fn bounds(queue_jobs: usize, buffer_jobs: usize, server: String) -> Settings {
    let base = settings(vec![server]);
    Settings { push: PushBounds { queue_jobs, buffer_jobs, ..base.push.clone() }, ..base }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_full_queue_does_not_take_waits() {
    let Some(server) = server() else { return };
    let cache = up(&bounds(5, 100, server.url())).await;
    let mut pushed = Vec::new();
    for n in 0..8 {
        pushed.push(cache.queue().push(&format!("job{n}"), Bytes::new()).unwrap());
    }
    let last = pushed.split_off(5);
    for pushed in pushed {
        assert!(pushed.is_queued().await);
    }
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    assert_eq!(queued(&server), 5);
    let mut seen = Vec::new();
    while seen.len() < 8 {
        for job in cache.queue().claim("relay", 2, PATIENCE).await {
            cache.queue().done(&job.entry).await;
            seen.push(job.id);
        }
    }
    assert_eq!(seen, (0..8).map(|n| format!("job{n}")).collect::<Vec<_>>());
    for pushed in last {
        assert!(pushed.is_queued().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_buffer_loses_the_oldest_and_says_so() {
    let Some((url, start)) = absent_server() else { return };
    let cache = open(&bounds(100, 3, url));
    let pushed: Vec<_> = (0..5).map(|n| cache.queue().push(&n.to_string(), Bytes::new()).unwrap()).collect();
    let _server = start();
    let mut queued = Vec::new();
    for pushed in pushed {
        queued.push(pushed.is_queued().await);
    }
    assert_eq!(queued, [false, false, true, true, true]);
    let jobs = cache.queue().claim("relay", 10, PATIENCE).await;
    assert_eq!(jobs.iter().map(|job| &*job.id).collect::<Vec<_>>(), ["2", "3", "4"]);
}

/// The answer to an append is lost, and so it is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_append_that_timed_out_is_one_job() {
    let Some(server) = server() else { return };
    let settings = bounds(100, 100, server.url());
    let cache = up(&settings).await;
    assert!(cache.queue().push("warm", Bytes::new()).unwrap().is_queued().await);
    // The server reads what was sent while it was paused, after the client gave up.
    server.pause().unwrap();
    let pushed = cache.queue().push("job", Bytes::new()).unwrap();
    tokio::time::sleep(settings.timeout * 2).await;
    server.resume().unwrap();
    assert!(pushed.is_queued().await);
    until("both are there", || async { queued(&server) >= 2 }).await;
    tokio::time::sleep(settings.timeout * 2).await;
    assert_eq!(queued(&server), 2);
}

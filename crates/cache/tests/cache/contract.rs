//! What every implementation does, on each of them.

use std::time::Duration;

use bytes::Bytes;
use godwit_cache::{Cache, DeviceState, Job, Limit, State};

use crate::support::{PATIENCE, Stage, account, device, until};

macro_rules! on_every_stage {
    ($($contract:ident)*) => {
        $(mod $contract {
            use super::Stage;

            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn in_process() {
                super::$contract(Stage::in_process()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn on_one_redis() {
                let Some(stage) = Stage::single().await else { return };
                super::$contract(stage).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn on_a_cluster() {
                let Some(stage) = Stage::cluster().await else { return };
                super::$contract(stage).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn behind_sentinels() {
                let Some(stage) = Stage::sentinel().await else { return };
                super::$contract(stage).await;
            }
        })*
    };
}

on_every_stage! {
    presence_is_the_most_present_device
    a_limit_is_shared_and_refills
    jobs_come_in_order_and_once
    what_failed_is_tried_again_and_then_dead
    what_a_consumer_left_behind_another_gets
}

async fn state(cache: &Cache, of: &str) -> State {
    cache.presence().of(&[account(of)]).await[0].state
}

async fn presence_is_the_most_present_device(stage: Stage) {
    let [here, there] = &stage.nodes;
    // A brace would end the hash tag of its keys, were it not encoded.
    let ann = account("auth0|}ann{");
    let all = [ann.clone(), account("nobody"), account("bob")];
    here.presence().announce(&ann, &device("web"), DeviceState::Away);
    here.presence().announce(&all[2], &device("phone"), DeviceState::Online);
    until("away is seen", || async { state(there, ann.as_str()).await == State::Away }).await;
    here.presence().announce(&ann, &device("phone"), DeviceState::Online);
    until("online is seen", || async { state(there, ann.as_str()).await == State::Online }).await;
    let seen = there.presence().of(&all).await;
    let states: Vec<_> = seen.iter().map(|seen| seen.state).collect();
    assert_eq!(states, [State::Online, State::Offline, State::Online], "{}", stage.name);
    assert_eq!(seen[1].last_seen, None);
    // Longer than an entry is valid: refreshes keep it.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(state(there, ann.as_str()).await, State::Online);
    here.presence().withdraw(&ann, &device("phone"));
    until("away again", || async { state(there, ann.as_str()).await == State::Away }).await;
    here.presence().withdraw(&ann, &device("web"));
    until("offline", || async { state(there, ann.as_str()).await == State::Offline }).await;
    assert!(there.presence().of(&[ann]).await[0].last_seen.is_some());
}

async fn a_limit_is_shared_and_refills(stage: Stage) {
    let limit = Limit { per_second: 2, burst: 3 };
    let ann = account("ann");
    let mut granted = 0;
    let mut wait = Duration::ZERO;
    for node in stage.nodes.iter().cycle().take(6) {
        let verdict = node.limits().take("requests", &ann, 1, limit).await;
        assert_eq!(verdict.limit, limit);
        if verdict.allowed {
            granted += 1;
            assert_eq!((verdict.remaining, verdict.retry_after), (3 - granted, Duration::ZERO));
        } else {
            wait = verdict.retry_after;
        }
    }
    assert_eq!(granted, 3, "{}", stage.name);
    assert!(wait > Duration::from_millis(300) && wait <= Duration::from_millis(500), "{wait:?}");
    let other = stage.nodes[0].limits().take("requests", &account("bob"), 1, limit).await;
    assert!(other.allowed, "every account has its own");
    assert!(stage.nodes[0].limits().take("messages", &ann, 1, limit).await.allowed, "and every limit");
    tokio::time::sleep(wait).await;
    assert!(stage.nodes[1].limits().take("requests", &ann, 1, limit).await.allowed);
    let whole = stage.nodes[1].limits().take("requests", &account("eve"), 100, limit).await;
    assert_eq!((whole.allowed, whole.remaining), (true, 0), "more than a bucket costs the bucket");
}

async fn claim(node: &Cache, consumer: &str, max: usize) -> Vec<Job> {
    node.queue().claim(consumer, max, PATIENCE).await
}

fn ids(jobs: &[Job]) -> Vec<&str> {
    jobs.iter().map(|job| &*job.id).collect()
}

async fn jobs_come_in_order_and_once(stage: Stage) {
    let [here, there] = &stage.nodes;
    for n in 0..20 {
        let bytes = Bytes::from(vec![n, 0, 255]);
        assert!(here.queue().push(&format!("job{n}"), bytes).unwrap().is_queued().await);
    }
    assert!(here.queue().push("job3", Bytes::new()).unwrap().is_queued().await, "a repeat counts as queued");
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let jobs = claim(there, "relay", 7).await;
        assert!(jobs.len() <= 7);
        for job in jobs {
            assert_eq!((job.attempts, job.bytes[0]), (1, seen.len() as u8));
            there.queue().done(&job.entry).await;
            seen.push(job.id);
        }
    }
    assert_eq!(seen, (0..20).map(|n| format!("job{n}")).collect::<Vec<_>>(), "{}", stage.name);
    let none = there.queue().claim("relay", 7, Duration::from_millis(600)).await;
    assert_eq!(none, [], "no repeat, and what is done is gone beyond the idle time");
    // A claim that waits gets what comes.
    let (jobs, _) = tokio::join!(claim(there, "relay", 7), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        here.queue().push("late", Bytes::new()).unwrap().is_queued().await
    });
    assert_eq!(ids(&jobs), ["late"]);
    let large = Bytes::from(vec![0; godwit_cache::JOB_BYTES_MAX + 1]);
    assert!(here.queue().push("large", large).is_err());
}

async fn what_failed_is_tried_again_and_then_dead(stage: Stage) {
    let queue = stage.nodes[0].queue();
    for id in ["a", "b", "c"] {
        let _ = queue.push(id, Bytes::from(id)).unwrap();
    }
    for attempt in 1..=3 {
        let mut jobs = Vec::new();
        while jobs.len() < 3 {
            jobs.extend(claim(&stage.nodes[0], "relay", 3).await);
        }
        for job in jobs {
            assert_eq!(job.attempts, attempt, "{}: {job:?}", stage.name);
            queue.failed(&job.entry, Duration::from_millis(50)).await;
        }
    }
    assert_eq!(queue.claim("relay", 3, Duration::from_millis(600)).await, []);
    let dead = queue.dead(10).await;
    // Three died; two are kept.
    let expected = ["b", "c"].map(|id| (id.to_owned(), 3, Bytes::from(id)));
    assert_eq!(dead, expected, "{}", stage.name);
}

async fn what_a_consumer_left_behind_another_gets(stage: Stage) {
    let [here, there] = &stage.nodes;
    let _ = here.queue().push("a", Bytes::from_static(b"x")).unwrap();
    let first = claim(here, "dead", 5).await;
    assert_eq!(ids(&first), ["a"]);
    assert_eq!(there.queue().claim("alive", 5, Duration::from_millis(50)).await, [], "not before its time");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let second = claim(there, "alive", 5).await;
    assert_eq!((ids(&second), second[0].attempts), (vec!["a"], 2), "{}", stage.name);
    // The first was not dead but slow: it cannot give back what is no longer its own.
    here.queue().failed(&first[0].entry, Duration::ZERO).await;
    assert_eq!(there.queue().claim("third", 5, Duration::from_millis(100)).await, []);
    there.queue().done(&second[0].entry).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(there.queue().claim("third", 5, Duration::from_millis(100)).await, []);
}

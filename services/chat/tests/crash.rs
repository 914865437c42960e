//! `kill -9` of the server under load, again and again: what was acknowledged is there, once, in one
//! order.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use godwit_servers::environment;
use godwit_testkit::client::{NoAnswer, message, messages_path};
use godwit_testkit::history::{Expected, posted};
use godwit_testkit::server::keyspace;
use godwit_testkit::{Answer, Client, History, Launch, StreamOptions, within};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

/// With the embedded store.
const KILLS: usize = 20;
/// With a database, where each start takes the shards anew.
const KILLS_CQL: usize = 8;
/// Time under load before each kill, in milliseconds: from a server that has barely started to one that
/// has written a lot.
const UPTIME_MS: std::ops::Range<u64> = 20..1500;
const ACCOUNTS: [&str; 4] = ["ann", "bob", "carl", "dora"];
/// Writers for each account and conversation, and how many of them send batches.
const WRITERS: usize = 2;
/// Between two attempts while the server is away. A phone waits longer; the test wants the pressure.
const RETRY_AFTER: Duration = Duration::from_millis(5);
/// After the last message everything must be everywhere by then, also on a busy machine.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// What all tasks share.
#[derive(Default)]
struct Run {
    history: History,
    stop: AtomicBool,
    /// Attempts that got no answer or a 503, and were repeated.
    repeated: AtomicUsize,
    /// Answers of 200 to a message that had no answer before: it had been stored.
    stored_unanswered: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_once_and_in_order() {
    survives(Launch::dev(env!("CARGO_BIN_EXE_godwit")), KILLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_on_a_database() {
    let Some(database) = environment::cql("the crash test on a database") else { return };
    let launch = Launch::dev(env!("CARGO_BIN_EXE_godwit"));
    survives(launch.cql(&database, &keyspace("crash"), 1), KILLS_CQL).await;
}

async fn survives(launch: Launch, kills: usize) {
    let seed = std::env::var("GODWIT_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("GODWIT_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = launch.start();
    let clients = ACCOUNTS.map(|account| server.client(account, "phone"));
    let conversations = open_conversations(&clients).await;
    let run = Arc::new(Run::default());

    let mut readers = Vec::new();
    for client in &clients {
        let mine = conversations.iter().filter(|(_, members)| members.contains(&client.account().to_owned()));
        let mine = mine.map(|(id, _)| id.clone()).collect();
        let head = client.get("/v1/conversations").await.expect(200)["head"].as_str().unwrap().to_owned();
        readers.push(tokio::spawn(read(run.clone(), client.clone(), head, mine)));
    }
    let mut writers = Vec::new();
    for (conversation, members) in &conversations {
        for client in clients.iter().filter(|client| members.contains(&client.account().to_owned())) {
            for writer in 0..WRITERS {
                let task = write(run.clone(), client.clone(), conversation.clone(), writer);
                writers.push(tokio::spawn(task));
            }
        }
    }

    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(random.random_range(UPTIME_MS))).await;
        tokio::task::block_in_place(|| {
            server.kill9();
            server.restart();
        });
    }
    run.stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    // One more in each conversation, sent after all others were answered: who has it has all.
    for (conversation, members) in &conversations {
        let client = clients.iter().find(|client| *client.account() == members[0]).unwrap();
        post_until_answered(&run, client, conversation, "last").await;
    }
    for reader in readers {
        within(SETTLED_WITHIN, "a reader that has all", reader).await.unwrap();
    }
    report(&run, conversations, kills);
}

fn report(run: &Run, conversations: Vec<(String, Vec<String>)>, kills: usize) {
    let expected = Expected {
        members: conversations,
        complete: ACCOUNTS.map(|account| (account.to_owned(), "phone".to_owned())).to_vec(),
    };
    let checked = run.history.check(&expected).unwrap_or_else(|violation| panic!("{violation}"));
    let repeated = run.repeated.load(Ordering::Relaxed);
    let stored = run.stored_unanswered.load(Ordering::Relaxed);
    println!(
        "{kills} kills: {} acknowledged messages checked in {} inbox places, {} events on {} streams, \
         {} of them resumed; {repeated} requests repeated; {stored} messages \
         were there when they were sent again",
        checked.messages, checked.deliveries, checked.events, checked.streams, checked.resumes
    );
    assert!(checked.messages > 50 * kills, "too few messages to mean anything: {checked:?}");
    assert!(repeated > 0, "no kill hit a message on its way");
}

/// Two groups and two direct conversations, with their members.
async fn open_conversations(clients: &[Client; 4]) -> Vec<(String, Vec<String>)> {
    let [ann, bob, carl, _] = clients;
    let names = |accounts: &[&str]| accounts.iter().map(|&account| account.to_owned()).collect();
    vec![
        (ann.open_group("all", &ACCOUNTS[1..]).await, names(&ACCOUNTS)),
        (bob.open_group("three", &["carl", "dora"]).await, names(&["bob", "carl", "dora"])),
        (ann.open_direct("bob").await, names(&["ann", "bob"])),
        (carl.open_direct("dora").await, names(&["carl", "dora"])),
    ]
}

/// Sends messages one after the other until told to stop: the first writer one by one, the second in
/// batches. Each is sent again with its `client_id` until it is answered.
async fn write(run: Arc<Run>, client: Client, conversation: String, writer: usize) {
    for i in 0.. {
        if run.stop.load(Ordering::Relaxed) {
            return;
        }
        let client_id = format!("w{writer}-{i}");
        if writer == 0 {
            post_until_answered(&run, &client, &conversation, &client_id).await;
        } else {
            batch_until_answered(&run, &client, &conversation, &client_id).await;
        }
    }
}

async fn post_until_answered(run: &Run, client: &Client, conversation: &str, client_id: &str) {
    let sent = run.history.now();
    let (path, body) = (messages_path(conversation), message(client_id, "through the crash"));
    loop {
        let attempt = client.try_post(&path, &body).await;
        if let Some(answer) = answered(run, attempt) {
            run.stored_unanswered.fetch_add(usize::from(answer.status == 200), Ordering::Relaxed);
            assert!(matches!(answer.status, 200 | 201), "{answer:?}");
            run.history.acknowledged(sent, posted(&answer.json(), client_id).unwrap());
            return;
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn batch_until_answered(run: &Run, client: &Client, conversation: &str, client_id: &str) {
    let sent = run.history.now();
    let ids: Vec<String> = (0..10).map(|i| format!("{client_id}-{i}")).collect();
    let items = ids.iter().map(|client_id| {
        let mut item = message(client_id, "through the crash, together");
        item["conversation_id"] = json!(conversation);
        item
    });
    let outbox = json!({"messages": items.collect::<Vec<_>>()});
    loop {
        let attempt = client.try_post("/v1/messages", &outbox).await;
        if let Some(answer) = answered(run, attempt) {
            let results = answer.expect(200)["results"].as_array().unwrap().clone();
            let done = |status: u64| results.iter().filter(|result| result["status"] == status).count();
            if done(200) + done(201) == ids.len() {
                run.stored_unanswered.fetch_add(done(200), Ordering::Relaxed);
                let messages =
                    results.iter().zip(&ids).map(|(result, id)| posted(&result["message"], id).unwrap());
                run.history.acknowledged_batch(sent, messages);
                return;
            }
            assert!(results.iter().all(|result| matches!(result["status"].as_u64(), Some(200 | 201 | 503))));
            run.repeated.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// The answer, unless it says to try again.
fn answered(run: &Run, attempt: Result<Answer, NoAnswer>) -> Option<Answer> {
    let answer = attempt.ok().filter(|answer| answer.status != 503);
    run.repeated.fetch_add(usize::from(answer.is_none()), Ordering::Relaxed);
    answer
}

/// Follows an account from `from` on over all crashes until it has the last message of each conversation.
async fn read(run: Arc<Run>, client: Client, from: String, mut waiting_for: Vec<String>) {
    let mut last_event_id = from;
    while !waiting_for.is_empty() {
        let options = StreamOptions { last_event_id: Some(last_event_id.clone()), ..Default::default() };
        let Ok(Ok(mut stream)) = client.try_stream(options).await else {
            tokio::time::sleep(RETRY_AFTER).await;
            continue;
        };
        let id = run.history.opened(client.account(), "phone", Some(&last_event_id));
        while let Ok(event) = stream.next().await {
            assert_ne!(
                event.event, "gap",
                "nothing that a client had may be unknown after a crash: {event:?}"
            );
            run.history.event(id, &event.event, &event.id, &event.data);
            if event.data["client_id"] == "last" {
                waiting_for.retain(|conversation| event.data["conversation_id"] != **conversation);
                if waiting_for.is_empty() {
                    return;
                }
            }
        }
        if !stream.last_event_id().is_empty() {
            stream.last_event_id().clone_into(&mut last_event_id);
        }
    }
}

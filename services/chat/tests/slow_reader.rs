//! Readers that do not read: what they cost, and what they get when they read again.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use std::time::{Duration, Instant};

use godwit_testkit::client::message;
use godwit_testkit::history::{Expected, StreamId};
use godwit_testkit::stream::End;
use godwit_testkit::{Client, Event, EventStream, History, Launch, Server, StreamOptions};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_godwit");

/// More than any queue holds, and what a phone in a tunnel may miss of a busy group.
const EVENTS: usize = 100_000;
const STALL: Duration = Duration::from_secs(60);
/// Of a message's text, in bytes.
const TEXT_BYTES: usize = 500;
/// Messages of one call.
const BATCH: usize = 100;
/// Calls under way at once: the items of one follow one another, so only many keep the store busy.
const SENDERS: usize = 40;

/// Sent before, in another conversation: by then the store's memtables are as large as they get, which has
/// nothing to do with readers.
const WARM_UP: usize = 40_000;

/// What the server may hold more at the end of the stall than before it. The reader's queue may have 256 KiB;
/// the rest is for an allocator and a store that are not the same to the megabyte at any two times. The events
/// that wait are about 85 MB: a server that kept half of them would be beyond it.
const HELD_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// What it may reach beyond that before, while the events are written and read again: memtables and
/// compaction, 40 calls with 100 messages each, and the store's cache of 64 MiB, which the replay fills.
const PEAK_BYTES_MAX: u64 = 192 * 1024 * 1024;

async fn send(client: &Client, conversation: &str, name: &str, count: usize, text: &str) {
    for first in (0..count).step_by(BATCH) {
        let items = (first..count.min(first + BATCH)).map(|i| {
            let mut item = message(&format!("{name}-{i}"), text);
            item["conversation_id"] = json!(conversation);
            item
        });
        let outbox = json!({"messages": items.collect::<Vec<Value>>()});
        let answer = client.post("/v1/messages", outbox).await.expect(200);
        let all_stored = answer["results"].as_array().unwrap().iter().all(|result| result["status"] == 201);
        assert!(all_stored, "{answer}");
    }
}

/// Opens a live stream whose kernel buffer on our side is small, so that it stalls soon.
async fn open_small(client: &Client) -> EventStream {
    let options = StreamOptions { receive_buffer_bytes: Some(16 * 1024), ..Default::default() };
    let mut stream = client.stream_with(options).await.unwrap();
    stream.expect("ready").await;
    stream
}

/// Takes events up to and with the first for which `last` holds, into the history.
async fn read_until(
    stream: &mut EventStream,
    history: &History,
    id: StreamId,
    last: impl Fn(&Event) -> bool,
) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let event = stream.event().await;
        history.event(id, &event.event, &event.id, &event.data);
        let over = last(&event);
        events.push(event);
        if over {
            return events;
        }
    }
}

fn is_message(client_id: &str) -> impl Fn(&Event) -> bool {
    move |event| event.data["client_id"] == client_id
}

/// Sends so many messages from many callers at once.
async fn flood(client: &Client, conversation: &str, count: usize) {
    let sender = async |sender: usize| {
        let text = "x".repeat(TEXT_BYTES);
        send(client, conversation, &format!("s{sender}"), count / SENDERS, &text).await;
    };
    futures_util::future::join_all((0..SENDERS).map(sender)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stalls_for_a_minute_costs_its_queue_and_then_gets_everything() {
    let server = Server::start(PROGRAM);
    let ann = server.client("ann", "phone");
    let with_carl = ann.open_direct("carl").await;
    flood(&ann, &with_carl, WARM_UP).await;
    let before = server.resident_bytes();

    let conversation = ann.open_direct("bob").await;
    let mut stream = open_small(&server.client("bob", "phone")).await;
    let peak = server.watch_memory();
    let began = Instant::now();
    flood(&ann, &conversation, EVENTS).await;
    let sending = began.elapsed();
    tokio::time::sleep(STALL.saturating_sub(sending)).await;
    let stalled = began.elapsed();
    let at_end = server.resident_bytes();
    send(&ann, &conversation, "last", 1, "the last").await;

    let history = History::default();
    let id = history.opened("bob", "phone", None);
    let events = read_until(&mut stream, &history, id, is_message("last-0")).await;
    let (held, highest) = (at_end.saturating_sub(before), peak.bytes().saturating_sub(before));
    println!(
        "{EVENTS} events sent in {sending:.1?}, stalled for {stalled:.1?}, then read in {:.1?}; memory: {} MiB \
         before, at the end of the stall {} MiB more, at its highest {} MiB more",
        began.elapsed() - stalled,
        before >> 20,
        held >> 20,
        highest >> 20
    );
    assert!(held < HELD_BYTES_MAX, "{held} bytes");
    assert!(highest < PEAK_BYTES_MAX, "{highest} bytes");
    let count = |name: &str| events.iter().filter(|event| event.event == name).count();
    assert_eq!((count("message"), count("gap")), (EVENTS + 1, 0));
    history.check(&Expected::default()).unwrap_or_else(|violation| panic!("{violation}"));
}

/// A server with the least queue and this policy, a reader that stalls while more is sent than queue and
/// kernel hold (the kernel keeps up to 4 MiB for a sender), and their conversation.
async fn overflow(policy: &str) -> (Server, Client, String, EventStream) {
    let launch = Launch::dev(PROGRAM).env("GODWIT_STREAM__OVERFLOW", policy);
    let server = launch.env("GODWIT_STREAM__QUEUE_BYTES", "32KiB").start();
    let ann = server.client("ann", "phone");
    let conversation = ann.open_direct("bob").await;
    let stream = open_small(&server.client("bob", "phone")).await;
    send(&ann, &conversation, "flood", 800, &"x".repeat(12_000)).await;
    (server, ann, conversation, stream)
}

#[tokio::test]
async fn drop_oldest_says_what_it_dropped_and_shows_the_newest() {
    let (_server, ann, conversation, mut stream) = overflow("drop_oldest").await;
    send(&ann, &conversation, "last", 1, "the last").await;
    let history = History::default();
    let id = history.opened("bob", "phone", None);
    let events = read_until(&mut stream, &history, id, is_message("last-0")).await;
    let gaps: Vec<_> = events.iter().filter(|event| event.event == "gap").collect();
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap.data["reason"] == "dropped" && gap.id.is_empty()));
    assert!(events.iter().any(|event| event.data["client_id"] == "flood-799"), "the newest are kept");
    history.check(&Expected::default()).unwrap_or_else(|violation| panic!("{violation}"));
}

#[tokio::test]
async fn drop_newest_says_what_it_dropped() {
    let (_server, ann, conversation, mut stream) = overflow("drop_newest").await;
    let history = History::default();
    let id = history.opened("bob", "phone", None);
    let until_gap = read_until(&mut stream, &history, id, |event| event.event == "gap").await;
    let gap = until_gap.last().unwrap();
    assert_eq!((&gap.data["reason"], gap.id.as_str()), (&json!("dropped"), ""));
    // Once the queue is empty all that comes is shown again.
    send(&ann, &conversation, "last", 1, "the last").await;
    read_until(&mut stream, &history, id, is_message("last-0")).await;
    history.check(&Expected::default()).unwrap_or_else(|violation| panic!("{violation}"));
}

#[tokio::test]
async fn disconnect_says_slow_and_a_resume_has_the_rest() {
    let (server, _, _, mut stream) = overflow("disconnect").await;
    let bob = server.client("bob", "phone");
    let history = History::default();
    let id = history.opened("bob", "phone", None);
    let until_bye = read_until(&mut stream, &history, id, |event| event.event == "bye").await;
    let bye = until_bye.last().unwrap();
    assert_eq!((&bye.data["reason"], &bye.data["reconnect"]), (&json!("slow"), &json!(true)));
    assert_eq!(stream.end().await, End::Finished);

    let last = stream.last_event_id().to_owned();
    let id = history.opened("bob", "phone", Some(&last));
    let mut stream = bob.stream(Some(&last)).await;
    read_until(&mut stream, &history, id, is_message("flood-799")).await;
    history.check(&Expected::default()).unwrap_or_else(|violation| panic!("{violation}"));
}

#[tokio::test]
async fn a_quiet_stream_has_heartbeats() {
    let server = Server::start(PROGRAM);
    let options = StreamOptions { query: "heartbeat_s=15".into(), ..Default::default() };
    let mut stream = server.client("ann", "phone").stream_with(options).await.unwrap();
    assert_eq!(stream.expect("ready").await.data["heartbeat_ms"], 15_000);
    // 15 s ± 20 %, and as much again for a machine that is busy: at least one, and not one for each second.
    stream.expect_silence(Duration::from_secs(36)).await;
    assert!((1..=3).contains(&stream.comments), "{} heartbeats", stream.comments);
}

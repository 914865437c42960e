//! Streams: opened, cut in mid-flow and resumed, limited, ended with a reason.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use std::time::Duration;

use godwit_testkit::client::{encoded, message};
use godwit_testkit::history::{Expected, posted};
use godwit_testkit::stream::End;
use godwit_testkit::{Client, History, Launch, Server, StreamOptions};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_godwit");

async fn say_many(client: &Client, conversation: &str, range: std::ops::Range<usize>) -> Vec<Value> {
    let items = range.map(|i| {
        let mut item = message(&format!("k{i}"), &format!("text {i}"));
        item["conversation_id"] = json!(conversation);
        item
    });
    let answer =
        client.post("/v1/messages", json!({"messages": items.collect::<Vec<_>>()})).await.expect(200);
    let results = answer["results"].as_array().unwrap();
    results
        .iter()
        .map(|result| {
            assert_eq!(result["status"], 201, "{result}");
            result["message"].clone()
        })
        .collect()
}

fn after(id: &str) -> StreamOptions {
    StreamOptions { last_event_id: Some(id.to_owned()), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_cut_in_mid_flow_resumes_with_no_gap_and_no_repeat() {
    const BATCHES: usize = 40;
    const PER_BATCH: usize = 50;
    let server = Server::start(PROGRAM);
    let history = std::sync::Arc::new(History::default());
    let ann = server.client("ann", "phone");
    let bob = server.client("bob", "phone");
    let conversation = ann.open_direct("bob").await;
    let mut stream = bob.stream(None).await;
    let mut id = history.opened("bob", "phone", None);

    let writer = {
        let (history, conversation) = (history.clone(), conversation.clone());
        tokio::spawn(async move {
            for batch in 0..BATCHES {
                let range = batch * PER_BATCH..(batch + 1) * PER_BATCH;
                let sent = history.now();
                let answers = say_many(&ann, &conversation, range.clone()).await;
                let messages =
                    answers.iter().zip(range).map(|(answer, i)| posted(answer, &format!("k{i}")).unwrap());
                history.acknowledged_batch(sent, messages);
            }
        })
    };
    let mut messages = 0;
    // Cut at a different place each time: within a replay, at its end, within the live flow.
    let mut cut_after = 1;
    let mut taken = 0;
    while messages < BATCHES * PER_BATCH {
        let event = stream.event().await;
        history.event(id, &event.event, &event.id, &event.data);
        messages += usize::from(event.event == "message");
        taken += 1;
        if taken == cut_after {
            let last = stream.last_event_id().to_owned();
            if cut_after % 2 == 0 {
                stream.reset()
            } else {
                drop(stream)
            }
            id = history.opened("bob", "phone", Some(&last));
            stream = bob.stream(Some(&last)).await;
            (taken, cut_after) = (0, cut_after % 83 + 7);
        }
    }
    writer.await.unwrap();
    let expected = Expected {
        members: vec![(conversation, vec!["bob".into()])],
        complete: vec![("bob".into(), "phone".into())],
    };
    let checked = history.check(&expected).unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!(checked.deliveries, BATCHES * PER_BATCH, "{checked:?}");
    assert!(checked.resumes > 20, "{checked:?}");
}

#[tokio::test]
async fn the_head_of_a_stream_is_as_the_contract_says() {
    let server = Server::start(PROGRAM);
    let mut stream = server.client("ann", "phone").stream(None).await;
    let header = |name: &str| stream.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    assert_eq!(header("content-type"), "text/event-stream");
    assert_eq!(header("cache-control"), "no-store, no-transform");
    assert_eq!(header("x-accel-buffering"), "no");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("content-encoding"), "");
    let ready = stream.expect("ready").await;
    assert!(stream.retry_ms.is_some_and(|ms| (1000..=5000).contains(&ms)), "{:?}", stream.retry_ms);
    assert_eq!(ready.data["heartbeat_ms"], 25_000);
    assert!(ready.id.starts_with("0-0-") && ready.data["head"] == json!(ready.id), "{ready:?}");
    for field in ["connection", "expires_at", "server_time"] {
        assert!(ready.data[field].is_string(), "{field} of {ready:?}");
    }
}

#[tokio::test]
async fn a_resume_says_caught_up_and_only_what_a_resume_may_start_from_has_an_id() {
    let server = Server::start(PROGRAM);
    let ann = server.client("ann", "phone");
    let bob = server.client("bob", "phone");
    let conversation = ann.open_direct("bob").await;
    let mut live = bob.stream(None).await;
    let start = live.expect("ready").await.id;
    say_many(&ann, &conversation, 0..3).await;
    live.messages(3).await;

    let mut stream = bob.stream(Some(&start)).await;
    let ready = stream.expect("ready").await;
    assert_eq!((ready.id.as_str(), &ready.data["replaying"]), ("", &json!(true)));
    let replayed = stream.messages(3).await;
    let caught_up = stream.expect("caught_up").await;
    assert_eq!((&caught_up.id, &caught_up.data["head"]), (&replayed[2].id, &json!(replayed[2].id)));

    let mut again = bob.stream(Some(&caught_up.id)).await;
    let ready = again.expect("ready").await;
    assert_eq!(ready.id, "", "{ready:?}");
    assert_eq!(
        again.expect("caught_up").await.id,
        caught_up.id,
        "nothing to replay: the id that was asked for"
    );
    say_many(&ann, &conversation, 3..4).await;
    assert_eq!(again.expect("message").await.data["client_id"], "k3");
}

#[tokio::test]
async fn the_header_wins_over_the_query_and_the_query_will_do() {
    let server = Server::start(PROGRAM);
    let ann = server.client("ann", "phone");
    let conversation = ann.open_direct("bob").await;
    let mut live = ann.stream(None).await;
    let start = live.expect("ready").await.id;
    say_many(&ann, &conversation, 0..2).await;
    let newest = live.messages(2).await[1].id.clone();

    let in_query = |id: &str| format!("last_event_id={}", encoded(id));
    let options = StreamOptions { query: in_query(&start), token_in_query: true, ..Default::default() };
    let mut stream = ann.stream_with(options).await.unwrap();
    stream.expect("ready").await;
    assert_eq!(stream.messages(2).await[1].id, newest);
    let both = StreamOptions { query: in_query(&start), ..after(&newest) };
    let mut stream = ann.stream_with(both).await.unwrap();
    stream.expect("ready").await;
    stream.expect("caught_up").await;
}

#[tokio::test]
async fn a_third_stream_of_a_device_closes_the_oldest() {
    let server = Server::start(PROGRAM);
    let ann = server.client("ann", "phone");
    let mut streams = [ann.stream(None).await, ann.stream(None).await, ann.stream(None).await];
    let mut tablet = server.client("ann", "tablet").stream(None).await;
    let conversation = ann.open_direct("bob").await;
    say_many(&ann, &conversation, 0..1).await;

    streams[0].expect("ready").await;
    let bye = streams[0].expect("bye").await;
    assert_eq!((&bye.data["reason"], &bye.data["reconnect"]), (&json!("replaced"), &json!(false)));
    assert_eq!(streams[0].retry_ms, Some(3_600_000), "a client that comes back would close another one");
    assert_eq!((streams[0].end().await, bye.id.as_str()), (End::Finished, ""));
    for stream in streams[1..].iter_mut().chain([&mut tablet]) {
        stream.expect("ready").await;
        stream.expect("conversation").await;
        stream.expect("message").await;
    }
}

#[tokio::test]
async fn more_streams_than_an_account_may_have_are_told_to_come_later() {
    let server = Launch::dev(PROGRAM).env("GODWIT_LIMITS__STREAMS_PER_ACCOUNT", 3).start();
    let mut open = Vec::new();
    for i in 0..3 {
        let mut stream = server.client("ann", &format!("device-{i}")).stream(None).await;
        stream.expect("ready").await;
        open.push(stream);
    }
    let late = server.client("ann", "device-3");
    let mut refused = late.stream(None).await;
    let bye = refused.expect("bye").await;
    assert_eq!((&bye.data["reason"], &bye.data["reconnect"]), (&json!("limit"), &json!(true)));
    assert_eq!(bye.data["retry_ms"].as_u64(), refused.retry_ms);
    assert_eq!(refused.end().await, End::Finished);
    server.client("bob", "phone").stream(None).await.expect("ready").await;

    open.remove(0).reset();
    let mut next = late.stream(None).await;
    // The server notices the reset when it does; until then the limit holds.
    while next.event().await.event != "ready" {
        tokio::time::sleep(Duration::from_millis(20)).await;
        next = late.stream(None).await;
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let server = Launch::dev(PROGRAM).env("GODWIT_AUTH__LEEWAY_S", 0).start();
    let ann = server.client("ann", "phone");
    let mut stream = ann.with_token(server.tokens().sign_for("ann", "phone", 2)).stream(None).await;
    stream.expect("ready").await;
    let bye = stream.expect("bye").await;
    assert_eq!((&bye.data["reason"], &bye.data["reconnect"]), (&json!("token_expired"), &json!(false)));
    assert_eq!((stream.retry_ms, stream.end().await), (Some(3_600_000), End::Finished));
}

#[tokio::test]
async fn a_deleted_device_is_told_and_then_stopped_for_good() {
    let server = Server::start(PROGRAM);
    let phone = server.client("ann", "phone");
    let tablet = server.client("ann", "tablet");
    let mut of_phone = phone.stream(None).await;
    of_phone.expect("ready").await;
    let mut of_tablet = tablet.stream(None).await;
    of_tablet.expect("ready").await;
    tablet.delete("/v1/devices/phone").await.expect(204);

    let bye = of_phone.expect("bye").await;
    assert_eq!((&bye.data["reason"], &bye.data["reconnect"]), (&json!("revoked"), &json!(false)));
    assert_eq!(of_phone.end().await, End::Finished);
    let refused = phone.stream_with(StreamOptions::default()).await.unwrap_err();
    assert_eq!((refused.status, refused.body.len()), (204, 0), "this stops an EventSource: {refused:?}");
    tablet.open_direct("bob").await;
    of_tablet.expect("conversation").await;
}

#[tokio::test]
async fn an_id_that_never_was_leads_to_a_gap_and_then_all_that_is_held() {
    let server = Server::start(PROGRAM);
    let ann = server.client("ann", "phone");
    let bob = server.client("bob", "phone");
    let conversation = ann.open_direct("bob").await;
    let mut live = bob.stream(None).await;
    live.expect("ready").await;
    say_many(&ann, &conversation, 0..3).await;
    let newest = live.messages(3).await[2].id.clone();

    let of_another = ann.stream(None).await.expect("ready").await.id;
    let [epoch, n, tag] = newest.split('-').collect::<Vec<_>>()[..] else { panic!("{newest}") };
    let n: u64 = n.parse().unwrap();
    let from_the_future = format!("{epoch}-{}-{tag}", n + 1);
    let of_a_lost_epoch = format!("{}-{n}-{tag}", u64::MAX);
    for requested in [of_another, from_the_future, of_a_lost_epoch] {
        let mut stream = bob.stream(Some(&requested)).await;
        stream.expect("ready").await;
        let gap = stream.expect("gap").await;
        assert_eq!((&gap.data["reason"], &gap.data["requested"]), (&json!("unknown"), &json!(requested)));
        assert_eq!((&gap.data["head"], gap.id.as_str()), (&json!(newest), ""));
        let first = stream.expect("conversation").await;
        assert_eq!(gap.data["held_from"], json!(first.id));
        assert_eq!(stream.messages(3).await[2].id, newest);
        assert_eq!(stream.expect("caught_up").await.id, newest);
    }
}

#[tokio::test]
async fn below_the_retention_a_resume_says_gap_and_shows_all_that_is_held() {
    // The least that a server can be told to keep.
    const KEPT: usize = 10_000;
    const SENT: usize = 12_000;
    let server = Launch::dev(PROGRAM).env("GODWIT_RETENTION__INBOX_EVENTS", KEPT).start();
    let ann = server.client("ann", "phone");
    let bob = server.client("bob", "phone");
    let conversation = ann.open_direct("bob").await;
    let mut live = bob.stream(None).await;
    let start = live.expect("ready").await.id;
    for first in (0..SENT).step_by(100) {
        say_many(&ann, &conversation, first..first + 100).await;
    }
    // It did not read for a while, so it may have a gap of its own; the last one says that all are there.
    let newest = format!("k{}", SENT - 1);
    while live.event().await.data["client_id"] != newest {}
    let mut stream = bob.stream(Some(&start)).await;
    let until_gap = stream.until("gap").await;
    let gap = &until_gap.last().unwrap().data;
    assert_eq!((&gap["reason"], &gap["requested"]), (&json!("expired"), &json!(start)), "{until_gap:?}");
    let first = stream.event().await;
    assert_eq!(gap["held_from"], json!(first.id));
    let history = History::default();
    let id = history.opened("bob", "phone", Some(&start));
    for event in until_gap.iter().chain([&first]) {
        history.event(id, &event.event, &event.id, &event.data);
    }
    let mut held = 1;
    for event in stream.until("caught_up").await {
        history.event(id, &event.event, &event.id, &event.data);
        held += usize::from(event.event == "message");
    }
    // Retention works in steps, and never takes more than it may.
    assert!((KEPT..SENT).contains(&held), "{held} events are held");
    history.check(&Expected::default()).unwrap_or_else(|violation| panic!("{violation}"));
    // What is still held is no gap.
    let mut stream = bob.stream(Some(&first.id)).await;
    stream.expect("ready").await;
    stream.expect("message").await;
}

#[tokio::test]
async fn options_are_checked() {
    let server = Server::start(PROGRAM);
    let ann = server.client("ann", "phone");
    let with = |query: &str| StreamOptions { query: query.to_owned(), ..Default::default() };
    let mut stream =
        ann.stream_with(with("heartbeat_s=300&exclude=typing,presence&state=background")).await.unwrap();
    assert_eq!(stream.expect("ready").await.data["heartbeat_ms"], 300_000);
    for (wrong, pointer) in [
        ("heartbeat_s=14", "?heartbeat_s"),
        ("heartbeat_s=301", "?heartbeat_s"),
        ("heartbeat_s=x", "?heartbeat_s"),
        ("exclude=message", "?exclude"),
        ("state=asleep", "?state"),
    ] {
        let answer = ann.stream_with(with(wrong)).await.unwrap_err();
        assert_eq!(answer.expect_problem(400, "invalid_request")["errors"][0]["pointer"], pointer, "{wrong}");
    }
}

//! Messages from device to device: sent, received, sent again, sent as a batch, read back.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use godwit_testkit::client::{message, messages_path};
use godwit_testkit::{Event, Server};
use serde_json::{Value, json};

fn server() -> Server {
    Server::start(env!("CARGO_BIN_EXE_godwit"))
}

fn texts(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.data["body"]["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn two_accounts_on_three_devices_receive_what_is_sent() {
    let server = server();
    let phone = server.client("ann", "phone");
    let tablet = server.client("ann", "tablet");
    let bob = server.client("bob", "phone");
    let mut streams = [phone.stream(None).await, tablet.stream(None).await, bob.stream(None).await];
    for stream in &mut streams {
        let ready = stream.expect("ready").await;
        assert_eq!((&ready.data["replaying"], &ready.data["head"]), (&json!(false), &json!(ready.id)));
    }

    let conversation = phone.open_direct("bob").await;
    let posted = phone.say(&conversation, "k1", "hello").await.expect(201);
    let answered = bob.say(&conversation, "k1", "hello yourself").await.expect(201);

    for stream in &mut streams {
        let created = stream.expect("conversation").await;
        assert_eq!((&created.data["change"], &created.data["seq"]), (&json!("created"), &json!(1)));
        let hello = stream.expect("message").await;
        for field in ["id", "conversation_id", "seq", "sender", "sent_at"] {
            assert_eq!(hello.data[field], posted[field], "{field}");
        }
        assert_eq!(hello.data["body"], json!({"type": "text", "text": "hello"}));
        assert_eq!((&hello.data["client_id"], &hello.data["sender"]), (&json!("k1"), &json!("ann")));
        let reply = stream.expect("message").await;
        assert_eq!((&reply.data["id"], &reply.data["sender"]), (&answered["id"], &json!("bob")));
        assert!(!hello.id.is_empty() && hello.id != reply.id, "{hello:?} {reply:?}");
    }
}

#[tokio::test]
async fn a_body_arrives_as_it_was_written_whatever_it_says() {
    let server = server();
    let ann = server.client("ann", "phone");
    let mut stream = server.client("bob", "phone").stream(None).await;
    stream.expect("ready").await;
    let conversation = ann.open_direct("bob").await;
    stream.expect("conversation").await;
    let bodies = [
        json!({"type": "text", "text": "line\nline\r\nline\u{2028}data: x\n\nid: 7"}),
        json!({"type": "x.sealed", "ciphertext": "A".repeat(12_000), "n": [1, 2.5, null, {"deep": true}]}),
        json!({"type": "text", "text": "\u{feff}\u{0}🦀 ü \"quoted\" \\"}),
    ];
    for (i, body) in bodies.iter().enumerate() {
        let request = json!({"client_id": format!("k{i}"), "body": body, "reply_to": 1, "mentions": ["bob"]});
        ann.post(&messages_path(&conversation), request).await.expect(201);
        let event = stream.expect("message").await;
        assert_eq!(event.data["body"], *body);
        assert_eq!((&event.data["reply_to"], &event.data["mentions"]), (&json!(1), &json!(["bob"])));
    }
}

#[tokio::test]
async fn the_same_client_id_twice_is_one_message() {
    let server = server();
    let ann = server.client("ann", "phone");
    let bob = server.client("bob", "phone");
    let mut stream = bob.stream(None).await;
    stream.expect("ready").await;
    let conversation = ann.open_direct("bob").await;
    stream.expect("conversation").await;

    let first = ann.say(&conversation, "k1", "once").await.expect(201);
    assert_eq!(ann.say(&conversation, "k1", "once").await.expect(200), first);
    let other_device = server.client("ann", "tablet");
    assert_eq!(other_device.say(&conversation, "k1", "once").await.expect(200), first);
    ann.say(&conversation, "k1", "twice").await.expect_problem(409, "client_id_reused");
    let of_bob = bob.say(&conversation, "k1", "once").await.expect(201);
    assert_ne!(of_bob["id"], first["id"], "another sender's client_id is another message");

    assert_eq!(stream.expect("message").await.data["id"], first["id"]);
    assert_eq!(stream.expect("message").await.data["id"], of_bob["id"]);
    let history = bob.get(&messages_path(&conversation)).await.expect(200);
    assert_eq!(history["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn many_at_once_with_one_client_id_are_one_message() {
    let server = server();
    let ann = server.client("ann", "phone");
    let conversation = ann.open_direct("bob").await;
    let tries: Vec<_> = (0..20)
        .map(|_| {
            let (ann, conversation) = (ann.clone(), conversation.clone());
            tokio::spawn(async move { ann.say(&conversation, "k1", "once").await })
        })
        .collect();
    let mut statuses = Vec::new();
    let mut ids = Vec::new();
    for attempt in tries {
        let answer = attempt.await.unwrap();
        statuses.push(answer.status);
        ids.push(answer.json()["id"].clone());
    }
    statuses.sort_unstable();
    assert_eq!((statuses[0], statuses[18], statuses[19]), (200, 200, 201), "{statuses:?}");
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
}

#[tokio::test]
async fn in_a_batch_a_bad_item_fails_alone_and_order_holds() {
    let server = server();
    let ann = server.client("ann", "phone");
    let bob = server.client("bob", "phone");
    let with_bob = ann.open_direct("bob").await;
    let with_carl = ann.open_direct("carl").await;
    let mut stream = bob.stream(None).await;
    stream.expect("ready").await;

    let item = |conversation: &str, client_id: &str, text: &str| {
        let mut item = message(client_id, text);
        item["conversation_id"] = json!(conversation);
        item
    };
    let outbox = json!({"messages": [
        item(&with_bob, "k1", "first"),
        {"conversation_id": with_bob, "client_id": "k2", "body": {"text": "no type"}},
        item("gnothinghere", "k3", "nowhere"),
        item(&with_carl, "k4", "elsewhere"),
        item(&with_bob, "k1", "first"),
        item(&with_bob, "k5", "second"),
        42,
    ]});
    let results = ann.post("/v1/messages", outbox).await.expect(200)["results"].clone();
    let statuses: Vec<&Value> = results.as_array().unwrap().iter().map(|result| &result["status"]).collect();
    assert_eq!(json!(statuses), json!([201, 400, 404, 201, 200, 201, 400]), "{results}");
    assert_eq!(results[1]["problem"]["code"], "invalid_request");
    assert_eq!(results[2]["problem"]["code"], "not_found");
    assert_eq!(results[0]["message"], results[4]["message"]);
    assert_eq!(texts(&stream.messages(2).await), ["first", "second"]);
}

#[tokio::test]
async fn a_batch_has_bounds() {
    let server = server();
    let ann = server.client("ann", "phone");
    let conversation = ann.open_direct("bob").await;
    let batch = |count: usize| {
        let items = (0..count).map(|i| {
            let mut item = message(&format!("k{i}"), "hello");
            item["conversation_id"] = json!(conversation);
            item
        });
        json!({"messages": items.collect::<Vec<_>>()})
    };
    let results = ann.post("/v1/messages", batch(100)).await.expect(200);
    assert_eq!(results["results"].as_array().unwrap().len(), 100);
    let problem = ann.post("/v1/messages", batch(101)).await.expect_problem(400, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/messages");
    assert_eq!(ann.post("/v1/messages", batch(0)).await.expect(200)["results"], json!([]));
}

#[tokio::test]
async fn history_is_paged_by_seq_newest_last() {
    let server = server();
    let ann = server.client("ann", "phone");
    let conversation = ann.open_direct("bob").await;
    for i in 2..=13 {
        let posted = ann.say(&conversation, &format!("k{i}"), &format!("text {i}")).await.expect(201);
        assert_eq!(posted["seq"], i, "seq counts every change from 1: the conversation's opening is 1");
    }
    let bob = server.client("bob", "phone");
    let page = async |query: &str| {
        let page = bob.get(&format!("{}?{query}", messages_path(&conversation))).await.expect(200);
        let seqs =
            page["messages"].as_array().unwrap().iter().map(|message| message["seq"].as_u64().unwrap());
        (seqs.collect::<Vec<u64>>(), page["more"].as_bool().unwrap())
    };
    assert_eq!(page("").await, ((2..=13).collect(), false));
    assert_eq!(page("limit=3").await, (vec![11, 12, 13], true));
    assert_eq!(page("limit=3&before=5").await, (vec![2, 3, 4], false));
    assert_eq!(page("limit=3&after=5").await, (vec![6, 7, 8], true));
    assert_eq!(page("after=12").await, (vec![13], false));
    assert_eq!(page("after=13").await, (vec![], false));
    assert_eq!(page("before=2").await, (vec![], false));

    let one = bob.get(&format!("{}/7", messages_path(&conversation))).await.expect(200);
    assert_eq!((&one["body"]["text"], &one["client_id"]), (&json!("text 7"), &json!("k7")));
    for nothing in ["1", "14", "0"] {
        let path = format!("{}/{nothing}", messages_path(&conversation));
        bob.get(&path).await.expect_problem(404, "not_found");
    }
}

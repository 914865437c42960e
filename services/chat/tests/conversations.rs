//! Conversations: who may see, change, enter and leave them.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use godwit_testkit::client::{message, messages_path};
use godwit_testkit::{Client, Server};
use serde_json::{Value, json};

fn server() -> Server {
    Server::start(env!("CARGO_BIN_EXE_godwit"))
}

fn path(conversation: &str) -> String {
    format!("/v1/conversations/{conversation}")
}

fn member_path(conversation: &str, account: &str) -> String {
    format!("/v1/conversations/{conversation}/members/{account}")
}

/// Members and their roles, in the order in which they joined.
async fn members(client: &Client, conversation: &str) -> Vec<(String, String)> {
    let answer = client.get(&format!("{}/members", path(conversation))).await.expect(200);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let members = answer["members"].as_array().unwrap();
    members.iter().map(|member| (text(&member["account"]), text(&member["role"]))).collect()
}

fn roles(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|&(account, role)| (account.to_owned(), role.to_owned())).collect()
}

#[tokio::test]
async fn a_direct_conversation_is_one_however_often_and_from_whichever_end_it_is_opened() {
    let server = server();
    let ann = server.client("ann", "phone");
    let bob = server.client("bob", "phone");
    let opened =
        ann.post("/v1/conversations", json!({"kind": "direct", "members": ["bob"]})).await.expect(201);
    assert_eq!((&opened["kind"], &opened["member_count"]), (&json!("direct"), &json!(2)));
    assert_eq!((&opened["last_seq"], &opened["unread"]), (&json!(1), &json!(0)));
    let again =
        bob.post("/v1/conversations", json!({"kind": "direct", "members": ["ann"]})).await.expect(200);
    assert_eq!(again["id"], opened["id"]);
    let named_both =
        ann.post("/v1/conversations", json!({"kind": "direct", "members": ["bob", "ann"]})).await.expect(200);
    assert_eq!(named_both["id"], opened["id"]);
}

#[tokio::test]
async fn a_direct_conversation_cannot_be_changed() {
    let server = server();
    let ann = server.client("ann", "phone");
    let conversation = ann.open_direct("bob").await;
    let attempts = [
        ann.patch(&path(&conversation), json!({"title": "us"})).await,
        ann.put(&member_path(&conversation, "carl"), json!({})).await,
        ann.delete(&member_path(&conversation, "bob")).await,
        ann.delete(&member_path(&conversation, "ann")).await,
    ];
    for attempt in attempts {
        attempt.expect_problem(409, "direct_unchangeable");
    }
    for members in [json!([]), json!(["bob", "carl"]), json!(["ann"])] {
        let answer = ann.post("/v1/conversations", json!({"kind": "direct", "members": members})).await;
        let problem = answer.expect_problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], "/members", "{members}");
    }
}

#[tokio::test]
async fn a_conversation_is_hidden_from_who_is_no_member() {
    let server = server();
    let ann = server.client("ann", "phone");
    let conversation = ann.open_group("g1", &["bob"]).await;
    ann.say(&conversation, "k1", "secret").await.expect(201);
    let eve = server.client("eve", "phone");

    // What she gets for the real one is what she gets for one that does not exist.
    let mut answers = Vec::new();
    for id in [conversation.as_str(), "gdoesnotexist"] {
        let calls = [
            eve.get(&path(id)).await,
            eve.patch(&path(id), json!({"title": "mine"})).await,
            eve.get(&format!("{}/members", path(id))).await,
            eve.put(&member_path(id, "eve"), json!({"role": "owner"})).await,
            eve.delete(&member_path(id, "ann")).await,
            eve.delete(&member_path(id, "eve")).await,
            eve.say(id, "k1", "let me in").await,
            eve.get(&messages_path(id)).await,
            eve.get(&format!("{}/2", messages_path(id))).await,
        ];
        answers.push(calls.map(|answer| answer.expect_problem(404, "not_found").to_string()));
    }
    assert_eq!(answers[0], answers[1]);
    let list = eve.get("/v1/conversations").await.expect(200);
    assert_eq!(list["conversations"], json!([]));
}

#[tokio::test]
async fn a_group_is_made_once_for_a_client_id() {
    let server = server();
    let ann = server.client("ann", "phone");
    let request = json!({"kind": "group", "members": ["bob"], "title": "crew", "client_id": "g1"});
    let made = ann.post("/v1/conversations", request.clone()).await.expect(201);
    assert_eq!((&made["title"], &made["kind"]), (&json!("crew"), &json!("group")));
    assert_eq!(ann.post("/v1/conversations", request).await.expect(200)["id"], made["id"]);
    let without = json!({"kind": "group", "members": ["bob"]});
    let problem = ann.post("/v1/conversations", without).await.expect_problem(400, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/client_id");
    let expected = roles(&[("ann", "owner"), ("bob", "member")]);
    assert_eq!(members(&ann, made["id"].as_str().unwrap()).await, expected);
}

#[tokio::test]
async fn owners_change_a_group_and_members_do_not() {
    let server = server();
    let ann = server.client("ann", "phone");
    let bob = server.client("bob", "phone");
    let group = ann.open_group("g1", &["bob"]).await;

    bob.patch(&path(&group), json!({"title": "mine"})).await.expect_problem(403, "not_owner");
    bob.put(&member_path(&group, "carl"), json!({})).await.expect_problem(403, "not_owner");
    bob.delete(&member_path(&group, "ann")).await.expect_problem(403, "not_owner");

    let renamed = ann.patch(&path(&group), json!({"title": "crew"})).await.expect(200);
    assert_eq!(renamed["title"], "crew");
    for _ in 0..2 {
        ann.put(&member_path(&group, "carl"), json!({})).await.expect(204);
    }
    ann.put(&member_path(&group, "bob"), json!({"role": "owner"})).await.expect(204);
    bob.put(&member_path(&group, "dora"), json!({})).await.expect(204);
    let all = [("ann", "owner"), ("bob", "owner"), ("carl", "member"), ("dora", "member")];
    assert_eq!(members(&bob, &group).await, roles(&all));
    for _ in 0..2 {
        bob.delete(&member_path(&group, "dora")).await.expect(204);
    }
    assert_eq!(members(&bob, &group).await, roles(&all[..3]));
    let taken_away = ann.patch(&path(&group), json!({"title": null})).await.expect(200);
    assert!(taken_away.get("title").is_none_or(Value::is_null), "{taken_away}");
}

#[tokio::test]
async fn when_the_last_owner_leaves_the_longest_standing_member_is_owner() {
    let server = server();
    let [ann, bob, carl] = ["ann", "bob", "carl"].map(|account| server.client(account, "phone"));
    let group = ann.open_group("g1", &["bob", "carl"]).await;
    ann.delete(&member_path(&group, "ann")).await.expect(204);
    ann.get(&path(&group)).await.expect_problem(404, "not_found");
    assert_eq!(members(&carl, &group).await, roles(&[("bob", "owner"), ("carl", "member")]));
    bob.patch(&path(&group), json!({"title": "ours now"})).await.expect(200);
}

#[tokio::test]
async fn who_leaves_gets_that_event_and_nothing_after_it() {
    let server = server();
    let ann = server.client("ann", "phone");
    let bob = server.client("bob", "phone");
    let mut of_bob = bob.stream(None).await;
    let mut of_carl = server.client("carl", "phone").stream(None).await;
    of_bob.expect("ready").await;
    of_carl.expect("ready").await;
    let group = ann.open_group("g1", &["bob", "carl"]).await;
    of_bob.expect("conversation").await;
    of_carl.expect("conversation").await;

    ann.delete(&member_path(&group, "bob")).await.expect(204);
    ann.say(&group, "k1", "he is gone").await.expect(201);
    // Its own news comes later than what the group said: nothing of that may come in between.
    let elsewhere = bob.open_direct("ann").await;

    let removed = of_bob.expect("conversation").await;
    assert_eq!(removed.data["change"], "removed");
    assert_eq!((&removed.data["account"], &removed.data["by"]), (&json!("bob"), &json!("ann")));
    let next = of_bob.expect("conversation").await;
    assert_eq!(next.data["conversation_id"], json!(elsewhere));
    let told = of_carl.expect("conversation").await;
    assert_eq!((&told.data["change"], &told.data["account"]), (&json!("member_removed"), &json!("bob")));
    assert_eq!(of_carl.expect("message").await.data["body"]["text"], "he is gone");
    bob.get(&messages_path(&group)).await.expect_problem(404, "not_found");
    let list = bob.get("/v1/conversations").await.expect(200);
    assert_eq!(list["conversations"].as_array().unwrap().len(), 1, "{list}");
}

#[tokio::test]
async fn who_joins_gets_what_comes_after() {
    let server = server();
    let ann = server.client("ann", "phone");
    let group = ann.open_group("g1", &["bob"]).await;
    ann.say(&group, "k1", "before").await.expect(201);
    let carl = server.client("carl", "phone");
    let mut stream = carl.stream(None).await;
    stream.expect("ready").await;
    ann.put(&member_path(&group, "carl"), json!({})).await.expect(204);
    ann.say(&group, "k2", "after").await.expect(201);
    let added = stream.expect("conversation").await;
    assert_eq!((&added.data["change"], &added.data["account"]), (&json!("member_added"), &json!("carl")));
    assert_eq!(added.data["conversation"]["member_count"], 3);
    assert_eq!(stream.expect("message").await.data["body"]["text"], "after");
}

#[tokio::test]
async fn members_are_paged_in_the_order_in_which_they_joined() {
    let server = server();
    let ann = server.client("ann", "phone");
    let others: Vec<String> = (0..120).map(|i| format!("member-{i:03}")).collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    let group = ann.open_group("g1", &others).await;
    let shown = ann.get(&path(&group)).await.expect(200);
    assert_eq!((&shown["member_count"], shown["members"].as_array().unwrap().len()), (&json!(121), 50));
    let mut all = Vec::new();
    let mut query = String::new();
    loop {
        let page = ann.get(&format!("{}/members{query}", path(&group))).await.expect(200);
        all.extend(page["members"].as_array().unwrap().iter().map(|member| member["account"].clone()));
        match page["next"].as_str() {
            Some(next) => query = format!("?cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<&str> = std::iter::once("ann").chain(others).collect();
    assert_eq!(json!(all), json!(expected));
}

#[tokio::test]
async fn the_list_is_newest_first_with_a_head_that_a_stream_can_start_from() {
    let server = server();
    let ann = server.client("ann", "phone");
    let mut live = ann.stream(None).await;
    live.expect("ready").await;
    let mut ids = Vec::new();
    for other in ["bob", "carl", "dora"] {
        ids.push(ann.open_direct(other).await);
    }
    server.client("bob", "phone").say(&ids[0], "k1", "newest").await.expect(201);
    live.messages(1).await;
    let first = ann.get("/v1/conversations?limit=2").await.expect(200);
    let id = |page: &Value, i: usize| page["conversations"][i]["id"].as_str().unwrap().to_owned();
    assert_eq!([id(&first, 0), id(&first, 1)], [ids[0].clone(), ids[2].clone()]);
    assert_eq!(first["conversations"][0]["last_message"]["body"]["text"], "newest");
    assert_eq!(first["conversations"][0]["unread"], 1);
    let next = first["next"].as_str().unwrap();
    let second = ann.get(&format!("/v1/conversations?limit=2&cursor={next}")).await.expect(200);
    assert_eq!((id(&second, 0), second["conversations"].as_array().unwrap().len()), (ids[1].clone(), 1));
    assert!(second.get("next").is_none_or(Value::is_null), "{second}");

    ann.post(&messages_path(&ids[1]), message("k2", "after the list")).await.expect(201);
    let mut stream = ann.stream(first["head"].as_str()).await;
    stream.expect("ready").await;
    assert_eq!(stream.messages(1).await[0].data["body"]["text"], "after the list");
}

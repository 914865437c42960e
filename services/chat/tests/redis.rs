//! Nodes with a Redis beside them: what they share, and what becomes of it when Redis goes.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use std::process::Command;
use std::time::{Duration, Instant};

use godwit_servers::environment;
use godwit_servers::redis::{self, Temporary};
use godwit_testkit::{Client, Launch, Server, StreamOptions};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_godwit");
/// Reconnecting takes up to 5 s, a refresh of presence less.
const PATIENCE: Duration = Duration::from_secs(15);

/// A server of the test's own, if this suite may start one.
fn start_redis(suite: &str, password: Option<&str>) -> Option<Temporary<redis::Server>> {
    environment::redis(suite)?;
    let password = password.map(str::to_owned);
    Some(Temporary::server(redis::Options { password, ..redis::Options::default() }).unwrap())
}

fn node(redis: &redis::Server) -> Launch {
    Launch::dev(PROGRAM).env("GODWIT_REDIS__URL", redis.url())
}

/// Waits until the node's metrics say that Redis serves it, or that it does not.
async fn until_redis_is(up: bool, server: &Server) {
    let expected = format!("godwit_redis_up {}", u8::from(up));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metrics = server.operator().get("/metrics").await;
        let text = String::from_utf8(metrics.body.to_vec()).unwrap();
        let said = text.lines().find(|line| line.starts_with("godwit_redis_up"));
        if said == Some(&expected) {
            return;
        }
        assert!(Instant::now() < deadline, "{said:?} and not {expected}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn presence(of: &str, asked_by: &Client) -> Value {
    let mut answer = asked_by.get(&format!("/v1/presence?accounts={of}")).await.expect(200);
    answer["presence"][0].take()
}

async fn until_presence(of: &str, asked_by: &Client, state: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let presence = presence(of, asked_by).await;
        if presence["state"] == state {
            return presence;
        }
        assert!(Instant::now() < deadline, "not {state}: {presence}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks the nodes in turn, and says how often they did not refuse.
async fn granted(clients: &[&Client], requests: usize) -> usize {
    let mut granted = 0;
    for client in clients.iter().cycle().take(requests) {
        let answer = client.get("/v1/devices").await;
        if answer.status == 200 {
            granted += 1;
        } else {
            answer.expect_problem(429, "rate_limited");
            let wait: u64 = answer.header("retry-after").parse().unwrap();
            assert!((1..=2).contains(&wait), "{wait}");
            assert_eq!(answer.header("ratelimit-policy"), "\"requests\";q=10;w=10");
            assert!(answer.header("ratelimit").starts_with("\"requests\";r=0;t="), "{answer:?}");
        }
    }
    granted
}

#[tokio::test]
async fn nodes_share_a_limit() {
    let Some(redis) = start_redis("nodes that share a limit", None) else { return };
    let limited = || {
        let launch = node(&redis).env("GODWIT_LIMITS__REQUESTS_PER_S", 1).env("GODWIT_LIMITS__BURST", 10);
        launch.start()
    };
    let (here, there) = (limited(), limited());
    let (ann_here, ann_there) = (here.client("ann", "phone"), there.client("ann", "web"));
    let start = Instant::now();
    let count = granted(&[&ann_here, &ann_there], 30).await;
    let most = 10 + start.elapsed().as_secs() as usize + 1;
    assert!((10..=most).contains(&count), "{count} of at most {most}");
    // Others are not held up, and a stream is never answered 429.
    assert_eq!(granted(&[&here.client("bob", "phone")], 5).await, 5);
    let mut stream = ann_there.stream_with(StreamOptions::default()).await.unwrap();
    stream.expect("ready").await;
}

#[tokio::test]
async fn every_message_of_an_outbox_counts() {
    let Some(redis) = start_redis("the limit of an outbox", None) else { return };
    let launch = node(&redis).env("GODWIT_LIMITS__MESSAGES_PER_S", 1).env("GODWIT_LIMITS__BURST", 10);
    let server = launch.start();
    let ann = server.client("ann", "phone");
    let conversation = ann.open_direct("bob").await;
    let outbox = |name: &str, count: usize| {
        let item = |n| json!({"conversation_id": conversation, "client_id": format!("{name}{n}"), "body": {"type": "x"}});
        json!({"messages": (0..count).map(item).collect::<Vec<_>>()})
    };
    ann.post("/v1/messages", outbox("a", 8)).await.expect(200);
    let refused = ann.post("/v1/messages", outbox("b", 8)).await;
    refused.expect_problem(429, "rate_limited");
    assert!(refused.header("ratelimit").starts_with("\"messages\";r="), "{refused:?}");
    ann.say(&conversation, "c", "one more is within it").await.expect(201);
}

#[tokio::test]
async fn presence_is_seen_by_all_nodes() {
    let Some(redis) = start_redis("presence on several nodes", None) else { return };
    let (here, there) = (node(&redis).start(), node(&redis).start());
    // Each node has a store of its own, so each learns that they know each other.
    for server in [&here, &there] {
        server.client("bob", "phone").open_direct("ann").await;
        server.client("bob", "phone").open_group("g", &["carol"]).await;
    }
    let bob = there.client("bob", "phone");
    assert_eq!(presence("ann", &bob).await, json!({"account": "ann", "state": "offline"}));
    let stream = here.client("ann", "phone").stream(None).await;
    let second = here.client("ann", "phone").stream(None).await;
    let seen = until_presence("ann", &bob, "online").await;
    assert!(seen["last_seen"].is_string(), "{seen}");
    let stranger = there.client("eve", "phone");
    assert_eq!(presence("ann", &stranger).await["state"], "offline", "whom one does not know is not there");
    let carol = here.client("carol", "phone").stream(None).await;
    until_presence("carol", &bob, "online").await;
    drop((stream, carol));
    until_presence("carol", &bob, "offline").await;
    assert_eq!(presence("ann", &bob).await["state"], "online", "the device has another stream");
    drop(second);
    until_presence("ann", &bob, "offline").await;
}

#[tokio::test]
async fn a_node_by_itself_knows_its_own() {
    let server = Server::start(PROGRAM);
    let bob = server.client("bob", "phone");
    bob.open_direct("ann").await;
    let stream = server.client("ann", "phone").stream(None).await;
    until_presence("ann", &bob, "online").await;
    drop(stream);
    let seen = until_presence("ann", &bob, "offline").await;
    assert!(seen["last_seen"].is_string(), "{seen}");
    bob.get("/v1/presence").await.expect_problem(400, "invalid_request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_redis_that_dies_takes_nothing_else_with_it() {
    let Some(mut redis) = start_redis("nodes without their redis", None) else { return };
    let launch = node(&redis).env("GODWIT_LIMITS__REQUESTS_PER_S", 1).env("GODWIT_LIMITS__BURST", 10);
    let server = launch.start();
    server.expect_log("redis is away");
    let [ann, bob] = ["ann", "bob"].map(|account| server.client(account, "phone"));
    let conversation = ann.open_direct("bob").await;
    let mut stream = bob.stream(None).await;
    stream.expect("ready").await;
    until_presence("bob", &ann, "online").await;
    until_redis_is(true, &server).await;

    redis.kill9().unwrap();
    until_redis_is(false, &server).await;
    // The bucket that Redis kept is gone with it: the node counts anew, for itself.
    let start = Instant::now();
    assert_eq!(presence("bob", &ann).await, json!({"account": "bob", "state": "unknown"}));
    ann.say(&conversation, "k1", "still here").await.expect(201);
    stream.expect("message").await;
    let count = granted(&[&ann], 15).await;
    let most = 8 + start.elapsed().as_secs() as usize + 1;
    assert!((8..=most).contains(&count), "{count} of at most {most}");

    redis.restart().unwrap();
    until_redis_is(true, &server).await;
    let other = server.client("bob", "web");
    // Few questions: they are counted too.
    let deadline = Instant::now() + PATIENCE;
    while presence("bob", &other).await["state"] != "online" {
        assert!(Instant::now() < deadline, "presence does not come back");
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
}

#[tokio::test]
async fn a_wrong_password_ends_the_start_with_69() {
    let Some(redis) = start_redis("nodes with a password for redis", Some("right")) else { return };
    let data = tempfile::tempdir().unwrap();
    let password = data.path().join("password");
    std::fs::write(&password, "wrong\n").unwrap();
    let launch = || node(&redis).env("GODWIT_REDIS__PASSWORD_FILE", password.display());
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GODWIT_")) {
        command.env_remove(name);
    }
    command.args(["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(data.path().join("data")).env("GODWIT_REDIS__URL", redis.url());
    command.env("GODWIT_REDIS__PASSWORD_FILE", &password).env("GODWIT_TELEMETRY__LOG", "off");
    let ended = command.output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(69), "{said}");
    assert!(said.starts_with("godwit: redis refuses this node") && said.lines().count() == 1, "{said}");
    std::fs::write(&password, "right\n").unwrap();
    launch().start().assert_serves().await;
}

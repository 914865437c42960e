//! Nodes on a database that they share: who serves, who stands by, and what a start does when the database
//! is not as it should be.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.

use std::process::{Command, Output};
use std::time::Duration;

use godwit_servers::cql;
use godwit_servers::environment::{self, CqlServer};
use godwit_testkit::client::{message, messages_path};
use godwit_testkit::server::keyspace;
use godwit_testkit::{Client, Launch, within};
use serde_json::json;

const PROGRAM: &str = env!("CARGO_BIN_EXE_godwit");
/// A takeover takes 1.1 leases of 1 s, and some hundred compare-and-sets on a busy machine.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(60);
/// A commit on a database that is busy with other tests.
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);

fn database(suite: &str) -> Option<CqlServer> {
    environment::cql(suite)
}

/// A node of this name, with a short lease.
fn node(database: &CqlServer, keyspace: &str, id: &str) -> Launch {
    Launch::dev(PROGRAM)
        .cql(database, keyspace, 1)
        .env("GODWIT_NODE__ID", id)
        .env("GODWIT_CLUSTER__LEASE_MS", 1_000)
}

/// Sends it until it is answered with success.
async fn say_until_answered(client: &Client, conversation: &str, client_id: &str) {
    let sending = async {
        loop {
            let answer = client.try_post(&messages_path(conversation), &message(client_id, "hello")).await;
            match answer {
                Ok(answer) if matches!(answer.status, 200 | 201) => return,
                Ok(answer) => assert_eq!(answer.status, 503, "{answer:?}"),
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(ARRIVES_WITHIN, client_id, sending).await;
}

async fn texts(client: &Client, conversation: &str) -> Vec<String> {
    let history = client.get(&messages_path(conversation)).await.expect(200);
    let messages = history["messages"].as_array().unwrap();
    messages.iter().map(|message| message["client_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_node_stands_by_and_takes_over_what_a_dead_one_had() {
    let Some(database) = database("standing by") else { return };
    let keyspace = keyspace("standby");
    let mut first = node(&database, &keyspace, "first").start();
    let (ann, bob) = (first.client("ann", "phone"), first.client("bob", "phone"));
    let conversation = ann.open_direct("bob").await;
    let mut stream = bob.stream(None).await;
    stream.expect("ready").await;
    ann.say(&conversation, "m1", "hello").await.expect(201);
    stream.messages(1).await;

    let second = node(&database, &keyspace, "second").begin();
    second.expect_log("a node was silent for longer than its lease");
    let reason = within(TAKEN_OVER_WITHIN, "a reason", async {
        loop {
            let reason = second.not_ready().await.unwrap_or_default();
            if reason.contains("first") {
                return reason;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(reason.await.contains("node first has the shards, this one stands by"));
    let elsewhere = second.client("ann", "phone");
    let refused = elsewhere.say(&conversation, "m2", "hello").await;
    refused.expect_problem(503, "overloaded");
    assert!(!refused.header("retry-after").is_empty(), "{refused:?}");
    let mut waiting = second.client("bob", "tablet").stream(None).await;

    first.kill9();
    second.ready_within(TAKEN_OVER_WITHIN).await;
    say_until_answered(&elsewhere, &conversation, "m2").await;
    assert_eq!(texts(&elsewhere, &conversation).await, ["m1", "m2"]);
    // A stream that was opened while the node stood by, and one that goes on where the dead node left off.
    within(ARRIVES_WITHIN, "the message", waiting.expect("ready")).await;
    let mut resumed = second.client("bob", "phone").stream(Some(stream.last_event_id())).await;
    let seen = within(ARRIVES_WITHIN, "the message", resumed.messages(1)).await;
    assert_eq!(seen[0].data["client_id"], "m2");

    // The dead node comes back and stands by, until the other gives up its session at the end of its drain.
    let mut second = second;
    let first = node(&database, &keyspace, "third").begin();
    first.expect_log("a node was silent for longer than its lease");
    assert_eq!(second.terminate(), Some(0));
    first.ready_within(TAKEN_OVER_WITHIN).await;
    assert_eq!(texts(&first.client("ann", "phone"), &conversation).await, ["m1", "m2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_that_start_at_one_moment_one_has_all() {
    let Some(database) = database("two nodes that start together") else { return };
    let keyspace = keyspace("together");
    let start = |id: &'static str| {
        let launch = node(&database, &keyspace, id);
        tokio::task::spawn_blocking(move || launch.begin())
    };
    let (mut first, mut second) = tokio::try_join!(start("first"), start("second")).unwrap();
    // On a busy machine one of them may be back before the other has begun its session anew.
    first.expect_log("a node was silent for longer than its lease");
    second.expect_log("a node was silent for longer than its lease");
    for round in 0..3 {
        within(TAKEN_OVER_WITHIN, "one node that serves", async {
            loop {
                let states = [first.not_ready().await, second.not_ready().await];
                let serve = states.iter().filter(|state| state.is_none()).count();
                assert!(serve < 2, "both serve");
                let stand_by =
                    |state: &Option<String>| state.as_ref().is_some_and(|why| why.contains("stands by"));
                if serve == 1 && states.iter().any(stand_by) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let serving = if first.not_ready().await.is_none() { &first } else { &second };
        let conversation = serving.client("ann", "phone").open_direct("bob").await;
        say_until_answered(&serving.client("ann", "phone"), &conversation, &format!("m{round}")).await;
        assert_eq!(texts(&serving.client("ann", "phone"), &conversation).await.len(), round + 1);
        tokio::task::block_in_place(|| {
            first.kill9();
            second.kill9();
            std::thread::scope(|scope| {
                scope.spawn(|| first.start_again());
                scope.spawn(|| second.start_again());
            });
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_frozen_says_nothing_that_is_not_so() {
    let Some(database) = database("a frozen owner") else { return };
    let keyspace = keyspace("frozen");
    // Longer than a busy machine keeps a node from its renewal: the second one is to stay the owner.
    let patient = |id| node(&database, &keyspace, id).env("GODWIT_CLUSTER__LEASE_MS", 4_000);
    let first = patient("first").start();
    first.expect_log("the session was fenced");
    let ann = first.client("ann", "phone");
    let conversation = ann.open_direct("bob").await;
    ann.say(&conversation, "m1", "hello").await.expect(201);
    let second = patient("second").begin();
    second.expect_log("a node was silent for longer than its lease");

    first.pause();
    // On its way to the frozen node: it must not be acknowledged there once another one owns the log.
    let late = tokio::spawn({
        let (ann, conversation) = (ann.clone(), conversation.clone());
        async move { ann.try_post(&messages_path(&conversation), &message("late", "hello")).await }
    });
    second.ready_within(TAKEN_OVER_WITHIN).await;
    let elsewhere = second.client("ann", "phone");
    say_until_answered(&elsewhere, &conversation, "m2").await;
    first.resume();
    if let Ok(answer) = late.await.unwrap() {
        assert_eq!(answer.status, 503, "{answer:?}");
    }
    // What it looks up is not what was, either. Should it own the log again by then, it has all.
    let looked = ann.get(&messages_path(&conversation)).await;
    let has_all = looked.status == 200 && looked.json()["messages"].as_array().unwrap().len() >= 2;
    assert!(looked.status == 503 || has_all, "{looked:?}");
    assert_eq!(texts(&elsewhere, &conversation).await, ["m1", "m2"]);
    within(TAKEN_OVER_WITHIN, "the first node to stand by", async {
        while !first.not_ready().await.is_some_and(|reason| reason.contains("node second has the shards")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_of_one_name_replaces_the_first() {
    let Some(database) = database("two processes of one name") else { return };
    let keyspace = keyspace("twice");
    let mut first = node(&database, &keyspace, "same").start();
    let second = node(&database, &keyspace, "same").start();
    assert_eq!(tokio::task::block_in_place(|| first.wait()), Some(69));
    second.assert_serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_waits_for_a_database_that_is_away() {
    let Some(database) = database("a database that is away") else { return };
    // A port on which nothing listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = CqlServer { address: free, ..database };
    let mut waiting = node(&away, &keyspace("away"), "waiting").begin();
    waiting.expect_log("waiting");
    within(TAKEN_OVER_WITHIN, "what it waits for", async {
        while !waiting.not_ready().await.unwrap().contains(&free.to_string()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(waiting.terminate(), Some(0));
}

/// `godwit COMMAND --config` with this database.
fn program(database: &CqlServer, keyspace: &str, command: &[&str], more: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("password"), &database.password).unwrap();
    std::fs::write(path("secret"), "a".repeat(32)).unwrap();
    let config = format!(
        "[node]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\ndata_dir = \"{}\"\n\
         [auth]\nsecret_file = \"{}\"\n[store]\nkind = \"cql\"\n[store.cql]\nnodes = [\"{}\"]\n\
         keyspace = \"{keyspace}\"\nreplication_factor = 1\nuser = \"{}\"\npassword_file = \"{}\"\n{more}\n",
        path("data"),
        path("secret"),
        database.address,
        database.user,
        path("password"),
    );
    std::fs::write(path("godwit.toml"), config).unwrap();
    let mut program = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GODWIT_")) {
        program.env_remove(name);
    }
    program.args(command).arg("--config").arg(path("godwit.toml"));
    program.output().unwrap()
}

fn assert_refused(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("godwit: ") && words.iter().all(|word| last.contains(word)), "{said}");
}

#[test]
fn what_can_never_work_ends_with_69_and_one_line() {
    let Some(database) = database("refusals of a database") else { return };
    let keyspace = keyspace("refused");
    let wrong = CqlServer { password: "wrong".into(), ..database.clone() };
    assert_refused(&program(&wrong, &keyspace, &["serve"], ""), 69, &["cassandra", "password"]);
    let elsewhere = program(&database, &keyspace, &["serve"], "datacenter = \"mars\"");
    assert_refused(&elsewhere, 69, &["mars", "datacenter1"]);

    let mut session = cql::Connection::open(database.address, &database.user, &database.password).unwrap();
    let role = format!("poor_{keyspace}");
    session.run(&format!("CREATE ROLE {role} WITH PASSWORD = 'pw' AND LOGIN = true")).unwrap();
    let poor = CqlServer { user: role.clone(), password: "pw".into(), ..database.clone() };
    assert_refused(&program(&poor, &keyspace, &["serve"], ""), 69, &[&role, &keyspace]);
    assert_refused(&program(&poor, &keyspace, &["migrate"], ""), 69, &[&role, &keyspace]);
    session.run(&format!("DROP ROLE {role}")).unwrap();
}

#[test]
fn the_schema_is_brought_up_to_date_once_and_a_newer_one_decides_who_may_use_it() {
    let Some(database) = database("migration of the schema") else { return };
    let keyspace = keyspace("schema");
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let migrate = |more: &[&str]| program(&database, &keyspace, &[&["migrate"], more].concat(), "");
    let dry = migrate(&["--dry-run"]);
    assert!(said(&dry).contains("CREATE TABLE") && said(&dry).contains("would go from nothing"), "{dry:?}");
    // Two at the same instant.
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| migrate(&[]));
        (migrate(&[]), other.join().unwrap())
    });
    assert_eq!((one.status.code(), other.status.code()), (Some(0), Some(0)), "{one:?} {other:?}");
    let again = migrate(&[]);
    assert!(said(&again).contains("nothing to do"), "{again:?}");

    let mut session = cql::Connection::open(database.address, &database.user, &database.password).unwrap();
    let mut of_a_later_program = |version: u32, admits: u32| {
        let set = format!("SET version = {version}, admits = {admits} WHERE part = 'schema'");
        session.run(&format!("UPDATE {keyspace}.meta {set}")).unwrap();
    };
    // A newer program has added to the schema: this one goes on with it, also after it was taken back.
    of_a_later_program(99, 1);
    assert_eq!(migrate(&[]).status.code(), Some(0));
    of_a_later_program(99, 98);
    assert_refused(&migrate(&[]), 69, &["99", "98"]);
    assert_refused(&program(&database, &keyspace, &["serve"], ""), 69, &["99", "98"]);
}

/// Thousands of rows for one inbox, on a machine that is busy with other tests.
const TRIMMED_WITHIN: Duration = Duration::from_secs(90);
/// Events that an inbox keeps at least, by the configuration.
const KEPT: u64 = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_keeps_what_the_retention_says_and_a_resume_below_it_says_gap() {
    let Some(database) = database("the retention of inboxes") else { return };
    let server =
        node(&database, &keyspace("kept"), "only").env("GODWIT_RETENTION__INBOX_EVENTS", KEPT).start();
    let (ann, bob) = (server.client("ann", "phone"), server.client("bob", "phone"));
    let conversation = ann.open_direct("bob").await;
    let mut stream = bob.stream(None).await;
    stream.expect("ready").await;
    ann.say(&conversation, "first", "hello").await.expect(201);
    stream.messages(1).await;
    let early = stream.last_event_id().to_owned();
    drop(stream);
    for outbox in 0..=(KEPT / 100) + 10 {
        let items = (0..100).map(|i| {
            let mut item = message(&format!("m{outbox}-{i}"), "hello");
            item["conversation_id"] = json!(conversation);
            item
        });
        let outbox = json!({"messages": items.collect::<Vec<_>>()});
        let answer = ann.post("/v1/messages", outbox).await.expect(200);
        let all = answer["results"].as_array().unwrap().iter().all(|result| result["status"] == 201);
        assert!(all, "{answer}");
    }
    within(TRIMMED_WITHIN, "the inbox to be trimmed", async {
        loop {
            let mut resumed = bob.stream(Some(&early)).await;
            // `ready` may come before it; an event of the inbox says that all is held.
            let mut event = resumed.event().await;
            while event.event == "ready" {
                event = resumed.event().await;
            }
            if event.event == "gap" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    let sync = bob.get("/v1/sync?limit=500").await.expect(200);
    assert_eq!(sync["events"].as_array().unwrap().len(), 500, "what is held is still there");
}

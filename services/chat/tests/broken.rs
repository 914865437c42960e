//! The checker sees every guarantee that the server breaks: one load, a server without a fault, and one
//! server for each fault.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.
#![cfg(feature = "faults")]

use std::time::Duration;

use futures_util::future::join_all;
use godwit_testkit::history::{Checked, Expected, Rule, StreamId, Violation, posted};
use godwit_testkit::{Client, Event, EventStream, History, Server};

const MEMBERS: [&str; 3] = ["ann", "bob", "eve"];
/// Messages of each sender: a fault acts on every 50th of what passes its place.
const MESSAGES: usize = 80;
/// So many of them have been read when a reader is cut off.
const BEFORE_THE_CUT: usize = 30;
/// A server that has this long had nothing to say says nothing more: many times what a message takes.
const SILENCE: Duration = Duration::from_millis(200);
/// What the last message is called. It is sent when the fault is over, so that it does arrive.
const LAST: &str = "the-last";

/// A reader's device, and what it was told.
struct Reader<'a> {
    history: &'a History,
    client: Client,
    id: StreamId,
    stream: EventStream,
}

impl<'a> Reader<'a> {
    async fn open(history: &'a History, client: &Client, device: &str, after: Option<&str>) -> Self {
        let id = history.opened(client.account(), device, after);
        let stream = client.stream(after).await;
        Self { history, client: client.clone(), id, stream }
    }

    /// What comes next, noted down.
    async fn next(&mut self) -> Event {
        let event = self.stream.event().await;
        self.history.event(self.id, &event.event, &event.id, &event.data);
        event
    }

    async fn until(&mut self, is_last: impl Fn(&Event) -> bool) {
        while !is_last(&self.next().await) {}
    }

    /// Comes back after so many messages with what it has, as a phone does.
    async fn cut_after(mut self, messages: usize) -> Self {
        for _ in 0..messages {
            self.until(|event| event.event == "message").await;
        }
        let after = self.stream.last_event_id().to_owned();
        self.stream.reset();
        Self::open(self.history, &self.client, "phone", Some(&after)).await
    }
}

async fn say(history: &History, client: &Client, conversation: &str, client_id: &str) {
    let sent = history.now();
    let answer = client.say(conversation, client_id, "hello").await.expect(201);
    history.acknowledged(sent, posted(&answer, client_id).unwrap());
}

async fn write(history: &History, client: &Client, conversation: &str) {
    for i in 0..MESSAGES {
        say(history, client, conversation, &format!("{}-{i}", client.account())).await;
    }
}

fn expected(conversation: String) -> Expected {
    Expected {
        members: vec![(conversation, MEMBERS.map(str::to_owned).to_vec())],
        complete: MEMBERS.map(|account| (account.to_owned(), "phone".to_owned())).to_vec(),
    }
}

/// Two members write at once, three read, one of them with a cut; at the end another device reads all.
async fn load(fault: Option<&str>) -> Result<Checked, Violation> {
    let server = Server::start(env!("CARGO_BIN_EXE_godwit"));
    let history = History::default();
    let clients = MEMBERS.map(|account| server.client(account, "phone"));
    let group = clients[0].open_group("g1", &MEMBERS[1..]).await;
    let mut readers = Vec::new();
    for client in &clients {
        let mut reader = Reader::open(&history, client, "phone", None).await;
        reader.until(|event| event.event == "ready").await;
        readers.push(reader);
    }
    let first = readers[2].stream.last_event_id().to_owned();
    server.break_on_purpose(fault).await;

    let all = async {
        tokio::join!(write(&history, &clients[0], &group), write(&history, &clients[1], &group));
        let mut tablet = Reader::open(&history, &clients[2], "tablet", Some(&first)).await;
        tablet.until(|event| event.event == "caught_up").await;
        server.break_on_purpose(None).await;
        say(&history, &clients[0], &group, LAST).await;
    };
    let follow = readers.into_iter().map(|reader| async {
        let is_bob = reader.client.account() == "bob";
        let mut reader = if is_bob { reader.cut_after(BEFORE_THE_CUT).await } else { reader };
        reader.until(|event| event.data["client_id"] == LAST).await;
    });
    tokio::join!(all, join_all(follow));
    history.check(&expected(group))
}

#[tokio::test]
async fn without_a_fault_there_is_nothing_to_see() {
    let checked = load(None).await.unwrap_or_else(|violation| panic!("{violation}"));
    let messages = 2 * MESSAGES + 1;
    assert_eq!((checked.messages, checked.deliveries), (messages, 3 * messages));
    assert_eq!((checked.streams, checked.resumes), (5, 2));
}

/// One test for each fault: its name for the server, and the rule by which the checker must see it.
macro_rules! caught {
    ($($test:ident: $fault:literal, $rule:ident;)*) => {$(
        #[tokio::test]
        async fn $test() {
            let violation = load(Some($fault)).await.expect_err("the checker must see it");
            assert_eq!(violation.rule, Rule::$rule, "{violation}");
        }
    )*};
}

caught! {
    a_message_that_never_comes_is_lost: "lost", Lost;
    a_message_that_is_in_an_inbox_twice_is_doubled: "doubled", Doubled;
    an_event_that_an_open_stream_leaves_out_is_skipped: "skipped_live", Skipped;
    an_event_that_a_resume_leaves_out_is_skipped: "skipped_resume", Skipped;
    events_in_each_others_place_are_out_of_order: "out_of_order", OutOfOrder;
    another_message_at_a_number_is_a_disagreement: "disagreement", Disagreement;
    a_message_before_an_earlier_one_of_its_sender_is_seen: "sender_order", SenderOrder;
    an_event_that_comes_twice_is_repeated: "repeated", Repeated;
    an_event_without_its_id_is_malformed: "malformed_id", Malformed;
    an_event_without_a_field_is_malformed: "malformed_data", Malformed;
}

/// A sender writes until the server is killed right after an answer; what its reader has after a restart.
async fn killed_after_an_answer(fault: Option<&str>) -> Result<Checked, Violation> {
    /// The answer after which the fault acts for the first time.
    const FIRST: usize = 50;
    let mut server = Server::start(env!("CARGO_BIN_EXE_godwit"));
    let history = History::default();
    let client = server.client("ann", "phone");
    let conversation = client.open_direct("bob").await;
    let mut reader = Reader::open(&history, &client, "phone", None).await;
    reader.until(|event| event.event == "ready").await;
    server.break_on_purpose(fault).await;
    for i in 0..FIRST {
        say(&history, &client, &conversation, &format!("m{i}")).await;
    }
    server.kill9();
    let after = reader.stream.last_event_id().to_owned();
    server.restart();
    let mut resumed = Reader::open(&history, &client, "phone", Some(&after)).await;
    // What was under way into the inbox may come behind `caught_up`; there may be one message less.
    let mut missing = 1 + FIRST - usize::from(fault.is_some());
    while missing > 0 {
        let event = resumed.next().await.event;
        missing -= usize::from(matches!(&*event, "message" | "caught_up"));
    }
    resumed.stream.expect_silence(SILENCE).await;
    let members = vec![(conversation, vec!["ann".to_owned()])];
    history.check(&Expected { members, complete: vec![("ann".to_owned(), "phone".to_owned())] })
}

#[tokio::test]
async fn a_message_that_was_answered_and_not_stored_is_lost() {
    let violation = killed_after_an_answer(Some("unstored")).await.expect_err("the checker must see it");
    assert_eq!(violation.rule, Rule::Lost, "{violation}");
    let checked = killed_after_an_answer(None).await.unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!((checked.messages, checked.deliveries), (50, 50));
}

#[tokio::test]
async fn a_fault_that_there_is_not_is_refused_with_those_that_there_are() {
    let server = Server::start(env!("CARGO_BIN_EXE_godwit"));
    let refused = async |body| {
        let answer = server.operator().post("/admin/faults", body).await;
        answer.expect_problem(400, "invalid_request")["detail"].as_str().unwrap().to_owned()
    };
    let detail = refused(serde_json::json!({"break": "everything"})).await;
    assert!(detail.contains("\"everything\"") && detail.contains("lost, unstored, doubled"), "{detail}");
    refused(serde_json::json!({"break": 7})).await;
    refused(serde_json::json!({"brake": "lost"})).await;
}

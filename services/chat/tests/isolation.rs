//! One account whose actor panics takes nothing from anybody else, and loses nothing itself.
#![allow(clippy::unwrap_used)] // An unwrap that fails is a test that fails.
#![cfg(feature = "faults")]

use std::time::{Duration, Instant};

use godwit_testkit::history::{Expected, posted};
use godwit_testkit::{EventStream, History, Server};

/// From the end of the poison until the account has all that it missed: the number.
const BACK_WITHIN: Duration = Duration::from_millis(100);

async fn follow(history: &History, account: &str, mut stream: EventStream, messages: usize) -> EventStream {
    let id = history.opened(account, "phone", None);
    let mut seen = 0;
    while seen < messages {
        let event = stream.event().await;
        history.event(id, &event.event, &event.id, &event.data);
        seen += usize::from(event.event == "message");
    }
    stream
}

#[tokio::test]
async fn a_poisoned_account_harms_nobody_and_is_back_at_once() {
    const MESSAGES: usize = 200;
    let server = Server::start(env!("CARGO_BIN_EXE_godwit"));
    server.expect_log("poison");
    server.expect_log("panic");
    let history = History::default();
    let [ann, bob, mallory] = ["ann", "bob", "mallory"].map(|account| server.client(account, "phone"));
    let group = ann.open_group("g1", &["bob", "mallory"]).await;
    let of_ann = ann.stream(None).await;
    let of_bob = bob.stream(None).await;
    let mut of_mallory = mallory.stream(None).await;
    of_mallory.expect("ready").await;

    server.poison(Some("mallory")).await;
    let write = async {
        for i in 0..MESSAGES {
            let client_id = format!("k{i}");
            let sent = history.now();
            let answer = ann.say(&group, &client_id, "hello").await.expect(201);
            history.acknowledged(sent, posted(&answer, &client_id).unwrap());
        }
    };
    let followed = tokio::join!(
        write,
        follow(&history, "ann", of_ann, MESSAGES),
        follow(&history, "bob", of_bob, MESSAGES)
    );

    server.poison(None).await;
    let began = Instant::now();
    let id = history.opened("mallory", "phone", None);
    // Its stream stayed open: the actor died under it, not the connection.
    let mut of_mallory = {
        let mut seen = 0;
        while seen < MESSAGES {
            let event = of_mallory.event().await;
            history.event(id, &event.event, &event.id, &event.data);
            seen += usize::from(event.event == "message");
        }
        of_mallory
    };
    let took = began.elapsed();
    assert!(took < BACK_WITHIN, "back after {took:?}");
    println!("back after {took:?} with {MESSAGES} messages");

    let everybody = ["ann", "bob", "mallory"];
    let expected = Expected {
        members: vec![(group.clone(), everybody.map(str::to_owned).to_vec())],
        complete: everybody.map(|account| (account.to_owned(), "phone".to_owned())).to_vec(),
    };
    let checked = history.check(&expected).unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!(checked.deliveries, 3 * MESSAGES);

    mallory.say(&group, "m1", "I am fine").await.expect(201);
    let ((), mut of_ann, mut of_bob) = followed;
    for stream in [&mut of_ann, &mut of_bob, &mut of_mallory] {
        assert_eq!(stream.expect("message").await.data["sender"], "mallory");
    }
}

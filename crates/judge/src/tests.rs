//! Histories that keep the guarantees, and one for each way to break them.

mod bound;
mod output;

use serde_json::json;

use super::*;

fn expected() -> Expected {
    Expected {
        members: vec![("c1".into(), vec!["ann".into(), "bob".into()])],
        complete: vec![("ann".into(), "phone".into()), ("bob".into(), "phone".into())],
    }
}

fn said(seq: u64, client_id: &str) -> Message {
    Message {
        conversation: "c1".into(),
        seq,
        id: format!("id-{client_id}"),
        sender: "ann".into(),
        client_id: client_id.into(),
    }
}

/// A history that grows by short calls.
#[derive(Default)]
struct Story(History);

impl Story {
    /// `count` messages `m1`, `m2` …, each sent after the one before was answered.
    fn of(count: u64) -> Self {
        let story = Self::default();
        for seq in 1..=count {
            story.0.acknowledged(story.0.now(), said(seq, &format!("m{seq}")));
        }
        story
    }

    fn open(&self, account: &str, after: u64) -> StreamId {
        self.0.opened(account, "phone", Some(&format!("{}-{after}-aaaa", after.min(1))))
    }

    /// A stored event that is no message.
    fn change(&self, stream: StreamId, n: u64, seq: u64) {
        let data = json!({"conversation_id": "c1", "seq": seq});
        self.0.event(stream, "reaction", &format!("1-{n}-aaaa"), &data);
    }

    fn event(&self, stream: StreamId, n: u64, seq: u64, client_id: &str) {
        let message = said(seq, client_id);
        let data = json!({"conversation_id": "c1", "seq": seq, "id": message.id, "sender": "ann",
            "client_id": client_id});
        self.0.event(stream, "message", &format!("1-{n}-aaaa"), &data);
    }

    /// A stream of `account` from the start that shows messages 1 to `count` in their order.
    fn reads_all(&self, account: &str, count: u64) -> StreamId {
        let stream = self.open(account, 0);
        for n in 1..=count {
            self.event(stream, n, n, &format!("m{n}"));
        }
        stream
    }

    #[track_caller]
    fn breaks(&self, rule: Rule, records: usize) -> Violation {
        let violation = self.0.check(&expected()).expect_err("this history is broken");
        assert_eq!((violation.rule, violation.excerpt.len()), (rule, records), "{violation}");
        violation
    }
}

#[test]
fn a_history_that_keeps_the_guarantees_is_counted() {
    let story = Story::of(3);
    story.reads_all("ann", 3);
    story.reads_all("bob", 2);
    let resumed = story.open("bob", 2);
    story.0.event(resumed, "ready", "", &json!({}));
    story.event(resumed, 3, 3, "m3");
    story.0.event(resumed, "caught_up", "1-3-aaaa", &json!({}));
    let checked = story.0.check(&expected()).unwrap();
    assert_eq!(
        checked,
        Checked { messages: 3, deliveries: 6, events: 6, streams: 3, resumes: 3, cut: false }
    );
}

#[test]
fn lost_a_member_never_sees_an_acknowledged_message() {
    let story = Story::of(2);
    story.reads_all("ann", 2);
    story.reads_all("bob", 1);
    let violation = story.breaks(Rule::Lost, 2);
    assert!(violation.what.contains("id-m2") && violation.what.contains("bob"), "{violation}");
}

#[test]
fn lost_also_when_a_later_one_arrived() {
    let story = Story::of(3);
    story.reads_all("ann", 3);
    let stream = story.open("bob", 0);
    story.event(stream, 1, 1, "m1");
    story.event(stream, 2, 3, "m3");
    story.breaks(Rule::Lost, 3);
}

#[test]
fn doubled_a_retry_became_a_second_message() {
    let story = Story::of(1);
    story.0.acknowledged(story.0.now(), said(2, "m1"));
    story.breaks(Rule::Doubled, 2);
}

#[test]
fn doubled_a_fan_out_was_repeated_into_an_inbox() {
    let story = Story::of(1);
    let first = story.open("ann", 0);
    story.event(first, 1, 1, "m1");
    let second = story.open("ann", 1);
    story.event(second, 2, 1, "m1");
    story.breaks(Rule::Doubled, 2);
}

#[test]
fn doubled_a_change_on_one_stream() {
    let story = Story::default();
    let stream = story.open("ann", 0);
    story.change(stream, 1, 1);
    story.change(stream, 2, 1);
    story.breaks(Rule::Doubled, 2);
}

#[test]
fn skipped_on_an_open_stream() {
    let story = Story::of(3);
    let stream = story.open("ann", 0);
    story.event(stream, 1, 1, "m1");
    story.event(stream, 3, 3, "m3");
    story.breaks(Rule::Skipped, 2);
}

#[test]
fn skipped_by_a_resume_shows_the_event_that_another_stream_had() {
    let story = Story::of(3);
    story.reads_all("ann", 3);
    let resumed = story.open("ann", 1);
    story.event(resumed, 3, 3, "m3");
    story.breaks(Rule::Skipped, 3);
}

#[test]
fn skipped_by_an_id_that_leads_past_an_event() {
    let story = Story::of(2);
    let stream = story.open("ann", 0);
    story.event(stream, 1, 1, "m1");
    story.0.event(stream, "caught_up", "1-2-aaaa", &json!({}));
    story.breaks(Rule::Skipped, 2);
}

#[test]
fn skipped_before_the_first_event_of_a_live_stream() {
    let story = Story::of(2);
    let stream = story.0.opened("ann", "phone", None);
    story.0.event(stream, "ready", "1-0-aaaa", &json!({}));
    story.event(stream, 2, 2, "m2");
    story.breaks(Rule::Skipped, 2);
}

#[test]
fn a_gap_excuses_what_it_names_and_nothing_else() {
    let dropped = |story: &Story, stream, from: u64, to: u64| {
        let data =
            json!({"reason": "dropped", "from": format!("1-{from}-aaaa"), "to": format!("1-{to}-aaaa")});
        story.0.event(stream, "gap", "", &data);
    };
    let no_reader = Expected::default();
    let story = Story::of(4);
    let stream = story.open("ann", 0);
    story.event(stream, 1, 1, "m1");
    dropped(&story, stream, 2, 3);
    story.event(stream, 4, 4, "m4");
    assert!(story.0.check(&no_reader).is_ok());
    dropped(&story, stream, 6, 7);
    assert_eq!(story.0.check(&no_reader).unwrap_err().rule, Rule::Skipped);

    let story = Story::of(4);
    let stream = story.open("ann", 1);
    let data =
        json!({"reason": "expired", "requested": "1-1-aaaa", "held_from": "1-3-aaaa", "head": "1-4-aaaa"});
    story.0.event(stream, "gap", "", &data);
    story.event(stream, 4, 4, "m4");
    assert_eq!(story.0.check(&no_reader).unwrap_err().rule, Rule::Skipped);
}

#[test]
fn out_of_order_in_the_inbox() {
    let story = Story::of(3);
    let stream = story.open("ann", 2);
    story.event(stream, 3, 3, "m3");
    story.event(stream, 2, 2, "m2");
    story.breaks(Rule::OutOfOrder, 2);
}

#[test]
fn out_of_order_in_a_conversation() {
    let story = Story::of(2);
    let stream = story.open("ann", 0);
    story.event(stream, 1, 2, "m2");
    story.event(stream, 2, 1, "m1");
    story.breaks(Rule::OutOfOrder, 2);
}

#[test]
fn out_of_order_below_what_another_stream_showed_first() {
    let story = Story::of(3);
    let live = story.open("ann", 2);
    story.event(live, 3, 3, "m3");
    let replay = story.open("ann", 0);
    story.event(replay, 1, 2, "m2");
    assert_eq!(story.0.violation(), None);
    story.event(replay, 2, 1, "m1");
    let violation = story.breaks(Rule::OutOfOrder, 2);
    assert_eq!(violation.what, "number 1 of c1 stands behind 2");
}

#[test]
fn out_of_order_between_two_streams_of_one_inbox() {
    let story = Story::of(2);
    story.event(story.open("ann", 0), 1, 2, "m2");
    story.event(story.open("ann", 1), 2, 1, "m1");
    story.breaks(Rule::OutOfOrder, 2);
}

#[test]
fn out_of_order_also_of_a_number_that_a_gap_left_out() {
    let story = Story::default();
    let stream = story.open("ann", 0);
    story.change(stream, 1, 1);
    let data = json!({"reason": "dropped", "from": "1-2-aaaa", "to": "1-3-aaaa"});
    story.0.event(stream, "gap", "", &data);
    story.change(stream, 4, 4);
    story.change(stream, 2, 2);
    story.breaks(Rule::OutOfOrder, 2);
}

#[test]
fn out_of_order_is_an_older_epoch_behind_a_newer() {
    let story = Story::default();
    let stream = story.0.opened("ann", "phone", Some("7-1-aaaa"));
    story.change(stream, 2, 1);
    story.breaks(Rule::OutOfOrder, 2);
}

#[test]
fn disagreement_of_two_members_on_a_number() {
    let story = Story::default();
    story.event(story.open("ann", 0), 1, 1, "m1");
    story.event(story.open("bob", 0), 1, 1, "m2");
    story.breaks(Rule::Disagreement, 2);
}

#[test]
fn disagreement_of_two_streams_of_one_account() {
    let story = Story::of(2);
    story.event(story.open("ann", 0), 1, 1, "m1");
    story.event(story.open("ann", 0), 1, 2, "m2");
    story.breaks(Rule::Disagreement, 2);
}

#[test]
fn disagreement_of_an_answer_and_an_event() {
    let story = Story::of(1);
    let stream = story.open("bob", 0);
    let data = json!({"conversation_id": "c1", "seq": 1, "id": "id-m1", "sender": "eve", "client_id": "m1"});
    story.0.event(stream, "message", "1-1-aaaa", &data);
    story.breaks(Rule::Disagreement, 2);
}

#[test]
fn sender_order_of_messages_one_after_the_other() {
    let story = Story::default();
    story.0.acknowledged(story.0.now(), said(2, "m1"));
    story.0.acknowledged(story.0.now(), said(1, "m2"));
    story.breaks(Rule::SenderOrder, 2);
}

#[test]
fn sender_order_of_the_highest_answer_and_not_of_the_last() {
    let story = Story::default();
    let sent = story.0.now();
    story.0.acknowledged(sent, said(3, "m1"));
    story.0.acknowledged(sent, said(1, "m2"));
    story.0.acknowledged(story.0.now(), said(2, "m3"));
    story.breaks(Rule::SenderOrder, 2);
}

#[test]
fn sender_order_says_nothing_of_messages_in_parallel_or_of_a_late_retry() {
    let story = Story::default();
    let sent = story.0.now();
    story.0.acknowledged(sent, said(2, "m1"));
    story.0.acknowledged(sent, said(1, "m2"));
    story.0.acknowledged(story.0.now(), said(3, "m3"));
    // m1 once more, after m3: the answer is the first one.
    story.0.acknowledged(story.0.now(), said(2, "m1"));
    story.reads_all("eve", 0);
    assert!(story.0.check(&Expected::default()).is_ok());
}

#[test]
fn sender_order_within_a_batch() {
    let story = Story::default();
    story.0.acknowledged_batch(story.0.now(), [said(2, "m1"), said(1, "m2")]);
    story.breaks(Rule::SenderOrder, 2);
}

#[test]
fn repeated_on_one_stream() {
    let story = Story::of(1);
    let stream = story.reads_all("ann", 1);
    story.event(stream, 1, 1, "m1");
    story.breaks(Rule::Repeated, 2);
}

#[test]
fn malformed_without_an_id() {
    let story = Story::default();
    let stream = story.open("ann", 0);
    story.0.event(stream, "message", "", &json!({"conversation_id": "c1", "seq": 1}));
    story.breaks(Rule::Malformed, 1);
}

#[test]
fn malformed_is_kept_within_a_bound() {
    let story = Story::default();
    let stream = story.open("ann", 0);
    story.0.event(stream, "message", "1-1-aaaa", &json!("ü".repeat(MALFORMED_BYTES_MAX)));
    let violation = story.breaks(Rule::Malformed, 1);
    assert!(violation.to_string().len() < MALFORMED_BYTES_MAX + 200, "{}", violation.to_string().len());
}

#[test]
fn a_violation_is_known_when_it_is_recorded_and_stays_the_first() {
    let story = Story::of(1);
    let stream = story.reads_all("ann", 1);
    assert_eq!(story.0.violation(), None);
    story.event(stream, 1, 1, "m1");
    let first = story.0.violation().expect("a violation");
    assert_eq!(first.rule, Rule::Repeated);
    story.event(stream, 9, 9, "m9");
    story.open("bob", 0);
    assert_eq!(story.0.violation(), Some(first.clone()));
    assert_eq!(story.0.check(&expected()), Err(first));
    assert_eq!(story.0.records(), 6, "what follows a violation is recorded too");
}

#[test]
fn each_complete_reader_of_a_member_counts_once() {
    let story = Story::of(1);
    story.reads_all("ann", 1);
    story.reads_all("eve", 1);
    let tablet = story.0.opened("ann", "tablet", Some("0-0-aaaa"));
    story.event(tablet, 1, 1, "m1");
    let reader = |account: &str, device: &str| (account.to_owned(), device.to_owned());
    let expected = Expected {
        members: vec![
            ("c1".into(), vec!["ann".into(), "ann".into(), "bob".into()]),
            ("c1".into(), vec!["eve".into()]),
            ("unheard of".into(), vec!["ann".into()]),
        ],
        complete: vec![reader("ann", "tablet"), reader("ann", "phone"), reader("eve", "phone")],
    };
    assert_eq!(story.0.check(&expected).unwrap().deliveries, 2);
    let silent = Expected { complete: vec![reader("bob", "phone")], ..expected };
    assert_eq!(story.0.check(&silent).unwrap_err().rule, Rule::Lost);
}

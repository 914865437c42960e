mod histories;

use godwit_types::ClientId;
use serde_json::Value;
use serde_json::value::RawValue;

use godwit_wire::{EventKind, InboxEvent};

use super::*;
use crate::keys::{REMEMBERED_MS, REMEMBERED_ROWS};
use crate::log::WINDOW_MAX;

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn message(client_id: &str) -> NewMessage {
    NewMessage {
        client_id: ClientId::new(client_id).unwrap(),
        body: RawValue::from_string(r#"{"type":"text","text":"hi"}"#.into()).unwrap(),
        reply_to: None,
        mentions: Vec::new(),
    }
}

fn request(kind: Kind, members: &[&str]) -> OpenConversation {
    let members = members.iter().map(|name| account(name)).collect();
    OpenConversation { kind, members, title: None, client_id: None }
}

fn unopened() -> Conversation {
    let mut conversation = Conversation::load(ConversationId::new("c1").unwrap(), None).unwrap();
    conversation.own(1);
    conversation
}

/// Opened by ann, committed.
fn opened(kind: Kind, others: &[&str]) -> Conversation {
    let mut conversation = unopened();
    let decision = conversation.open(&account("ann"), &request(kind, others), at(1_000));
    commit(&mut conversation, decision);
    conversation
}

fn group() -> Conversation {
    opened(Kind::Group, &["bob", "cat"])
}

fn row(decision: Decision) -> NewRow {
    match decision {
        Decision::Append(row) => row,
        other => panic!("expected an append, not {other:?}"),
    }
}

fn commit(conversation: &mut Conversation, decision: Decision) -> EventRow {
    let n = row(decision).place.position.n;
    let mut events = conversation.confirm(n);
    assert_eq!(events.len(), 1);
    events.remove(0)
}

fn data(payload: &Bytes) -> (EventKind, Value) {
    let event = InboxEvent::decode(payload).unwrap();
    (event.kind, serde_json::from_slice(&event.data).unwrap())
}

fn code(decision: &Decision) -> Code {
    match decision {
        Decision::Refused { problem, .. } => problem.code,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

fn role(conversation: &Conversation, name: &str) -> Option<Role> {
    conversation.state().unwrap().members.role(&account(name))
}

#[test]
fn the_creator_is_a_member_and_owner_of_a_group() {
    let group = opened(Kind::Group, &["bob", "cat", "bob", "ann"]);
    assert_eq!(group.state().unwrap().members.len(), 3, "each is a member once");
    assert_eq!((role(&group, "ann"), role(&group, "bob")), (Some(Role::Owner), Some(Role::Member)));
    let direct = opened(Kind::Direct, &["bob"]);
    assert_eq!((role(&direct, "ann"), role(&direct, "bob")), (Some(Role::Member), Some(Role::Member)));
}

#[test]
fn opening_it_again_finds_it_open() {
    let mut conversation = unopened();
    let first = conversation.open(&account("ann"), &request(Kind::Direct, &["bob"]), at(1));
    assert_eq!(row(first).place.position, Position { epoch: 1, n: 1 });
    // The first is still under way: the answer to the second rests on it.
    let again = conversation.open(&account("bob"), &request(Kind::Direct, &["ann"]), at(2));
    assert!(matches!(again, Decision::Already { n: 1 }));
    assert_eq!((conversation.tail().n, conversation.last_n()), (0, 1));
}

#[test]
fn a_group_has_a_thousand_members_at_most() {
    let names: Vec<_> = (1..MEMBERS_MAX).map(|i| format!("u{i}")).collect();
    let mut names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut full = opened(Kind::Group, &names);
    assert_eq!(full.state().unwrap().members.len(), MEMBERS_MAX);
    let one_more = full.put_member(&account("ann"), &account("zoe"), None, at(2));
    assert_eq!(code(&one_more), Code::TooManyMembers);
    let other_role = full.put_member(&account("ann"), &account("u1"), Some(Role::Owner), at(2));
    commit(&mut full, other_role);
    names.push("zoe");
    let too_many = unopened().open(&account("ann"), &request(Kind::Group, &names), at(1));
    assert_eq!(code(&too_many), Code::TooManyMembers);
}

#[test]
fn a_direct_conversation_cannot_be_changed() {
    let mut direct = opened(Kind::Direct, &["bob"]);
    let (ann, bob, cat) = (account("ann"), account("bob"), account("cat"));
    assert_eq!(code(&direct.rename(&ann, Some("x".into()), at(2))), Code::DirectUnchangeable);
    assert_eq!(code(&direct.put_member(&ann, &cat, None, at(2))), Code::DirectUnchangeable);
    assert_eq!(code(&direct.remove_member(&ann, &bob, at(2))), Code::DirectUnchangeable);
    assert_eq!(code(&direct.remove_member(&ann, &ann, at(2))), Code::DirectUnchangeable);
    assert_eq!(code(&direct.rename(&cat, None, at(2))), Code::NotFound, "membership is not disclosed");
}

#[test]
fn who_is_no_member_is_told_that_there_is_nothing() {
    for mut conversation in [unopened(), group()] {
        let (eve, bob) = (account("eve"), account("bob"));
        assert_eq!(code(&conversation.post(&eve, &message("m"), at(2))), Code::NotFound);
        assert_eq!(code(&conversation.rename(&eve, None, at(2))), Code::NotFound);
        assert_eq!(code(&conversation.put_member(&eve, &eve, None, at(2))), Code::NotFound);
        assert_eq!(code(&conversation.remove_member(&eve, &bob, at(2))), Code::NotFound);
        assert_eq!(code(&conversation.remove_member(&eve, &eve, at(2))), Code::NotFound);
        assert_eq!(conversation.state_for(&eve).unwrap_err().code, Code::NotFound);
    }
}

#[test]
fn only_an_owner_adds_removes_and_names() {
    let mut group = group();
    let (ann, bob, cat) = (account("ann"), account("bob"), account("cat"));
    assert_eq!(code(&group.put_member(&bob, &account("dan"), None, at(2))), Code::NotOwner);
    assert_eq!(code(&group.remove_member(&bob, &cat, at(2))), Code::NotOwner);
    assert_eq!(code(&group.rename(&bob, Some("x".into()), at(2))), Code::NotOwner);
    let promoted = group.put_member(&ann, &bob, Some(Role::Owner), at(2));
    commit(&mut group, promoted);
    let removed = group.remove_member(&bob, &cat, at(3));
    commit(&mut group, removed);
    assert_eq!(group.state().unwrap().members.owners(), 2);
}

#[test]
fn what_is_so_already_writes_nothing() {
    let mut group = group();
    let (ann, bob) = (account("ann"), account("bob"));
    let title = || Some("team".to_owned());
    assert!(matches!(group.put_member(&ann, &bob, None, at(2)), Decision::Already { n: 1 }));
    assert!(
        matches!(group.put_member(&ann, &ann, None, at(2)), Decision::Already { n: 1 }),
        "keeps its role"
    );
    assert!(matches!(group.remove_member(&ann, &account("dan"), at(2)), Decision::Already { n: 1 }));
    assert!(matches!(group.rename(&ann, None, at(2)), Decision::Already { n: 1 }));
    let named = group.rename(&ann, title(), at(2));
    commit(&mut group, named);
    assert!(matches!(group.rename(&ann, title(), at(2)), Decision::Already { n: 2 }));
}

#[test]
fn the_last_owner_cannot_become_a_member_but_may_leave() {
    let mut group = group();
    let (ann, bob, cat) = (account("ann"), account("bob"), account("cat"));
    assert_eq!(code(&group.put_member(&ann, &ann, Some(Role::Member), at(2))), Code::NotOwner);
    let left = group.remove_member(&ann, &ann, at(3));
    let event = commit(&mut group, left);
    assert_eq!((role(&group, "ann"), role(&group, "bob")), (None, Some(Role::Owner)), "longest-standing");
    let shown = data(&event.payload).1;
    assert_eq!(shown["conversation"]["members"][0]["role"], "owner", "members see their new owner");
    let put = group.put_member(&bob, &cat, Some(Role::Owner), at(4));
    commit(&mut group, put);
    let stepped_back = group.put_member(&bob, &bob, Some(Role::Member), at(5));
    commit(&mut group, stepped_back);
    assert_eq!(group.state().unwrap().members.owners(), 1);
}

#[test]
fn who_left_is_gone_until_it_is_added_again() {
    let mut group = group();
    let (ann, cat) = (account("ann"), account("cat"));
    let left = group.remove_member(&cat, &cat, at(2));
    let left = row(left);
    assert_eq!(code(&group.post(&cat, &message("m"), at(2))), Code::NotFound, "before it is committed, too");
    group.confirm(left.place.position.n);
    let back = group.put_member(&ann, &cat, None, at(3));
    commit(&mut group, back);
    let members = &group.state().unwrap().members;
    let periods = members.periods(&cat);
    assert_eq!(
        periods,
        [Period { joined_n: 1, left_n: Some(2) }, Period { joined_n: 3, left_n: None }],
        "with its last event, and from its return"
    );
    assert_eq!(group.state().unwrap().readable_from(&cat), 3);
    assert_eq!(members.page(0, 10).0.last().unwrap().account, cat, "it stands last now");
}

#[test]
fn a_creator_who_left_does_not_open_it_again() {
    let mut group = opened(Kind::Group, &[]);
    let left = group.remove_member(&account("ann"), &account("ann"), at(2));
    commit(&mut group, left);
    assert!(group.state().unwrap().members.is_empty());
    assert_eq!(code(&group.open(&account("ann"), &request(Kind::Group, &[]), at(3))), Code::NotFound);
}

#[test]
fn a_reply_names_a_row_that_exists() {
    let mut group = group();
    let reply = |to| NewMessage { reply_to: Some(to), ..message("r") };
    for wrong in [0, 2, u64::MAX] {
        assert_eq!(code(&group.post(&account("bob"), &reply(wrong), at(2))), Code::InvalidRequest);
    }
    row(group.post(&account("bob"), &message("m"), at(2)));
    let answer = group.post(&account("cat"), &reply(2), at(2));
    assert_eq!(row(answer).place.position.n, 3, "also to one that is still under way");
}

#[test]
fn a_client_id_is_one_message_of_its_sender() {
    let mut group = group();
    let first = row(group.post(&account("bob"), &message("m"), at(2)));
    assert!(matches!(group.post(&account("bob"), &message("m"), at(3)), Decision::Known { n: 2 }));
    let other = row(group.post(&account("cat"), &message("m"), at(3)));
    assert_ne!((first.key, first.place.position.n), (other.key, other.place.position.n));
}

#[test]
fn a_client_id_is_remembered_for_seven_days() {
    let mut group = group();
    let bob = account("bob");
    let first = group.post(&bob, &message("m"), at(1_000));
    let first = data(&commit(&mut group, first).payload).1;
    let last_moment = group.post(&bob, &message("x"), at(1_000 + REMEMBERED_MS - 1));
    commit(&mut group, last_moment);
    assert!(matches!(
        group.post(&bob, &message("m"), at(1_000 + REMEMBERED_MS - 1)),
        Decision::Known { n: 2 }
    ));
    let later = group.post(&bob, &message("y"), at(1_000 + REMEMBERED_MS));
    commit(&mut group, later);
    let again = group.post(&bob, &message("m"), at(1_000 + REMEMBERED_MS));
    let again = data(&commit(&mut group, again).payload).1;
    assert_eq!((&again["id"], &again["seq"]), (&first["id"], &Value::from(5)), "a new seq with the same id");
}

#[test]
fn a_client_id_is_remembered_for_so_many_rows() {
    let mut group = group();
    let bob = account("bob");
    let first = group.post(&bob, &message("m"), at(1));
    commit(&mut group, first);
    for n in 3..=REMEMBERED_ROWS + 1 {
        let change = Change::Titled { by: account("ann"), title: None };
        group.replay(Position { epoch: 1, n }, at(1), 0, &change);
    }
    assert!(matches!(group.post(&bob, &message("m"), at(1)), Decision::Known { n: 2 }));
    let n = REMEMBERED_ROWS + 2;
    group.replay(Position { epoch: 1, n }, at(1), 0, &Change::Titled { by: account("ann"), title: None });
    group.summary_stored(n);
    group.own(2);
    assert_eq!(row(group.post(&bob, &message("m"), at(1))).place.position.n, n + 1);
}

#[test]
fn a_full_window_waits_for_a_commit() {
    let mut group = group();
    let bob = account("bob");
    for i in 0..WINDOW_MAX {
        row(group.post(&bob, &message(&format!("m{i}")), at(2)));
    }
    assert!(matches!(group.post(&bob, &message("late"), at(2)), Decision::Wait));
    assert!(matches!(group.post(&bob, &message("m0"), at(2)), Decision::Known { n: 2 }), "needs no room");
    assert!(group.confirm(3).is_empty(), "commits are in order");
    assert_eq!(group.confirm(2).len(), 2);
    assert_eq!(row(group.post(&bob, &message("late"), at(2))).place.position.n, 66);
}

#[test]
fn an_append_waits_for_an_overdue_summary() {
    let mut group = group();
    let bob = account("bob");
    let limit = 2 * SUMMARY_ROWS;
    for i in 2..=limit {
        let posted = group.post(&bob, &message(&format!("m{i}")), at(2));
        commit(&mut group, posted);
    }
    assert!(matches!(group.post(&bob, &message("late"), at(2)), Decision::Wait));
    let (upto, _) = group.summary(SUMMARY_ROWS).unwrap();
    assert!(group.summary(1).is_none(), "one at a time");
    assert!(matches!(group.post(&bob, &message("late"), at(2)), Decision::Wait), "not stored yet");
    group.summary_stored(upto);
    row(group.post(&bob, &message("late"), at(2)));
}

#[test]
fn a_summary_is_due_after_so_many_rows_and_never_with_rows_under_way() {
    let mut group = group();
    assert!(unopened().summary(0).is_none(), "of nothing there is no summary");
    assert!(group.summary(2).is_none());
    let posted = row(group.post(&account("bob"), &message("m"), at(2)));
    assert!(group.summary(1).is_none(), "the state has what is not committed");
    group.confirm(posted.place.position.n);
    assert_eq!(group.summary(2).unwrap().0, 2);
}

#[test]
fn an_answer_rests_on_all_that_is_under_way() {
    let mut group = group();
    let (ann, bob) = (account("ann"), account("bob"));
    row(group.remove_member(&ann, &bob, at(2)));
    let Decision::Refused { n, .. } = group.post(&bob, &message("m"), at(2)) else { panic!("not refused") };
    assert_eq!(n, 2, "if row 2 is lost with its owner, bob is a member still");
    assert!(matches!(group.remove_member(&ann, &bob, at(2)), Decision::Already { n: 2 }));
}

#[test]
fn times_never_go_back() {
    let mut group = group();
    let early = row(group.post(&account("bob"), &message("m"), at(5)));
    assert_eq!(early.at, at(1_000));
    assert_eq!(row(group.post(&account("bob"), &message("n"), at(2_000))).at, at(2_000));
    assert_eq!(row(group.post(&account("bob"), &message("o"), at(6))).at, at(2_000));
}

#[test]
fn each_change_is_one_event_for_all_and_another_for_who_is_removed() {
    let (ann, bob, dan) = (account("ann"), account("bob"), account("dan"));
    let mut group = unopened();
    let decision = group.open(&ann, &request(Kind::Group, &["bob"]), at(1));
    let mut shown = Vec::new();
    let mut note = |group: &mut Conversation, decision| {
        let event = commit(group, decision);
        let (kind, value) = data(&event.payload);
        assert_eq!(value["seq"], event.n);
        shown.push((kind.as_str(), value["change"].as_str().unwrap_or("").to_owned()));
        event
    };
    note(&mut group, decision);
    let decision = group.put_member(&ann, &dan, None, at(2));
    note(&mut group, decision);
    let decision = group.put_member(&ann, &dan, Some(Role::Owner), at(3));
    note(&mut group, decision);
    let decision = group.rename(&ann, Some("team".into()), at(4));
    note(&mut group, decision);
    let decision = group.post(&bob, &message("m"), at(5));
    note(&mut group, decision);
    let decision = group.remove_member(&ann, &bob, at(6));
    let removed = note(&mut group, decision);
    let changes: Vec<_> = shown.iter().map(|(kind, change)| format!("{kind}/{change}")).collect();
    assert_eq!(
        changes,
        [
            "conversation/created",
            "conversation/member_added",
            "conversation/updated",
            "conversation/updated",
            "message/",
            "conversation/member_removed",
        ]
    );
    let (who, own) = removed.special.unwrap();
    let (kind, value) = data(&own);
    assert_eq!((who, kind), (bob, EventKind::ConversationRemoved));
    assert_eq!((&value["change"], &value["account"]), (&Value::from("removed"), &Value::from("bob")));
    assert_eq!(value["conversation"]["member_count"], 2);
}

#[test]
fn a_row_read_again_is_the_same_event() {
    let mut group = group();
    let (ann, dan) = (account("ann"), account("dan"));
    let added = row(group.put_member(&ann, &dan, None, at(2)));
    let posted = row(group.post(&dan, &message("m"), at(3)));
    group.confirm(2);
    let first = group.confirm(3).remove(0);
    let read: ConversationRow = payload::decode(&posted.payload).unwrap();
    assert_eq!(group.event(&read, 3, posted.at), first);
    let read: ConversationRow = payload::decode(&added.payload).unwrap();
    let first = group.event(&read, 2, added.at);
    assert_eq!(data(&first.payload).1["conversation"]["member_count"], 4);
    let left = group.remove_member(&dan, &dan, at(4));
    commit(&mut group, left);
    assert_eq!(group.event(&read, 2, added.at), first, "also after the conversation has changed");
}

#[test]
fn nobody_is_forgotten_while_rows_are_under_way() {
    let mut group = group();
    let bob = account("bob");
    let left = row(group.remove_member(&bob, &bob, at(2)));
    group.all_taken(); // all up to row 1
    let n = left.place.position.n;
    group.confirm(n);
    assert!(group.state().unwrap().members.at(n).any(|(account, _)| *account == bob), "its last event");
    group.all_taken();
    assert_eq!(group.state().unwrap().members.former(), 0);
}

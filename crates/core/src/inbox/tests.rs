use godwit_types::ConnectionId;
use godwit_wire::api::PushProvider;
use godwit_wire::event::GapData;
use godwit_wire::{ByeReason, GapReason};
use proptest::prelude::*;

use super::*;
use crate::log::WINDOW_MAX;

const RETENTION: Retention = Retention { events: 200_000, age_ms: 30 * 24 * 60 * 60 * 1_000 };

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

fn conversation(name: &str) -> ConversationId {
    ConversationId::new(name).unwrap()
}

fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_ms(ms)
}

/// Ann's inbox, empty, under epoch 1.
fn inbox() -> Inbox {
    let mut inbox = Inbox::load(account("ann"), Stored::default()).unwrap();
    inbox.own(1);
    inbox
}

fn event(name: &str, seq: u64, by: &str, kind: EventKind) -> Bytes {
    let data = Bytes::from_static(b"{}");
    InboxEvent { kind, conversation: conversation(name), seq, by: account(by), data }.encode()
}

fn deliver_rows(inbox: &mut Inbox, name: &str, joined_n: u64, rows: &[(u64, Bytes)]) -> Delivered {
    let rows = rows.iter().map(|(n, payload)| (*n, payload));
    inbox.deliver(&conversation(name), joined_n, rows, at(1_000))
}

/// Messages of bob's with these numbers.
fn deliver(
    inbox: &mut Inbox,
    name: &str,
    joined_n: u64,
    numbers: impl IntoIterator<Item = u64>,
) -> Delivered {
    let row = |n| (n, event(name, n, "bob", EventKind::Message));
    deliver_rows(inbox, name, joined_n, &Vec::from_iter(numbers.into_iter().map(row)))
}

/// The same, stored and committed; the rows that were new.
fn take(inbox: &mut Inbox, name: &str, joined_n: u64, numbers: impl IntoIterator<Item = u64>) -> Vec<NewRow> {
    let Delivered::Taken { rows, .. } = deliver(inbox, name, joined_n, numbers) else { panic!("not taken") };
    for row in &rows {
        inbox.confirm(row.place.position.n);
    }
    rows
}

/// An inbox of so many rows, all of one conversation, summarised.
fn filled(rows: u64) -> Inbox {
    let mut inbox = inbox();
    for n in 1..=rows {
        take(&mut inbox, "c", 1, [n]);
        summarise(&mut inbox, SUMMARY_ROWS, RETENTION);
    }
    inbox
}

fn summarise(inbox: &mut Inbox, every: u64, retention: Retention) -> Option<SummaryDue> {
    let due = inbox.summary(every, retention)?;
    inbox.summary_stored(due.upto);
    Some(due)
}

#[test]
fn rows_of_all_conversations_make_one_order() {
    let mut inbox = inbox();
    take(&mut inbox, "c", 1, 1..=2);
    take(&mut inbox, "d", 1, [1]);
    let rows = take(&mut inbox, "c", 1, [3]);
    assert_eq!(rows[0].place, Place { position: Position { epoch: 1, n: 4 }, stable: 3 });
    assert_eq!(inbox.tail().n, 4);
}

#[test]
fn a_parcel_that_comes_again_is_answered_and_not_taken_twice() {
    let mut inbox = inbox();
    let first = deliver(&mut inbox, "c", 1, 1..=3);
    assert!(matches!(first, Delivered::Taken { rows, mark: 3, rests_on: 3 } if rows.len() == 3));
    // The first is not stored yet: the answer to the second rests on it, too.
    let again = deliver(&mut inbox, "c", 1, 1..=3);
    assert_eq!(again, Delivered::Taken { rows: Vec::new(), mark: 3, rests_on: 3 });
    let longer = deliver(&mut inbox, "c", 1, 2..=5);
    assert!(matches!(longer, Delivered::Taken { rows, mark: 5, rests_on: 5 } if rows.len() == 2));
}

#[test]
fn a_parcel_with_a_hole_before_it_is_missing_something() {
    let mut inbox = inbox();
    take(&mut inbox, "c", 1, 1..=2);
    assert_eq!(deliver(&mut inbox, "c", 1, 4..=5), Delivered::Missing { mark: 2, rests_on: 2 });
    assert_eq!(deliver(&mut inbox, "d", 1, 2..=2), Delivered::Missing { mark: 0, rests_on: 2 });
    assert_eq!(inbox.last_n(), 2);
}

#[test]
fn rows_begin_with_the_one_of_joining() {
    let mut inbox = inbox();
    take(&mut inbox, "c", 7, 7..=8);
    assert_eq!(inbox.membership(&conversation("c")).unwrap().mark, 8);
    take(&mut inbox, "c", 12, 12..=13);
    assert_eq!(inbox.membership(&conversation("c")).unwrap().mark, 13, "also when it comes back");
    assert_eq!(take(&mut inbox, "c", 12, 12..=13), []);
    assert_eq!(inbox.tail().n, 4);
}

#[test]
fn a_parcel_waits_for_room_in_the_window() {
    let mut inbox = inbox();
    let Delivered::Taken { rows, .. } = deliver(&mut inbox, "c", 1, 1..=WINDOW_MAX as u64) else { panic!() };
    assert_eq!(deliver(&mut inbox, "d", 1, [1]), Delivered::Wait);
    for row in rows {
        inbox.confirm(row.place.position.n);
    }
    assert_eq!(take(&mut inbox, "d", 1, [1]).len(), 1);
}

#[test]
fn a_parcel_waits_for_an_overdue_summary() {
    let mut inbox = inbox();
    for n in 1..=2 * SUMMARY_ROWS {
        take(&mut inbox, "c", 1, [n]);
    }
    assert_eq!(deliver(&mut inbox, "d", 1, [1]), Delivered::Wait);
    let due = inbox.summary(SUMMARY_ROWS, RETENTION).unwrap();
    assert!(inbox.summary(1, RETENTION).is_none(), "one at a time");
    assert_eq!(deliver(&mut inbox, "d", 1, [1]), Delivered::Wait, "not stored yet");
    inbox.summary_stored(due.upto);
    assert_eq!(take(&mut inbox, "d", 1, [1]).len(), 1);
}

#[test]
fn a_row_that_cannot_be_read_leaves_no_hole_behind() {
    let mut inbox = inbox();
    let good = |n| (n, event("c", n, "bob", EventKind::Message));
    let rows = [good(1), (2, Bytes::from_static(b"\x02later")), good(3)];
    assert!(matches!(deliver_rows(&mut inbox, "c", 1, &rows), Delivered::Unreadable(_)));
    assert_eq!((inbox.last_n(), inbox.membership(&conversation("c"))), (0, None));
    assert_eq!(take(&mut inbox, "c", 1, [1]).len(), 1);
}

#[test]
fn unread_are_messages_of_others() {
    let mut inbox = inbox();
    let rows = [
        (1, event("c", 1, "bob", EventKind::Conversation)),
        (2, event("c", 2, "ann", EventKind::Message)),
        (3, event("c", 3, "bob", EventKind::Message)),
    ];
    deliver_rows(&mut inbox, "c", 1, &rows);
    deliver_rows(&mut inbox, "c", 1, &rows);
    assert_eq!(inbox.membership(&conversation("c")).unwrap().unread, 1);
}

#[test]
fn conversations_are_listed_by_their_newest_activity() {
    let mut inbox = inbox();
    take(&mut inbox, "c", 1, 1..=2);
    take(&mut inbox, "d", 1, [1]);
    take(&mut inbox, "e", 1, [1]);
    take(&mut inbox, "c", 1, [3]);
    let names = |list: Vec<(&ConversationId, &Membership)>| {
        Vec::from_iter(list.into_iter().map(|(id, m)| (id.to_string(), m.activity)))
    };
    let page = names(inbox.conversations(u64::MAX, 2));
    assert_eq!(page, [("c".into(), 5), ("e".into(), 4)]);
    assert_eq!(names(inbox.conversations(page[1].1, 2)), [("d".into(), 3)]);
}

#[test]
fn a_conversation_that_removed_the_account_is_not_listed_until_it_returns() {
    let mut inbox = inbox();
    take(&mut inbox, "c", 1, [1]);
    deliver_rows(&mut inbox, "c", 1, &[(2, event("c", 2, "bob", EventKind::ConversationRemoved))]);
    assert_eq!(inbox.conversations(u64::MAX, 9), []);
    assert_eq!(inbox.membership(&conversation("c")).unwrap().mark, 2, "so that nothing comes twice");
    deliver_rows(&mut inbox, "c", 5, &[(5, event("c", 5, "bob", EventKind::Conversation))]);
    assert_eq!(inbox.conversations(u64::MAX, 9).len(), 1);
}

#[test]
fn an_acknowledgement_only_moves_forward() {
    let mut inbox = inbox();
    let phone = device("phone");
    let n = |n| Position { epoch: 1, n };
    assert_eq!(inbox.acknowledge(&phone, Position::START), None);
    assert_eq!(inbox.devices().count(), 0, "nothing was noted");
    let stored = inbox.acknowledge(&phone, n(5)).unwrap();
    assert_eq!(inbox.acknowledge(&phone, n(4)), None);
    assert_eq!(inbox.acknowledge(&phone, n(5)), None);
    assert!(inbox.acknowledge(&device("tablet"), n(4)).is_some(), "each device for itself");
    let devices = vec![(phone.clone(), stored)];
    let mut back = Inbox::load(account("ann"), Stored { devices, ..Stored::default() }).unwrap();
    assert_eq!(back.acknowledge(&phone, n(5)), None);
}

#[test]
fn a_device_reads_back_and_keeps_what_it_acknowledged() {
    let mut inbox = inbox();
    let phone = device("phone");
    inbox.acknowledge(&phone, Position { epoch: 1, n: 5 });
    for (topic, environment) in
        [(None, None), (Some("org.example".to_owned()), None), (None, Some("x".into()))]
    {
        let push = Push { provider: PushProvider::Fcm, token: "t".into(), topic, environment };
        let request = PutDevice { platform: "android".into(), push: Some(push), name: None };
        let devices = vec![(phone.clone(), inbox.put_device(&phone, request))];
        let back = Inbox::load(account("ann"), Stored { devices, ..Stored::default() }).unwrap();
        assert_eq!(Vec::from_iter(back.devices()), Vec::from_iter(inbox.devices()));
    }
    assert_eq!(inbox.devices().next().unwrap().1.acknowledged.n, 5);
    inbox.delete_device(&phone);
    assert_eq!(inbox.devices().count(), 0);
}

#[test]
fn the_retention_by_number_trims_in_steps() {
    let few = Retention { events: 10, ..RETENTION };
    let mut inbox = inbox();
    take(&mut inbox, "c", 1, 1..=20);
    assert!(inbox.summary(SUMMARY_ROWS, few).is_none());
    assert_eq!(inbox.held(), Held { from: 11, to: 20 }, "not shown any more");
    for n in 21..=266 {
        assert!(inbox.summary(1_000, few).is_none(), "and removed {SUMMARY_ROWS} at a time");
        take(&mut inbox, "c", 1, [n]);
    }
    assert_eq!(summarise(&mut inbox, 1_000, few).unwrap().trim, Some(1..257));
    let small = summarise(&mut inbox, 0, few).unwrap();
    assert_eq!(small.trim, None, "no news");
}

#[test]
fn the_retention_by_age_never_goes_back_nor_beyond_the_tail() {
    let mut inbox = filled(20);
    inbox.expire_through(5);
    inbox.expire_through(3);
    assert_eq!(inbox.held_from(), 6);
    inbox.expire_through(u64::MAX);
    assert_eq!(inbox.held_from(), 21);
    take(&mut inbox, "c", 1, [21]);
    assert_eq!(inbox.held(), Held { from: 21, to: 21 });
}

#[test]
fn a_summary_brings_what_changed_since_the_last_one() {
    let mut inbox = inbox();
    assert!(inbox.summary(0, RETENTION).is_none());
    take(&mut inbox, "c", 1, [1]);
    take(&mut inbox, "d", 1, [1]);
    let rows = deliver(&mut inbox, "d", 1, [2]);
    assert!(matches!(rows, Delivered::Taken { .. }));
    assert!(inbox.summary(1, RETENTION).is_none(), "a row is under way");
    inbox.confirm(3);
    assert_eq!(summarise(&mut inbox, 3, RETENTION).unwrap().memberships.len(), 2);
    take(&mut inbox, "c", 1, [2]);
    assert!(inbox.summary(2, RETENTION).is_none());
    let due = summarise(&mut inbox, 1, RETENTION).unwrap();
    assert_eq!(due.memberships.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!((due.upto, inbox.summarised()), (4, 4));
}

/// An event id of ann's.
fn id(epoch: u64, n: u64) -> Cursor {
    Cursor::new(&account("ann"), Position { epoch, n })
}

/// Rows 1 to 6 of epoch 1, then rows 7 to 10 of epoch 2, of which the retention holds those from `from` on.
fn two_epochs(from: u64) -> Inbox {
    let mut inbox = filled(6);
    inbox.own(2);
    for n in 7..=10 {
        take(&mut inbox, "c", 1, [n]);
    }
    inbox.expire_through(from - 1);
    inbox
}

fn known(n: u64) -> Lookup {
    let after = Position { epoch: if n > 6 { 2 } else { u64::from(n > 0) }, n };
    Lookup::Known(Grant { after, upto: Position { epoch: 2, n: 10 }, gap: None })
}

#[test]
fn a_resume_from_an_event_that_is_held_has_no_gap() {
    let inbox = two_epochs(4);
    assert_eq!(inbox.look_up(id(1, 5)), Lookup::Row { n: 5 });
    assert_eq!(inbox.resolve(id(1, 5), Some(Position { epoch: 1, n: 5 })), known(5));
    assert_eq!(inbox.look_up(id(2, 10)), known(10), "the head");
    assert_eq!(inbox.from_now(), Grant { after: inbox.tail(), upto: inbox.tail(), gap: None });
    assert_eq!(two_epochs(1).look_up(id(0, 0)), known(0), "the place before the first row");
    assert_eq!(two_epochs(11).look_up(id(2, 10)), known(10), "the head of an inbox that was quiet for long");
}

#[test]
fn a_resume_from_just_before_what_is_held_has_no_gap() {
    let inbox = two_epochs(4);
    assert_eq!(inbox.look_up(id(1, 3)), Lookup::Row { n: 3 });
    assert_eq!(inbox.resolve(id(1, 3), None), known(3), "its own row may be gone");
    let other = inbox.resolve(id(2, 3), Some(Position { epoch: 1, n: 3 }));
    assert_eq!(other, Lookup::Gap(GapReason::Unknown), "but while it is there it has to be that one");
}

#[test]
fn a_resume_from_before_what_is_held_is_expired() {
    let inbox = two_epochs(4);
    assert_eq!(inbox.look_up(id(1, 2)), Lookup::Gap(GapReason::Expired));
    assert_eq!(inbox.look_up(id(0, 0)), Lookup::Gap(GapReason::Expired));
}

#[test]
fn a_resume_from_what_never_was_is_unknown() {
    let inbox = two_epochs(4);
    let unknown = Lookup::Gap(GapReason::Unknown);
    assert_eq!(inbox.look_up(id(2, 11)), unknown, "from the future, or from a store that was lost");
    assert_eq!(inbox.look_up(id(1, 10)), unknown, "the head's number under another owner");
    assert_eq!(inbox.look_up(id(1, 0)), unknown);
    assert_eq!(inbox.look_up(Cursor::new(&account("bob"), Position { epoch: 1, n: 5 })), unknown);
    assert_eq!(inbox.resolve(id(2, 5), Some(Position { epoch: 1, n: 5 })), unknown);
    assert_eq!(inbox.resolve(id(1, 5), None), unknown);
}

#[test]
fn a_gap_shows_all_that_is_held() {
    let inbox = two_epochs(4);
    let grant = inbox.gap(id(1, 2), GapReason::Expired, Some(Position { epoch: 1, n: 4 }));
    assert_eq!((grant.after.n, grant.upto), (3, inbox.tail()));
    let gap = GapData::Resume {
        reason: GapReason::Expired,
        requested: id(1, 2).to_string(),
        held_from: id(1, 4).to_string(),
        head: id(2, 10).to_string(),
    };
    assert_eq!(grant.gap, Some(gap));
    let none = two_epochs(11).gap(id(1, 2), GapReason::Expired, None);
    assert_eq!((none.after, none.upto), (inbox.tail(), inbox.tail()), "nothing is held");
}

#[test]
fn a_third_stream_of_a_device_replaces_its_oldest() {
    let mut streams = Streams::new(3);
    let (phone, tablet) = (device("phone"), device("tablet"));
    let opened = Attached { open: true, ended: Vec::new() };
    assert_eq!(streams.attach(ConnectionId(1), &phone, 'a'), opened);
    assert_eq!(streams.attach(ConnectionId(2), &tablet, 'b'), opened);
    assert_eq!(streams.attach(ConnectionId(3), &phone, 'c'), opened);
    let replaced = Attached { open: true, ended: vec![('a', ByeReason::Replaced)] };
    assert_eq!(streams.attach(ConnectionId(4), &phone, 'd'), replaced, "although the account has three");
    assert_eq!(String::from_iter(streams.iter()), "bcd");
}

#[test]
fn an_account_has_so_many_streams() {
    let mut streams = Streams::new(2);
    streams.attach(ConnectionId(1), &device("a"), 'a');
    streams.attach(ConnectionId(2), &device("b"), 'b');
    let refused = Attached { open: false, ended: vec![('c', ByeReason::Limit)] };
    assert_eq!(streams.attach(ConnectionId(3), &device("c"), 'c'), refused);
    streams.detach(ConnectionId(1));
    assert!(streams.attach(ConnectionId(4), &device("c"), 'c').open);
    assert_eq!(streams.remove_device(&device("b")), ['b']);
    assert_eq!((streams.of(&device("b")), streams.of(&device("c"))), (0, 1));
    streams.detach(ConnectionId(4));
    assert!(streams.is_empty());
}

proptest! {
    /// G2: whichever summary an activation finds, with memberships as old as it or newer, and the rows above
    /// it, the inbox holds of each conversation what it held.
    #[test]
    fn a_summary_and_the_rows_above_it_are_the_inbox(
        steps in prop::collection::vec((0..3usize, 1..5u64, any::<bool>()), 1..40),
        read in any::<prop::sample::Index>(),
    ) {
        let mut inbox = inbox();
        let (mut rows, mut seq) = (Vec::new(), [0; 3]);
        let mut memberships = std::collections::BTreeMap::new();
        let mut stored = vec![(None, memberships.clone())];
        for (which, count, summarise_now) in steps {
            let name = ["c", "d", "e"][which];
            rows.extend(take(&mut inbox, name, 1, seq[which] + 1..=seq[which] + count));
            seq[which] += count;
            if summarise_now && let Some(due) = summarise(&mut inbox, 1, RETENTION) {
                memberships.extend(due.memberships);
                stored.push((Some(due.summary), memberships.clone()));
            }
        }
        let older = read.index(stored.len());
        let newest = stored.last().unwrap().1.clone();
        for memberships in [stored[older].1.clone(), newest] {
            let memberships = memberships.into_iter().collect();
            let found = Stored { summary: stored[older].0.clone(), memberships, devices: Vec::new() };
            let mut back = Inbox::load(account("ann"), found).unwrap();
            let above = back.summarised();
            for row in rows.iter().filter(|row| row.place.position.n > above) {
                back.replay(row.place.position, row.at, &row.payload).unwrap();
            }
            prop_assert_eq!(&back.conversations, &inbox.conversations);
            prop_assert_eq!((back.tail(), back.last_at, back.held()), (inbox.tail(), inbox.last_at, inbox.held()));
        }
    }
}

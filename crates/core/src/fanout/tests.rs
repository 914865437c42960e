use godwit_types::{ClientId, ConversationId};
use godwit_wire::api::{Kind, NewMessage, OpenConversation};
use serde_json::value::RawValue;

use super::*;
use crate::conversation::{Conversation, Decision};

/// A group of ann, bob and cat with its fan-out, and the time.
struct Talk {
    conversation: Conversation,
    fanout: Fanout,
    now: Timestamp,
    text: String,
}

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

impl Talk {
    fn new() -> Self {
        Self::of(&["bob", "cat"])
    }

    /// Its first row is committed and taken.
    fn of(others: &[&str]) -> Self {
        let mut conversation = Conversation::load(ConversationId::new("c1").unwrap(), None).unwrap();
        conversation.own(1);
        let members = others.iter().map(|name| account(name)).collect();
        let request = OpenConversation { kind: Kind::Group, members, title: None, client_id: None };
        let now = Timestamp::from_ms(1_000);
        conversation.open(&account("ann"), &request, now);
        conversation.confirm(1);
        Self { conversation, fanout: Fanout::new(1), now, text: "hi".into() }
    }

    fn commit(&mut self, decide: impl FnOnce(&mut Conversation, Timestamp) -> Decision) -> Vec<Parcel> {
        let Decision::Append(row) = decide(&mut self.conversation, self.now) else { panic!("no append") };
        let events = self.conversation.confirm(row.place.position.n);
        self.fanout.committed(events, &self.conversation.state().unwrap().members, self.now)
    }

    fn post(&mut self) -> Vec<Parcel> {
        let client_id = ClientId::new(&format!("m{}", self.conversation.last_n())).unwrap();
        let body =
            RawValue::from_string(format!("{{\"type\":\"text\",\"text\":\"{}\"}}", self.text)).unwrap();
        let message = NewMessage { client_id, body, reply_to: None, mentions: Vec::new() };
        self.commit(|conversation, now| conversation.post(&account("ann"), &message, now))
    }

    fn add(&mut self, name: &str) -> Vec<Parcel> {
        self.commit(|conversation, now| conversation.put_member(&account("ann"), &account(name), None, now))
    }

    fn remove(&mut self, name: &str) -> Vec<Parcel> {
        self.commit(|conversation, now| conversation.remove_member(&account("ann"), &account(name), now))
    }

    fn answer(&mut self, name: &str, answer: Answer) -> Vec<Parcel> {
        let members = &self.conversation.state().unwrap().members;
        self.fanout.answered(&account(name), answer, members, self.now)
    }

    fn poll(&mut self) -> Vec<Parcel> {
        self.fanout.poll(&self.conversation.state().unwrap().members, self.now)
    }

    fn recheck(&mut self) -> Vec<Parcel> {
        self.fanout = Fanout::new(self.conversation.tail().n);
        self.fanout.recheck(&self.conversation.state().unwrap().members, self.now)
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }

    /// Everyone takes everything.
    fn settle(&mut self) {
        for name in ["ann", "bob", "cat", "dan"] {
            self.answer(name, Answer::Taken(self.conversation.tail().n));
        }
        assert!(self.fanout.is_done());
        self.conversation.all_taken();
    }
}

/// A parcel as (first row, last row, accounts with the row of their joining).
type Shown = (u64, u64, Vec<(String, u64)>);

fn shown(parcels: Vec<Parcel>) -> Vec<Shown> {
    let account = |(account, joined_n): (AccountId, u64)| (account.to_string(), joined_n);
    let mut shown: Vec<_> = parcels
        .into_iter()
        .map(|parcel| (parcel.from, parcel.to, Vec::from_iter(parcel.accounts.into_iter().map(account))))
        .collect();
    shown.iter_mut().for_each(|(_, _, accounts)| accounts.sort());
    shown
}

fn to(from: u64, to: u64, accounts: &[(&str, u64)]) -> Shown {
    (from, to, accounts.iter().map(|(name, joined_n)| (name.to_string(), *joined_n)).collect())
}

#[test]
fn one_parcel_is_for_all_who_lack_the_same_rows() {
    let mut talk = Talk::new();
    assert!(talk.fanout.is_done());
    assert_eq!(shown(talk.post()), [to(2, 2, &[("ann", 1), ("bob", 1), ("cat", 1)])]);
    assert!(!talk.fanout.is_done());
    talk.settle();
    assert_eq!(talk.fanout.next_due(), None);
}

#[test]
fn what_is_committed_meanwhile_goes_with_the_next_parcel() {
    let mut talk = Talk::new();
    talk.post();
    assert_eq!(shown(talk.post()), [], "one parcel at a time");
    talk.post();
    assert_eq!(shown(talk.answer("bob", Answer::Taken(2))), [to(3, 4, &[("bob", 1)])]);
    assert_eq!(shown(talk.answer("bob", Answer::Taken(4))), []);
    assert_eq!(shown(talk.post()), [to(5, 5, &[("bob", 1)])], "cat's first is under way still");
}

#[test]
fn a_parcel_has_as_many_rows_as_a_window() {
    let mut talk = Talk::new();
    for _ in 0..70 {
        talk.post();
    }
    assert_eq!(shown(talk.answer("bob", Answer::Taken(2))), [to(3, 66, &[("bob", 1)])]);
    assert_eq!(shown(talk.answer("bob", Answer::Taken(66))), [to(67, 71, &[("bob", 1)])]);
}

#[test]
fn a_lost_parcel_is_sent_again_after_a_wait_that_grows() {
    let mut talk = Talk::of(&[]);
    talk.post();
    for wait in [10, 20, 40, 40] {
        assert_eq!(shown(talk.answer("ann", Answer::Lost)), [], "not at once: what failed may fail again");
        assert_eq!(talk.fanout.next_due(), Some(talk.now.plus_ms(wait)));
        talk.wait(wait - 1);
        assert_eq!(shown(talk.poll()), []);
        talk.wait(1);
        assert_eq!(shown(talk.poll()), [to(2, 2, &[("ann", 1)])]);
    }
    assert_eq!(shown(talk.answer("ann", Answer::Taken(2))), []);
    talk.post();
    talk.answer("ann", Answer::Lost);
    assert_eq!(talk.fanout.next_due(), Some(talk.now.plus_ms(10)), "a success ends the row of failures");
}

#[test]
fn silence_is_a_loss() {
    let mut talk = Talk::of(&[]);
    talk.post();
    talk.post();
    talk.wait(SILENCE_MS - 1);
    assert_eq!(shown(talk.poll()), []);
    talk.wait(1);
    assert_eq!(shown(talk.poll()), [to(2, 3, &[("ann", 1)])]);
    assert_eq!(shown(talk.answer("ann", Answer::Taken(2))), [], "the answer to the first parcel, late");
    assert!(!talk.fanout.is_done());
    talk.answer("ann", Answer::Taken(3));
    assert!(talk.fanout.is_done());
}

#[test]
fn an_inbox_that_misses_rows_gets_them_from_its_mark_on() {
    let mut talk = Talk::new();
    for _ in 0..4 {
        talk.post();
        talk.settle();
    }
    talk.post();
    assert_eq!(shown(talk.answer("bob", Answer::Missing(3))), [to(4, 6, &[("bob", 1)])]);
    assert_eq!(shown(talk.answer("bob", Answer::Missing(3))), [to(4, 6, &[("bob", 1)])], "a late answer");
    assert_eq!(shown(talk.answer("bob", Answer::Taken(6))), []);
}

#[test]
fn an_answer_of_who_is_owed_nothing_changes_nothing() {
    let mut talk = Talk::new();
    for answer in [Answer::Taken(1), Answer::Missing(0), Answer::Lost] {
        assert_eq!(shown(talk.answer("bob", answer)), []);
        assert_eq!(shown(talk.answer("eve", answer)), []);
    }
    assert!(talk.fanout.is_done());
}

#[test]
fn who_is_removed_gets_that_row_and_none_after_it() {
    let mut talk = Talk::new();
    assert_eq!(shown(talk.remove("bob")), [to(2, 2, &[("ann", 1), ("bob", 1), ("cat", 1)])]);
    talk.post();
    assert_eq!(shown(talk.answer("bob", Answer::Lost)), []);
    talk.wait(10);
    assert_eq!(shown(talk.poll()), [to(2, 2, &[("bob", 1)])]);
    assert_eq!(shown(talk.answer("bob", Answer::Taken(2))), []);
    assert_eq!(shown(talk.answer("ann", Answer::Taken(2))), [to(3, 3, &[("ann", 1)])]);
}

#[test]
fn who_comes_back_gets_what_it_missed_before_and_then_from_its_return() {
    let mut talk = Talk::new();
    talk.post();
    talk.remove("bob");
    talk.post();
    talk.add("bob");
    talk.post();
    assert_eq!(shown(talk.answer("bob", Answer::Missing(1))), [to(2, 3, &[("bob", 1)])]);
    assert_eq!(shown(talk.answer("bob", Answer::Taken(3))), [to(5, 6, &[("bob", 5)])]);
}

#[test]
fn a_new_owner_offers_everyone_the_last_row() {
    let mut talk = Talk::new();
    talk.remove("cat");
    talk.post();
    assert_eq!(shown(talk.recheck()), [to(2, 2, &[("cat", 1)]), to(3, 3, &[("ann", 1), ("bob", 1)])]);
    assert_eq!(shown(talk.answer("ann", Answer::Taken(3))), []);
    assert_eq!(shown(talk.answer("bob", Answer::Missing(1))), [to(2, 3, &[("bob", 1)])]);
    assert_eq!(shown(talk.answer("bob", Answer::Taken(3))), []);
    assert_eq!(shown(talk.answer("cat", Answer::Taken(2))), []);
    assert!(talk.fanout.is_done());
}

#[test]
fn a_new_owner_of_nothing_offers_nothing() {
    let mut fanout = Fanout::new(0);
    assert_eq!(fanout.recheck(&Members::default(), Timestamp::from_ms(1)), []);
    assert!(fanout.is_done());
}

#[test]
fn a_new_owner_offers_who_came_back_the_last_row_before_it_left() {
    let mut talk = Talk::of(&["bob"]);
    talk.post();
    talk.remove("bob");
    talk.add("bob");
    // Offered row 4 first, an inbox that lacks rows 2 and 3 would take it: it is the row of its joining.
    assert_eq!(shown(talk.recheck()), [to(3, 3, &[("bob", 1)]), to(4, 4, &[("ann", 1)])]);
    assert_eq!(shown(talk.answer("bob", Answer::Missing(1))), [to(2, 3, &[("bob", 1)])]);
    assert_eq!(shown(talk.answer("bob", Answer::Taken(3))), [to(4, 4, &[("bob", 4)])]);
}

#[test]
fn rows_are_kept_for_the_next_parcels_and_not_beyond() {
    let mut talk = Talk::of(&[]);
    let first = talk.post().remove(0);
    assert_eq!(talk.fanout.rows(&first).unwrap()[0].n, 2);
    for _ in 0..RECENT_ROWS {
        talk.post();
    }
    assert_eq!(talk.fanout.rows(&first), None, "too many came after it");
    let next = talk.answer("ann", Answer::Taken(2)).remove(0);
    let rows = talk.fanout.rows(&next).unwrap();
    assert_eq!(Vec::from_iter(rows.iter().map(|row| row.n)), Vec::from_iter(next.from..=next.to));
    talk.settle();
    assert_eq!(talk.fanout.rows(&next), None, "nobody needs them");
}

#[test]
fn rows_are_kept_up_to_so_many_bytes() {
    let mut talk = Talk::of(&[]);
    talk.text = "x".repeat(RECENT_BYTES / 3);
    let first = talk.post().remove(0);
    talk.post();
    assert!(talk.fanout.rows(&first).is_some());
    talk.post();
    assert_eq!(talk.fanout.rows(&first), None);
    assert!(talk.fanout.recent_bytes <= RECENT_BYTES);
}

//! What a history costs, counted by the allocator.
#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use godwit_judge::{Expected, History, Message};
use serde_json::json;

thread_local! {
    /// Bytes that this test's thread holds.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get() + layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as isize);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Records a run in which `conversations` of `members` each get `messages`, read by every member on a
/// stream of its own. Gives the bytes for each record.
fn bytes_per_record(conversations: usize, members: usize, messages: u64) -> isize {
    let before = HELD.get();
    let history = History::default();
    let account = |conversation: usize, member: usize| format!("account-{conversation}-{member}");
    let mut expected = Expected::default();
    for conversation in 0..conversations {
        let names: Vec<String> = (0..members).map(|member| account(conversation, member)).collect();
        let streams: Vec<_> =
            names.iter().map(|name| history.opened(name, "phone", Some("0-0-aaaa"))).collect();
        // Texts as long as the server's: 36 characters for an id.
        let id = format!("01890a5d-ac96-774b-bcce-{conversation:012}");
        for seq in 1..=messages {
            let message = Message {
                conversation: id.clone(),
                seq,
                id: format!("01890a5d-ac96-774b-{conversation:04}-{seq:012}"),
                sender: names[0].clone(),
                client_id: format!("{conversation}-{seq}"),
            };
            let data = json!({"conversation_id": id, "seq": seq, "id": message.id,
                "sender": message.sender, "client_id": message.client_id});
            history.acknowledged(history.now(), message);
            for stream in &streams {
                history.event(*stream, "message", &format!("1-{seq}-aaaa"), &data);
            }
        }
        expected.complete.extend(names.iter().map(|name| (name.clone(), "phone".to_owned())));
        expected.members.push((id, names));
    }
    let checked = history.check(&expected).unwrap();
    assert_eq!(checked.deliveries, conversations * members * messages as usize);
    drop(expected);
    (HELD.get() - before) / history.records() as isize
}

#[test]
fn a_record_costs_less_than_200_bytes_with_all_that_is_known_from_it() {
    for (what, conversations, members, messages) in
        [("1:1, 20 messages each", 1000, 2, 20), ("groups of 10", 20, 10, 200), ("one of 100", 1, 100, 300)]
    {
        let bytes = bytes_per_record(conversations, members, messages);
        println!("{what}: {bytes} bytes a record");
        assert!((50..200).contains(&bytes), "{what}: {bytes} bytes a record");
    }
}

//! What a parser holds and what reading costs, counted by the allocator.
#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use godwit_sse::Parser;

thread_local! {
    /// Allocations so far, and bytes that are held, of this test's thread.
    static COUNTED: Cell<(usize, isize)> = const { Cell::new((0, 0)) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (count, bytes) = COUNTED.get();
        COUNTED.set((count + 1, bytes + layout.size() as isize));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let (count, bytes) = COUNTED.get();
        COUNTED.set((count, bytes - layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations while the parser takes this, and bytes that it holds more than before.
fn cost(parser: &mut Parser, bytes: &[u8]) -> (usize, isize) {
    let before = COUNTED.get();
    parser.feed(bytes, |_| {}).unwrap();
    let after = COUNTED.get();
    (after.0 - before.0, after.1 - before.1)
}

const EVENT: &[u8] = b"id: 1-42-abcd\nevent: message\ndata: {\"text\":\"hello\"}\n\n";
const ID_BYTES: isize = 9;

#[test]
fn a_complete_event_costs_its_id_once_and_then_nothing() {
    let mut parser = Parser::new(1024);
    assert_eq!(cost(&mut parser, EVENT), (1, ID_BYTES));
    assert_eq!(cost(&mut parser, &EVENT.repeat(100)), (0, 0));
    assert_eq!(cost(&mut parser, b": heartbeat\n\nretry: 100\n\n"), (0, 0));
}

#[test]
fn wherever_an_event_is_cut_nothing_but_the_last_id_is_kept_behind_it() {
    for cut in 0..=EVENT.len() {
        let mut parser = Parser::new(1024);
        let (_, first) = cost(&mut parser, &EVENT[..cut]);
        let (_, second) = cost(&mut parser, &EVENT[cut..]);
        assert_eq!(first + second, ID_BYTES, "cut at {cut}");
        assert!(first > 0 || cut == 0, "cut at {cut}");
    }
}

#[test]
fn a_long_id_is_not_paid_for_when_it_is_gone() {
    let mut parser = Parser::new(4096);
    cost(&mut parser, EVENT);
    let long = format!("id: {}\n\n", "x".repeat(2000));
    cost(&mut parser, long.as_bytes());
    let (_, freed) = cost(&mut parser, EVENT);
    assert!(freed <= ID_BYTES - 1990, "{freed}");
    cost(&mut parser, b"id:\n\n");
    assert_eq!(parser.last_event_id(), "");
}

#[test]
fn what_broke_the_bound_is_not_kept() {
    let before = COUNTED.get().1;
    let mut parser = Parser::new(64);
    parser.feed(b"data: half", |_| {}).unwrap();
    parser.feed(&[b'x'; 64], |_| {}).unwrap_err();
    assert_eq!(COUNTED.get().1, before);
}

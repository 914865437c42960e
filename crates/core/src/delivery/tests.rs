mod interleavings;

use serde_json::Value;

use super::*;

fn ann() -> AccountId {
    AccountId::new("ann").unwrap()
}

fn place(n: u64) -> Position {
    Position { epoch: u64::from(n > 0), n }
}

/// Row `n`, whose frame has about `size` bytes.
fn event(n: u64, size: usize) -> Event {
    let data = format!("{{\"pad\":\"{}\"}}", "x".repeat(size.saturating_sub(60)));
    let frame = sse::frame(Some(Cursor::new(&ann(), place(n))), EventKind::Message, data.as_bytes());
    Event { position: place(n), frame }
}

fn bounds(queue_bytes: usize, overflow: Overflow) -> Bounds {
    Bounds { queue_bytes, overflow }
}

fn live(queue_bytes: usize, overflow: Overflow) -> Delivery {
    Delivery::live(ann(), bounds(queue_bytes, overflow), Position::START)
}

/// A stream that resumes after `after` while the inbox's tail is `upto`.
fn resumed(overflow: Overflow, after: u64, upto: u64) -> Delivery {
    let ready = sse::frame(None, EventKind::Ready, b"{}");
    let grant = Grant { after: place(after), upto: place(upto), gap: None };
    Delivery::granted(ann(), bounds(1_000, overflow), ready, grant, true)
}

/// A frame as a client understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Stored(u64),
    CaughtUp(u64),
    Dropped(u64, u64),
    Expired { requested: u64, held_from: u64 },
    Control,
}

fn seen(frame: &Bytes) -> Seen {
    let text = std::str::from_utf8(frame).unwrap();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let n = |cursor: &str| Cursor::parse(cursor).unwrap().position.n;
    let Some(data) = field("data:") else { return Seen::Control };
    let data: Value = serde_json::from_str(data).unwrap();
    let at = |key: &str| n(data[key].as_str().unwrap());
    match field("event:").unwrap() {
        "message" => Seen::Stored(n(field("id:").unwrap())),
        "caught_up" => {
            assert_eq!(at("head"), n(field("id:").unwrap()));
            Seen::CaughtUp(at("head"))
        }
        "gap" => {
            assert_eq!(field("id:"), None, "a cut right after it has to lead to the same gap");
            match data["reason"].as_str().unwrap() {
                "dropped" => Seen::Dropped(at("from"), at("to")),
                _ => Seen::Expired { requested: at("requested"), held_from: at("held_from") },
            }
        }
        _ => Seen::Control,
    }
}

fn take(delivery: &mut Delivery, bytes_max: usize) -> Vec<Seen> {
    let mut frames = Vec::new();
    delivery.take(&mut frames, bytes_max);
    frames.iter().map(seen).collect()
}

fn take_all(delivery: &mut Delivery) -> Vec<Seen> {
    let all = take(delivery, usize::MAX);
    assert!(!delivery.has_frames());
    all
}

fn send(delivery: &mut Delivery, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        assert_eq!(delivery.event(&event(n, 100)), Fate::Open);
    }
}

/// Answers a read out of a store that holds every row.
fn page(delivery: &mut Delivery) -> Option<Read> {
    let read = delivery.read()?;
    let rows: Vec<_> = (read.after + 1..=read.upto).map(|n| event(n, 100)).collect();
    delivery.page(read, &rows);
    Some(read)
}

#[test]
fn a_stream_without_an_id_is_live_at_once() {
    let ready = sse::frame(None, EventKind::Ready, b"{}");
    let grant = Grant { after: place(7), upto: place(7), gap: None };
    let mut delivery = Delivery::granted(ann(), bounds(1_000, Overflow::Replay), ready, grant, false);
    assert_eq!(delivery.read(), None);
    send(&mut delivery, [7, 8]);
    assert_eq!(take_all(&mut delivery), [Seen::Control, Seen::Stored(8)], "row 7 is what it started from");
    assert!(delivery.is_idle());
}

#[test]
fn a_resume_replays_then_says_so_then_is_live() {
    let mut delivery = resumed(Overflow::Replay, 3, 5);
    send(&mut delivery, [6]);
    let read = page(&mut delivery).unwrap();
    assert_eq!((read.after, read.upto), (3, 6), "what was committed meanwhile is read as well");
    send(&mut delivery, [7]);
    let expected = [4, 5, 6].map(Seen::Stored);
    let shown = take_all(&mut delivery);
    assert_eq!(shown[0], Seen::Control);
    assert_eq!(&shown[1..4], expected);
    assert_eq!(&shown[4..], [Seen::CaughtUp(6), Seen::Stored(7)]);
}

#[test]
fn a_resume_from_the_head_is_caught_up_at_once() {
    let mut delivery = resumed(Overflow::Replay, 5, 5);
    assert_eq!(take_all(&mut delivery), [Seen::Control, Seen::CaughtUp(5)]);
    assert!(delivery.is_idle());
}

#[test]
fn a_resume_with_a_gap_shows_it_first() {
    let cursor = |n| Cursor::new(&ann(), place(n));
    let gap = gap_data(GapReason::Expired, cursor(2), cursor(6), cursor(7));
    let grant = Grant { after: place(5), upto: place(7), gap: Some(gap) };
    let ready = sse::frame(None, EventKind::Ready, b"{}");
    let mut delivery = Delivery::granted(ann(), bounds(1_000, Overflow::Replay), ready, grant, true);
    page(&mut delivery);
    let gap = Seen::Expired { requested: 2, held_from: 6 };
    let expected = [Seen::Control, gap, Seen::Stored(6), Seen::Stored(7), Seen::CaughtUp(7)];
    assert_eq!(take_all(&mut delivery), expected);
}

#[test]
fn what_is_known_is_not_shown_again() {
    let mut delivery = live(1_000, Overflow::Replay);
    send(&mut delivery, [1, 1, 2, 1, 2]);
    assert_eq!(take_all(&mut delivery), [Seen::Stored(1), Seen::Stored(2)]);
}

#[test]
fn a_missed_event_is_read_from_the_store() {
    let mut delivery = live(1_000, Overflow::Replay);
    send(&mut delivery, [1, 3]);
    assert_eq!(page(&mut delivery).map(|read| (read.after, read.upto)), Some((1, 3)));
    assert_eq!(take_all(&mut delivery), [1, 2, 3].map(Seen::Stored), "and nothing was announced");
    let _ = delivery.missed(place(3));
    assert!(delivery.is_idle(), "old news");
    let _ = delivery.missed(place(5));
    let read = delivery.read().unwrap();
    let _ = delivery.missed(place(6));
    delivery.page(read, &[event(4, 100), event(5, 100)]);
    assert_eq!(page(&mut delivery).map(|read| (read.after, read.upto)), Some((5, 6)), "missed in a replay");
    assert_eq!(take_all(&mut delivery), [4, 5, 6].map(Seen::Stored));
}

#[test]
fn a_replay_reads_only_while_the_queue_is_at_most_half_full() {
    let mut delivery = live(1_000, Overflow::Replay);
    let _ = delivery.missed(place(100));
    page(&mut delivery);
    assert!(delivery.bytes() > 900 && delivery.bytes() <= 1_000, "a page ends where the queue does");
    assert_eq!(delivery.read(), None);
    take(&mut delivery, 600);
    let read = delivery.read().unwrap();
    assert_eq!(read.bytes, 1_000 - delivery.bytes());
}

#[test]
fn an_event_above_the_bound_is_let_in_alone() {
    for overflow in [Overflow::Replay, Overflow::DropOldest, Overflow::DropNewest, Overflow::Disconnect] {
        let mut delivery = live(1_000, overflow);
        assert_eq!(delivery.event(&event(1, 5_000)), Fate::Open, "{overflow:?}");
        assert_eq!(take_all(&mut delivery), [Seen::Stored(1)], "{overflow:?}");
    }
    let mut delivery = live(1_000, Overflow::Replay);
    let _ = delivery.missed(place(2));
    delivery.page(delivery.read().unwrap(), &[event(1, 5_000), event(2, 100)]);
    assert_eq!(take_all(&mut delivery), [Seen::Stored(1)]);
    delivery.page(delivery.read().unwrap(), &[event(2, 100)]);
    assert_eq!(take_all(&mut delivery), [Seen::Stored(2)]);
}

#[test]
fn replay_drops_the_queue_and_reads_it_again() {
    let mut delivery = live(1_000, Overflow::Replay);
    send(&mut delivery, 1..=10);
    assert_eq!(take(&mut delivery, 150), [Seen::Stored(1), Seen::Stored(2)]);
    send(&mut delivery, 11..=20);
    assert_eq!(delivery.bytes(), 0, "the queue was dropped");
    let read = page(&mut delivery).unwrap();
    assert_eq!((read.after, read.upto), (2, 20));
    let mut shown = take_all(&mut delivery);
    page(&mut delivery);
    shown.extend(take_all(&mut delivery));
    assert_eq!(shown, Vec::from_iter((3..=20).map(Seen::Stored)));
}

#[test]
fn a_dropped_caught_up_is_said_again_after_what_it_covers() {
    let mut delivery = resumed(Overflow::Replay, 0, 3);
    page(&mut delivery);
    send(&mut delivery, 4..=20);
    assert_eq!(take_all(&mut delivery), [Seen::Control], "its id covers rows that were dropped");
    let mut shown = Vec::new();
    while page(&mut delivery).is_some() {
        shown.extend(take_all(&mut delivery));
    }
    let expected = (1..=20).map(Seen::Stored).chain([Seen::CaughtUp(20)]);
    assert_eq!(shown, Vec::from_iter(expected));
}

#[test]
fn a_caught_up_that_nothing_stored_precedes_stays() {
    let mut delivery = resumed(Overflow::Replay, 3, 3);
    send(&mut delivery, 4..=20);
    assert_eq!(take_all(&mut delivery), [Seen::Control, Seen::CaughtUp(3)]);
}

#[test]
fn drop_oldest_says_what_it_dropped_where_it_was() {
    let mut delivery = resumed(Overflow::DropOldest, 0, 3);
    page(&mut delivery);
    send(&mut delivery, 4..=20);
    let shown = take_all(&mut delivery);
    let first = shown.iter().find_map(|s| if let Seen::Stored(n) = s { Some(*n) } else { None }).unwrap();
    let mut expected = vec![Seen::Control, Seen::Dropped(1, 3), Seen::CaughtUp(3)];
    expected.push(Seen::Dropped(4, first - 1));
    expected.extend((first..=20).map(Seen::Stored));
    assert_eq!(shown, expected);
}

#[test]
fn drop_newest_says_what_it_dropped_where_it_was() {
    let mut delivery = live(500, Overflow::DropNewest);
    send(&mut delivery, 1..=8);
    assert_eq!(take(&mut delivery, 50), [Seen::Stored(1)]);
    send(&mut delivery, 9..=10);
    // Row 11 is missed: it comes by a page, and behind the gap.
    let _ = delivery.missed(place(11));
    take(&mut delivery, 200);
    page(&mut delivery);
    let shown = take_all(&mut delivery);
    let dropped = shown.iter().position(|s| matches!(s, Seen::Dropped(..))).unwrap();
    assert!(dropped + 1 < shown.len() && shown.last() == Some(&Seen::Stored(11)), "{shown:?}");
}

#[test]
fn drop_newest_ends_with_its_gap_when_nothing_follows() {
    let mut delivery = live(250, Overflow::DropNewest);
    send(&mut delivery, 1..=5);
    assert_eq!(take_all(&mut delivery), [Seen::Stored(1), Seen::Stored(2), Seen::Dropped(3, 5)]);
    assert!(delivery.is_idle());
}

#[test]
fn disconnect_ends_the_stream_and_shows_no_id_beyond_what_was_shown() {
    let mut delivery = resumed(Overflow::Disconnect, 0, 3);
    page(&mut delivery);
    let fates: Vec<_> = (4..=20).map(|n| delivery.event(&event(n, 100))).collect();
    assert_eq!(fates.iter().find(|fate| **fate == Fate::Slow), Some(&Fate::Slow));
    delivery.control(sse::frame(None, EventKind::Bye, b"{}"));
    let shown = take_all(&mut delivery);
    assert!(!shown.iter().any(|s| matches!(s, Seen::CaughtUp(_))), "{shown:?}");
    assert_eq!(shown.last(), Some(&Seen::Control), "bye");
}

#[test]
fn a_dropped_queue_keeps_what_is_not_stored() {
    let mut delivery = live(1_000, Overflow::Replay);
    send(&mut delivery, 1..=3);
    delivery.control(sse::frame(None, EventKind::Bye, b"{}"));
    send(&mut delivery, 4..=20);
    assert_eq!(take_all(&mut delivery), [Seen::Control]);
}

#[test]
fn what_expired_before_it_was_read_is_a_gap() {
    let mut delivery = resumed(Overflow::Replay, 2, 6);
    let read = delivery.read().unwrap();
    delivery.page(read, &[event(5, 100), event(6, 100)]);
    let gap = Seen::Expired { requested: 2, held_from: 5 };
    let shown = take_all(&mut delivery);
    assert_eq!(&shown[1..], [gap, Seen::Stored(5), Seen::Stored(6), Seen::CaughtUp(6)]);
}

#[test]
fn an_empty_page_is_a_gap_up_to_what_was_asked_for() {
    let mut delivery = resumed(Overflow::Replay, 2, 6);
    let read = delivery.read().unwrap();
    send(&mut delivery, [7]);
    delivery.page(read, &[]);
    let read = delivery.read().unwrap();
    assert_eq!((read.after, read.upto), (2, 7), "row 7 is held, so it is asked for");
    delivery.page(read, &[]);
    let gap = Seen::Expired { requested: 2, held_from: 7 };
    assert_eq!(&take_all(&mut delivery)[1..], [gap, Seen::CaughtUp(7)]);
}

#[test]
fn a_page_that_comes_twice_is_shown_once() {
    let mut delivery = resumed(Overflow::Replay, 0, 20);
    let read = page(&mut delivery).unwrap();
    let rows: Vec<_> = (1..=20).map(|n| event(n, 100)).collect();
    delivery.page(read, &rows);
    let numbers: Vec<_> = take_all(&mut delivery)
        .into_iter()
        .filter_map(|s| if let Seen::Stored(n) = s { Some(n) } else { None })
        .collect();
    assert_eq!(numbers, Vec::from_iter(1..=numbers.len() as u64));
}

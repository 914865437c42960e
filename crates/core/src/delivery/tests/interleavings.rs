//! A stream against a model of its inbox, under any interleaving.

use proptest::prelude::*;

use super::*;

/// `ready`, a gap, `caught_up`: what a queue may hold beyond its bound and one event.
const CONTROLS_BYTES: usize = 512;

#[derive(Debug, Clone)]
enum Step {
    /// A row of so many bytes is committed; the stream hears of it so many times.
    Commit(usize, usize),
    /// Rows up to the tail are committed, says the account's owner.
    Missed,
    /// The socket takes so many bytes.
    Take(usize),
    /// A read starts.
    Read,
    /// It is answered.
    Page,
    /// Both at once.
    Replay,
    /// The retention removes so many rows.
    Trim(u64),
}

fn step(trims: bool) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (60..260usize, prop_oneof![1 => Just(0usize), 6 => Just(1), 1 => Just(2)]).prop_map(|(size, times)| Step::Commit(size, times)),
        1 => (900..1_500usize).prop_map(|size| Step::Commit(size, 1)),
        1 => Just(Step::Missed),
        3 => (1..600usize).prop_map(Step::Take),
        2 => Just(Step::Read),
        2 => Just(Step::Page),
        3 => Just(Step::Replay),
        u32::from(trims) => (1..12u64).prop_map(Step::Trim),
    ]
}

fn policy() -> impl Strategy<Value = Overflow> {
    prop_oneof![
        Just(Overflow::Replay),
        Just(Overflow::DropOldest),
        Just(Overflow::DropNewest),
        Just(Overflow::Disconnect)
    ]
}

/// A stream, the inbox behind it, and what the client has made of it.
struct Model {
    delivery: Delivery,
    rows: Vec<Event>,
    trimmed: u64,
    reading: Option<(Read, Vec<Event>)>,
    seen: Vec<Seen>,
    slow: bool,
}

impl Model {
    fn new(overflow: Overflow, before: u64, after: Option<u64>) -> Self {
        let rows: Vec<_> = (1..=before).map(|n| event(n, 100)).collect();
        let delivery = match after {
            Some(after) => resumed(overflow, after, before),
            None => Delivery::live(ann(), bounds(1_000, overflow), place(before)),
        };
        Self { delivery, rows, trimmed: 0, reading: None, seen: Vec::new(), slow: false }
    }

    fn head(&self) -> u64 {
        self.rows.len() as u64
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Commit(size, times) => {
                let event = event(self.head() + 1, *size);
                self.rows.push(event.clone());
                for _ in 0..*times {
                    self.slow |= self.delivery.event(&event) == Fate::Slow;
                }
            }
            Step::Missed => _ = self.delivery.missed(place(self.head())),
            Step::Take(bytes) => self.seen.extend(take(&mut self.delivery, *bytes)),
            Step::Read => self.reading = self.delivery.read().map(|read| (read, self.held(read))),
            Step::Page => {
                if let Some((read, rows)) = self.reading.take() {
                    self.delivery.page(read, &rows);
                }
            }
            Step::Replay => {
                self.step(&Step::Read);
                self.step(&Step::Page);
            }
            Step::Trim(rows) => self.trimmed = (self.trimmed + rows).min(self.head()),
        }
        let largest = self.rows.iter().map(|event| event.frame.len()).max().unwrap_or(0);
        assert!(self.delivery.bytes() <= 1_000 + largest + CONTROLS_BYTES, "G6: {}", self.delivery.bytes());
    }

    /// As a store answers: as many rows as fit, at least one if there is one.
    fn held(&self, read: Read) -> Vec<Event> {
        let mut bytes = 0;
        let held = self
            .rows
            .iter()
            .filter(|e| e.position.n > read.after.max(self.trimmed) && e.position.n <= read.upto);
        held.take_while(|event| {
            let first = bytes == 0;
            bytes += event.frame.len() / 2; // a store counts what it keeps, which is shorter than a frame
            first || bytes <= read.bytes
        })
        .cloned()
        .collect()
    }

    fn finish(&mut self) {
        self.step(&Step::Missed);
        for _ in 0..1_000 {
            if self.delivery.is_idle() {
                return;
            }
            for step in [Step::Replay, Step::Take(300)] {
                self.step(&step);
            }
        }
        panic!("it never comes to rest");
    }

    /// Every number after `after` is shown, or covered by a gap at its place; never twice, never before a
    /// `caught_up` that covers it. So at whatever frame a client is cut, its last id has nothing before it
    /// that it was not shown or told of.
    fn judge(&self, after: u64, announced: bool) {
        let (mut last, mut caught_up) = (after, 0);
        // A gap that ends with the head says nothing of whether the head itself is held.
        let mut or_else = None;
        for seen in &self.seen {
            let starts_from = match *seen {
                Seen::Stored(n) => n - 1,
                Seen::Dropped(from, _) => from - 1,
                Seen::Expired { requested, .. } => requested,
                Seen::CaughtUp(head) => head,
                Seen::Control => continue,
            };
            if or_else.take() == Some(starts_from) {
                last = starts_from;
            }
            assert_eq!(starts_from, last, "{:?}", self.seen);
            match *seen {
                Seen::Stored(n) => last = n,
                Seen::Dropped(from, to) => {
                    assert!(from <= to);
                    last = to;
                }
                Seen::Expired { held_from, .. } => {
                    assert!(last < held_from && held_from - 1 <= self.trimmed, "held, and yet skipped");
                    last = held_from - 1;
                    or_else = (held_from <= self.trimmed).then_some(held_from);
                }
                Seen::CaughtUp(_) => caught_up += 1,
                Seen::Control => {}
            }
        }
        let last = if or_else == Some(self.head()) { self.head() } else { last };
        assert_eq!(last, self.head(), "{:?}", self.seen);
        assert_eq!(caught_up, usize::from(announced));
    }
}

proptest! {
    /// G2, G4 and G6 for one stream, under every policy, with live events missed and doubled, slow sockets,
    /// slow reads and rows that expire.
    #[test]
    fn every_row_is_shown_once_in_order_or_its_gap_is(
        overflow in policy(),
        before in 0..30u64,
        behind in prop::option::weighted(0.7, 0..14u64),
        steps in prop_oneof![prop::collection::vec(step(false), 0..150), prop::collection::vec(step(true), 0..150)],
    ) {
        let after = behind.map(|behind| before.saturating_sub(behind));
        let mut model = Model::new(overflow, before, after);
        for step in &steps {
            model.step(step);
            if model.slow {
                break;
            }
        }
        if model.slow {
            prop_assert_eq!(overflow, Overflow::Disconnect);
            return Ok(());
        }
        model.finish();
        model.judge(after.unwrap_or(before), after.is_some());
        if matches!(overflow, Overflow::Replay | Overflow::Disconnect) {
            prop_assert!(!model.seen.iter().any(|seen| matches!(seen, Seen::Dropped(..))));
        }
    }
}

//! A history that is full: what it still knows, and that it never says more.

use proptest::prelude::*;

use super::*;

/// A run over two messages that `records_max` cuts, and in which bob never gets the first.
fn with_a_loss(records_max: usize) -> History {
    let story = Story(History::new(records_max));
    for seq in 1..=2 {
        story.0.acknowledged(story.0.now(), said(seq, &format!("m{seq}")));
    }
    story.reads_all("ann", 2);
    let stream = story.open("bob", 0);
    story.event(stream, 1, 2, "m2");
    story.open("bob", 1);
    story.0
}

#[test]
fn a_full_history_takes_nothing_more_and_says_so() {
    let history = with_a_loss(4);
    assert_eq!((history.records(), history.full()), (4, true));
    let checked = history.check(&expected()).unwrap();
    let counted = Checked { messages: 2, deliveries: 1, events: 1, streams: 1, resumes: 1, cut: true };
    assert_eq!(checked, counted);
    // What it did not take can break nothing.
    let late = history.opened("bob", "phone", None);
    history.event(late, "message", "", &json!({}));
    assert_eq!(history.check(&expected()), Ok(counted));
}

#[test]
fn a_history_that_just_fits_is_whole() {
    let history = with_a_loss(8);
    assert!(history.full());
    assert_eq!(history.check(&expected()).unwrap_err().rule, Rule::Lost);
    assert!(!with_a_loss(9).full());
}

#[test]
fn lost_from_a_cut_history_only_to_whom_a_later_one_was_shown() {
    // The last record that is taken: bob's stream, then m2 on it.
    assert_eq!(with_a_loss(6).check(&expected()).map(|checked| checked.deliveries), Ok(2));
    let violation = with_a_loss(7).check(&expected()).unwrap_err();
    assert_eq!((violation.rule, violation.excerpt.len()), (Rule::Lost, 2), "{violation}");
}

#[test]
fn a_violation_in_a_cut_history_is_one() {
    let story = Story(History::new(3));
    let stream = story.reads_all("ann", 1);
    story.event(stream, 1, 1, "m1");
    story.event(stream, 2, 2, "m2");
    assert!(story.0.full());
    story.breaks(Rule::Repeated, 2);
}

/// What happens next in a run.
#[derive(Debug, Clone)]
enum Step {
    /// Ann says something in the conversation.
    Say,
    /// The server answers the oldest that is not answered.
    Answer,
    /// The reader gets the next event of its inbox.
    Read(usize),
    /// The reader's stream breaks, and it resumes after what it has.
    Resume(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => Just(Step::Say),
        2 => Just(Step::Answer),
        4 => (0usize..2).prop_map(Step::Read),
        1 => (0usize..2).prop_map(Step::Resume),
    ];
    prop::collection::vec(step, 0..80)
}

/// A server that does all right, with two members of one conversation, and what they record.
fn run(records_max: usize, steps: &[Step]) -> History {
    const ACCOUNTS: [&str; 2] = ["ann", "bob"];
    let story = Story(History::new(records_max));
    let mut streams = ACCOUNTS.map(|account| story.open(account, 0));
    let (mut said_so_far, mut answered, mut read) = (Vec::new(), 0, [0, 0]);
    let read_next = |story: &Story, streams: &[StreamId; 2], read: &mut [u64; 2], who: usize| {
        read[who] += 1;
        story.event(streams[who], read[who], read[who], &format!("m{}", read[who]));
    };
    let answer = |story: &Story, sent: Moment, seq: usize| {
        story.0.acknowledged(sent, said(seq as u64, &format!("m{seq}")));
    };
    for step in steps {
        match *step {
            Step::Say => said_so_far.push(story.0.now()),
            Step::Answer if answered < said_so_far.len() => {
                answered += 1;
                answer(&story, said_so_far[answered - 1], answered);
            }
            Step::Read(who) if read[who] < said_so_far.len() as u64 => {
                read_next(&story, &streams, &mut read, who);
            }
            Step::Resume(who) => streams[who] = story.open(ACCOUNTS[who], read[who]),
            Step::Answer | Step::Read(_) => {}
        }
    }
    for (index, sent) in said_so_far.iter().enumerate().skip(answered) {
        answer(&story, *sent, index + 1);
    }
    for who in 0..2 {
        while read[who] < said_so_far.len() as u64 {
            read_next(&story, &streams, &mut read, who);
        }
    }
    story.0
}

proptest! {
    #[test]
    fn a_run_that_keeps_the_guarantees_is_never_judged_wrong_wherever_it_is_cut(
        steps in steps(),
        records_max in 0usize..200,
    ) {
        let history = run(records_max, &steps);
        let checked = history.check(&expected());
        prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
        prop_assert_eq!(checked.unwrap().cut, run(usize::MAX, &steps).records() > records_max);
    }
}

//! Rules for writes and swaps whose answer gets lost.

use godwit_types::ShardId;

use super::leases::{node, ownership, session};
use super::{LosesAnswers, LostSwap, appends, put, row_of, rows_of, seen, settling};
use crate::contract::{inbox, stamp};
use crate::{Error, LeaseStore, Ownership, Session, Store, Swap};

/// Tries of each undecided swap: both outcomes are to be seen.
const TRIES: u64 = 12;

/// Reads that have to agree.
const READS: usize = 12;

fn assert_unknown<T: std::fmt::Debug>(answer: Result<T, Error>) {
    assert!(matches!(answer, Err(Error::Failed(_))), "{answer:?}");
}

/// Whether it landed or not: after the same write with the same stamp it is there, once.
pub async fn a_write_without_answer_is_made_sure_by_a_repeat<P: LosesAnswers>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (one, two) = (place.open().await, place.open().await);
    for (id, landed) in [("a", true), ("b", false)] {
        let log = inbox(id);
        put(&one, &log, &rows_of(1, 1..=2), stamp()).await;
        let (batch, at) = (appends(&log, &rows_of(1, 3..=4)), stamp());
        place.lose_next_write(&one, landed).await;
        assert_unknown(one.write(batch.clone(), at).await);
        let there = if landed { rows_of(1, 3..=4) } else { Vec::new() };
        assert_eq!(seen(&two, &log, 2, 4).await, there);
        for _ in 0..2 {
            one.write(batch.clone(), at).await.expect("the write is stored");
            assert_eq!(seen(&two, &log, 0, 4).await, rows_of(1, 1..=4));
        }
    }
}

/// The same for a settling, with what the owner and a former one write around it.
pub async fn a_settling_without_answer_is_made_sure_by_a_repeat<P: LosesAnswers>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (former, owner) = (place.open().await, place.open().await);
    for (id, landed) in [("a", true), ("b", false)] {
        let log = inbox(id);
        put(&former, &log, &[row_of(1, 1), row_of(1, 3)], stamp()).await;
        let (late, base) = (stamp(), stamp());
        place.lose_next_write(&owner, landed).await;
        assert_unknown(owner.write(settling(&log, 1), base).await);
        put(&former, &log, &[row_of(1, 4)], late).await;
        let ghosts = if landed { Vec::new() } else { vec![row_of(1, 3), row_of(1, 4)] };
        assert_eq!(seen(&owner, &log, 1, 4).await, ghosts);
        owner.write(settling(&log, 1), base).await.expect("the settling is stored");
        assert_eq!(seen(&former, &log, 1, 4).await, []);
        put(&owner, &log, &[row_of(2, 2)], stamp()).await;
        owner.write(settling(&log, 1), base).await.expect("the settling is stored");
        assert_eq!(seen(&former, &log, 1, 4).await, [row_of(2, 2)]);
    }
}

/// What a serial read shows of a swap without answer, every later read shows.
pub async fn a_session_without_answer_is_there_or_not<P: LosesAnswers>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (one, two) = (place.open().await, place.open().await);
    let at = node("n");
    let mut held: Option<Session> = None;
    for (renewals, outcome) in (0..).zip(outcomes()) {
        let wanted = session(4, renewals);
        place.lose_next_swap(&one, outcome).await;
        assert_unknown(one.swap_session(&at, held, wanted).await);
        let decided = two.session(&at).await.expect("a read");
        match outcome {
            LostSwap::Applied => assert_eq!(decided, Some(wanted)),
            LostSwap::Lost => assert_eq!(decided, held),
            LostSwap::Undecided => assert!(decided == Some(wanted) || decided == held, "{decided:?}"),
        }
        for i in 0..READS {
            let store = [&one, &two][i % 2];
            assert_eq!(store.session(&at).await.expect("a read"), decided);
            assert_eq!(store.glance(&at).await.expect("a read"), decided);
        }
        held = decided;
    }
}

fn outcomes() -> impl Iterator<Item = LostSwap> {
    let each = [LostSwap::Applied, LostSwap::Lost, LostSwap::Undecided];
    each.into_iter().cycle().take(TRIES as usize * each.len())
}

/// The same for owners; both shards of a swap, or neither.
pub async fn owners_without_answer_are_there_or_not<P: LosesAnswers>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (one, two) = (place.open().await, place.open().await);
    let shards = [ShardId(1), ShardId(2)];
    let mut held: Vec<(ShardId, Ownership)> = Vec::new();
    for (epoch, outcome) in (1..).zip(outcomes()) {
        let expected = held.first().map(|(_, owner)| owner.epoch);
        let changes = shards.map(|shard| (shard, expected, ownership("n", epoch))).to_vec();
        let wanted = shards.map(|shard| (shard, ownership("n", epoch))).to_vec();
        place.lose_next_swap(&one, outcome).await;
        assert_unknown(one.swap_owners(0, changes).await);
        let decided = two.owners(0).await.expect("a read");
        match outcome {
            LostSwap::Applied => assert_eq!(decided, wanted),
            LostSwap::Lost => assert_eq!(decided, held),
            LostSwap::Undecided => assert!(decided == wanted || decided == held, "{decided:?}"),
        }
        for i in 0..READS {
            assert_eq!([&one, &two][i % 2].owners(0).await.expect("a read"), decided);
        }
        held = decided;
    }
}

/// Another swap that expects the same is carried out only where the one before was not, and the other way round.
pub async fn a_swap_after_one_without_answer_decides_it<P: LosesAnswers>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (one, two) = (place.open().await, place.open().await);
    for (i, outcome) in (0..).zip(outcomes()) {
        let at = node(&format!("n{i}"));
        place.lose_next_swap(&one, outcome).await;
        assert_unknown(one.swap_session(&at, None, session(1, 0)).await);
        let answer = two.swap_session(&at, None, session(2, 0)).await.expect("a swap");
        let expected = match answer {
            Swap::Applied => session(2, 0),
            Swap::Refused => session(1, 0),
        };
        match outcome {
            LostSwap::Applied => assert_eq!(answer, Swap::Refused),
            LostSwap::Lost => assert_eq!(answer, Swap::Applied),
            LostSwap::Undecided => {}
        }
        for store in [&one, &two] {
            assert_eq!(store.session(&at).await.expect("a read"), Some(expected));
            assert_eq!(store.glance(&at).await.expect("a read"), Some(expected));
        }
    }
}

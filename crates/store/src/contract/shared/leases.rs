//! Rules for sessions and owners.

use std::sync::Arc;

use godwit_types::{NodeId, ShardId, Stamp};

use super::SharedPlace;
use crate::contract::stamp;
use crate::{LeaseStore, Ownership, Session, Swap};

/// Processes that try the same swap at once.
const RIVALS: u64 = 16;

pub(super) fn node(id: &str) -> NodeId {
    NodeId::new(id).expect("a node id")
}

pub(super) fn session(incarnation: u64, renewals: u64) -> Session {
    Session { incarnation, renewals, ceiling: Stamp::from_us(1_700_000_000_000_000), fenced: false }
}

pub(super) fn ownership(node_id: &str, epoch: u64) -> Ownership {
    let base = Stamp::from_us(1_700_000_000_000_000 + epoch as i64);
    Ownership { node: node(node_id), incarnation: epoch + 1, epoch, base, unclean_base: base }
}

async fn swap(store: &impl LeaseStore, expected: Option<Session>, wanted: Session) -> Swap {
    store.swap_session(&node("n"), expected, wanted).await.expect("a swap")
}

async fn assert_session(store: &impl LeaseStore, expected: Option<Session>) {
    assert_eq!(store.session(&node("n")).await.expect("a read"), expected);
    assert_eq!(store.glance(&node("n")).await.expect("a read"), expected);
}

/// The second of two equal swaps finds that the value is another one now.
pub async fn a_swap_of_a_session_applies_once<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (one, two) = (place.open().await, place.open().await);
    assert_session(&one, None).await;
    assert_eq!(swap(&one, None, session(1, 0)).await, Swap::Applied);
    assert_eq!(swap(&two, None, session(2, 0)).await, Swap::Refused);
    assert_session(&two, Some(session(1, 0))).await;
    for renewals in 0..5 {
        let (expected, wanted) = (Some(session(1, renewals)), session(1, renewals + 1));
        assert_eq!(swap(&two, expected, wanted).await, Swap::Applied);
        assert_eq!(swap(&one, expected, wanted).await, Swap::Refused, "what it expects is past");
        assert_session(&one, Some(wanted)).await;
    }
}

/// Renewing and fencing exclude each other, and so does every other pair.
pub async fn a_swap_is_refused_where_any_field_differs<P: SharedPlace>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let held = session(u64::MAX, 7);
    assert_eq!(swap(&opened, None, held).await, Swap::Applied);
    let others = [
        Session { incarnation: 1, ..held },
        Session { renewals: 8, ..held },
        Session { ceiling: held.ceiling.next(), ..held },
        Session { fenced: true, ..held },
    ];
    for other in others {
        assert_eq!(swap(&opened, Some(other), session(9, 9)).await, Swap::Refused, "{other:?}");
        assert_session(&opened, Some(held)).await;
    }
    let fenced = Session { fenced: true, ..held };
    assert_eq!(swap(&opened, Some(held), fenced).await, Swap::Applied);
    assert_eq!(swap(&opened, Some(held), session(u64::MAX, 8)).await, Swap::Refused, "it is fenced");
    assert_session(&opened, Some(fenced)).await;
}

/// `None` is no row at all, and a refused swap leaves none.
pub async fn absent_means_absent<P: SharedPlace>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    assert_eq!(swap(&opened, Some(session(0, 0)), session(1, 0)).await, Swap::Refused);
    assert_session(&opened, None).await;
    assert_eq!(opened.sessions().await.expect("a read"), []);
    assert_eq!(swap(&opened, None, session(0, 0)).await, Swap::Applied);
    assert_eq!(swap(&opened, None, session(1, 0)).await, Swap::Refused);
    let zero = ownership("n", 0);
    let change = |expected, epoch| vec![(ShardId(0), expected, ownership("n", epoch))];
    assert_eq!(opened.swap_owners(0, change(Some(0), 5)).await.expect("a swap"), Swap::Refused);
    assert_eq!(opened.owners(0).await.expect("a read"), []);
    assert_eq!(opened.swap_owners(0, change(None, 0)).await.expect("a swap"), Swap::Applied);
    assert_eq!(opened.swap_owners(0, change(None, 5)).await.expect("a swap"), Swap::Refused);
    assert_eq!(opened.owners(0).await.expect("a read"), [(ShardId(0), zero)]);
}

/// The guard's read shows every swap that was answered before it began, whoever asked for it.
pub async fn glances_show_what_was_answered<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let clients = [place.open().await, place.open().await, place.open().await];
    let mut held = None;
    for renewals in 0..30 {
        let wanted = Session { ceiling: stamp(), ..session(1, renewals) };
        let i = renewals as usize;
        assert_eq!(swap(&clients[i % 3], held, wanted).await, Swap::Applied);
        held = Some(wanted);
        let seen = clients[(i + 1) % 3].glance(&node("n")).await.expect("a read");
        assert_eq!(seen, held);
    }
}

/// Every node that ever was, each with its own.
pub async fn all_sessions_are_listed<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (one, two) = (place.open().await, place.open().await);
    let ids = ["n", "n-1", "n-10", "n-2", "o"];
    for (i, id) in (0..).zip(ids) {
        let answer = one.swap_session(&node(id), None, session(i, i)).await;
        assert_eq!(answer.expect("a swap"), Swap::Applied);
    }
    let fenced = Session { fenced: true, ..session(1, 1) };
    let answer = one.swap_session(&node("n-1"), Some(session(1, 1)), fenced).await;
    assert_eq!(answer.expect("a swap"), Swap::Applied);
    let mut sessions = two.sessions().await.expect("a read");
    sessions.sort_by(|(a, _), (b, _)| a.cmp(b));
    let expected = |(i, id)| (node(id), if id == "n-1" { fenced } else { session(i, i) });
    assert_eq!(sessions, (0..).zip(ids).map(expected).collect::<Vec<_>>());
    assert_eq!(two.session(&node("n-10")).await.expect("a read"), Some(session(2, 2)));
}

/// Of swaps that expect the same, asked for at once, one is carried out. Who has no answer looks.
pub async fn one_of_many_swaps_of_a_session_wins<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let mut held = None;
    for round in 0..3 {
        let mut rivals = Vec::new();
        for i in 0..RIVALS {
            let (store, wanted) = (place.open().await, session(1 + i, round));
            rivals.push(tokio::spawn(async move {
                match store.swap_session(&node("n"), held, wanted).await {
                    Ok(answer) => (answer == Swap::Applied).then_some(wanted),
                    Err(_) => store.session(&node("n")).await.ok().flatten().filter(|held| *held == wanted),
                }
            }));
        }
        let mut winners = Vec::new();
        for rival in rivals {
            winners.extend(rival.await.expect("no assertion failed"));
        }
        let now = place.open().await.session(&node("n")).await.expect("a read");
        assert_eq!(winners, Vec::from_iter(now), "who won is who is there");
        assert_ne!(now, held);
        held = now;
    }
}

/// The same for owners, each of whom wants two shards.
pub async fn one_of_many_swaps_of_owners_wins<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = Arc::new(fresh());
    let shards = [ShardId(3), ShardId(9)];
    let mut rivals = Vec::new();
    for i in 0..RIVALS {
        let store = place.open().await;
        rivals.push(tokio::spawn(async move {
            let wanted = ownership(&format!("n{i}"), 100 + i);
            let changes = shards.map(|shard| (shard, None, wanted.clone())).to_vec();
            match store.swap_owners(0, changes).await {
                Ok(answer) => (answer == Swap::Applied).then_some(wanted),
                Err(_) => {
                    let owners = store.owners(0).await.unwrap_or_default();
                    owners.into_iter().map(|(_, owner)| owner).find(|owner| *owner == wanted)
                }
            }
        }));
    }
    let mut winners = Vec::new();
    for rival in rivals {
        winners.extend(rival.await.expect("no assertion failed"));
    }
    let owners = place.open().await.owners(0).await.expect("a read");
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(owners, shards.map(|shard| (shard, winners[0].clone())));
}

/// One shard that is not as expected, and nothing has changed.
pub async fn a_group_changes_hands_whole_or_not_at_all<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (one, two) = (place.open().await, place.open().await);
    let all: Vec<_> = (0..64).map(|shard| (ShardId(shard), None, ownership("n1", 1 << 16))).collect();
    assert_eq!(one.swap_owners(0, all).await.expect("a swap"), Swap::Applied);
    let before = two.owners(0).await.expect("a read");
    assert_eq!(before.len(), 64);
    for wrong in [0, 31, 63] {
        let expected = |shard| Some(if shard == wrong { 7 } else { 1 << 16 });
        let take = (0..64).map(|shard| (ShardId(shard), expected(shard), ownership("n2", 2 << 16))).collect();
        assert_eq!(two.swap_owners(0, take).await.expect("a swap"), Swap::Refused);
        assert_eq!(one.owners(0).await.expect("a read"), before);
    }
    let half = (10..20).map(|shard| (ShardId(shard), Some(1 << 16), ownership("n2", 2 << 16))).collect();
    assert_eq!(two.swap_owners(0, half).await.expect("a swap"), Swap::Applied);
    let mut expected = before;
    expected[10..20].iter_mut().for_each(|(_, owner)| *owner = ownership("n2", 2 << 16));
    assert_eq!(one.owners(0).await.expect("a read"), expected);
}

/// Groups share nothing; a shard that never had an owner is not listed; shards come in order.
pub async fn owners_belong_to_one_group<P: SharedPlace>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    for (group, shards) in [(0, [5, 0, 63]), (1, [127, 64, 70]), (10, [650, 640, 641])] {
        let changes = shards.map(|shard| (ShardId(shard), None, ownership("n", u64::from(shard)))).to_vec();
        assert_eq!(opened.swap_owners(group, changes).await.expect("a swap"), Swap::Applied);
    }
    for (group, shards) in [(0, [0, 5, 63]), (1, [64, 70, 127]), (10, [640, 641, 650])] {
        let expected = shards.map(|shard| (ShardId(shard), ownership("n", u64::from(shard))));
        assert_eq!(opened.owners(group).await.expect("a read"), expected);
    }
    assert_eq!(opened.owners(2).await.expect("a read"), []);
}

/// Every field, up to what a database with signed integers holds; an incarnation is any 64 bits.
pub async fn ownerships_read_back_as_they_were_written<P: SharedPlace>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let all = [
        Ownership {
            node: node("a"),
            incarnation: u64::MAX,
            epoch: i64::MAX as u64,
            base: Stamp::from_us(i64::MAX),
            unclean_base: Stamp::MIN,
        },
        Ownership {
            node: node(&"x".repeat(64)),
            incarnation: 1 << 63,
            epoch: (41 << 16) + 65_535,
            base: stamp(),
            unclean_base: stamp(),
        },
        ownership("b", 0),
    ];
    let shards = (0..).map(ShardId);
    let changes = shards.clone().zip(&all).map(|(shard, owner)| (shard, None, owner.clone())).collect();
    assert_eq!(opened.swap_owners(0, changes).await.expect("a swap"), Swap::Applied);
    let expected: Vec<_> = shards.zip(all).collect();
    assert_eq!(opened.owners(0).await.expect("a read"), expected);
    let extreme = Session { ceiling: Stamp::from_us(i64::MAX), ..session(u64::MAX, i64::MAX as u64) };
    assert_eq!(swap(&opened, None, extreme).await, Swap::Applied);
    assert_session(&opened, Some(extreme)).await;
}

/// Epochs are never used twice, so they alone are compared.
pub async fn an_owner_needs_only_the_expected_epoch<P: SharedPlace>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let mut epoch = None;
    for next in [5, 3, 90, 91] {
        let change = |expected| vec![(ShardId(1), expected, ownership("n", next))];
        assert_eq!(opened.swap_owners(0, change(Some(1_000))).await.expect("a swap"), Swap::Refused);
        assert_eq!(opened.swap_owners(0, change(epoch)).await.expect("a swap"), Swap::Applied);
        assert_eq!(opened.owners(0).await.expect("a read"), [(ShardId(1), ownership("n", next))]);
        epoch = Some(next);
    }
}

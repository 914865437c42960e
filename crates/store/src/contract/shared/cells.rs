//! Rules for what is not a row: of two writes the one with the higher stamp counts, whichever comes last.

use std::fmt::Debug;

use bytes::Bytes;
use godwit_types::{ShardId, Stamp};

use super::SharedPlace;
use crate::contract::{account, conversation, device, inbox, pending, stamp};
use crate::{Mutation, PendingKind, Store};

/// What a cell may be given: a value, or its removal.
type Value = Option<&'static str>;

/// Every pair of an earlier and a later write of one cell.
const PAIRS: [(Value, Value); 4] =
    [(Some("earlier"), Some("later")), (Some("earlier"), None), (None, Some("later")), (None, None)];

fn text(value: Value) -> Option<Bytes> {
    value.map(|text| Bytes::from_static(text.as_bytes()))
}

/// Writes each pair in both orders, by two clients, on top of an older value and into nothing.
async fn highest_stamp_counts<P: SharedPlace, V: PartialEq + Debug>(
    place: &P,
    pairs: &[(Value, Value)],
    set: impl Fn(&str, Value) -> Mutation,
    read: impl AsyncFn(&P::Store, &str) -> V,
    expected: impl Fn(Value) -> V,
) {
    let clients = [place.open().await, place.open().await];
    for (i, &(earlier, later)) in pairs.iter().enumerate() {
        for in_order in [true, false] {
            for on_top in [true, false] {
                let id = format!("{i}-{in_order}-{on_top}");
                let put = async |client: usize, value, at: Stamp| {
                    clients[client].write(vec![set(&id, value)], at).await.expect("the write is stored");
                };
                let (oldest, low, high) = (stamp(), stamp(), stamp());
                if on_top {
                    put(0, Some("oldest"), oldest).await;
                }
                let mut writes = [(0, earlier, low), (1, later, high)];
                if !in_order {
                    writes.reverse();
                }
                for (client, value, at) in writes {
                    put(client, value, at).await;
                }
                for client in &clients {
                    let found = read(client, &id).await;
                    assert_eq!(found, expected(later), "{earlier:?} then {later:?}, {id}");
                }
            }
        }
    }
}

/// Summaries are never removed.
pub async fn summaries_keep_the_highest_stamp<P: SharedPlace>(fresh: impl Fn() -> P) {
    highest_stamp_counts(
        &fresh(),
        &PAIRS[..1],
        |id, value| Mutation::Summary { log: inbox(id), value: text(value).unwrap_or_default() },
        async |store, id| store.summary(&inbox(id)).await.expect("a read"),
        text,
    )
    .await;
}

/// What an account holds of a conversation.
pub async fn memberships_keep_the_highest_stamp<P: SharedPlace>(fresh: impl Fn() -> P) {
    highest_stamp_counts(
        &fresh(),
        &PAIRS,
        |id, value| Mutation::Membership {
            account: account(id),
            conversation: conversation("c"),
            value: text(value),
        },
        async |store, id| store.memberships(&account(id)).await.expect("a read"),
        |value| text(value).map(|value| (conversation("c"), value)).into_iter().collect(),
    )
    .await;
}

/// Devices.
pub async fn devices_keep_the_highest_stamp<P: SharedPlace>(fresh: impl Fn() -> P) {
    highest_stamp_counts(
        &fresh(),
        &PAIRS,
        |id, value| Mutation::Device { account: account(id), device: device("d"), value: text(value) },
        async |store, id| store.devices(&account(id)).await.expect("a read"),
        |value| text(value).map(|value| (device("d"), value)).into_iter().collect(),
    )
    .await;
}

/// Pending rows have no value: they are there, or are not.
pub async fn pending_rows_keep_the_highest_stamp<P: SharedPlace>(fresh: impl Fn() -> P) {
    for kind in [PendingKind::Fanout, PendingKind::Push] {
        let of = |id: &str| pending(7, kind, id);
        highest_stamp_counts(
            &fresh(),
            &PAIRS,
            |id, value| Mutation::Pending { pending: of(id), under_way: value.is_some() },
            async |store, id| {
                let found = store.pending(ShardId(7)).await.expect("a read");
                let listed = store.shards_with_pending().await.expect("a read").contains(&ShardId(7));
                assert_eq!(listed, !found.is_empty(), "a shard is listed if it has pending rows");
                found.contains(&of(id))
            },
            |value| value.is_some(),
        )
        .await;
    }
}

/// Of a value and a removal with one stamp the removal counts, whichever comes last.
pub async fn a_removal_wins_a_tie<P: SharedPlace>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    for values in [[Some("value"), None], [None, Some("value")]] {
        let at = stamp();
        for value in values {
            let set = Mutation::Device { account: account("a"), device: device("d"), value: text(value) };
            opened.write(vec![set], at).await.expect("the write is stored");
        }
        assert_eq!(opened.devices(&account("a")).await.expect("a read"), [], "{values:?}");
    }
}

/// Of a batch that comes late, each change loses or counts for itself.
pub async fn a_late_part_of_a_batch_loses_alone<P: SharedPlace>(fresh: impl Fn() -> P) {
    let place = fresh();
    let (former, owner) = (place.open().await, place.open().await);
    let of =
        |id: &str, value| Mutation::Device { account: account("a"), device: device(id), value: text(value) };
    let under_way =
        |id, under_way| Mutation::Pending { pending: pending(3, PendingKind::Push, id), under_way };
    let (late, now) = (stamp(), stamp());
    owner
        .write(vec![of("changed", Some("new")), of("gone", None), under_way("done", false)], now)
        .await
        .expect("the write is stored");
    let batch = vec![
        of("changed", Some("old")),
        of("gone", Some("old")),
        of("other", Some("old")),
        under_way("done", true),
        under_way("open", true),
    ];
    former.write(batch, late).await.expect("the write is stored");
    let mut devices = owner.devices(&account("a")).await.expect("a read");
    devices.sort();
    let expected = [("changed", "new"), ("other", "old")].map(|(id, value)| (device(id), Bytes::from(value)));
    assert_eq!(devices, expected);
    assert_eq!(owner.pending(ShardId(3)).await.expect("a read"), [pending(3, PendingKind::Push, "open")]);
}

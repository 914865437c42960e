//! Rules for what is not a row: summaries, memberships, devices, pending work, revocations.

use bytes::Bytes;
use godwit_types::{ShardId, Timestamp};

use super::{
    Place, SHARDS, account, conversation, device, inbox, pending, revocation, stamp, store, summary,
};
use crate::{Mutation, PendingKind, Revocation, Store};

/// The last one counts, an empty one too; where none was stored there is none.
pub async fn a_summary_is_replaced<P: Place>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let log = inbox("a");
    assert_eq!(opened.summary(&log).await.expect("a read"), None);
    for text in ["one", "two", ""] {
        store(&opened, vec![summary(&log, text)]).await;
        assert_eq!(opened.summary(&log).await.expect("a read"), Some(Bytes::from(text.to_owned())));
    }
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort();
    values
}

/// Set, replaced, removed; of one account only.
pub async fn memberships_belong_to_one_account<P: Place>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let set = |whose: &str, of: &str, text: Option<&'static str>| Mutation::Membership {
        account: account(whose),
        conversation: conversation(of),
        value: text.map(|text| Bytes::from_static(text.as_bytes())),
    };
    let batch = vec![set("a", "x", Some("1")), set("a", "xx", Some("2")), set("a ", "y", Some("3"))];
    store(&opened, batch).await;
    store(&opened, vec![set("aa", "x", Some("4")), set("a", "x", Some("5")), set("a", "z", Some(""))]).await;
    let of = async |whose: &str| sorted(opened.memberships(&account(whose)).await.expect("a read"));
    let expected = [("x", "5"), ("xx", "2"), ("z", "")];
    assert_eq!(of("a").await, expected.map(|(id, text)| (conversation(id), Bytes::from(text))));
    assert_eq!(of("a ").await, [(conversation("y"), Bytes::from("3"))]);
    store(&opened, vec![set("a", "x", None), set("a", "nowhere", None), set("aa", "x", None)]).await;
    assert_eq!(
        of("a").await,
        [("xx", "2"), ("z", "")].map(|(id, text)| (conversation(id), Bytes::from(text)))
    );
    assert_eq!(of("aa").await, []);
    assert_eq!(of("nobody").await, []);
}

/// Set, replaced, removed; of one account only.
pub async fn devices_belong_to_one_account<P: Place>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let set = |whose: &str, id: &str, text: Option<&'static str>| Mutation::Device {
        account: account(whose),
        device: device(id),
        value: text.map(|text| Bytes::from_static(text.as_bytes())),
    };
    store(&opened, vec![set("a", "phone", Some("1")), set("a", "tab", Some("2"))]).await;
    store(&opened, vec![set("aa", "phone", Some("3")), set("a", "phone", Some("4"))]).await;
    let of = async |whose: &str| sorted(opened.devices(&account(whose)).await.expect("a read"));
    assert_eq!(
        of("a").await,
        [("phone", "4"), ("tab", "2")].map(|(id, text)| (device(id), Bytes::from(text)))
    );
    store(&opened, vec![set("a", "phone", None)]).await;
    assert_eq!(of("a").await, [(device("tab"), Bytes::from("2"))]);
    assert_eq!(of("aa").await, [(device("phone"), Bytes::from("3"))]);
    assert_eq!(of("nobody").await, []);
}

/// Each shard shows its own, each kind for itself; a shard without any is not listed.
pub async fn pending_work_is_found_by_shard<P: Place>(fresh: impl Fn() -> P) {
    use PendingKind::{Fanout, Push};
    let opened = fresh().open().await;
    assert_eq!(opened.shards_with_pending().await.expect("a read"), []);
    let last = SHARDS - 1;
    let all = [
        pending(0, Fanout, "c"),
        pending(0, Fanout, "cc"),
        pending(0, Push, "c"),
        pending(3, Push, "an account, with spaces"),
        pending(last, Fanout, "c"),
    ];
    let set = |pending: &crate::Pending, under_way| Mutation::Pending { pending: pending.clone(), under_way };
    store(&opened, all.iter().map(|pending| set(pending, true)).collect()).await;
    store(&opened, vec![set(&all[0], true)]).await;
    let of = async |shard| sorted(opened.pending(ShardId(shard)).await.expect("a read"));
    assert_eq!(of(0).await, all[..3]);
    assert_eq!(of(3).await, all[3..4]);
    assert_eq!(of(1).await, []);
    let shards = opened.shards_with_pending().await.expect("a read");
    assert_eq!(shards, [ShardId(0), ShardId(3), ShardId(last)]);
    store(&opened, vec![set(&all[0], false), set(&all[2], false), set(&all[3], false)]).await;
    assert_eq!(of(0).await, all[1..2]);
    assert_eq!(opened.shards_with_pending().await.expect("a read"), [ShardId(0), ShardId(last)]);
}

async fn revocations(store: &impl Store) -> Vec<Revocation> {
    let mut all = store.revocations().await.expect("a read");
    all.sort_by(|a, b| (&a.account, &a.device).cmp(&(&b.account, &b.device)));
    all
}

/// Of two for the same device the later one counts, in whichever order they come; a device's and the
/// whole account's are two.
pub async fn the_later_revocation_counts<P: Place>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let revoke = |of, device, at| vec![Mutation::Revoke(revocation(of, device, at))];
    store(&opened, revoke("a", Some("phone"), 20)).await;
    store(&opened, revoke("a", Some("phone"), 10)).await;
    store(&opened, revoke("a", None, 5)).await;
    store(&opened, revoke("aa", Some("phone"), 7)).await;
    let writes = [15, 30, 25].map(|at| opened.write(revoke("b", None, at), stamp()));
    for write in writes {
        write.await.expect("a write");
    }
    let expected = [
        revocation("a", None, 5),
        revocation("a", Some("phone"), 20),
        revocation("aa", Some("phone"), 7),
        revocation("b", None, 30),
    ];
    assert_eq!(revocations(&opened).await, expected);
}

/// Those up to the moment go, that moment included; later ones stay.
pub async fn revocations_are_forgotten<P: Place>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let all = [revocation("a", None, 9), revocation("b", Some("x"), 10), revocation("c", Some("x"), 11)];
    let forget = |ms| vec![Mutation::ForgetRevocations { until: Timestamp::from_ms(ms) }];
    store(&opened, all.iter().cloned().map(Mutation::Revoke).collect()).await;
    store(&opened, forget(8)).await;
    assert_eq!(revocations(&opened).await, all);
    store(&opened, forget(10)).await;
    assert_eq!(revocations(&opened).await, all[2..]);
    // Issued together, they still follow each other.
    let again = opened.write(vec![Mutation::Revoke(all[0].clone())], stamp());
    let gone = opened.write(forget(11), stamp());
    again.await.expect("a write");
    gone.await.expect("a write");
    assert_eq!(revocations(&opened).await, []);
}

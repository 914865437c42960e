//! Rules for writes, opening and closing.

use std::sync::Arc;

use bytes::Bytes;
use godwit_types::{ShardId, Timestamp};

use super::{
    ALL, END, Place, account, append, append_all, conversation, device, inbox, numbers, pending, revocation,
    row, stamp, store, summary,
};
use crate::{Error, Mutation, PendingKind, Store};

/// One of every kind of mutation.
fn one_of_each() -> Vec<Mutation> {
    let log = inbox("a");
    vec![
        append(&log, 1),
        append(&log, 2),
        summary(&log, "true up to 2"),
        Mutation::Membership {
            account: account("a"),
            conversation: conversation("c"),
            value: Some(Bytes::from_static(b"m")),
        },
        Mutation::Device {
            account: account("a"),
            device: device("d"),
            value: Some(Bytes::from_static(b"v")),
        },
        Mutation::Pending { pending: pending(5, PendingKind::Push, "a"), under_way: true },
        Mutation::Revoke(revocation("a", Some("d"), 77)),
        Mutation::Trim { log: inbox("b"), from: 1, below: 2 },
    ]
}

async fn assert_one_of_each(opened: &impl Store) {
    let log = inbox("a");
    assert_eq!(opened.rows_after(&log, 0, END, ALL).await.expect("a read"), [row(1), row(2)]);
    assert_eq!(opened.row(&log, 2).await.expect("a read"), Some(row(2)));
    assert_eq!(opened.summary(&log).await.expect("a read"), Some(Bytes::from_static(b"true up to 2")));
    let memberships = opened.memberships(&account("a")).await.expect("a read");
    assert_eq!(memberships, [(conversation("c"), Bytes::from_static(b"m"))]);
    let devices = opened.devices(&account("a")).await.expect("a read");
    assert_eq!(devices, [(device("d"), Bytes::from_static(b"v"))]);
    let under_way = opened.pending(ShardId(5)).await.expect("a read");
    assert_eq!(under_way, [pending(5, PendingKind::Push, "a")]);
    assert_eq!(opened.revocations().await.expect("a read"), [revocation("a", Some("d"), 77)]);
    let b = opened.rows_before(&inbox("b"), END, ALL).await.expect("a read");
    assert_eq!(numbers(&b), [3, 2]);
}

/// What a write was answered for is seen at once, and by the next one to open.
pub async fn what_is_answered_is_there_after_reopening<P: Place>(fresh: impl Fn() -> P) {
    let place = fresh();
    let opened = place.open().await;
    store(&opened, append_all(&inbox("b"), 1..=3)).await;
    store(&opened, one_of_each()).await;
    assert_one_of_each(&opened).await;
    opened.close().await.expect("closed");
    for _ in 0..2 {
        let opened = place.open().await;
        assert_one_of_each(&opened).await;
        opened.close().await.expect("closed");
    }
}

/// A batch of nothing is stored at once.
pub async fn an_empty_batch_is_stored<P: Place>(fresh: impl Fn() -> P) {
    store(&fresh().open().await, Vec::new()).await;
}

/// Writes issued one after the other take effect in that order, whoever waits for which first.
pub async fn unawaited_writes_take_effect_in_order<P: Place>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let log = inbox("a");
    for round in 0..10 {
        let writes: Vec<_> =
            (0..100).map(|i| opened.write(vec![summary(&log, &format!("{round}-{i}"))], stamp())).collect();
        for write in writes.into_iter().rev() {
            write.await.expect("a write");
        }
        let found = opened.summary(&log).await.expect("a read");
        assert_eq!(found, Some(Bytes::from(format!("{round}-99"))));
    }
}

/// A batch has its place once `write` was called: its future may never be polled.
pub async fn a_write_needs_no_polling<P: Place>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    let log = inbox("a");
    drop(opened.write(vec![append(&log, 1), summary(&log, "first")], stamp()));
    let unpolled = opened.write(vec![append(&log, 2), summary(&log, "second")], stamp());
    store(&opened, vec![append(&log, 3)]).await;
    let rows = opened.rows_after(&log, 0, END, ALL).await.expect("a read");
    assert_eq!(numbers(&rows), [1, 2, 3]);
    assert_eq!(opened.summary(&log).await.expect("a read"), Some(Bytes::from_static(b"second")));
    unpolled.await.expect("a write");
}

/// Who does not know whether a batch landed writes it again.
pub async fn the_same_batch_again_changes_nothing<P: Place>(fresh: impl Fn() -> P) {
    let opened = fresh().open().await;
    store(&opened, append_all(&inbox("b"), 1..=3)).await;
    for _ in 0..3 {
        store(&opened, one_of_each()).await;
        assert_one_of_each(&opened).await;
    }
    let forget = vec![Mutation::ForgetRevocations { until: Timestamp::from_ms(77) }];
    for _ in 0..2 {
        store(&opened, forget.clone()).await;
        assert_eq!(opened.revocations().await.expect("a read"), []);
    }
}

/// A read that starts after a write was answered sees it, whatever others do meanwhile.
pub async fn concurrent_writers_see_their_own_writes<P: Place>(fresh: impl Fn() -> P) {
    let opened = Arc::new(fresh().open().await);
    let writers: Vec<_> = (0..16u64)
        .map(|writer| {
            let opened = Arc::clone(&opened);
            tokio::spawn(async move {
                let log = inbox(&format!("w{writer}"));
                for n in 1..=30 {
                    opened
                        .write(vec![append(&log, n), summary(&log, &n.to_string())], stamp())
                        .await
                        .expect("a write");
                    let rows = opened.rows_after(&log, 0, END, ALL).await.expect("a read");
                    assert_eq!(numbers(&rows), (1..=n).collect::<Vec<_>>());
                    let tail = opened.tail(&log, n - 1, 1).await.expect("a read");
                    assert_eq!(tail.first().map(|written| &written.row), Some(&row(n)));
                    let summary = opened.summary(&log).await.expect("a read");
                    assert_eq!(summary, Some(Bytes::from(n.to_string())));
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no assertion failed");
    }
}

/// What was issued before `close` is stored and answered so.
pub async fn closing_finishes_what_is_under_way<P: Place>(fresh: impl Fn() -> P) {
    let place = fresh();
    let opened = place.open().await;
    let log = inbox("a");
    let writes: Vec<_> = (1..=50).map(|n| opened.write(vec![append(&log, n)], stamp())).collect();
    opened.close().await.expect("closed");
    for write in writes {
        write.await.expect("a write");
    }
    let opened = place.open().await;
    let rows = opened.rows_after(&log, 0, END, ALL).await.expect("a read");
    assert_eq!(numbers(&rows), (1..=50).collect::<Vec<_>>());
}

/// After `close` every call answers [`Error::Closed`], and nothing is written.
pub async fn a_closed_store_says_so<P: Place>(fresh: impl Fn() -> P) {
    fn closed<T: std::fmt::Debug>(answer: Result<T, Error>) {
        assert!(matches!(answer, Err(Error::Closed)), "{answer:?}");
    }
    let place = fresh();
    let opened = place.open().await;
    let (log, account) = (inbox("a"), account("a"));
    store(&opened, vec![append(&log, 1)]).await;
    opened.close().await.expect("closed");
    closed(opened.write(vec![append(&log, 2)], stamp()).await);
    closed(opened.rows_after(&log, 0, END, ALL).await);
    closed(opened.rows_before(&log, END, ALL).await);
    closed(opened.row(&log, 1).await);
    closed(opened.summary(&log).await);
    closed(opened.memberships(&account).await);
    closed(opened.devices(&account).await);
    closed(opened.pending(ShardId(0)).await);
    closed(opened.shards_with_pending().await);
    closed(opened.revocations().await);
    closed(opened.close().await);
    let opened = place.open().await;
    assert_eq!(opened.row(&log, 2).await.expect("a read"), None);
}

//! The contract suites on the database in memory.

use godwit_store::contract::shared::{LosesAnswers, LosesReplicas, LostSwap, SharedPlace};
use godwit_store::contract::{Place, SHARDS};
use godwit_store::memory::{Database, Fate, Memory, SwapFate};

/// Ten days, so that no test comes near.
const INBOX_TTL_S: u32 = 10 * 24 * 60 * 60;

struct InMemory(Database);

impl Place for InMemory {
    type Store = Memory;

    async fn open(&self) -> Memory {
        self.0.client()
    }
}

impl SharedPlace for InMemory {
    fn inbox_ttl_s(&self) -> u32 {
        INBOX_TTL_S
    }
}

impl LosesAnswers for InMemory {
    async fn lose_next_write(&self, store: &Memory, landed: bool) {
        store.next_write(if landed { Fate::Unanswered } else { Fate::Lost });
    }

    async fn lose_next_swap(&self, store: &Memory, outcome: LostSwap) {
        store.next_swap(match outcome {
            LostSwap::Applied => SwapFate::Unanswered,
            LostSwap::Lost => SwapFate::Lost,
            LostSwap::Undecided => SwapFate::Undecided,
        });
    }
}

impl LosesReplicas for InMemory {
    async fn next_write_lands_on(&self, store: &Memory, replica: usize) {
        store.next_write(Fate::OnOne(replica));
    }

    async fn deliver_hints(&self) {
        self.0.land_all();
    }

    async fn set_away(&self, replica: usize, away: bool) {
        self.0.set_away(replica, away);
    }
}

fn fresh() -> InMemory {
    let database = Database::new(SHARDS, 1);
    database.expire_inboxes_after(INBOX_TTL_S);
    InMemory(database)
}

godwit_store::contract_tests!(fresh);
godwit_store::shared_contract_tests!(fresh, injecting: answers, replicas);

mod faults {
    //! What the database in memory lets a test do.

    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;
    use godwit_store::memory::{Database, Fate, Memory, REPLICAS, SwapFate};
    use godwit_store::{Answer, Error, LeaseStore, Mutation, Row, Session, Store, Swap};
    use godwit_types::{AccountId, LogId, NodeId, Position, Stamp, Timestamp};

    fn log() -> LogId {
        LogId::Inbox(AccountId::new("a").expect("an account id"))
    }

    fn append(n: u64) -> Vec<Mutation> {
        let position = Position { epoch: 1, n };
        let row = Row { position, stable: 0, at: Timestamp::from_ms(n), key: 0, payload: Bytes::new() };
        vec![Mutation::Append { log: log(), row }]
    }

    fn poll<T>(answer: &mut Answer<'_, T>) -> Option<Result<T, Error>> {
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    async fn is_there(store: &Memory, n: u64) -> bool {
        store.row(&log(), n).await.expect("a read").is_some()
    }

    /// An answer comes with the second copy, not before.
    #[tokio::test]
    async fn a_held_write_waits_for_two_replicas() {
        let database = Database::new(64, 1);
        let store = database.client();
        database.hold_writes(true);
        let mut answer = store.write(append(1), Stamp::from_us(1));
        assert!(poll(&mut answer).is_none());
        assert_eq!(database.under_way(), REPLICAS);
        assert!(database.land(0));
        assert!(poll(&mut answer).is_none());
        assert!(database.land(0));
        assert!(matches!(poll(&mut answer), Some(Ok(()))));
        assert!(is_there(&store, 1).await);
        assert_eq!((database.under_way(), database.landed()), (1, 2));
    }

    /// After a timeout nothing is known, and the copies may still land.
    #[tokio::test]
    async fn a_write_that_timed_out_may_land_later_or_never() {
        let database = Database::new(64, 1);
        let store = database.client();
        for (n, lands) in [(1, true), (2, false)] {
            store.next_write(Fate::Held);
            let mut answer = store.write(append(n), Stamp::from_us(1));
            database.time_out(1);
            assert!(matches!(poll(&mut answer), Some(Err(Error::Failed(_)))));
            assert!(!is_there(&store, n).await);
            if lands {
                database.land_all()
            } else {
                database.lose_all()
            }
            assert_eq!((is_there(&store, n).await, database.under_way()), (lands, 0));
        }
    }

    /// What is on one replica is seen by those who ask that one.
    #[tokio::test]
    async fn a_row_on_one_replica_is_seen_by_some() {
        let database = Database::new(64, 1);
        let store = database.client();
        store.next_write(Fate::OnOne(2));
        assert!(store.write(append(1), Stamp::from_us(1)).await.is_err());
        for (pair, seen) in [([0, 1], false), ([1, 2], true), ([0, 2], true)] {
            database.read_from(Some(pair));
            assert_eq!(is_there(&store, 1).await, seen, "{pair:?}");
        }
        // A replica that is away is not asked, and takes nothing.
        database.read_from(Some([1, 2]));
        database.set_away(2, true);
        assert!(!is_there(&store, 1).await);
        database.read_from(None);
        let mut seen = [0, 0];
        database.set_away(2, false);
        for _ in 0..100 {
            seen[usize::from(is_there(&store, 1).await)] += 1;
        }
        assert!(seen.iter().all(|times| *times > 15), "{seen:?}");
    }

    /// The same seed and the same calls give the same answers.
    #[tokio::test]
    async fn chance_comes_from_the_seed() {
        let run = async |seed| {
            let database = Database::new(64, seed);
            let store = database.client();
            store.next_write(Fate::OnOne(0));
            assert!(store.write(append(1), Stamp::from_us(1)).await.is_err());
            let mut seen = Vec::new();
            for _ in 0..64 {
                seen.push(is_there(&store, 1).await);
            }
            seen
        };
        assert_eq!(run(5).await, run(5).await);
        assert_ne!(run(5).await, run(6).await);
    }

    /// Rows of an inbox expire by the database's clock; one written again keeps its time.
    #[tokio::test]
    async fn rows_expire() {
        let database = Database::new(64, 1);
        database.expire_inboxes_after(100);
        let store = database.client();
        store.write(append(1), Stamp::from_us(1)).await.expect("a write");
        database.pass(60);
        store.write(append(2), Stamp::from_us(1)).await.expect("a write");
        let tail = store.tail(&log(), 0, 65).await.expect("a read");
        assert_eq!(tail.iter().map(|written| written.ttl_s).collect::<Vec<_>>(), [Some(100), Some(40)]);
        let rows = tail.into_iter().rev().collect();
        let settle = vec![Mutation::Settle { log: log(), tail: 2, rows }];
        store.write(settle, Stamp::from_us(2)).await.expect("a write");
        database.pass(39);
        assert!(is_there(&store, 1).await);
        database.pass(1);
        assert!(!is_there(&store, 1).await && is_there(&store, 2).await);
        database.pass(60);
        assert!(!is_there(&store, 2).await);
    }

    /// A swap whose coordinator is slow happens after a read that did not show it, if its condition holds then.
    #[tokio::test]
    async fn a_late_swap_is_carried_out_if_its_condition_holds() {
        let node = NodeId::new("n").expect("a node id");
        let session = |incarnation| Session { incarnation, renewals: 0, ceiling: Stamp::MIN, fenced: false };
        for taken in [false, true] {
            let database = Database::new(64, 1);
            let store = database.client();
            store.next_swap(SwapFate::Late);
            assert!(store.swap_session(&node, None, session(1)).await.is_err());
            assert_eq!(store.session(&node).await.expect("a read"), None);
            if taken {
                let swap = store.swap_session(&node, None, session(2)).await;
                assert_eq!(swap.expect("a swap"), Swap::Applied);
            }
            database.carry_out_late_swaps();
            let expected = session(if taken { 2 } else { 1 });
            assert_eq!(store.session(&node).await.expect("a read"), Some(expected));
        }
    }

    /// A plain read may show what is undecided; then it cannot come to nothing.
    #[tokio::test]
    async fn what_a_plain_read_has_shown_happens() {
        let node = NodeId::new("n").expect("a node id");
        let wanted = Session { incarnation: 1, renewals: 0, ceiling: Stamp::MIN, fenced: false };
        let mut counts = [[0, 0], [0, 0]];
        for seed in 0..200 {
            let store = Database::new(64, seed).client();
            store.next_swap(SwapFate::Undecided);
            assert!(store.swap_session(&node, None, wanted).await.is_err());
            let shown = store.glance(&node).await.expect("a read").is_some();
            let happened = store.session(&node).await.expect("a read").is_some();
            counts[usize::from(shown)][usize::from(happened)] += 1;
        }
        let [[neither, later], [undone, both]] = counts;
        assert_eq!(undone, 0);
        assert!([neither, later, both].iter().all(|count| *count > 20), "{counts:?}");
    }
}

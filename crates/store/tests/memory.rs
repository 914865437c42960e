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

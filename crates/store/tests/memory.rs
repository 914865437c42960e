//! The contract suites on the database in memory.

use godwit_store::contract::{Place, SHARDS};
use godwit_store::memory::{Database, Memory};

struct InMemory(Database);

impl Place for InMemory {
    type Store = Memory;

    async fn open(&self) -> Memory {
        self.0.client()
    }
}

fn fresh() -> InMemory {
    InMemory(Database::new(SHARDS, 1))
}

godwit_store::contract_tests!(fresh);

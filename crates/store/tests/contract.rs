//! The contract suite on the embedded store.

use godwit_store::contract::{Place, SHARDS};
use godwit_store::{Embedded, Options};
use tempfile::TempDir;

struct Directory(TempDir);

impl Place for Directory {
    type Store = Embedded;

    async fn open(&self) -> Embedded {
        Embedded::open(Options::new(self.0.path(), SHARDS)).expect("the store opens")
    }
}

fn fresh() -> Directory {
    Directory(tempfile::tempdir().expect("a directory"))
}

godwit_store::contract_tests!(fresh);

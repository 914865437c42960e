//! Figures, not rules: run by hand, with `--ignored --nocapture`.

use std::time::Instant;

use crate::database::{self, Keyspace};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn keyspaces() {
    for _ in 0..3 {
        let began = Instant::now();
        let session = database::session().await;
        println!("session {:?}", began.elapsed());
        let keyspace = Keyspace::fresh();
        let began = Instant::now();
        let store = keyspace.store().await;
        println!("created {:?}", began.elapsed());
        let began = Instant::now();
        let again = keyspace.store().await;
        println!("connected again {:?}", began.elapsed());
        drop((store, again));
        let began = Instant::now();
        for table in [
            "inbox_events",
            "messages",
            "summaries",
            "conversations_by_account",
            "devices",
            "pending",
            "revocations",
        ] {
            session
                .query_unpaged(format!("TRUNCATE {}.{table}", keyspace.name()), ())
                .await
                .expect("truncated");
        }
        println!("truncated {:?}", began.elapsed());
        std::mem::forget(keyspace);
    }
}

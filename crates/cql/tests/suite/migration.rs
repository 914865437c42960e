//! The schema: made by several at once, newer and older than the program, and by one that died.

use std::time::Duration;

use futures_util::future::join_all;
use godwit_cql::schema::{STEPS, Step, migrate_to};
use godwit_cql::{Cql, Migration, migrate};
use godwit_store::{Error, Limit, Store};
use godwit_types::Stamp;
use scylla::client::session::Session;
use tokio::sync::watch;

use crate::database::{self, Keyspace, connect};
use crate::requests::{append, inbox};

/// A version that adds a column; programs of version 1 go on.
const ADDS: Step = Step { version: 2, admits: 1, statements: &["ALTER TABLE {ks}.devices ADD seen bigint"] };

/// A version that programs of version 1 may not touch.
const LEAVES_BEHIND: Step =
    Step { version: 3, admits: 2, statements: &["ALTER TABLE {ks}.summaries ADD digest blob"] };

/// The name of the variable by which [`as_a_process`] hears of its keyspace.
const CHILD: &str = "GODWIT_TEST_CQL_MIGRATE";

async fn works(store: &Cql) {
    let log = inbox("a");
    store.write(vec![append(&log, 1, 1)], Stamp::from_us(1)).await.expect("stored");
    let all = Limit { rows: usize::MAX, bytes: usize::MAX };
    assert_eq!(store.rows_after(&log, 0, 1, all).await.expect("a read").len(), 1);
}

async fn versions(session: &Session, keyspace: &str) -> Vec<(String, Option<i32>, Option<i32>)> {
    let rows = session.query_unpaged(format!("SELECT part, version, admits FROM {keyspace}.meta"), ()).await;
    let rows = rows.expect("a read").into_rows_result().expect("rows");
    rows.rows().expect("columns").collect::<Result<_, _>>().expect("rows")
}

async fn exists(session: &Session, keyspace: &str) -> bool {
    let text = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let rows = session.query_unpaged(text, (keyspace,)).await.expect("a read");
    rows.into_rows_result().expect("rows").rows_num() > 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_that_start_on_nothing_at_all_end_with_one_schema() {
    if !database::there() {
        return;
    }
    let session = database::session().await;
    for _ in 0..5 {
        let keyspace = database::name();
        let options = || database::options(&keyspace);
        let stores = join_all((0..4).map(|_| connect(options()))).await;
        for store in &stores {
            works(store).await;
        }
        assert_eq!(versions(&session, &keyspace).await, [("schema".to_owned(), Some(1), Some(1))]);
        session.query_unpaged(format!("DROP KEYSPACE {keyspace}"), ()).await.expect("dropped");
    }
}

/// Not a test: what [`processes_that_start_on_nothing_at_all_end_with_one_schema`] starts.
#[tokio::test]
#[ignore = "is started by another test"]
async fn as_a_process() {
    let keyspace = std::env::var(CHILD).expect("the keyspace");
    works(&connect(database::options(&keyspace)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_on_nothing_at_all_end_with_one_schema() {
    if !database::there() {
        return;
    }
    let keyspace = database::name();
    let program = std::env::current_exe().expect("this program");
    let start = |_| {
        let mut command = std::process::Command::new(&program);
        command.args(["--ignored", "--exact", "migration::as_a_process"]).env(CHILD, &keyspace);
        command.stdout(std::process::Stdio::null()).spawn().expect("a process")
    };
    for mut child in (0..2).map(start).collect::<Vec<_>>() {
        assert!(child.wait().expect("an end").success());
    }
    let session = database::session().await;
    assert_eq!(versions(&session, &keyspace).await, [("schema".to_owned(), Some(1), Some(1))]);
    session.query_unpaged(format!("DROP KEYSPACE {keyspace}"), ()).await.expect("dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_says_all_and_does_nothing() {
    if !database::there() {
        return;
    }
    let session = database::session().await;
    let keyspace = database::name();
    let options = database::options(&keyspace);
    let planned = migrate(&options, true).await.expect("a plan");
    assert_eq!((planned.from, planned.to), (0, STEPS.len() as u32));
    assert!(planned.statements[0].starts_with("CREATE KEYSPACE"), "{planned:?}");
    assert!(!exists(&session, &keyspace).await);
    assert_eq!(migrate(&options, false).await.expect("done"), planned);
    let nothing = Migration { from: planned.to, to: planned.to, statements: Vec::new() };
    assert_eq!(migrate(&options, true).await.expect("a plan"), nothing);
    assert_eq!(migrate(&options, false).await.expect("done"), nothing);
    let steps = [STEPS, &[ADDS]].concat();
    let planned = migrate_to(&options, &steps, true).await.expect("a plan");
    assert_eq!(planned.statements, [format!("ALTER TABLE {keyspace}.devices ADD seen bigint")]);
    assert_eq!(versions(&session, &keyspace).await, [("schema".to_owned(), Some(1), Some(1))]);
    session.query_unpaged(format!("DROP KEYSPACE {keyspace}"), ()).await.expect("dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_program_works_on_a_schema_that_admits_it_and_on_no_other() {
    if !database::there() {
        return;
    }
    let session = database::session().await;
    let keyspace = database::name();
    let options = database::options(&keyspace);
    let before = connect(options.clone()).await;
    let newer = [STEPS, &[ADDS]].concat();
    let done = migrate_to(&options, &newer, false).await.expect("version 2");
    assert_eq!((done.from, done.to), (1, 2));
    // One that was there before, and one that starts again after the update was taken back.
    works(&before).await;
    works(&connect(options.clone()).await).await;
    assert_eq!(migrate(&options, false).await.expect("nothing to do").to, 2);
    let newest = [STEPS, &[ADDS, LEAVES_BEHIND]].concat();
    migrate_to(&options, &newest, false).await.expect("version 3");
    let answer = Cql::connect(options.clone(), &watch::Sender::default()).await;
    let Err(Error::Refused(text)) = answer.map(drop) else { panic!("it was let in") };
    assert!(
        text.contains("version 3") && text.contains("version 2 on") && text.contains("knows 1"),
        "{text}"
    );
    migrate_to(&options, &newer, false).await.expect("programs of version 2 are admitted");
    session.query_unpaged(format!("DROP KEYSPACE {keyspace}"), ()).await.expect("dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_migration_says_so_and_goes_on_when_the_other_has_died() {
    if !database::there() {
        return;
    }
    let keyspace = Keyspace::fresh();
    let session = database::session().await;
    drop(keyspace.store().await);
    // As a program leaves it that died between the last table and the note that all are there.
    let options = keyspace.options();
    let lock = format!(
        "INSERT INTO {}.meta (part, holder) VALUES ('migration', 'a dead one') IF NOT EXISTS USING TTL 3",
        keyspace.name()
    );
    session.query_unpaged(lock, ()).await.expect("the lock");
    let back = format!("DELETE FROM {}.meta WHERE part = 'schema' IF EXISTS", keyspace.name());
    session.query_unpaged(back, ()).await.expect("no version");
    let (waiting, mut says) = watch::channel(String::new());
    let connecting = tokio::spawn(async move { Cql::connect(options, &waiting).await });
    let said = tokio::time::timeout(Duration::from_secs(10), says.wait_for(|text| !text.is_empty())).await;
    assert!(said.expect("in time").expect("it is there").contains("a dead one"));
    let answer = tokio::time::timeout(Duration::from_secs(20), connecting).await;
    let outcome = answer.expect("in time").expect("no panic");
    works(&outcome.expect("a store")).await;
}

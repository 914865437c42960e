//! The schema: created and brought up to date by whichever program comes first.
//!
//! The table `meta` holds two rows: `schema` says which version the tables have, which programs it still
//! admits, and what is fixed for the life of a cluster; `migration` is there while one program changes
//! something. Changes only add, so that programs of an admitted version go on meanwhile, and an update can be
//! taken back.

mod lock;
mod steps;

use std::time::Duration;

use godwit_store::Error;
use godwit_types::hash;
use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::DbError;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::unprepared::Statement;
use scylla::statement::{Consistency, SerialConsistency};

use crate::faults::{database_error, failed, of_statement};
use crate::options::Options;
use crate::session::{self, Connected};

use lock::Lock;
use steps::SCYLLA_GC;
pub use steps::{STEPS, Step};

/// The name of the hash that places ids on shards.
const HASH: &str = "xxh3_64";

/// How long a change of the schema may take: it goes to every node, one after the other.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a migration did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// The version found; 0 where there was none.
    pub from: u32,
    /// The version now.
    pub to: u32,
    /// The statements, in order.
    pub statements: Vec<String>,
}

/// Brings the schema up to date, or with `dry_run` says what that would take.
///
/// # Errors
/// `Refused` where it cannot work: no right to, a version that no longer admits this program, another number of
/// shards. `Failed` where trying again may help.
pub async fn migrate(options: &Options, dry_run: bool) -> Result<Migration, Error> {
    migrate_to(options, STEPS, dry_run).await
}

/// The same to the last of these versions.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_to(options: &Options, steps: &[Step], dry_run: bool) -> Result<Migration, Error> {
    let connected = session::connect(options).await?;
    let say = |text: String| tracing::info!("{text}");
    Schema { connected: &connected, options, steps }.migrate(dry_run, &say).await
}

/// The row `schema` of `meta`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    version: u32,
    admits: u32,
    shards: u32,
    hash: String,
}

/// A schema that is to be as the steps say.
pub(crate) struct Schema<'a> {
    pub(crate) connected: &'a Connected,
    pub(crate) options: &'a Options,
    pub(crate) steps: &'a [Step],
}

impl Schema<'_> {
    /// See [`migrate`]. `say` hears what it waits for.
    pub(crate) async fn migrate(
        &self,
        dry_run: bool,
        say: &(dyn Fn(String) + Sync),
    ) -> Result<Migration, Error> {
        let target = self.steps.last().map_or(0, |step| step.version);
        let mut done = Migration { from: 0, to: target, statements: Vec::new() };
        let has_keyspace = self.has_keyspace().await?;
        let has_meta = has_keyspace && self.has_meta().await?;
        if !has_keyspace {
            done.statements.push(self.keyspace());
        }
        if !has_meta {
            done.statements.push(self.meta());
        }
        if !dry_run {
            for statement in &done.statements {
                self.change(statement).await?;
            }
        } else if !has_meta {
            done.statements.extend(self.steps.iter().flat_map(|step| self.statements(step)));
            return Ok(done);
        }
        let found = self.found().await?;
        done.from = found.as_ref().map_or(0, |found| found.version);
        self.check(found.as_ref(), target)?;
        if done.from >= target {
            done.to = done.from;
        } else if dry_run {
            let missing = self.steps.iter().filter(|step| step.version > done.from);
            done.statements.extend(missing.flat_map(|step| self.statements(step)));
        } else {
            self.under_lock(target, &mut done, say).await?;
        }
        Ok(done)
    }

    /// Takes the lock, unless another brings the schema where it should be, and does what is missing then.
    async fn under_lock(
        &self,
        target: u32,
        done: &mut Migration,
        say: &(dyn Fn(String) + Sync),
    ) -> Result<(), Error> {
        let lock = Lock::new(self);
        while let Some(holder) = lock.take().await? {
            say(format!("another program ({holder}) is changing the schema of {}", self.options.keyspace));
            tokio::time::sleep(lock::LOOK_AGAIN).await;
            let found = self.found().await?;
            self.check(found.as_ref(), target)?;
            if found.is_some_and(|found| found.version >= target) {
                return Ok(());
            }
        }
        let result = self.steps_under(&lock, target, done).await;
        // Where that fails the lock expires by itself; what went wrong before is the thing to tell.
        let released = lock.release().await;
        result.and(released)
    }

    async fn steps_under(&self, lock: &Lock<'_>, target: u32, done: &mut Migration) -> Result<(), Error> {
        let found = self.found().await?;
        self.check(found.as_ref(), target)?;
        let mut version = found.map_or(0, |found| found.version);
        for step in self.steps.iter().filter(|step| step.version > version).collect::<Vec<_>>() {
            for statement in self.statements(step) {
                lock.renew().await?;
                self.change(&statement).await?;
                done.statements.push(statement);
            }
            lock.renew().await?;
            self.set_version(version, step).await?;
            version = step.version;
            tracing::info!(version, keyspace = self.options.keyspace, "the schema has a new version");
        }
        Ok(())
    }

    fn check(&self, found: Option<&Found>, target: u32) -> Result<(), Error> {
        let Some(found) = found else { return Ok(()) };
        let (keyspace, shards) = (&self.options.keyspace, u32::from(self.options.shards));
        if found.version > target && found.admits > target {
            return Err(Error::Refused(format!(
                "the keyspace {keyspace} has schema version {} and admits programs from version {} on, but this \
                 program knows {target}; use a newer one",
                found.version, found.admits
            )));
        }
        if found.shards != shards {
            return Err(Error::Refused(format!(
                "the keyspace {keyspace} was made with {} shards, but {shards} are configured; the number is \
                 fixed for good",
                found.shards
            )));
        }
        if found.hash != HASH {
            return Err(Error::Refused(format!(
                "the keyspace {keyspace} places ids by {}, this program by {HASH}; it was made by another program",
                found.hash
            )));
        }
        Ok(())
    }

    fn statements(&self, step: &Step) -> Vec<String> {
        let gc = if self.connected.is_scylla { SCYLLA_GC } else { "" };
        let fill = |text: &&str| text.replace("{ks}", &self.options.keyspace).replace("{gc}", gc);
        step.statements.iter().map(fill).collect()
    }

    fn keyspace(&self) -> String {
        // ScyllaDB's tablets took no lightweight transactions until its version 2025.4.
        let tablets = if self.connected.is_scylla { " AND tablets = {'enabled': false}" } else { "" };
        format!(
            "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {{'class': 'NetworkTopologyStrategy', '{}': {}}}{tablets}",
            self.options.keyspace, self.connected.datacenter, self.options.replication_factor
        )
    }

    /// With an id of its own, so that two programs that create it at one moment through two nodes mean the same
    /// table. An id is unique in a cluster, so the keyspace is part of it.
    fn meta(&self) -> String {
        let keyspace = &self.options.keyspace;
        let (high, low) =
            (hash(&format!("godwit meta {keyspace}")), hash(&format!("{keyspace} meta godwit")));
        format!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.meta (part text PRIMARY KEY, version int, admits int, \
             shards int, hash text, holder text) WITH ID = {}",
            uuid(high, low)
        )
    }

    async fn has_keyspace(&self) -> Result<bool, Error> {
        let text = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
        let found = self.rows::<(String,)>(Statement::new(text), (&self.options.keyspace,)).await?;
        Ok(!found.is_empty())
    }

    async fn has_meta(&self) -> Result<bool, Error> {
        let text =
            "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'meta'";
        let found = self.rows::<(String,)>(Statement::new(text), (&self.options.keyspace,)).await?;
        Ok(!found.is_empty())
    }

    async fn found(&self) -> Result<Option<Found>, Error> {
        let text = format!(
            "SELECT version, admits, shards, hash FROM {}.meta WHERE part = 'schema'",
            self.options.keyspace
        );
        let mut statement = Statement::new(text);
        statement.set_consistency(Consistency::LocalSerial);
        let mut found = self.rows::<(i32, i32, i32, String)>(statement, ()).await?;
        Ok(found.pop().map(|(version, admits, shards, hash)| Found {
            version: version.unsigned_abs(),
            admits: admits.unsigned_abs(),
            shards: shards.unsigned_abs(),
            hash,
        }))
    }

    async fn set_version(&self, from: u32, step: &Step) -> Result<(), Error> {
        let keyspace = &self.options.keyspace;
        let (version, admits) = (step.version.cast_signed(), step.admits.cast_signed());
        let applied = if from == 0 {
            let text = format!(
                "INSERT INTO {keyspace}.meta (part, version, admits, shards, hash) VALUES ('schema', ?, ?, ?, ?) \
                 IF NOT EXISTS"
            );
            self.swap(text, (version, admits, i32::from(self.options.shards), HASH)).await?
        } else {
            let text = format!(
                "UPDATE {keyspace}.meta SET version = ?, admits = ? WHERE part = 'schema' IF version = ?"
            );
            self.swap(text, (version, admits, from.cast_signed())).await?
        };
        if applied { Ok(()) } else { Err(failed("the schema's version", "another program changed it")) }
    }

    /// A change of the schema, until all nodes that answer agree on it.
    async fn change(&self, text: &str) -> Result<(), Error> {
        let mut statement = Statement::new(text);
        statement.set_request_timeout(Some(CHANGE_TIMEOUT));
        match self.session().query_unpaged(statement, ()).await {
            Ok(_) => {}
            // Done by a program that died before it could say so.
            Err(error) if matches!(database_error(&error), Some((DbError::AlreadyExists { .. }, _))) => {}
            Err(error) => return Err(of_statement(&beginning_of(text), &error)),
        }
        self.session().await_schema_agreement().await.map_err(|error| failed("schema agreement", error))?;
        Ok(())
    }

    fn session(&self) -> &Session {
        &self.connected.session
    }

    async fn query(&self, mut statement: Statement, values: impl SerializeRow) -> Result<QueryResult, Error> {
        statement.set_serial_consistency(Some(SerialConsistency::LocalSerial));
        let what = beginning_of(&statement.contents);
        self.session().query_unpaged(statement, values).await.map_err(|error| of_statement(&what, &error))
    }

    async fn rows<R>(&self, statement: Statement, values: impl SerializeRow) -> Result<Vec<R>, Error>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let rows = self.query(statement, values).await?.into_rows_result();
        let rows = rows.map_err(|error| failed("the schema's table", error))?;
        let rows = rows.rows::<R>().map_err(|error| failed("the schema's table", error))?;
        rows.collect::<Result<_, _>>().map_err(|error| failed("the schema's table", error))
    }

    /// A compare-and-set: whether it was applied.
    async fn swap(&self, text: String, values: impl SerializeRow) -> Result<bool, Error> {
        let answer = self.query(Statement::new(text), values).await?;
        crate::carrier::applied(answer)
    }
}

/// Enough of a statement to know it by.
fn beginning_of(text: &str) -> String {
    text.split_whitespace().take_while(|word| !word.starts_with('(')).take(8).collect::<Vec<_>>().join(" ")
}

/// A UUID of version 8, whose bits are the maker's (RFC 9562, section 5.8).
fn uuid(high: u64, low: u64) -> String {
    let high = high & !0xf000 | 0x8000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
    format!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_ascend_and_admit_no_later_one() {
        for (before, step) in std::iter::once(&0).chain(STEPS.iter().map(|step| &step.version)).zip(STEPS) {
            assert_eq!(step.version, before + 1);
            assert!(step.admits >= 1 && step.admits <= step.version);
        }
    }

    #[test]
    fn a_made_id_is_a_uuid() {
        assert_eq!(uuid(u64::MAX, u64::MAX), "ffffffff-ffff-8fff-bfff-ffffffffffff");
        assert_eq!(uuid(0, 0), "00000000-0000-8000-8000-000000000000");
    }
}

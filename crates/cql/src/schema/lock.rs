//! Who changes the schema: one program at a time.

use std::time::Duration;

use godwit_store::Error;
use rand::RngExt as _;
use scylla::statement::Consistency;
use scylla::statement::unprepared::Statement;

use super::Schema;
use crate::faults::failed;

/// How long the lock is held without a sign of life: longer than one change may take, so that whoever holds it
/// is alive or gone.
const LOCK_S: u32 = 45;

/// How often those who wait look.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A claim to the lock: the row `migration` of `meta`, which goes by itself when its time is over.
pub(super) struct Lock<'a> {
    schema: &'a Schema<'a>,
    holder: String,
}

impl<'a> Lock<'a> {
    /// A claim of our own; nothing is held yet.
    pub(super) fn new(schema: &'a Schema<'a>) -> Self {
        let holder = format!("process {} as {:08x}", std::process::id(), rand::rng().random::<u32>());
        Self { schema, holder }
    }

    fn table(&self) -> String {
        format!("{}.meta", self.schema.options.keyspace)
    }

    /// Takes the lock, or answers who has it.
    ///
    /// # Errors
    /// As every request; whether it was taken is unknown then, and it goes with its time.
    pub(super) async fn take(&self) -> Result<Option<String>, Error> {
        let text = format!(
            "INSERT INTO {} (part, holder) VALUES ('migration', ?) IF NOT EXISTS USING TTL {LOCK_S}",
            self.table()
        );
        if self.schema.swap(text, (&self.holder,)).await? {
            return Ok(None);
        }
        let mut statement =
            Statement::new(format!("SELECT holder FROM {} WHERE part = 'migration'", self.table()));
        statement.set_consistency(Consistency::LocalSerial);
        let holder = self.schema.rows::<(Option<String>,)>(statement, ()).await?.pop();
        Ok(Some(holder.and_then(|(holder,)| holder).unwrap_or_else(|| "just done".to_owned())))
    }

    /// Holds it for its full time again.
    ///
    /// # Errors
    /// When it is no longer ours: another has gone on, and so must not we.
    pub(super) async fn renew(&self) -> Result<(), Error> {
        let text = format!(
            "UPDATE {} USING TTL {LOCK_S} SET holder = ? WHERE part = 'migration' IF holder = ?",
            self.table()
        );
        if self.schema.swap(text, (&self.holder, &self.holder)).await? {
            return Ok(());
        }
        Err(failed("changing the schema", "it took too long, and another program may have gone on with it"))
    }

    /// Gives it back.
    ///
    /// # Errors
    /// As every request; it goes with its time then.
    pub(super) async fn release(&self) -> Result<(), Error> {
        let text = format!("DELETE FROM {} WHERE part = 'migration' IF holder = ?", self.table());
        self.schema.swap(text, (&self.holder,)).await.map(drop)
    }
}

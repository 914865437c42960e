//! Every statement that reads or writes, prepared once.

use futures_util::future::try_join_all;
use godwit_store::Error;
use scylla::client::execution_profile::ExecutionProfileHandle;
use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::unprepared::Statement;
use scylla::statement::{Consistency, SerialConsistency};

use crate::faults;

/// How a statement is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// At LOCAL_QUORUM; sent to a second node when the first is slow.
    Read,
    /// At LOCAL_QUORUM, by its own timestamp: sending it twice does nothing.
    Write,
    /// At LOCAL_SERIAL: shows, and decides, every compare-and-set before it.
    SerialRead,
    /// A compare-and-set: never repeated by the driver.
    Swap,
}

macro_rules! statements {
    ($($name:ident $mode:ident $text:expr;)+) => {
        /// The name of a statement.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Name { $(#[allow(missing_docs)] $name),+ }

        /// In the order of [`Name`]; `{}` is the keyspace.
        const ALL: &[(Name, Mode, &str)] = &[$((Name::$name, Mode::$mode, $text)),+];
    };
}

/// The columns of a row, in the order in which `reads` takes them.
macro_rules! row {
    () => {
        "n, epoch, at, stable, key, payload"
    };
}

/// The statements of a table of logs: its name and the column with the log's id.
macro_rules! insert {
    ($table:literal, $id:literal) => {
        concat!(
            "INSERT INTO {}.",
            $table,
            " (",
            $id,
            ", bucket, ",
            row!(),
            ") VALUES (?, ?, ?, ?, ?, ?, ?, ?) ",
            "USING TIMESTAMP ? AND TTL ?"
        )
    };
}
macro_rules! delete {
    ($table:literal, $id:literal, $which:literal) => {
        concat!(
            "DELETE FROM {}.",
            $table,
            " USING TIMESTAMP ? WHERE ",
            $id,
            " = ? AND bucket = ? AND ",
            $which
        )
    };
}
macro_rules! select {
    ($table:literal, $id:literal, $which:literal) => {
        concat!("SELECT ", row!(), " FROM {}.", $table, " WHERE ", $id, " = ? AND bucket = ?", $which)
    };
}
macro_rules! tail {
    ($table:literal, $id:literal) => {
        concat!(
            "SELECT ",
            row!(),
            ", WRITETIME(payload), TTL(payload) FROM {}.",
            $table,
            " WHERE ",
            $id,
            " = ? AND bucket = ? ORDER BY n DESC LIMIT ?"
        )
    };
}
macro_rules! any {
    ($table:literal, $id:literal) => {
        concat!("SELECT n FROM {}.", $table, " WHERE ", $id, " = ? AND bucket = ? LIMIT 1")
    };
}

statements! {
    InboxAppend Write insert!("inbox_events", "account");
    InboxSettle Write delete!("inbox_events", "account", "n > ?");
    InboxTrim Write delete!("inbox_events", "account", "n <= ?");
    InboxAfter Read select!("inbox_events", "account", " AND n > ? AND n <= ?");
    InboxBefore Read select!("inbox_events", "account", " AND n <= ? ORDER BY n DESC");
    InboxRow Read select!("inbox_events", "account", " AND n = ?");
    InboxTail Read tail!("inbox_events", "account");
    InboxAny Read any!("inbox_events", "account");
    MessageAppend Write insert!("messages", "conversation");
    MessageSettle Write delete!("messages", "conversation", "n > ?");
    MessageTrim Write delete!("messages", "conversation", "n <= ?");
    MessageAfter Read select!("messages", "conversation", " AND n > ? AND n <= ?");
    MessageBefore Read select!("messages", "conversation", " AND n <= ? ORDER BY n DESC");
    MessageRow Read select!("messages", "conversation", " AND n = ?");
    MessageTail Read tail!("messages", "conversation");
    MessageAny Read any!("messages", "conversation");
    SummarySet Write "INSERT INTO {}.summaries (log, value) VALUES (?, ?) USING TIMESTAMP ?";
    Summary Read "SELECT value FROM {}.summaries WHERE log = ?";
    MembershipSet Write "INSERT INTO {}.conversations_by_account (account, conversation, value) VALUES (?, ?, ?) USING TIMESTAMP ?";
    MembershipDrop Write "DELETE FROM {}.conversations_by_account USING TIMESTAMP ? WHERE account = ? AND conversation = ?";
    Memberships Read "SELECT conversation, value FROM {}.conversations_by_account WHERE account = ?";
    DeviceSet Write "INSERT INTO {}.devices (account, device, value) VALUES (?, ?, ?) USING TIMESTAMP ?";
    DeviceDrop Write "DELETE FROM {}.devices USING TIMESTAMP ? WHERE account = ? AND device = ?";
    Devices Read "SELECT device, value FROM {}.devices WHERE account = ?";
    PendingSet Write "INSERT INTO {}.pending (shard, kind, id) VALUES (?, ?, ?) USING TIMESTAMP ?";
    PendingDrop Write "DELETE FROM {}.pending USING TIMESTAMP ? WHERE shard = ? AND kind = ? AND id = ?";
    Pending Read "SELECT kind, id FROM {}.pending WHERE shard = ?";
    PendingAny Read "SELECT shard FROM {}.pending WHERE shard = ? LIMIT 1";
    Revoke Write "INSERT INTO {}.revocations (part, at, account, device) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    ForgetRevocations Write "DELETE FROM {}.revocations USING TIMESTAMP ? WHERE part = ? AND at <= ?";
    Revocations Read "SELECT account, device, at FROM {}.revocations WHERE part = ?";
    Session SerialRead "SELECT incarnation, renewals, ceiling, fenced FROM {}.node_session WHERE node = ?";
    Glance Read "SELECT incarnation, renewals, ceiling, fenced FROM {}.node_session WHERE node = ?";
    Sessions Read "SELECT node, incarnation, renewals, ceiling, fenced FROM {}.node_session";
    SessionBegin Swap "INSERT INTO {}.node_session (node, incarnation, renewals, ceiling, fenced) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS";
    SessionSwap Swap "UPDATE {}.node_session SET incarnation = ?, renewals = ?, ceiling = ?, fenced = ? WHERE node = ? IF incarnation = ? AND renewals = ? AND ceiling = ? AND fenced = ?";
    Owners SerialRead "SELECT shard, node, incarnation, epoch, base, unclean_base FROM {}.shard_owner WHERE \"group\" = ?";
    GlanceOwners Read "SELECT shard, node, incarnation, epoch, base, unclean_base FROM {}.shard_owner WHERE \"group\" = ?";
    OwnerBegin Swap "INSERT INTO {}.shard_owner (\"group\", shard, node, incarnation, epoch, base, unclean_base) VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS";
    OwnerSwap Swap "UPDATE {}.shard_owner SET node = ?, incarnation = ?, epoch = ?, base = ?, unclean_base = ? WHERE \"group\" = ? AND shard = ? IF epoch = ?";
}

/// How each mode is carried.
pub(crate) struct Profiles {
    pub(crate) reads: ExecutionProfileHandle,
    pub(crate) writes: ExecutionProfileHandle,
    pub(crate) leases: ExecutionProfileHandle,
}

/// The statements, ready to be sent.
pub(crate) struct Statements(Vec<PreparedStatement>);

impl Statements {
    /// Prepares them all.
    ///
    /// # Errors
    /// `Refused` where the tables are not as expected or the right to read them is missing.
    pub(crate) async fn prepare(
        session: &Session,
        keyspace: &str,
        profiles: &Profiles,
    ) -> Result<Self, Error> {
        let each = ALL.iter().map(async |(name, mode, text)| {
            let text = text.replace("{}", keyspace);
            let prepared = session.prepare(Statement::new(text)).await;
            let mut prepared = prepared
                .map_err(|error| faults::of_statement(&format!("preparing {name:?}"), &error.into()))?;
            shape(&mut prepared, *mode, profiles);
            Ok::<_, Error>(prepared)
        });
        try_join_all(each).await.map(Self)
    }

    /// The one of that name.
    pub(crate) fn of(&self, name: Name) -> &PreparedStatement {
        &self.0[name as usize]
    }
}

fn shape(prepared: &mut PreparedStatement, mode: Mode, profiles: &Profiles) {
    let (profile, consistency) = match mode {
        Mode::Read => (&profiles.reads, Consistency::LocalQuorum),
        Mode::Write => (&profiles.writes, Consistency::LocalQuorum),
        Mode::SerialRead => (&profiles.leases, Consistency::LocalSerial),
        Mode::Swap => (&profiles.leases, Consistency::LocalQuorum),
    };
    prepared.set_execution_profile_handle(Some(profile.clone()));
    prepared.set_consistency(consistency);
    prepared.set_serial_consistency(Some(SerialConsistency::LocalSerial));
    prepared.set_is_idempotent(matches!(mode, Mode::Read | Mode::Write));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_place_in_the_list() {
        for (i, (name, ..)) in ALL.iter().enumerate() {
            assert_eq!(*name as usize, i, "{name:?}");
        }
    }

    #[test]
    fn every_write_states_its_timestamp_and_every_swap_its_condition() {
        for (name, mode, text) in ALL {
            assert_eq!(text.contains("USING TIMESTAMP ?"), *mode == Mode::Write, "{name:?}");
            assert_eq!(text.contains(" IF "), *mode == Mode::Swap, "{name:?}");
        }
    }
}

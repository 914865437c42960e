//! The tables, version by version.

/// One version of the schema.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The version that the statements lead to, from the one before.
    pub version: u32,
    /// The oldest version whose programs may still work on it.
    pub admits: u32,
    /// What to do: each may be done twice, and none takes away what an admitted program needs. `{ks}` is the
    /// keyspace, `{gc}` what ScyllaDB has to be told about tombstones.
    pub statements: &'static [&'static str],
}

/// All versions, oldest first.
///
/// - `inbox_events`, `messages`: the rows of the two kinds of log, 10,000 numbers in a partition. The epoch
///   comes last in the key: reads ask for ranges of numbers.
/// - `pending`: scanned when a shard changes hands, so its tombstones go after an hour.
/// - `revocations`: 16 parts, so that all can be read and old ones forgotten without a scan.
/// - `shard_owner`, `node_session`: changed by compare-and-set only.
pub const STEPS: &[Step] = &[Step {
    version: 1,
    admits: 1,
    statements: &[
        "CREATE TABLE IF NOT EXISTS {ks}.inbox_events (account text, bucket bigint, n bigint, epoch bigint, \
         at bigint, stable bigint, key bigint, payload blob, PRIMARY KEY ((account, bucket), n, epoch)) \
         WITH gc_grace_seconds = 864000 AND compaction = {'class': 'TimeWindowCompactionStrategy', \
         'compaction_window_unit': 'DAYS', 'compaction_window_size': '1'}{gc}",
        "CREATE TABLE IF NOT EXISTS {ks}.messages (conversation text, bucket bigint, n bigint, epoch bigint, \
         at bigint, stable bigint, key bigint, payload blob, PRIMARY KEY ((conversation, bucket), n, epoch)) \
         WITH gc_grace_seconds = 864000{gc}",
        "CREATE TABLE IF NOT EXISTS {ks}.summaries (log text PRIMARY KEY, value blob) \
         WITH gc_grace_seconds = 864000{gc}",
        "CREATE TABLE IF NOT EXISTS {ks}.conversations_by_account (account text, conversation text, value blob, \
         PRIMARY KEY (account, conversation)) WITH gc_grace_seconds = 864000{gc}",
        "CREATE TABLE IF NOT EXISTS {ks}.devices (account text, device text, value blob, \
         PRIMARY KEY (account, device)) WITH gc_grace_seconds = 864000{gc}",
        "CREATE TABLE IF NOT EXISTS {ks}.pending (shard int, kind tinyint, id text, \
         PRIMARY KEY (shard, kind, id)) WITH gc_grace_seconds = 3600{gc}",
        "CREATE TABLE IF NOT EXISTS {ks}.revocations (part int, at bigint, account text, device text, \
         PRIMARY KEY (part, at, account, device)) WITH gc_grace_seconds = 864000{gc}",
        "CREATE TABLE IF NOT EXISTS {ks}.shard_owner (\"group\" int, shard int, node text, incarnation bigint, \
         epoch bigint, base bigint, unclean_base bigint, PRIMARY KEY (\"group\", shard)) \
         WITH gc_grace_seconds = 864000{gc}",
        "CREATE TABLE IF NOT EXISTS {ks}.node_session (node text PRIMARY KEY, incarnation bigint, \
         renewals bigint, ceiling bigint, fenced boolean) WITH gc_grace_seconds = 864000{gc}",
    ],
}];

/// What is said to ScyllaDB: tombstones go after `gc_grace_seconds`, not after the next repair.
pub(super) const SCYLLA_GC: &str = " AND tombstone_gc = {'mode': 'timeout'}";

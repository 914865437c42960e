//! `godwit migrate`: brings the database's schema up to date.

use std::fmt::Write as _;

use anyhow::Context;

use crate::config::Config;
use crate::store;

/// Migrates, or with `dry_run` only finds out what there is to do; says so in words.
pub fn run(config: &Config, dry_run: bool) -> anyhow::Result<String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let migration = runtime.block_on(store::migrate(config, dry_run))?;
    let mut text = String::new();
    let from = match migration.from {
        0 => "nothing".to_owned(),
        version => format!("version {version}"),
    };
    let to = migration.to;
    if migration.statements.is_empty() {
        writeln!(text, "the schema has {from}, and there is nothing to do")?;
        return Ok(text);
    }
    for statement in &migration.statements {
        writeln!(text, "{statement};")?;
    }
    let done = if dry_run { "would go" } else { "went" };
    writeln!(text, "-- the schema {done} from {from} to version {to}")?;
    Ok(text)
}

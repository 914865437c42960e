//! The size of the program that ships.

use anyhow::Result;

use super::Bench;
use super::report::Row;
use crate::dist;

/// The stripped program's size.
///
/// # Errors
/// When the file cannot be looked at.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let megabytes = dist::megabytes(dist::bytes(&bench.program)?);
    Ok(vec![Row::new("size of the program", format!("{megabytes:.2} MB"), "stripped, line tables apart")])
}

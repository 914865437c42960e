//! The table in `docs/benchmarks.md`, between two markers; what stands around it is written by hand.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result};

const BEGIN: &str = "<!-- bench: begin -->\n";
const END: &str = "<!-- bench: end -->";

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// The figure with its unit.
    pub(crate) result: String,
    /// How it was measured, in half a line.
    pub(crate) how: String,
}

impl Row {
    /// A row of these three.
    pub(crate) fn new(what: &str, result: String, how: &str) -> Row {
        Row { what: what.to_owned(), result, how: how.to_owned() }
    }
}

/// The whole text between the markers.
#[derive(Debug)]
pub(crate) struct Table {
    /// What the figures were measured on.
    pub(crate) environment: String,
    /// Rows of this server.
    pub(crate) own: Vec<Row>,
    /// Rows of others.
    pub(crate) beside: Vec<Row>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.environment)?;
        rows(f, &self.own)?;
        if !self.beside.is_empty() {
            write!(f, "\n### Beside others\n\n{BESIDE}")?;
            rows(f, &self.beside)?;
        }
        Ok(())
    }
}

/// What must not be overlooked when rows of different servers are compared.
const BESIDE: &str = "\
nginx with nchan takes the same loads from the same generator, as one process. It hands on and keeps a while
in memory what godwit stores: it has no sync of a file before an answer, no accounts and tokens, and no inbox
for each member that outlives a restart.
";

fn rows(f: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    write!(f, "\n| what | result | how |\n|---|---|---|\n")?;
    rows.iter().try_for_each(|row| writeln!(f, "| {} | {} | {} |", row.what, row.result, row.how))
}

/// Puts the table into the document.
///
/// # Errors
/// When the document cannot be read or written, or lacks the markers.
pub(crate) fn write(document: &Path, table: &str) -> Result<()> {
    let shown = document.display();
    let text = std::fs::read_to_string(document).with_context(|| format!("cannot read {shown}"))?;
    let text = replaced(&text, table).with_context(|| format!("{shown} lacks the markers of the table"))?;
    std::fs::write(document, text).with_context(|| format!("cannot write {shown}"))
}

fn replaced(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// `12,345`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_parted() {
        let parted = [0, 999, 1000, 20_500, 1_234_567].map(thousands);
        assert_eq!(parted, ["0", "999", "1,000", "20,500", "1,234,567"]);
    }

    fn table(beside: Vec<Row>) -> Table {
        let own = vec![Row::new("size", "1 MB".to_owned(), "stripped")];
        Table { environment: "2 cores".to_owned(), own, beside }
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = format!("# Head\n{BEGIN}old\n{END}\ntail\n");
        let table = table(Vec::new()).to_string();
        let new = replaced(&text, &table).unwrap();
        assert_eq!(
            new,
            format!(
                "# Head\n{BEGIN}2 cores\n\n| what | result | how |\n|---|---|---|\n\
                 | size | 1 MB | stripped |\n{END}\ntail\n"
            )
        );
        assert_eq!(replaced(&new, &table).as_deref(), Some(new.as_str()));
        assert_eq!(replaced("no markers", &table), None);
    }

    #[test]
    fn rows_of_others_stand_apart_with_what_they_do_not_do() {
        let text = table(vec![Row::new("nchan: rate", "9 a second".to_owned(), "in memory")]).to_string();
        let (own, beside) = text.split_once("\n### Beside others\n\n").unwrap();
        assert!(own.ends_with("| size | 1 MB | stripped |\n"), "{own}");
        let rows = "\n\n| what | result | how |\n|---|---|---|\n| nchan: rate | 9 a second | in memory |\n";
        assert!(beside.contains("no sync") && beside.ends_with(rows), "{beside}");
    }
}

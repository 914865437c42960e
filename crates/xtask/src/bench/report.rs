//! The table in `docs/benchmarks.md`, between two markers; what stands around it is written by hand.

use std::path::Path;

use anyhow::{Context as _, Result};

const BEGIN: &str = "<!-- bench: begin -->\n";
const END: &str = "<!-- bench: end -->";

/// One line of the table.
#[derive(Debug, PartialEq, Eq)]
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
pub(crate) fn table(environment: &str, rows: &[Row]) -> String {
    let mut text = format!("{environment}\n\n| what | result | how |\n|---|---|---|\n");
    for row in rows {
        text.push_str(&format!("| {} | {} | {} |\n", row.what, row.result, row.how));
    }
    text
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

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = format!("# Head\n{BEGIN}old\n{END}\ntail\n");
        let table = table("2 cores", &[Row::new("size", "1 MB".to_owned(), "stripped")]);
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
}

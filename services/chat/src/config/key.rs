//! What the configuration knows about one key: its name, shape, default and meaning.

use std::fmt;

/// One key. Its table row in `docs/configuration.md` is made from this and a test compares them.
#[derive(Debug)]
pub struct Key {
    /// `section.name`, as in the file.
    pub name: &'static str,
    /// What a value looks like.
    pub shape: Shape,
    /// What holds when nobody says anything.
    pub default: Absent,
    /// One sentence or two for the operator.
    pub meaning: &'static str,
}

/// What holds when a key is given nowhere.
#[derive(Debug, Clone, Copy)]
pub enum Absent {
    /// This value, written as in the environment.
    Is(&'static str),
    /// No value, which means this.
    Means(&'static str),
}

/// What a value looks like.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// 1 to 64 characters of the id alphabet.
    Id,
    /// 1 to 256 printable characters.
    Text,
    /// IP address and port.
    Address,
    /// Path of a file or directory.
    Path,
    /// One path or several.
    Paths,
    /// One text or several.
    Texts,
    /// One web origin or several.
    Origins,
    /// `http` or `https` address.
    Url,
    /// Directives of the log.
    Filter,
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Some of these words.
    Choices(&'static [&'static str]),
    /// A whole number within bounds (both included).
    Number {
        /// What it counts.
        unit: Unit,
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Days.
    Days,
    /// Bytes; takes `KiB` and `MiB`.
    Bytes,
}

/// Bytes in a `KiB`.
pub(super) const KIB: u64 = 1024;
/// Bytes in a `MiB`.
pub(super) const MIB: u64 = 1024 * KIB;

impl Key {
    /// The row of this key in the table of `docs/configuration.md`.
    pub fn row(&self) -> String {
        let default = match self.default {
            Absent::Is(value) => format!("`{value}`"),
            Absent::Means(what) => what.to_owned(),
        };
        format!("| `{}` | {} | {} | {} |", self.name, default, self.shape, self.meaning)
    }

    /// The variable that sets this key.
    pub fn variable(&self) -> String {
        format!("GODWIT_{}", self.name.to_uppercase().replace('.', "__"))
    }
}

impl fmt::Display for Shape {
    /// As a noun: stands in the table, and after "must be" in an error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id => f.write_str("an id of 1 to 64 characters of A-Z a-z 0-9 . _ ~ -"),
            Self::Text => f.write_str("a text of 1 to 256 printable characters"),
            Self::Address => f.write_str("an IP address and a port such as 127.0.0.1:8080 or [::1]:8080"),
            Self::Path => f.write_str("a path"),
            Self::Paths => f.write_str("a path or a list of paths"),
            Self::Texts => f.write_str("a text or a list of texts"),
            Self::Origins => f.write_str("a list of origins such as https://chat.example.org"),
            Self::Switch => f.write_str("true or false"),
            Self::Url => f.write_str("an https address (http only to a loopback one)"),
            Self::Filter => f.write_str("a level or target=level, separated by commas"),
            Self::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Self::Choices(words) => write!(f, "a list of {}", words.join(", ")),
            Self::Number { unit, min, max } => match unit {
                Unit::Count => write!(f, "a whole number from {min} to {max}"),
                Unit::Milliseconds => write!(f, "whole milliseconds from {min} to {max}"),
                Unit::Seconds => write!(f, "whole seconds from {min} to {max}"),
                Unit::Days => write!(f, "whole days from {min} to {max}"),
                Unit::Bytes => write!(f, "a size from {} to {}", Size(*min), Size(*max)),
            },
        }
    }
}

/// A number of bytes, shown as it is written in the file.
pub(super) struct Size(pub(super) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= MIB && n.is_multiple_of(MIB) => write!(f, "{}MiB", n / MIB),
            n if n >= KIB && n.is_multiple_of(KIB) => write!(f, "{}KiB", n / KIB),
            n => write!(f, "{n}"),
        }
    }
}

/// Bytes from `65536`, `64KiB` or `2MiB`; a space before the unit is fine.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = if let Some(digits) = text.strip_suffix("KiB") {
        (digits, KIB)
    } else if let Some(digits) = text.strip_suffix("MiB") {
        (digits, MIB)
    } else {
        (text, 1)
    };
    digits.trim_end().parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("65536"), Some(65_536));
        assert_eq!(parse_size("64KiB"), Some(65_536));
        assert_eq!(parse_size("2 MiB"), Some(2_097_152));
        for wrong in ["", "KiB", "64kb", "64KB", "1.5MiB", "-1", "18446744073709551615KiB", "1 2KiB"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
        for bytes in [0, 1, 1_000, KIB, 3 * KIB, MIB, 5 * MIB + KIB] {
            assert_eq!(parse_size(&Size(bytes).to_string()), Some(bytes));
        }
    }
}

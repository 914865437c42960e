//! What is wrong with a configuration: one line for each mistake.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line of the file.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// Line, from 1; 0 when the whole file is meant.
        line: usize,
    },
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
    /// Nowhere: the default.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One mistake: where, which field, its value, what is wrong and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// The key, or what stands where a key should; empty when the file as a whole is meant.
    pub field: String,
    /// The value, when it has one that may be shown.
    pub value: Option<String>,
    /// What is wrong and what would be right.
    pub what: String,
}

impl fmt::Display for Problem {
    /// On one line, whatever the value holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = match self.place {
            Place::Default => String::new(),
            _ => format!("{}: ", self.place),
        };
        line.push_str(&self.field);
        if let Some(value) = &self.value {
            line.push_str(&format!(" = {}", shortened(value)));
        }
        if !self.field.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&self.what);
        line.chars().try_for_each(|c| match c {
            c if c.is_control() => write!(f, "{}", c.escape_default()),
            c => write!(f, "{c}"),
        })
    }
}

/// Characters of a value that an error shows: enough to find it by.
const VALUE_CHARS_MAX: usize = 120;

fn shortened(value: &str) -> String {
    match value.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// All mistakes that were found, at least one; `Display` has a line for each.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_on_one_line_and_short() {
        let problem = Problem {
            place: Place::File { path: "a.toml".into(), line: 3 },
            field: "node.id".into(),
            value: Some(format!("\"a\nb\u{1b}{}\"", "x".repeat(1_000))),
            what: "is wrong".into(),
        };
        let line = problem.to_string();
        assert!(line.starts_with("a.toml:3: node.id = \"a\\nb\\u{1b}xxx"), "{line}");
        assert!(line.ends_with("x…: is wrong") && line.len() < 200, "{line}");
    }
}

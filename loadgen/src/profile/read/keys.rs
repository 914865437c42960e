//! The keys of a profile's file: which there are, what was given for them, and where it stands.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::profile::error::{Error, Problem};

/// Every key of a profile. Headers, queries and forms are tables: the names in them are the writer's.
pub const KEYS: &[&str] = &[
    "name",
    "subscribe.url",
    "subscribe.query",
    "subscribe.headers",
    "subscribe.last_event_id",
    "publish.method",
    "publish.url",
    "publish.query",
    "publish.headers",
    "publish.body",
    "publish.form",
    "publish.status",
    "data.id",
    "data.sent_us",
    "connection.ready",
];

/// Keys below which any name may stand.
const OPEN: &[&str] =
    &["subscribe.query", "subscribe.headers", "publish.query", "publish.headers", "publish.form"];

/// What an open table has, in the order of the file.
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a DeValue<'a>,
    /// Offset in the file.
    at: usize,
}

impl Entry<'_> {
    /// As errors call it.
    pub(super) fn key_in(&self, table: &str) -> String {
        format!("{table}.{}", self.name)
    }
}

/// What was given for each key. Offsets are bytes from the start of the file.
pub(super) struct Keys<'a> {
    file: &'a Path,
    text: &'a str,
    values: BTreeMap<&'static str, (&'a DeValue<'a>, usize)>,
    sections: BTreeMap<&'a str, usize>,
    open: BTreeMap<&'static str, Vec<Entry<'a>>>,
}

/// Parses the file.
pub(super) fn table<'a>(file: &Path, text: &'a str) -> Result<Spanned<DeTable<'a>>, Error> {
    DeTable::parse(text).map_err(|error| Error::Toml {
        file: file.to_owned(),
        line: line(text, error.span().map_or(0, |span| span.start)),
        what: error.message().to_owned(),
    })
}

/// Counted from 1.
fn line(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

impl<'a> Keys<'a> {
    /// Sorts what the file has under the known keys.
    ///
    /// # Errors
    /// On the first name that is not known, before anything is missed: it may be the missing one.
    pub(super) fn gather(file: &'a Path, text: &'a str, table: &'a DeTable<'a>) -> Result<Self, Error> {
        let (values, sections, open) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut keys = Self { file, text, values, sections, open };
        keys.walk(table, "")?;
        Ok(keys)
    }

    fn walk(&mut self, table: &'a DeTable<'a>, within: &str) -> Result<(), Error> {
        for (name, value) in table {
            let (at, name, value) = (name.span().start, name.get_ref().as_ref(), value.get_ref());
            let path = if within.is_empty() { name.to_owned() } else { format!("{within}.{name}") };
            let is_section =
                KEYS.iter().any(|key| key.strip_prefix(&path).is_some_and(|rest| rest.starts_with('.')));
            let inner = value.as_table();
            if let Some(key) = OPEN.iter().find(|key| **key == path) {
                let inner = inner.ok_or_else(|| {
                    let wanted = "a table of names and strings; write them below a line with its name in [ ]";
                    self.wrong(&path, at, Problem::Type { wanted })
                })?;
                self.open.insert(key, entries(inner));
            } else if let Some(key) = KEYS.iter().find(|key| **key == path) {
                self.values.insert(key, (value, at));
            } else if is_section {
                let inner = inner.ok_or_else(|| {
                    let wanted = "a section; write its keys below a line with its name in [ ]";
                    self.wrong(&path, at, Problem::Type { wanted })
                })?;
                self.sections.insert(name, at);
                self.walk(inner, &path)?;
            } else if let Some(inner) = inner.filter(|inner| !inner.is_empty()) {
                // The keys of a section that nobody knows say best what was meant.
                self.walk(inner, &path)?;
            } else {
                return Err(self.wrong(&path, at, Problem::Unknown { nearest: nearest(&path) }));
            }
        }
        Ok(())
    }

    /// The error for a key.
    pub(super) fn wrong(&self, key: &str, at: usize, problem: Problem) -> Error {
        Error::Key { file: self.file.to_owned(), line: line(self.text, at), key: key.to_owned(), problem }
    }

    /// Where a section begins; the start of the file when it has none.
    pub(super) fn section(&self, name: &str) -> usize {
        self.sections.get(name).copied().unwrap_or(0)
    }

    pub(super) fn value(&self, key: &str) -> Option<(&'a DeValue<'a>, usize)> {
        self.values.get(key).copied()
    }

    /// A string, and where it stands.
    pub(super) fn optional(&self, key: &str) -> Result<Option<(&'a str, usize)>, Error> {
        let Some((value, at)) = self.value(key) else { return Ok(None) };
        self.text_at(key, value, at).map(Some)
    }

    /// A string that must be there.
    pub(super) fn required(&self, key: &str, example: &'static str) -> Result<(&'a str, usize), Error> {
        self.optional(key)?.ok_or_else(|| {
            let section = key.split_once('.').map_or("", |(section, _)| section);
            self.wrong(key, self.section(section), Problem::Missing { example })
        })
    }

    /// What an open table has.
    pub(super) fn entries(&self, table: &str) -> &[Entry<'a>] {
        self.open.get(table).map_or(&[], Vec::as_slice)
    }

    /// The string of an open table's entry.
    pub(super) fn text_of(&self, table: &str, entry: &Entry<'a>) -> Result<(&'a str, usize), Error> {
        self.text_at(&entry.key_in(table), entry.value, entry.at)
    }

    fn text_at(&self, key: &str, value: &'a DeValue<'a>, at: usize) -> Result<(&'a str, usize), Error> {
        let text = value.as_str();
        let text =
            text.ok_or_else(|| self.wrong(key, at, Problem::Type { wanted: "a string, in quotes" }))?;
        Ok((text, at))
    }
}

fn entries<'a>(table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    let entry = |(name, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| {
        let text: &std::borrow::Cow<'a, str> = name.get_ref();
        Entry { name: text.as_ref(), value: value.get_ref(), at: name.span().start }
    };
    let mut entries: Vec<Entry<'a>> = table.iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.at);
    entries
}

/// The known key that looks most like `path`; a right name in a wrong section counts as near.
fn nearest(path: &str) -> &'static str {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |key: &&&'static str| {
        let whole = strsim::damerau_levenshtein(path, key);
        let moved = strsim::damerau_levenshtein(&last(path), &last(key)) + 2;
        whole.min(moved)
    };
    KEYS.iter().min_by_key(distance).copied().expect("there are keys")
}

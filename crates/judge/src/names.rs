//! Texts, each kept once and named by a number.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

/// The number of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(u32);

/// Texts behind one another, and where to find them. A text costs its bytes and about 40 more.
#[derive(Debug, Default)]
pub(crate) struct Names {
    text: String,
    /// Where each ends in `text`.
    ends: Vec<usize>,
    /// By hash, so that no text is here a second time; one whose place is taken has the next free.
    by_hash: HashMap<u64, Name>,
    state: RandomState,
}

impl Names {
    /// The number of this text, which it may get now.
    pub(crate) fn intern(&mut self, text: &str) -> Name {
        match self.find(text) {
            Ok(name) => name,
            Err(free) => {
                // A history has a bound that keeps its texts within a u32.
                let name = Name(self.ends.len() as u32);
                self.text.push_str(text);
                self.ends.push(self.text.len());
                self.by_hash.insert(free, name);
                name
            }
        }
    }

    /// The number of this text, if it has one.
    pub(crate) fn get(&self, text: &str) -> Option<Name> {
        self.find(text).ok()
    }

    /// The text of a number.
    pub(crate) fn text(&self, name: Name) -> &str {
        let index = name.0 as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }

    /// The number of a text, else the key that is free for it.
    fn find(&self, text: &str) -> Result<Name, u64> {
        let mut key = self.state.hash_one(text);
        loop {
            match self.by_hash.get(&key) {
                Some(&name) if self.text(name) == text => return Ok(name),
                Some(_) => key = key.wrapping_add(1),
                None => return Err(key),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number_and_a_number_one_text() {
        let mut names = Names::default();
        let numbers: Vec<Name> = ["a", "", "ü", "ab", "", "a"].map(|text| names.intern(text)).into();
        assert_eq!((numbers[0], numbers[1]), (numbers[5], numbers[4]));
        assert_eq!([0, 1, 2, 3].map(|i| names.text(numbers[i])), ["a", "", "ü", "ab"]);
        assert_eq!((names.get("ab"), names.get("b")), (Some(numbers[3]), None));
    }

    #[test]
    fn two_texts_of_one_hash_are_two() {
        let mut names = Names::default();
        let a = names.intern("a");
        // What a collision looks like: the place of "b" is taken by "a".
        let key = names.state.hash_one("b");
        names.by_hash.insert(key, a);
        let b = names.intern("b");
        assert_ne!(a, b);
        assert_eq!((names.get("b"), names.text(b)), (Some(b), "b"));
    }
}

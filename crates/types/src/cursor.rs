//! Where in a log: positions, and the cursors that clients hold.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::AccountId;
use crate::id::{base32, bits5};
use crate::shard::hash;

/// The place of a row in its log. `n` counts 1, 2, 3 … without gaps over all epochs, so that among the
/// rows of one log the order of positions is the order of `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// The ownership under which the row was written.
    pub epoch: u64,
    /// The row's number.
    pub n: u64,
}

impl Position {
    /// The place before the first row.
    pub const START: Position = Position { epoch: 0, n: 0 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.n)
    }
}

/// A position in an account's inbox, as clients hold it: `epoch-n-tag`. The tag is four characters of a
/// hash of the account, so that another account's cursor is known as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The row.
    pub position: Position,
    tag: [u8; 4],
}

/// Why a text is no cursor at all. A cursor of another account or of a row that does not exist is a
/// cursor; what it leads to is decided where the inbox is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not an event id: it must read epoch-n-tag, two numbers and four characters of a-z 2-7")]
pub struct CursorError;

impl Cursor {
    /// Longest text of a cursor: two u64, a tag, two dashes.
    pub const TEXT_BYTES_MAX: usize = 20 + 1 + 20 + 1 + 4;

    /// The cursor of `account` at `position`.
    pub fn new(account: &AccountId, position: Position) -> Self {
        Self { position, tag: tag(account) }
    }

    /// Whether this is a cursor of that account.
    pub fn is_of(&self, account: &AccountId) -> bool {
        self.tag == tag(account)
    }

    /// Reads `epoch-n-tag`. Numbers are decimal without sign and without leading zeros.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let mut parts = text.split('-');
        let epoch = parts.next().and_then(number).ok_or(CursorError)?;
        let n = parts.next().and_then(number).ok_or(CursorError)?;
        let tag: [u8; 4] = parts.next().and_then(|t| t.as_bytes().try_into().ok()).ok_or(CursorError)?;
        let known = tag.iter().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(b));
        if !known || parts.next().is_some() {
            return Err(CursorError);
        }
        Ok(Self { position: Position { epoch, n }, tag })
    }
}

fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn tag(account: &AccountId) -> [u8; 4] {
    let bytes = hash(account.as_str()).to_be_bytes();
    std::array::from_fn(|i| base32(bits5(&bytes, i)) as u8)
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The tag is ASCII: `parse` and `tag` make no other.
        write!(f, "{}-{}", self.position, self.tag.escape_ascii())
    }
}

impl std::str::FromStr for Cursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, CursorError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_belongs_to_one_account() {
        let ann = AccountId::new("ann").unwrap();
        let bob = AccountId::new("bob").unwrap();
        let cursor = Cursor::new(&ann, Position { epoch: 4, n: 1187 });
        let text = cursor.to_string();
        assert_eq!(text, "4-1187-jawi", "the tag was made with Python's xxhash and base64");
        assert_eq!(Cursor::parse(&text), Ok(cursor));
        assert!(cursor.is_of(&ann) && !cursor.is_of(&bob));
        let longest = Cursor::new(&ann, Position { epoch: u64::MAX, n: u64::MAX }).to_string();
        assert_eq!(longest.len(), Cursor::TEXT_BYTES_MAX);
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in [
            "",
            "-",
            "4",
            "4-",
            "4-1",
            "4-1-",
            "4-1-abc",
            "4-1-abcde",
            "4-1-ABCD",
            "4-1-abc1",
            "4-1-abcd-",
            "+4-1-abcd",
            "04-1-abcd",
            "4- 1-abcd",
            "4-1-ab\nd",
            "99999999999999999999999-1-abcd",
            "ä-1-abcd",
            "4-1-äb",
        ] {
            assert_eq!(Cursor::parse(text), Err(CursorError), "{text:?}");
        }
    }

    #[test]
    fn positions_order_by_epoch_then_number() {
        assert!(Position { epoch: 2, n: 1 } > Position { epoch: 1, n: 9 });
        assert!(Position::START < Position { epoch: 1, n: 1 });
    }
}

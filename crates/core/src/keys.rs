//! What a conversation remembers of the messages that it has taken, so that a repeat is recognised.

use std::collections::{HashMap, VecDeque};

use godwit_types::Timestamp;
use serde::{Deserialize, Serialize};

/// Changes of a conversation after which a `client_id` is forgotten (`docs/api.md`).
pub const REMEMBERED_ROWS: u64 = 20_000;
/// Time after which a `client_id` is forgotten, in milliseconds: 7 days.
pub const REMEMBERED_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// Keys of the last rows, each with its number.
#[derive(Debug, Default)]
pub struct Keys {
    by_key: HashMap<u64, u64>,
    in_order: VecDeque<Remembered>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    key: u64,
    n: u64,
    at: Timestamp,
}

/// Keys as a summary stores them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StoredKeys(Vec<Remembered>);

impl Keys {
    /// Remembers that row `n` has this key. Rows come in order of `n`; 0 is no key.
    pub fn insert(&mut self, key: u64, n: u64, at: Timestamp) {
        if key != 0 {
            self.by_key.insert(key, n);
            self.in_order.push_back(Remembered { key, n, at });
        }
        self.forget(n, at);
    }

    /// The row that has this key.
    pub fn find(&self, key: u64) -> Option<u64> {
        self.by_key.get(&key).copied()
    }

    /// For a summary.
    pub fn to_stored(&self) -> StoredKeys {
        StoredKeys(self.in_order.iter().copied().collect())
    }

    /// From a summary.
    pub fn from_stored(stored: StoredKeys) -> Self {
        let in_order = VecDeque::from(stored.0);
        Self { by_key: in_order.iter().map(|r| (r.key, r.n)).collect(), in_order }
    }

    fn forget(&mut self, n: u64, now: Timestamp) {
        let old = |r: &mut Remembered| r.n + REMEMBERED_ROWS <= n || now.ms_since(r.at) >= REMEMBERED_MS;
        while let Some(gone) = self.in_order.pop_front_if(old) {
            // A key that came again later under another number stays with that one.
            if self.by_key.get(&gone.key) == Some(&gone.n) {
                self.by_key.remove(&gone.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_for_so_many_rows_and_so_long() {
        let mut keys = Keys::default();
        let at = Timestamp::from_ms(1_000);
        keys.insert(5, 1, at);
        keys.insert(6, 2, at);
        keys.insert(0, REMEMBERED_ROWS, at);
        assert_eq!((keys.find(5), keys.find(6)), (Some(1), Some(2)));
        keys.insert(0, REMEMBERED_ROWS + 1, at);
        assert_eq!((keys.find(5), keys.find(6)), (None, Some(2)));
        keys.insert(7, REMEMBERED_ROWS + 2, at.plus_ms(REMEMBERED_MS));
        assert_eq!((keys.find(6), keys.find(7), keys.find(0)), (None, Some(REMEMBERED_ROWS + 2), None));
    }

    #[test]
    fn a_summary_brings_them_back() {
        let mut keys = Keys::default();
        keys.insert(5, 1, Timestamp::from_ms(1));
        keys.insert(5, 9, Timestamp::from_ms(2));
        let back = Keys::from_stored(keys.to_stored());
        assert_eq!(back.find(5), Some(9));
    }
}

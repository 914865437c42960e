//! Which shard an account or a conversation lives on.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Shards of a cluster, fixed for its life; stored in `meta` and checked at start.
pub const DEFAULT_SHARDS: u16 = 4096;

/// The hash that places ids on shards and tags cursors: XXH3, 64 bits, seed 0, over the UTF-8 text
/// (<https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>). Part of the storage format.
pub fn hash(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

/// One of the `shards` parts into which all ids fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard of an id: `hash(id) % shards`.
    pub fn of(id: &str, shards: u16) -> Self {
        Self((hash(id) % u64::from(shards)) as u16)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        // Made with python-xxhash: xxh3_64_intdigest, and its remainder by 4096.
        for (text, expected, shard) in [
            ("", 0x2d06_8005_38d3_94c2, 1218),
            ("a", 0xe6c6_32b6_1e96_4e1f, 3615),
            ("u1", 0x9dc0_2546_854d_5df1, 3569),
            ("conversation-42", 0x3bd6_5ba3_fcc6_d97b, 2427),
        ] {
            assert_eq!(hash(text), expected, "{text}");
            assert_eq!(ShardId::of(text, DEFAULT_SHARDS), ShardId(shard), "{text}");
        }
    }

    #[test]
    fn shards_are_even() {
        let mut count = vec![0u32; 64];
        for i in 0..64_000 {
            count[usize::from(ShardId::of(&format!("account-{i}"), 64).0)] += 1;
        }
        assert!(count.iter().all(|&c| (850..1150).contains(&c)), "{count:?}");
    }
}

//! A row as it is stored.
//!
//! ```text
//! version 1 | epoch: varint | n − stable: varint | at, ms: varint | key: 8 bytes, big endian | payload
//! ```
//!
//! `n` is in the key. A varint is LEB128, at most ten bytes. `stable` is most often a little below
//! `n`, so the difference takes one byte; it wraps, so that any pair of numbers reads back.

use bytes::Bytes;
use godwit_types::{Position, Timestamp};

use crate::Row;

const VERSION: u8 = 1;

/// Appends the stored form of `row` to `out`.
pub(super) fn encode(row: &Row, out: &mut Vec<u8>) {
    out.push(VERSION);
    put_varint(row.position.epoch, out);
    put_varint(row.position.n.wrapping_sub(row.stable), out);
    put_varint(row.at.as_ms(), out);
    out.extend_from_slice(&row.key.to_be_bytes());
    out.extend_from_slice(&row.payload);
}

/// Reads the row `n`. `None`: these bytes are no row of a version that is known here.
///
/// The payload is copied: a slice of the stored value would keep its whole block in memory, and the
/// queues that rows wait in count payload bytes.
pub(super) fn decode(n: u64, value: &[u8]) -> Option<Row> {
    let (&version, rest) = value.split_first()?;
    if version != VERSION {
        return None;
    }
    let (epoch, rest) = varint(rest)?;
    let (behind, rest) = varint(rest)?;
    let (at, rest) = varint(rest)?;
    let (key, payload) = rest.split_first_chunk()?;
    Some(Row {
        position: Position { epoch, n },
        stable: n.wrapping_sub(behind),
        at: Timestamp::from_ms(at),
        key: u64::from_be_bytes(*key),
        payload: Bytes::copy_from_slice(payload),
    })
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f);
        // The tenth byte holds the last bit of 64.
        if i == 9 && part > 1 {
            return None;
        }
        value |= part << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extreme() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), Just(0), Just(1), Just(127), Just(128), Just(u64::MAX)]
    }

    proptest! {
        #[test]
        fn a_row_reads_back(
            (epoch, n, stable) in (extreme(), extreme(), extreme()),
            (at, key) in (extreme(), extreme()),
            payload in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let at = Timestamp::from_ms(at);
            let row = Row { position: Position { epoch, n }, stable, at, key, payload: payload.into() };
            let mut value = Vec::new();
            encode(&row, &mut value);
            prop_assert_eq!(decode(n, &value), Some(row));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(n in extreme(), value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(n, &value);
        }

        #[test]
        fn a_cut_row_is_no_longer_row(cut in 0usize..12) {
            let position = Position { epoch: 1, n: 7 };
            let row = Row { position, stable: 6, at: Timestamp::from_ms(5), key: 9, payload: Bytes::new() };
            let mut value = Vec::new();
            encode(&row, &mut value);
            prop_assert_eq!(value.len(), 12);
            prop_assert_eq!(decode(7, &value[..cut]), None);
        }
    }

    #[test]
    fn the_stored_form_is_fixed() {
        let position = Position { epoch: 300, n: 7 };
        let row = Row {
            position,
            stable: 5,
            at: Timestamp::from_ms(1),
            key: 2,
            payload: Bytes::from_static(b"hi"),
        };
        let mut value = Vec::new();
        encode(&row, &mut value);
        assert_eq!(value, [1, 0xac, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 2, b'h', b'i']);
        assert_eq!(
            decode(7, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            None,
            "a later version is not guessed at"
        );
    }
}

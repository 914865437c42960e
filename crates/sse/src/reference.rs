//! Parsers written as plainly as their texts read, for the real ones to be compared with. They take a
//! whole stream, go a byte at a time, and copy what they like. Not for use.

mod chunked;
mod events;

pub use chunked::{Body, chunked, compare_chunked};
pub use events::{Item, Stream, compare, parse, parse_pieces};

/// Splits the input of a fuzz target into the sizes of pieces and what is to be cut. The first byte says
/// how many sizes follow, a byte each; `'0'` stands for 0, so that a corpus can be written by hand.
fn cuts(input: &[u8]) -> (Vec<usize>, &[u8]) {
    let number = |byte: u8| usize::from(byte.wrapping_sub(b'0'));
    let Some((&count, rest)) = input.split_first() else { return (Vec::new(), input) };
    let (sizes, bytes) = rest.split_at((number(count) % 8).min(rest.len()));
    (sizes.iter().copied().map(number).collect(), bytes)
}

/// The bytes in pieces of these sizes; the last takes what is left.
fn pieces<'b>(mut bytes: &'b [u8], sizes: &[usize]) -> Vec<&'b [u8]> {
    let mut pieces = Vec::with_capacity(sizes.len() + 1);
    for &size in sizes {
        let (piece, rest) = bytes.split_at(size.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}

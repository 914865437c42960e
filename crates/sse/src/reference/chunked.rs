//! The chunked coding as RFC 9112, section 7.1.3, tells it, on a whole body.

use super::{cuts, pieces};
use crate::chunked::{Decoder, Taken};

/// What became of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A whole body: its content, and its length with the wrapping.
    Whole(Vec<u8>, usize),
    /// The beginning of one, with so much content.
    Cut(Vec<u8>),
    /// None, after so much content.
    Wrong(Vec<u8>),
}

/// Reads a whole body. It knows no bound on what is skipped: not for inputs beyond it.
pub fn chunked(bytes: &[u8]) -> Body {
    let mut content = Vec::new();
    let mut at = 0;
    loop {
        let size = match line(&bytes[at..]) {
            Line::Whole(text) if is_size_line(text) => text,
            // A beginning is right if it could go on to be a line with a size.
            Line::Cut(text) if at == bytes.len() || is_size_line(text) => return Body::Cut(content),
            _ => return Body::Wrong(content),
        };
        at += size.len() + 2;
        let size = usize::try_from(number(size)).unwrap_or(usize::MAX);
        if size == 0 {
            break;
        }
        let chunk = &bytes[at..bytes.len().min(at.saturating_add(size))];
        content.extend_from_slice(chunk);
        at += chunk.len();
        match &bytes[at..] {
            [] | [b'\r'] => return Body::Cut(content),
            [b'\r', b'\n', ..] => at += 2,
            _ => return Body::Wrong(content),
        }
    }
    loop {
        match line(&bytes[at..]) {
            Line::Whole([]) => return Body::Whole(content, at + 2),
            Line::Whole(field) => at += field.len() + 2,
            Line::Cut(_) => return Body::Cut(content),
            Line::Wrong => return Body::Wrong(content),
        }
    }
}

enum Line<'b> {
    /// Without its CR LF.
    Whole(&'b [u8]),
    /// Neither CR nor LF in it, or a CR as its last byte, which is left out.
    Cut(&'b [u8]),
    /// A CR without an LF, or the other way round.
    Wrong,
}

fn line(bytes: &[u8]) -> Line<'_> {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\r' || byte == b'\n') else {
        return Line::Cut(bytes);
    };
    match &bytes[end..] {
        [b'\r', b'\n', ..] => Line::Whole(&bytes[..end]),
        [b'\r'] => Line::Cut(&bytes[..end]),
        _ => Line::Wrong,
    }
}

/// A size of 64 bits at most, white space, extensions.
fn is_size_line(line: &[u8]) -> bool {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, rest) = line.split_at(end);
    let significant = digits.iter().skip_while(|&&digit| digit == b'0').count();
    let behind = rest.iter().find(|&&byte| byte != b' ' && byte != b'\t');
    !digits.is_empty() && significant <= 16 && behind.is_none_or(|&byte| byte == b';')
}

fn number(line: &[u8]) -> u64 {
    let digits = line.iter().map_while(|&byte| char::from(byte).to_digit(16));
    digits.fold(0, |size, digit| size * 16 + u64::from(digit))
}

/// The body of the fuzz target. Cut in any way, the bytes must lead to what the reference reads.
///
/// # Panics
/// When the two differ.
pub fn compare_chunked(input: &[u8]) {
    let (sizes, bytes) = cuts(input);
    let expected = chunked(bytes);
    for pieces in [vec![bytes], pieces(bytes, &sizes), bytes.chunks(1).collect()] {
        assert_eq!(decode(&pieces), expected, "in {} pieces", pieces.len());
    }
}

fn decode(pieces: &[&[u8]]) -> Body {
    let (mut decoder, mut content, mut before) = (Decoder::default(), Vec::new(), 0);
    for piece in pieces {
        match decoder.take(piece, |data| content.extend_from_slice(data)) {
            Ok(Taken::More) => before += piece.len(),
            Ok(Taken::End(used)) => return Body::Whole(content, before + used),
            Err(_) => return Body::Wrong(content),
        }
    }
    Body::Cut(content)
}

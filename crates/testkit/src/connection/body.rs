//! How long a body is, and where it ends (RFC 9112, section 6).

use bytes::{Buf as _, BytesMut};
use godwit_sse::chunked::{Decoder, Error, Taken};

/// What is left of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes; 0 is its end.
    Bytes(u64),
    /// What its chunks hold.
    Chunked(Decoder),
    /// Everything until the connection closes.
    UntilClose,
}

impl Body {
    pub(super) fn is_over(&self) -> bool {
        *self == Body::Bytes(0)
    }

    /// Moves what `from` holds of the body to `to`. Whatever is left in `from` comes after the body.
    pub(super) fn take(&mut self, from: &mut BytesMut, to: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Body::UntilClose => {
                move_bytes(from, to, u64::MAX);
            }
            Body::Bytes(left) => *left -= move_bytes(from, to, *left),
            Body::Chunked(decoder) => match decoder.take(from, |data| to.extend_from_slice(data))? {
                Taken::More => from.clear(),
                Taken::End(used) => {
                    from.advance(used);
                    *self = Body::Bytes(0);
                }
            },
        }
        Ok(())
    }
}

fn move_bytes(from: &mut BytesMut, to: &mut Vec<u8>, most: u64) -> u64 {
    let count = from.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    to.extend_from_slice(&from[..count]);
    from.advance(count);
    count as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(mut body: Body, pieces: &[&[u8]]) -> Result<(Body, Vec<u8>, BytesMut), Error> {
        let (mut from, mut to) = (BytesMut::new(), Vec::new());
        for piece in pieces {
            from.extend_from_slice(piece);
            body.take(&mut from, &mut to)?;
        }
        Ok((body, to, from))
    }

    #[test]
    fn chunks_are_joined_however_they_arrive() {
        let text = b"4\r\nabcd\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\nnext";
        let chunked = || Body::Chunked(Decoder::default());
        let expected = (Body::Bytes(0), b"abcd0123456789".to_vec(), BytesMut::from(&b"next"[..]));
        assert_eq!(decode(chunked(), &[text]), Ok(expected.clone()));
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(decode(chunked(), &bytes), Ok(expected));
    }

    #[test]
    fn a_length_ends_where_it_says() {
        let expected = (Body::Bytes(0), b"abc".to_vec(), BytesMut::from(&b"d"[..]));
        assert_eq!(decode(Body::Bytes(3), &[b"ab", b"cd"]), Ok(expected));
    }

    #[test]
    fn wrong_framing_is_an_error() {
        for text in [&b"x\r\n"[..], b"1\nab", b"1\r\nab\r\n", b"-1\r\n"] {
            let chunked = Body::Chunked(Decoder::default());
            assert!(decode(chunked, &[text]).is_err(), "{}", text.escape_ascii());
        }
    }
}

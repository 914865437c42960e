//! How long a body is, and where it ends (RFC 9112, section 6).

use bytes::{Buf as _, BytesMut};

/// What is left of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes; 0 is its end.
    Bytes(u64),
    /// Chunked: the size of the next chunk follows.
    Size,
    /// Chunked: inside a chunk, so many bytes of it are left.
    Chunk(u64),
    /// Chunked: the CRLF after a chunk.
    ChunkEnd,
    /// Chunked: after the last chunk, up to a blank line.
    Trailers,
    /// Everything until the connection closes.
    UntilClose,
}

/// A chunk that is not framed as RFC 9112, section 7.1, says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chunked body is framed wrongly")]
pub(super) struct FramingError;

impl Body {
    pub(super) fn is_over(self) -> bool {
        self == Body::Bytes(0)
    }

    /// Moves what `from` holds of the body to `to`. Whatever is left in `from` needs more bytes, or
    /// comes after the body.
    pub(super) fn take(&mut self, from: &mut BytesMut, to: &mut Vec<u8>) -> Result<(), FramingError> {
        while !from.is_empty() && !self.is_over() {
            *self = match *self {
                Body::UntilClose => {
                    move_bytes(from, to, u64::MAX);
                    Body::UntilClose
                }
                Body::Bytes(left) => Body::Bytes(left - move_bytes(from, to, left)),
                Body::Chunk(left) => match left - move_bytes(from, to, left) {
                    0 => Body::ChunkEnd,
                    left => Body::Chunk(left),
                },
                Body::Size => match line(from)? {
                    Some(line) => chunk_size(&line)?,
                    None => return Ok(()),
                },
                Body::ChunkEnd => match line(from)? {
                    Some(line) if line.is_empty() => Body::Size,
                    Some(_) => return Err(FramingError),
                    None => return Ok(()),
                },
                Body::Trailers => match line(from)? {
                    Some(line) if line.is_empty() => Body::Bytes(0),
                    Some(_) => Body::Trailers,
                    None => return Ok(()),
                },
            };
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

/// A line without its CRLF; none while the CRLF has not arrived.
fn line(from: &mut BytesMut) -> Result<Option<BytesMut>, FramingError> {
    /// No size and no trailer of ours is longer.
    const LINE_BYTES_MAX: usize = 256;
    let Some(end) = from.iter().position(|&byte| byte == b'\n') else {
        return if from.len() > LINE_BYTES_MAX { Err(FramingError) } else { Ok(None) };
    };
    let mut line = from.split_to(end + 1);
    if !line.ends_with(b"\r\n") {
        return Err(FramingError);
    }
    line.truncate(end - 1);
    Ok(Some(line))
}

fn chunk_size(line: &[u8]) -> Result<Body, FramingError> {
    let size = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let size = std::str::from_utf8(size).map_err(|_| FramingError)?;
    match u64::from_str_radix(size.trim_end(), 16).map_err(|_| FramingError)? {
        0 => Ok(Body::Trailers),
        size => Ok(Body::Chunk(size)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(mut body: Body, pieces: &[&[u8]]) -> Result<(Body, Vec<u8>, BytesMut), FramingError> {
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
        let expected = (Body::Bytes(0), b"abcd0123456789".to_vec(), BytesMut::from(&b"next"[..]));
        assert_eq!(decode(Body::Size, &[text]), Ok(expected.clone()));
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(decode(Body::Size, &bytes), Ok(expected));
    }

    #[test]
    fn a_length_ends_where_it_says() {
        let expected = (Body::Bytes(0), b"abc".to_vec(), BytesMut::from(&b"d"[..]));
        assert_eq!(decode(Body::Bytes(3), &[b"ab", b"cd"]), Ok(expected));
    }

    #[test]
    fn wrong_framing_is_an_error() {
        for text in [&b"x\r\n"[..], b"1\nab", b"1\r\nab\r\n", b"-1\r\n"] {
            assert_eq!(decode(Body::Size, &[text]), Err(FramingError), "{}", text.escape_ascii());
        }
    }
}

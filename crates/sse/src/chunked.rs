//! The chunked transfer coding (RFC 9112, section 7.1), read only: what a stream's bytes are wrapped in.

/// Bytes that one line with a size, its extensions among them, or the trailer section of a body may
/// have. Nothing of them is kept; without a bound a server could send them for ever and say nothing.
/// Twice what common servers allow a whole head to have.
const LINE_BYTES_MAX: u16 = 16 * 1024;

/// Takes the wrapping off, however the bytes come apart. 16 bytes, and no memory besides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decoder {
    /// The size that is being read, then the bytes of the chunk that are to come.
    left: u64,
    /// Bytes so far of the line with the size, or of the trailer section.
    line_bytes: u16,
    at: At,
}

/// Where in the wrapping the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    /// In a size.
    #[default]
    Size,
    /// In white space behind it: extensions or the line's end follow.
    SizeSpace,
    /// In extensions, which mean nothing to us.
    Extensions,
    /// At the LF of the line with the size.
    SizeLf,
    /// In a chunk.
    Data,
    /// At the CR behind a chunk.
    DataCr,
    /// At the LF behind it.
    DataLf,
    /// At the start of a line after the last chunk.
    TrailerStart,
    /// In a field of the trailer section, which means nothing to us.
    Trailer,
    /// At the LF behind it.
    TrailerLf,
    /// At the LF of the blank line that ends the body.
    EndLf,
    /// Behind the body.
    End,
}

/// What bytes led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// All were of the body, and more of it is to come.
    More,
    /// The body is over. So many of the bytes were of it; what follows belongs to the next answer.
    End(usize),
}

/// Why bytes are no chunked body. The connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something else stands where a size in hexadecimal digits should.
    #[error("a chunk without a size")]
    NoSize,
    /// A size of more than 64 bits.
    #[error("a chunk of more than 2^64 bytes")]
    SizeTooLarge,
    /// No CR LF where one must be.
    #[error("a line of a chunked body without its end")]
    NoLineEnd,
    /// A line with a size, or the trailer section, beyond what is read.
    #[error("more than {LINE_BYTES_MAX} bytes around a chunk's content")]
    LineTooLong,
}

impl Decoder {
    /// Takes the next bytes and hands on the content in them, uncopied and in its order.
    ///
    /// # Errors
    /// When these are no chunked body. The content before the fault was handed on.
    pub fn take(&mut self, bytes: &[u8], mut content: impl FnMut(&[u8])) -> Result<Taken, Error> {
        let mut rest = bytes;
        while self.at != At::End {
            if self.at == At::Data {
                let (data, after) =
                    rest.split_at(rest.len().min(usize::try_from(self.left).unwrap_or(usize::MAX)));
                if data.is_empty() {
                    return Ok(Taken::More);
                }
                content(data);
                rest = after;
                self.left -= data.len() as u64;
                if self.left == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            let Some((&byte, after)) = rest.split_first() else { return Ok(Taken::More) };
            self.wrapping(byte)?;
            rest = after;
        }
        Ok(Taken::End(bytes.len() - rest.len()))
    }

    /// Whether the body is over: an answer that ends before has been cut.
    pub fn is_over(&self) -> bool {
        self.at == At::End
    }

    /// Takes a byte that belongs to no content.
    fn wrapping(&mut self, byte: u8) -> Result<(), Error> {
        if !matches!(self.at, At::DataCr | At::DataLf) {
            self.line_bytes += 1;
            if self.line_bytes > LINE_BYTES_MAX {
                return Err(Error::LineTooLong);
            }
        }
        self.at = match (self.at, byte) {
            (At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                self.left = self.left.checked_mul(16).ok_or(Error::SizeTooLarge)? + digit;
                At::Size
            }
            (At::Size, _) if self.line_bytes == 1 => return Err(Error::NoSize),
            (At::Size | At::SizeSpace, b' ' | b'\t') => At::SizeSpace,
            (At::Size | At::SizeSpace, b';') => At::Extensions,
            (At::Size | At::SizeSpace | At::Extensions, b'\r') => At::SizeLf,
            (At::Size | At::SizeSpace, _) => return Err(Error::NoSize),
            (At::SizeLf, b'\n') if self.left == 0 => {
                self.line_bytes = 0;
                At::TrailerStart
            }
            (At::SizeLf, b'\n') => At::Data,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.line_bytes = 0;
                At::Size
            }
            (At::TrailerStart, b'\r') => At::EndLf,
            (At::Trailer, b'\r') => At::TrailerLf,
            (At::TrailerLf, b'\n') => At::TrailerStart,
            (At::EndLf, b'\n') => At::End,
            (At::Extensions, other) if other != b'\n' => At::Extensions,
            (At::TrailerStart | At::Trailer, other) if other != b'\n' => At::Trailer,
            _ => return Err(Error::NoLineEnd),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The content, how much of the last piece was of the body, and the end.
    fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, Taken), Error> {
        let (mut decoder, mut content, mut taken) = (Decoder::default(), Vec::new(), Taken::More);
        for piece in pieces {
            taken = decoder.take(piece, |data| content.extend_from_slice(data))?;
        }
        assert_eq!(decoder.is_over(), taken != Taken::More);
        Ok((content, taken))
    }

    #[test]
    fn a_decoder_is_small() {
        assert_eq!(size_of::<Decoder>(), 16);
    }

    #[test]
    fn content_comes_out_wherever_the_bytes_are_cut() {
        let text = b"5\r\nhello\r\n010\r\n, this is chunky\r\n";
        for size in 1..=text.len() {
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(decode(&pieces), Ok((b"hello, this is chunky".to_vec(), Taken::More)), "in {size}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_skipped_and_the_end_is_known() {
        let text =
            b"4 ;a=b; c=\"d;e\"\r\nabcd\r\nA\t\r\n0123456789\r\n000;last\r\nTrailer: 1\r\nOther:\r\n\r\nnext";
        let body = text.len() - b"next".len();
        assert_eq!(decode(&[text]), Ok((b"abcd0123456789".to_vec(), Taken::End(body))));
        assert_eq!(decode(&[b"0\r\n\r\n", b"next"]), Ok((vec![], Taken::End(0))));
    }

    #[test]
    fn content_is_handed_on_without_a_copy() {
        let text = b"5\r\nhello\r\n";
        let mut at = None;
        Decoder::default().take(text, |data| at = Some(data.as_ptr())).unwrap();
        assert_eq!(at, Some(text[3..].as_ptr()));
    }

    #[test]
    fn what_is_no_chunked_body_is_refused() {
        for (text, error) in [
            (&b"xyz\r\n"[..], Error::NoSize),
            (b"\r\n", Error::NoSize),
            (b" 5\r\n", Error::NoSize),
            (b"-1\r\n", Error::NoSize),
            (b"5 5\r\n", Error::NoSize),
            (b"10000000000000000\r\n", Error::SizeTooLarge),
            (b"1\nab", Error::NoSize),
            (b"1;x\nab", Error::NoLineEnd),
            (b"1\rab", Error::NoLineEnd),
            (b"1\r\nab\r\n", Error::NoLineEnd),
            (b"1\r\na\rb", Error::NoLineEnd),
            (b"0\r\nTrailer: 1\n", Error::NoLineEnd),
            (b"0\r\n\rx", Error::NoLineEnd),
        ] {
            assert_eq!(decode(&[text]), Err(error), "{}", text.escape_ascii());
        }
        assert_eq!(decode(&[b"ffffffffffffffff\r\na"]), Ok((b"a".to_vec(), Taken::More)));
    }

    #[test]
    fn what_is_skipped_has_a_bound() {
        let most = usize::from(LINE_BYTES_MAX);
        let extension = |bytes: usize| format!("0;{}\r\n", "x".repeat(bytes - 4));
        let digits = |bytes: usize| format!("{}\r\n", "0".repeat(bytes - 2));
        let trailers = |bytes: usize| format!("0\r\nx:{}\r\ny:\r\n\r\n", "x".repeat(bytes - 10));
        for text in [&extension, &digits, &trailers] as [&dyn Fn(usize) -> String; 3] {
            assert!(decode(&[text(most).as_bytes()]).is_ok());
            assert_eq!(decode(&[text(most + 1).as_bytes()]), Err(Error::LineTooLong));
        }
        // The bound is for each line by itself: a body may have any number of chunks.
        let chunks = "1\r\na\r\n".repeat(most);
        assert_eq!(decode(&[chunks.as_bytes()]), Ok((vec![b'a'; most], Taken::More)));
    }
}

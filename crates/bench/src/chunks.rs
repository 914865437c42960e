//! The chunked transfer coding (RFC 9112, section 7.1), read only: what a stream's bytes are wrapped in.

use anyhow::{Context as _, Result, ensure};

/// Digits that a chunk's size may have: 16 MiB, more than any write of the server.
const SIZE_DIGITS_MAX: u32 = 6;

/// Takes the wrapping off, however the bytes come apart.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    at: At,
}

#[derive(Debug, Clone, Copy)]
enum At {
    /// In a line with a size, of which this much is known.
    Size {
        size: u32,
        digits: u32,
    },
    /// In the line break behind a size.
    SizeEnd {
        size: u32,
    },
    /// So many bytes of the chunk are to come, then its line break of two bytes.
    Data {
        left: u32,
    },
    DataEnd {
        left: u32,
    },
}

impl Default for At {
    fn default() -> Self {
        At::Size { size: 0, digits: 0 }
    }
}

impl Chunks {
    /// Puts the content of the next bytes behind `content`.
    pub(crate) fn take(&mut self, mut bytes: &[u8], content: &mut Vec<u8>) -> Result<()> {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let At::Data { left } = self.at {
                let (data, after) = bytes.split_at(bytes.len().min(left as usize));
                content.extend_from_slice(data);
                bytes = after;
                let left = left - data.len() as u32;
                self.at = if left > 0 { At::Data { left } } else { At::DataEnd { left: 2 } };
                continue;
            }
            self.at = self.behind(byte)?;
            bytes = rest;
        }
        Ok(())
    }

    /// Where a byte leads that belongs to the wrapping.
    fn behind(&self, byte: u8) -> Result<At> {
        match self.at {
            At::Size { size, digits } if byte == b'\r' && digits > 0 => Ok(At::SizeEnd { size }),
            At::Size { size, digits } => {
                let digit = char::from(byte).to_digit(16).context("a chunk without a size")?;
                ensure!(digits < SIZE_DIGITS_MAX, "a chunk of more than 16 MiB");
                Ok(At::Size { size: size * 16 + digit, digits: digits + 1 })
            }
            At::SizeEnd { size } => {
                ensure!(size > 0, "the server ended the stream");
                Ok(At::Data { left: size })
            }
            At::DataEnd { left: 2 } => Ok(At::DataEnd { left: 1 }),
            At::DataEnd { .. } | At::Data { .. } => Ok(At::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRAPPED: &[u8] = b"5\r\nhello\r\n10\r\n, this is chunky\r\n";

    #[test]
    fn content_comes_out_wherever_the_bytes_are_cut() {
        for size in 1..=WRAPPED.len() {
            let (mut chunks, mut content) = (Chunks::default(), Vec::new());
            for part in WRAPPED.chunks(size) {
                chunks.take(part, &mut content).unwrap();
            }
            assert_eq!(content, b"hello, this is chunky", "in parts of {size}");
        }
    }

    #[test]
    fn the_last_chunk_is_an_end_and_nonsense_an_error() {
        for bytes in [&b"0\r\n\r\n"[..], b"xyz\r\n", b"\r\n", b"1000000\r\n"] {
            assert!(Chunks::default().take(bytes, &mut Vec::new()).is_err(), "{}", bytes.escape_ascii());
        }
    }
}

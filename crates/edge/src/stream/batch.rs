//! What is written at a time: frames, with the framing of a chunk around them (RFC 9112, section 7.1).

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;

/// Pieces that one system call takes. The kernel takes 1,024; a batch of ordinary events has fewer than these.
const SLICES: usize = 64;

/// A chunk's size in hexadecimal and a line break: what a `u32` needs.
const SIZE_BYTES: usize = 8 + 2;

/// Bytes on their way, and how far they are.
pub(super) struct Batch {
    frames: Vec<Bytes>,
    size: [u8; SIZE_BYTES],
    size_len: u8,
    end: &'static [u8],
    written: usize,
    total: usize,
}

impl Batch {
    /// Frames as they are: the answer's head, and everything towards HTTP/1.0.
    pub(super) fn plain(frames: Vec<Bytes>) -> Self {
        let total = frames.iter().map(Bytes::len).sum();
        Self { frames, size: [0; SIZE_BYTES], size_len: 0, end: b"", written: 0, total }
    }

    /// Frames as one chunk; after the `last` one comes the end of the body.
    pub(super) fn chunk(frames: Vec<Bytes>, last: bool) -> Self {
        let mut batch = Self::plain(frames);
        if batch.total == 0 {
            // A chunk without bytes would be the end of the body.
            batch.end = if last { b"0\r\n\r\n" } else { b"" };
        } else {
            let mut rest = &mut batch.size[..];
            // A batch has about 16 KiB: it fits.
            let _ = write!(rest, "{:x}\r\n", batch.total);
            batch.size_len = (SIZE_BYTES - rest.len()) as u8;
            batch.end = if last { b"\r\n0\r\n\r\n" } else { b"\r\n" };
        }
        batch.total += usize::from(batch.size_len) + batch.end.len();
        batch
    }

    /// Whether nothing is left.
    pub(super) fn is_written(&self) -> bool {
        self.written == self.total
    }

    /// Writes what one system call takes, and says how many bytes that was.
    pub(super) fn poll_write(
        &mut self,
        socket: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(b""); SLICES];
        let count = self.slices(&mut slices);
        let n = std::task::ready!(socket.poll_write_vectored(cx, &slices[..count]))?;
        self.written += n;
        Poll::Ready(Ok(n))
    }

    /// The first pieces that are not written, and how many they are.
    fn slices<'a>(&'a self, out: &mut [IoSlice<'a>; SLICES]) -> usize {
        let size = &self.size[..usize::from(self.size_len)];
        let pieces = [size].into_iter().chain(self.frames.iter().map(|frame| &frame[..])).chain([self.end]);
        let (mut skip, mut count) = (self.written, 0);
        for piece in pieces {
            if skip >= piece.len() {
                skip -= piece.len();
                continue;
            }
            out[count] = IoSlice::new(&piece[skip..]);
            skip = 0;
            count += 1;
            if count == SLICES {
                break;
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes at most `step` bytes at a time.
    struct Narrow {
        step: usize,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let n = bytes.len().min(self.step);
            self.taken.extend_from_slice(&bytes[..n]);
            Poll::Ready(Ok(n))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let n = bytes.len().min(self.step);
            self.taken.extend_from_slice(&bytes[..n]);
            Poll::Ready(Ok(n))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn written(mut batch: Batch, step: usize) -> Vec<u8> {
        let mut out = Narrow { step, taken: Vec::new() };
        while !batch.is_written() {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let Poll::Ready(Ok(n)) = batch.poll_write(Pin::new(&mut out), &mut cx) else {
                panic!("no write")
            };
            assert!(n > 0, "no progress");
        }
        out.taken
    }

    #[test]
    fn a_chunk_has_its_size_before_it_and_the_last_one_the_end_behind() {
        let frames = || vec![Bytes::from_static(b":\n\n"), Bytes::from_static(b"retry: 1000\n\n")];
        assert_eq!(written(Batch::chunk(frames(), false), 99), b"10\r\n:\n\nretry: 1000\n\n\r\n");
        assert_eq!(written(Batch::chunk(frames(), true), 99), b"10\r\n:\n\nretry: 1000\n\n\r\n0\r\n\r\n");
        assert_eq!(written(Batch::plain(frames()), 99), b":\n\nretry: 1000\n\n");
    }

    #[test]
    fn nothing_to_write_is_no_chunk() {
        assert!(Batch::chunk(vec![Bytes::new()], false).is_written());
        assert_eq!(written(Batch::chunk(Vec::new(), true), 99), b"0\r\n\r\n");
    }

    proptest! {
        #[test]
        fn any_pace_gives_the_same_bytes(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..200),
            step in 1usize..500,
            last: bool,
        ) {
            let frames: Vec<Bytes> = frames.into_iter().map(Bytes::from).collect();
            let whole = frames.concat();
            let mut expected = Vec::new();
            if !whole.is_empty() {
                write!(expected, "{:x}\r\n", whole.len()).unwrap();
                expected.extend_from_slice(&whole);
                expected.extend_from_slice(b"\r\n");
            }
            expected.extend_from_slice(if last { b"0\r\n\r\n" } else { b"" });
            prop_assert_eq!(written(Batch::chunk(frames, last), step), expected);
        }
    }
}

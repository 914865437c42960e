//! A kept-alive HTTP/1.1 connection (RFC 9112) that sends bytes made beforehand and reads just as much
//! of an answer as is needed to know where it ends.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Headers of an answer; the server sends about ten.
const HEADERS_MAX: usize = 32;

/// Read at once: more than any answer to a message, and a third of the answer to a batch of 100.
const READ_BYTES: usize = 8 * 1024;

/// A connection on which one request follows the other.
#[derive(Debug)]
pub(crate) struct Connection {
    writer: OwnedWriteHalf,
    answers: Answers,
}

/// The answers of a connection, in the order of its requests.
#[derive(Debug)]
pub(crate) struct Answers {
    reader: OwnedReadHalf,
    /// What was read; the first `taken` bytes were the last answer.
    buffer: Vec<u8>,
    taken: usize,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer<'c> {
    pub(crate) status: u16,
    pub(crate) body: &'c [u8],
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address).await.context("cannot connect")?;
        socket.set_nodelay(true).context("cannot switch Nagle's algorithm off")?;
        let (reader, writer) = socket.into_split();
        let buffer = Vec::with_capacity(READ_BYTES);
        Ok(Self { writer, answers: Answers { reader, buffer, taken: 0 } })
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.writer.write_all(request).await.context("cannot send")?;
        self.answers.next().await
    }

    /// For a client that sends without waiting.
    pub(crate) fn into_halves(self) -> (OwnedWriteHalf, Answers) {
        (self.writer, self.answers)
    }
}

impl Answers {
    /// The next answer.
    pub(crate) async fn next(&mut self) -> Result<Answer<'_>> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let head = loop {
            if let Some(head) = Head::parse(&self.buffer)? {
                break head;
            }
            self.read().await?;
        };
        let end = head.bytes + head.body_bytes;
        while self.buffer.len() < end {
            self.read().await?;
        }
        self.taken = end;
        Ok(Answer { status: head.status, body: &self.buffer[head.bytes..end] })
    }

    async fn read(&mut self) -> Result<()> {
        self.buffer.reserve(READ_BYTES);
        if self.reader.read_buf(&mut self.buffer).await.context("cannot receive")? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

/// The head of an answer whose length is known beforehand.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    bytes: usize,
    body_bytes: usize,
}

impl Head {
    /// `None`: there is more of it to come.
    fn parse(buffer: &[u8]) -> Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(bytes) = answer.parse(buffer).context("the answer is no HTTP")? else {
            return Ok(None);
        };
        let status = answer.code.unwrap_or_default();
        let length = answer
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
        let body_bytes = match length {
            Some(length) => length,
            None if status == 204 => 0,
            None => bail!("an answer {status} without a Content-Length"),
        };
        Ok(Some(Self { status, bytes, body_bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_where_the_answer_ends() {
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 7\r\n\r\n{\"a\":1}";
        let head = Head::parse(answer).unwrap().unwrap();
        assert_eq!(head, Head { status: 201, bytes: answer.len() - 7, body_bytes: 7 });
        assert_eq!(Head::parse(&answer[..30]).unwrap(), None);
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(Head::parse(b"SSH-2.0-x\r\n\r\n").is_err());
    }
}

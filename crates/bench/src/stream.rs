//! One account's event stream over HTTP/1.1.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::chunks::Chunks;

/// Read at once: some events. Every stream has so much room in its task, and there are thousands.
const READ_BYTES: usize = 2 * 1024;

/// An open stream.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: TcpStream,
    chunks: Chunks,
    /// What came and was not looked at.
    text: Vec<u8>,
}

impl Stream {
    /// Opens it and waits for `ready`; an answer that is anything else, also `bye`, is an error.
    pub(crate) async fn open(address: SocketAddr, token: &str) -> Result<Self> {
        let mut socket = TcpStream::connect(address).await.context("cannot connect")?;
        let request = format!(
            "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Accept: text/event-stream\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.context("cannot send")?;
        let mut head = Vec::new();
        let end = loop {
            ensure!(socket.read_buf(&mut head).await? > 0, "the server closed the connection");
            if let Some(at) = memmem::find(&head, b"\r\n\r\n") {
                break at + 4;
            }
        };
        ensure!(head.starts_with(b"HTTP/1.1 200 "), "a stream was answered {}", head.escape_ascii());
        let mut stream = Self { socket, chunks: Chunks::default(), text: Vec::new() };
        stream.chunks.take(&head[end..], &mut stream.text)?;
        loop {
            if let Some(block) = stream.buffered() {
                ensure!(is(&block, "ready"), "a stream began with {}", block.escape_ascii());
                return Ok(stream);
            }
            stream.read().await?;
        }
    }

    /// Waits for bytes.
    pub(crate) async fn read(&mut self) -> Result<()> {
        let mut bytes = [0; READ_BYTES];
        let length = self.socket.read(&mut bytes).await.context("cannot receive")?;
        if length == 0 {
            bail!("the server closed a stream");
        }
        self.chunks.take(&bytes[..length], &mut self.text)
    }

    /// The next whole event that has come; comments and `retry` alone are passed over.
    pub(crate) fn buffered(&mut self) -> Option<Vec<u8>> {
        while let Some(end) = memmem::find(&self.text, b"\n\n") {
            let block: Vec<u8> = self.text.drain(..end + 2).collect();
            if memmem::find(&block, b"event: ").is_some() {
                return Some(block);
            }
        }
        None
    }
}

/// Whether an event is of this kind.
pub(crate) fn is(event: &[u8], kind: &str) -> bool {
    event.split(|&byte| byte == b'\n').any(|line| line.strip_prefix(b"event: ") == Some(kind.as_bytes()))
}

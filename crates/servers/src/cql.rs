//! As much of CQL's native protocol, version 4, as starting servers needs: is it there, may this user
//! in, and one statement after the other without reading rows.
//!
//! <https://github.com/apache/cassandra/blob/trunk/doc/native_protocol_v4.spec>

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{Error, Result};

/// A schema change on a busy machine takes a second or two; Cassandra gives up on most things after ten.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// The largest answer that is read: results here are schema changes and short errors.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The version that Cassandra 2.2 and later and ScyllaDB speak; a request.
const VERSION: u8 = 4;

/// Codes of the messages, section 2.4.
mod opcode {
    pub(super) const ERROR: u8 = 0x00;
    pub(super) const STARTUP: u8 = 0x01;
    pub(super) const READY: u8 = 0x02;
    pub(super) const AUTHENTICATE: u8 = 0x03;
    pub(super) const QUERY: u8 = 0x07;
    pub(super) const RESULT: u8 = 0x08;
    pub(super) const AUTH_RESPONSE: u8 = 0x0F;
    pub(super) const AUTH_SUCCESS: u8 = 0x10;
}

/// Consistency ONE, section 3.
const CONSISTENCY_ONE: u16 = 1;

/// A connection on which one user is logged in.
#[derive(Debug)]
pub struct Connection<S = TcpStream> {
    stream: S,
    address: String,
}

impl Connection {
    /// Connects and logs in.
    ///
    /// # Errors
    /// [`Error::Connection`] when nobody answers, [`Error::Refused`] for a wrong password.
    pub fn open(address: SocketAddr, user: &str, password: &str) -> Result<Self> {
        Self::over(connect(address)?, address, user, password)
    }
}

impl<S: Read + Write> Connection<S> {
    /// Logs in over a stream that is there already, such as one of TLS.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn over(stream: S, address: SocketAddr, user: &str, password: &str) -> Result<Self> {
        let mut connection = Self { stream, address: address.to_string() };
        if connection.start_up()? == opcode::AUTHENTICATE {
            let token = format!("\0{user}\0{password}");
            let mut body = Vec::new();
            put_long(&mut body, token.as_bytes());
            connection.call(opcode::AUTH_RESPONSE, &body, &[opcode::AUTH_SUCCESS])?;
        }
        Ok(connection)
    }

    /// Runs one statement, a read or write at consistency ONE, and drops the rows.
    ///
    /// # Errors
    /// [`Error::Refused`] with the server's words.
    pub fn run(&mut self, statement: &str) -> Result<()> {
        let mut body = Vec::new();
        put_long(&mut body, statement.as_bytes());
        body.extend(CONSISTENCY_ONE.to_be_bytes());
        body.push(0); // no flags: no values, no paging
        self.call(opcode::QUERY, &body, &[opcode::RESULT])?;
        Ok(())
    }

    fn start_up(&mut self) -> Result<u8> {
        let mut body = 1_u16.to_be_bytes().to_vec();
        put_short(&mut body, b"CQL_VERSION");
        put_short(&mut body, b"3.0.0");
        self.call(opcode::STARTUP, &body, &[opcode::READY, opcode::AUTHENTICATE])
    }

    /// Sends a message and reads the answer, which must be one of `wanted`; returns which.
    fn call(&mut self, opcode: u8, body: &[u8], wanted: &[u8]) -> Result<u8> {
        let (kind, answer) = self.exchange(opcode, body)?;
        if wanted.contains(&kind) {
            return Ok(kind);
        }
        match kind {
            opcode::ERROR => Err(Error::Refused { message: error_text(&answer) }),
            other => Err(Error::Protocol { what: format!("message {other:#04x}") }),
        }
    }

    fn exchange(&mut self, opcode: u8, body: &[u8]) -> Result<(u8, Vec<u8>)> {
        let broken = |source| Error::Connection { address: self.address.clone(), source };
        // Version, flags, stream 0, code, length.
        let mut frame = vec![VERSION, 0, 0, 0, opcode];
        put_long(&mut frame, body);
        self.stream.write_all(&frame).and_then(|()| self.stream.flush()).map_err(broken)?;
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).map_err(broken)?;
        let [version, _, _, _, kind, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        // The highest bit marks an answer.
        if version != VERSION | 0x80 || length > BODY_BYTES_MAX {
            return Err(Error::Protocol { what: format!("version {version:#04x}, {length} bytes") });
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).map_err(broken)?;
        Ok((kind, answer))
    }
}

/// Whether a CQL server answers there at all, whoever may log in.
///
/// A node of a ring whose other nodes are down answers, and can let nobody in.
pub fn answers(address: SocketAddr) -> bool {
    let Ok(stream) = connect(address) else { return false };
    Connection { stream, address: address.to_string() }.start_up().is_ok()
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let open = || -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    open().map_err(|source| Error::Connection { address: address.to_string(), source })
}

/// `[long string]`, `[bytes]` and a frame's body: a length of four bytes before it.
fn put_long(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend(bytes);
}

/// `[string]`: a length of two bytes before it.
fn put_short(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
    to.extend(bytes);
}

/// The message of an ERROR, section 4.2.1: a code of four bytes, and a string.
fn error_text(body: &[u8]) -> String {
    String::from_utf8_lossy(body.get(6..).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with fixed bytes and keeps what was sent.
    #[derive(Debug)]
    struct Script {
        answers: io::Cursor<Vec<u8>>,
        sent: Vec<u8>,
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.answers.read(buffer)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.sent.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log_in(answers: &[u8]) -> Result<Connection<Script>> {
        let script = Script { answers: io::Cursor::new(answers.to_vec()), sent: Vec::new() };
        Connection::over(script, "127.0.0.1:9042".parse().unwrap(), "me", "pw")
    }

    const AUTHENTICATE: &[u8] = &[0x84, 0, 0, 0, 3, 0, 0, 0, 3, 0, 1, b'X'];

    #[test]
    fn logs_in_with_user_and_password() {
        let success = [0x84, 0, 0, 0, 0x10, 0, 0, 0, 4, 0xFF, 0xFF, 0xFF, 0xFF];
        let connection = log_in(&[AUTHENTICATE, &success].concat()).unwrap();
        assert!(connection.stream.sent.ends_with(b"\x0F\0\0\0\x0A\0\0\0\x06\0me\0pw"));
    }

    #[test]
    fn a_refusal_is_in_the_servers_words() {
        let error = [0x84, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 1, 0, 0, 2, b'n', b'o'];
        let refused = log_in(&[AUTHENTICATE, &error].concat()).unwrap_err();
        assert!(matches!(refused, Error::Refused { message } if message == "no"));
    }

    #[test]
    fn what_is_not_cql_is_an_error() {
        assert!(matches!(log_in(b"HTTP/1.1 400 Bad Request\r\n"), Err(Error::Protocol { .. })));
        assert!(matches!(log_in(&[0x84, 0, 0, 0, 2, 0xFF, 0, 0, 0]), Err(Error::Protocol { .. })));
        assert!(matches!(log_in(&[0x84, 0]), Err(Error::Connection { .. })));
    }
}

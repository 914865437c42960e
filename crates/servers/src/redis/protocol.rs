//! As much of RESP2 as starting servers needs: one command, one answer, one connection.
//!
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{Error, Result};

/// A loopback server that is not paused answers within milliseconds.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The largest bulk string that is read: `INFO` and `CLUSTER NODES` take a few KiB.
const BULK_BYTES_MAX: usize = 1024 * 1024;

/// The most elements of a list that are read.
const LIST_MAX: usize = 1024;

/// The deepest list in a list: `CLUSTER SLOTS` goes three deep.
const DEPTH_MAX: usize = 8;

/// What a server answers when it does not refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A simple or a bulk string.
    Text(String),
    /// A whole number.
    Number(i64),
    /// A list.
    List(Vec<Reply>),
    /// Nothing there.
    Nil,
}

impl Reply {
    /// The text, or nothing if it is something else.
    pub fn text(&self) -> &str {
        match self {
            Reply::Text(text) => text,
            _ => "",
        }
    }
}

pub(super) fn ask(address: SocketAddr, password: Option<&str>, command: &[&str]) -> Result<Reply> {
    let broken = |source| Error::Connection { address: address.to_string(), source };
    let stream = TcpStream::connect_timeout(&address, ANSWER_MAX).map_err(broken)?;
    stream.set_read_timeout(Some(ANSWER_MAX)).map_err(broken)?;
    stream.set_write_timeout(Some(ANSWER_MAX)).map_err(broken)?;
    let mut stream = BufReader::new(stream);
    let auth = password.map(|password| ["AUTH", password]);
    let commands = auth.iter().map(|auth| auth.as_slice()).chain(std::iter::once(command));
    let mut last = Reply::Nil;
    for command in commands {
        stream.get_mut().write_all(&encoded(command)).map_err(broken)?;
        last = read(&mut stream, 0).map_err(broken)??;
    }
    Ok(last)
}

fn encoded(command: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for word in command {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    bytes
}

/// One answer. The outer error is the connection's, the inner one the server's.
fn read(stream: &mut impl BufRead, depth: usize) -> io::Result<Result<Reply>> {
    let mut line = String::new();
    stream.by_ref().take(BULK_BYTES_MAX as u64).read_line(&mut line)?;
    let Some(line) = line.strip_suffix("\r\n") else { return Err(io::ErrorKind::UnexpectedEof.into()) };
    let strange = || Ok(Err(Error::Protocol { what: format!("{line:?}") }));
    let (kind, rest) = line.split_at_checked(1).unwrap_or_default();
    let count = || rest.parse::<i64>().ok();
    Ok(Ok(match (kind, count()) {
        ("+", _) => Reply::Text(rest.to_owned()),
        ("-", _) => return Ok(Err(Error::Refused { message: rest.to_owned() })),
        (":", Some(number)) => Reply::Number(number),
        ("$" | "*", Some(-1)) => Reply::Nil,
        ("$", Some(length)) => match usize::try_from(length) {
            Ok(length) if length <= BULK_BYTES_MAX => {
                let mut bytes = vec![0; length + 2];
                stream.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Reply::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => return strange(),
        },
        ("*", Some(length)) => match usize::try_from(length) {
            Ok(length) if length <= LIST_MAX && depth < DEPTH_MAX => {
                let mut list = Vec::with_capacity(length);
                for _ in 0..length {
                    match read(stream, depth + 1)? {
                        Ok(reply) => list.push(reply),
                        Err(error) => return Ok(Err(error)),
                    }
                }
                Reply::List(list)
            }
            _ => return strange(),
        },
        _ => return strange(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(mut bytes: &[u8]) -> io::Result<Result<Reply>> {
        read(&mut bytes, 0)
    }

    #[test]
    fn reads_every_kind_of_answer() {
        assert_eq!(encoded(&["PING", ""]), b"*2\r\n$4\r\nPING\r\n$0\r\n\r\n");
        let list = parsed(b"*4\r\n$2\r\na\n\r\n:-7\r\n$-1\r\n+OK\r\n").unwrap().unwrap();
        let [text, ok] = ["a\n", "OK"].map(|text| Reply::Text(text.to_owned()));
        assert_eq!(list, Reply::List(vec![text, Reply::Number(-7), Reply::Nil, ok]));
        assert!(
            matches!(parsed(b"-NOAUTH x\r\n").unwrap(), Err(Error::Refused { message }) if message == "NOAUTH x")
        );
    }

    #[test]
    fn nothing_that_comes_makes_it_panic_or_reserve_memory() {
        for strange in ["?\r\n", "$99999999999\r\n", "*-5\r\n", "\r\n", ":x\r\n", "ä\r\n"] {
            assert!(
                matches!(parsed(strange.as_bytes()).unwrap(), Err(Error::Protocol { .. })),
                "{strange:?}"
            );
        }
        assert!(matches!(parsed("*1\r\n".repeat(20).as_bytes()).unwrap(), Err(Error::Protocol { .. })));
        for cut in ["", "+OK", "$5\r\nab"] {
            assert!(parsed(cut.as_bytes()).is_err(), "{cut:?}");
        }
    }
}

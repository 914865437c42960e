//! What `cargo xtask test` tells tests about the servers that it started.
//!
//! A test asks for what it needs. Without it the test says so in a line that libtest does not swallow
//! and leaves itself out; where [`SERVICES`] says `required`, that is a panic.

use std::net::SocketAddr;
use std::path::PathBuf;

/// `required`: a suite that lacks a server fails instead of leaving itself out.
pub const SERVICES: &str = "GODWIT_TEST_SERVICES";
/// Address of a CQL server, `127.0.0.1:9042`.
pub const CQL: &str = "GODWIT_TEST_CQL";
/// A superuser there.
pub const CQL_USER: &str = "GODWIT_TEST_CQL_USER";
/// File with that user's password.
pub const CQL_PASSWORD_FILE: &str = "GODWIT_TEST_CQL_PASSWORD_FILE";
/// File with the root certificate of that server, PEM. Not set where it speaks no TLS.
pub const CQL_CA_FILE: &str = "GODWIT_TEST_CQL_CA_FILE";
/// `redis://127.0.0.1:6379`, no password.
pub const REDIS: &str = "GODWIT_TEST_REDIS";
/// The folder with Cassandra's jars, for tests that start rings of their own.
pub const CASSANDRA_LIB: &str = "GODWIT_TEST_CASSANDRA_LIB";

/// A CQL server that tests share. Each makes a keyspace of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CqlServer {
    /// Where it listens, with and without TLS.
    pub address: SocketAddr,
    /// A superuser.
    pub user: String,
    /// The user's password.
    pub password: String,
    /// Root certificate for TLS, PEM; none where the server speaks none (ScyllaDB in a container).
    pub ca_file: Option<PathBuf>,
}

/// The CQL server for this suite, if there is one.
///
/// # Panics
/// When there is none and servers are required; when a variable makes no sense.
pub fn cql(suite: &str) -> Option<CqlServer> {
    let address = variable(suite, CQL)?;
    let user = variable(suite, CQL_USER)?;
    let password_file = variable(suite, CQL_PASSWORD_FILE)?;
    let password = std::fs::read_to_string(&password_file)
        .unwrap_or_else(|error| panic!("{CQL_PASSWORD_FILE}: cannot read {password_file}: {error}"));
    Some(CqlServer {
        address: address.parse().unwrap_or_else(|error| panic!("{CQL}={address}: {error}")),
        user,
        password: password.trim_end().to_owned(),
        ca_file: std::env::var_os(CQL_CA_FILE).map(PathBuf::from),
    })
}

/// The address of the Redis server for this suite, if there is one. Who has it has `redis-server` too, and
/// may start others: see [`crate::redis`].
///
/// # Panics
/// When there is none and servers are required.
pub fn redis(suite: &str) -> Option<String> {
    variable(suite, REDIS)
}

/// Cassandra's jars for this suite, if they are there: see [`crate::cassandra::Ring::start`].
///
/// # Panics
/// When they are not and servers are required.
pub fn cassandra_lib(suite: &str) -> Option<PathBuf> {
    variable(suite, CASSANDRA_LIB).map(PathBuf::from)
}

fn variable(suite: &str, name: &str) -> Option<String> {
    let required = std::env::var(SERVICES).is_ok_and(|value| value == "required");
    judged(suite, name, std::env::var(name).ok(), required, &mut std::io::stderr())
}

/// The value, or one line for a person. `stderr` is the real one: what `eprintln!` prints, libtest
/// keeps to itself when a test passes.
fn judged(
    suite: &str,
    name: &str,
    value: Option<String>,
    required: bool,
    stderr: &mut impl std::io::Write,
) -> Option<String> {
    if value.is_none() {
        assert!(!required, "{suite} needs {name}, and {SERVICES}=required");
        // One write, so that the lines of suites that run at once do not mix.
        let line = format!("left out: {suite} needs {name}; cargo xtask test sets it\n");
        let _ = stderr.write_all(line.as_bytes());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_in_one_line() {
        let mut said = Vec::new();
        assert_eq!(judged("the test", CQL, None, false, &mut said), None);
        assert_eq!(said, b"left out: the test needs GODWIT_TEST_CQL; cargo xtask test sets it\n");
        said.clear();
        let there = judged("the test", CQL, Some("x".to_owned()), true, &mut said);
        assert_eq!((there.as_deref(), said.len()), (Some("x"), 0));
    }

    #[test]
    #[should_panic(expected = "the test needs GODWIT_TEST_REDIS, and GODWIT_TEST_SERVICES=required")]
    fn what_is_missing_and_required_is_a_failure() {
        judged("the test", REDIS, None, true, &mut std::io::sink());
    }
}

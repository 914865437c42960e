//! ScyllaDB in a container, one node, where a container engine answers.
//!
//! This path is the small one: no TLS, no pause, no ring. It was written from the image's documentation
//! (<https://hub.docker.com/r/scylladb/scylla>) on a machine without an engine, and has not been run.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cql;
use crate::error::Result;
use crate::ports::Port;

/// The release that is asked for; the newest of that series is taken.
pub const IMAGE: &str = "scylladb/scylla:2025.1";

/// With time to fetch the image, 500 MB.
const START_MAX: Duration = Duration::from_secs(300);

/// Between two looks at something that takes many seconds.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The image's first superuser and its password.
pub const USER: &str = "cassandra";
/// As [`USER`].
pub const PASSWORD: &str = "cassandra";

/// The container engine that answers: `docker` or `podman`.
///
/// A program without its service does not count: `docker version` succeeds only when both are there.
pub fn engine() -> Option<&'static str> {
    ["docker", "podman"].into_iter().find(|engine| {
        let mut version = Command::new(engine);
        version.arg("version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    })
}

/// One ScyllaDB in a container.
#[derive(Debug)]
pub struct Scylla {
    engine: &'static str,
    name: String,
    port: Port,
    detached: bool,
}

impl Scylla {
    /// Starts a container of this name on a port of 127.0.0.1, a free one if none is given, and waits
    /// until its superuser can log in. A detached one outlives the handle: [`remove`] ends it.
    ///
    /// # Errors
    /// When the engine refuses, or the server does not answer.
    pub fn start(engine: &'static str, name: &str, port: Option<u16>, detached: bool) -> Result<Self> {
        let port = Port::wanted_or_free(port, &[Ipv4Addr::LOCALHOST])?;
        let publish = format!("127.0.0.1:{}:9042", port.number());
        let of_engine = ["run", "--detach", "--rm", "--name", name, "--publish", &publish, IMAGE];
        let small = ["--smp", "1", "--memory", "1G", "--overprovisioned", "1", "--developer-mode", "1"];
        let accounts = ["--authenticator", "PasswordAuthenticator", "--authorizer", "CassandraAuthorizer"];
        run(engine, &[of_engine.as_slice(), &small, &accounts].concat())?;
        let scylla = Self { engine, name: name.to_owned(), port, detached };
        let began = Instant::now();
        while let Err(error) = cql::Connection::open(scylla.address(), USER, PASSWORD) {
            if began.elapsed() > START_MAX || !is_running(engine, name) {
                return Err(error);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(scylla)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    /// Ends and removes the container.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn stop(&mut self) -> Result<()> {
        remove(self.engine, &self.name)
    }
}

impl Drop for Scylla {
    fn drop(&mut self) {
        if !self.detached {
            // After `stop` there is none, and this only says so.
            let _ = self.stop();
        }
    }
}

/// Whether a container of this name runs.
pub fn is_running(engine: &str, name: &str) -> bool {
    let format = ["container", "inspect", "--format", "{{.State.Running}}", name];
    run(engine, &format).is_ok_and(|said| said == "true")
}

/// Ends and removes the container of this name.
///
/// # Errors
/// When the engine refuses.
pub fn remove(engine: &str, name: &str) -> Result<()> {
    run(engine, &["rm", "--force", name]).map(drop)
}

fn run(engine: &str, arguments: &[&str]) -> Result<String> {
    crate::process::run(Command::new(engine).args(arguments))
}

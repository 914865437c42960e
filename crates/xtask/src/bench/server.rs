//! A release server of our own: random ports, a folder that goes with it, stopped by its id.

use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// A server that has not answered by then will not.
const START_MAX: Duration = Duration::from_secs(10);

/// Between two looks at a server that waits for its database.
const READY_LOOK_EVERY: Duration = Duration::from_millis(50);

/// Above the server's own limit for a drain, 30 s.
const STOP_MAX: Duration = Duration::from_secs(40);

/// Time between two looks while waiting: fine enough for a start of a few milliseconds, and
/// coarse enough to leave the processor to the server.
const LOOK_EVERY: Duration = Duration::from_micros(100);

/// The variable that names the file with the secret; without it `dev` makes one.
pub(crate) const SECRET_FILE: &str = "GODWIT_AUTH__SECRET_FILE";

/// How long a start took, each from before the program was started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartTimes {
    /// Until the clients' port accepted a connection.
    pub(crate) accepts: Duration,
    /// Until `GET /livez` on the operator's port was answered with 200.
    pub(crate) answers: Duration,
}

/// A running `godwit dev`.
pub(crate) struct Server {
    child: Child,
    /// How long it took to start.
    pub(crate) start_times: StartTimes,
    /// The clients' port.
    address: SocketAddr,
    admin: SocketAddr,
    /// Where the secret is that signs its tokens.
    secret_file: PathBuf,
    /// Removed when the server is.
    _data: tempfile::TempDir,
}

/// What tells the load generator where servers are that believe the first one's secret, and whom to watch.
pub(crate) fn flags(servers: &[Server]) -> Vec<OsString> {
    let mut flags = Vec::new();
    for server in servers {
        flags.extend(["--target".into(), format!("http://{}", server.address).into()]);
        flags.extend(["--pid".into(), server.pid().to_string().into()]);
    }
    if let Some(first) = servers.first() {
        flags.extend(["--token-secret-file".into(), first.secret_file().into()]);
    }
    flags
}

impl Server {
    /// Starts the program on an empty data directory and waits until it answers.
    ///
    /// # Errors
    /// When it cannot be started, ends by itself, or does not answer within [`START_MAX`].
    pub(crate) fn start(program: &Path) -> Result<Server> {
        Server::start_with(program, &[])
    }

    /// As [`Server::start`], with these variables, which are keys of the configuration.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub(crate) fn start_with(program: &Path, variables: &[(&str, &OsStr)]) -> Result<Server> {
        let data = tempfile::tempdir().context("cannot make a data directory")?;
        let (listen, admin_listen) = (free_address()?, free_address()?);
        let mut command = Command::new(program);
        command.arg("dev").arg("--listen").arg(listen.to_string());
        command.arg("--admin-listen").arg(admin_listen.to_string()).arg("--data-dir").arg(data.path());
        command.envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let began = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let nothing_yet = StartTimes { accepts: Duration::ZERO, answers: Duration::ZERO };
        let given =
            variables.iter().find(|(name, _)| *name == SECRET_FILE).map(|(_, file)| PathBuf::from(file));
        let secret_file = given.unwrap_or_else(|| data.path().join("dev-secret"));
        let address = listen;
        // From here on its `Drop` ends the process, whatever goes wrong below.
        let mut server = Server {
            child,
            start_times: nothing_yet,
            address,
            admin: admin_listen,
            secret_file,
            _data: data,
        };
        let accepts = server.wait_until(began, || TcpStream::connect(listen).is_ok())?;
        let answers = server.wait_until(began, || is_live(admin_listen).unwrap_or(false))?;
        server.start_times = StartTimes { accepts, answers };
        Ok(server)
    }

    /// Waits until the server says that it should get traffic: one on a database makes its tables first.
    ///
    /// # Errors
    /// When it ends by itself, or is not ready in time, with what it waits for.
    pub(crate) fn wait_until_ready(&mut self, within: Duration) -> Result<()> {
        let began = Instant::now();
        loop {
            let answer = get(self.admin, "/readyz").unwrap_or_else(|error| error.to_string());
            if answer.starts_with("HTTP/1.1 200") {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended by itself: {status}");
            }
            if began.elapsed() >= within {
                let reasons = answer.lines().last().unwrap_or_default();
                bail!("the server is not ready after {within:?}: {reasons}");
            }
            std::thread::sleep(READY_LOOK_EVERY);
        }
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file with the secret that signs its tokens.
    pub(crate) fn secret_file(&self) -> &Path {
        &self.secret_file
    }

    /// What tells the load generator where it is; see [`flags`].
    pub(crate) fn flags(&self) -> Vec<OsString> {
        flags(std::slice::from_ref(self))
    }

    /// Bytes that it has allocated and not freed, by its own count (`GET /metrics`).
    ///
    /// # Errors
    /// When the operator's port does not say.
    pub(crate) fn allocated_bytes(&self) -> Result<u64> {
        let metrics = self.metrics()?;
        let value = metrics.lines().find_map(|line| line.strip_prefix("godwit_allocator_allocated_bytes "));
        value.and_then(|value| value.trim().parse().ok()).context("the server does not say what it allocated")
    }

    /// `GET /metrics`, as the operator's port answers it.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn metrics(&self) -> Result<String> {
        get(self.admin, "/metrics").context("the operator's port does not answer")
    }

    /// Ends the server with SIGTERM and waits for its drain.
    ///
    /// # Errors
    /// When it ends with anything but 0, or not within [`STOP_MAX`].
    pub(crate) fn stop(mut self) -> Result<()> {
        crate::command::run_quietly(Command::new("kill").args(["-TERM", &self.pid().to_string()]))?;
        let began = Instant::now();
        while began.elapsed() < STOP_MAX {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("the server ended with {status}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("the server did not end within {STOP_MAX:?}")
    }

    fn wait_until(&mut self, began: Instant, done: impl Fn() -> bool) -> Result<Duration> {
        while began.elapsed() < START_MAX {
            if done() {
                return Ok(began.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended by itself: {status}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("the server did not answer within {START_MAX:?}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` the process is gone and both calls only say so.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address whose port was free a moment ago.
///
/// # Errors
/// When there is none.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

fn is_live(admin: SocketAddr) -> std::io::Result<bool> {
    let mut answer = [0; 12];
    ask(admin, "/livez")?.read_exact(&mut answer)?;
    Ok(&answer == b"HTTP/1.1 200")
}

/// The whole answer, head and all.
fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut answer = String::new();
    ask(address, path)?.read_to_string(&mut answer)?;
    Ok(answer)
}

fn ask(address: SocketAddr, path: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(START_MAX))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_is_an_error_and_not_a_wait() {
        let error = Server::start(Path::new("false")).err().unwrap();
        assert!(error.to_string().starts_with("the server ended by itself"), "{error:#}");
    }
}

//! The real server as a child process: started, killed, restarted on the same directory and the same
//! port, and its log read to the end.

mod log;
mod memory;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use godwit_servers::environment::CqlServer;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::answer::Answer;
use crate::client::Client;
use crate::connection::Connection;
use crate::tokens::Tokens;
use log::Log;
pub use memory::Peak;

/// A server that has not answered by then will not. Most are there within 20 ms; one that makes the tables of
/// a new keyspace takes seconds.
const START_MAX: Duration = Duration::from_secs(60);
/// Above the server's own bound for a drain, 30 s.
const STOP_MAX: Duration = Duration::from_secs(40);
/// Between two looks at something that takes milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Where servers under test listen: below the ports that Linux gives to outgoing connections (32768 and
/// up), so that no client of another test takes the port of a server that is down for a restart.
const PORTS: std::ops::Range<u16> = 10_000..32_000;
/// Ports tried until two are free.
const PORT_TRIES: usize = 100;

/// The secret that signs the tokens of servers under test.
const SECRET: &str = "c2VjcmV0LW9mLXRoZS1zZXJ2ZXJzLXVuZGVyLXRlc3QtLS0";

/// A keyspace that nothing else uses.
pub fn keyspace(of: &str) -> String {
    format!("{of}_{:08x}", rand::random::<u32>())
}

/// How to start a server.
#[derive(Debug, Clone)]
pub struct Launch {
    program: PathBuf,
    /// The file's text for `serve --config`; none: `dev`.
    config: Option<String>,
    environment: Vec<(String, String)>,
    cql_password: Option<String>,
}

impl Launch {
    /// `godwit dev`. `program` is `env!("CARGO_BIN_EXE_godwit")` of the calling test.
    pub fn dev(program: impl AsRef<Path>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            config: None,
            environment: Vec::new(),
            cql_password: None,
        }
    }

    /// `godwit serve --config` with a file of this text.
    pub fn serve(program: impl AsRef<Path>, config: &str) -> Self {
        Self { config: Some(config.to_owned()), ..Self::dev(program) }
    }

    /// One more setting from the environment, such as `("GODWIT_STREAM__OVERFLOW", "disconnect")`.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    /// On this database, in this keyspace, with three copies of each row or as many as `copies` says.
    #[must_use]
    pub fn cql(self, server: &CqlServer, keyspace: &str, copies: u16) -> Self {
        let launch = Self { cql_password: Some(server.password.clone()), ..self };
        launch
            .env("GODWIT_STORE__KIND", "cql")
            .env("GODWIT_STORE__CQL__NODES", server.address)
            .env("GODWIT_STORE__CQL__KEYSPACE", keyspace)
            .env("GODWIT_STORE__CQL__REPLICATION_FACTOR", copies)
            .env("GODWIT_STORE__CQL__USER", &server.user)
    }

    /// Starts it on an empty directory and waits until it is ready. Panics when it does not get there.
    pub fn start(self) -> Server {
        self.start_until(wait_until_ready)
    }

    /// Starts it on an empty directory and waits until its operator's port answers: a node that stands by, or
    /// waits for its database, is not ready. Panics when it does not get there.
    pub fn begin(self) -> Server {
        self.start_until(wait_until_up)
    }

    fn start_until(self, wait: impl Fn(&mut Child, SocketAddr) -> Result<(), String>) -> Server {
        let data = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(data.path().join("secret"), SECRET).expect("the secret's file");
        if let Some(config) = &self.config {
            std::fs::write(data.path().join("godwit.toml"), config).expect("the configuration's file");
        }
        if let Some(password) = &self.cql_password {
            std::fs::write(data.path().join("cql-password"), password).expect("the password's file");
        }
        for _ in 0..PORT_TRIES {
            let [address, admin] = [free_address(), free_address()];
            let log = Log::default();
            let mut child = self.spawn(address, admin, data.path(), &log);
            if wait(&mut child, admin).is_ok() {
                return Server { launch: self, address, admin, child, log, data };
            }
            let status = stop_now(&mut child);
            log.wait_for_all();
            // Two tests may choose the same port in the same moment: then another pair.
            let in_use = log.text().contains("in use");
            assert!(in_use, "the server did not start: {status:?}\n{}", log.text());
        }
        panic!("{PORT_TRIES} pairs of ports are in use");
    }

    fn spawn(&self, address: SocketAddr, admin: SocketAddr, directory: &Path, log: &Log) -> Child {
        let mut command = self.command(address, admin, directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.program.display()));
        log.follow(child.stderr.take().expect("standard error is a pipe"));
        child
    }

    fn command(&self, address: SocketAddr, admin: SocketAddr, directory: &Path) -> Command {
        let mut command = Command::new(&self.program);
        if self.config.is_some() {
            command.arg("serve").arg("--config").arg(directory.join("godwit.toml"));
        } else {
            command.arg("dev");
        }
        command.arg("--listen").arg(address.to_string()).arg("--admin-listen").arg(admin.to_string());
        command.arg("--data-dir").arg(directory.join("data"));
        // What the developer's shell says to its own server is not for ours.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GODWIT_") {
                command.env_remove(name);
            }
        }
        command.env("GODWIT_AUTH__SECRET_FILE", directory.join("secret"));
        if self.cql_password.is_some() {
            command.env("GODWIT_STORE__CQL__PASSWORD_FILE", directory.join("cql-password"));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A running server. Dropping it kills the process and fails the test if the log has a line of WARN or
/// ERROR that [`Server::expect_log`] did not announce.
#[derive(Debug)]
pub struct Server {
    launch: Launch,
    address: SocketAddr,
    admin: SocketAddr,
    child: Child,
    log: Log,
    data: TempDir,
}

impl Server {
    /// `godwit dev` with nothing set. `program` is `env!("CARGO_BIN_EXE_godwit")`.
    pub fn start(program: impl AsRef<Path>) -> Self {
        Launch::dev(program).start()
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The operator's port.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file with the secret that signs what this server accepts.
    pub fn secret_file(&self) -> PathBuf {
        self.data.path().join("secret")
    }

    /// Signs what this server accepts.
    pub fn tokens(&self) -> Tokens {
        Tokens::new(SECRET)
    }

    /// A client for one device of an account, with connections of its own.
    pub fn client(&self, account: &str, device: &str) -> Client {
        let tokens = self.tokens();
        let token = tokens.sign(account, device);
        Client::new(self.address, account, token).with_tokens(tokens)
    }

    /// A client of the operator's port.
    pub fn operator(&self) -> Client {
        Client::new(self.admin, "", "")
    }

    /// Waits until the node is ready. Panics when it does not get there.
    pub async fn ready_within(&self, time: Duration) {
        let began = Instant::now();
        while let Some(reason) = self.not_ready().await {
            assert!(began.elapsed() < time, "not ready within {time:?}: {reason}");
            tokio::time::sleep(LOOK_EVERY * 10).await;
        }
    }

    /// What `/readyz` says against this node; `None` when it is ready.
    pub async fn not_ready(&self) -> Option<String> {
        let answer = self.operator().get("/readyz").await;
        (answer.status != 200).then(|| String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Makes the account's actor panic at every event, or stops that (`None`). Needs the program's feature
    /// `faults`.
    pub async fn poison(&self, account: Option<&str>) {
        self.fault("poison_account", account).await;
    }

    /// Makes the server break a guarantee now and then, in the way of this name, or stops that (`None`).
    /// Needs the program's feature `faults`.
    pub async fn break_on_purpose(&self, fault: Option<&str>) {
        self.fault("break", fault).await;
    }

    async fn fault(&self, kind: &str, value: Option<&str>) {
        let answer = self.operator().post("/admin/faults", Value::from_iter([(kind, value)])).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
    }

    /// Lines of WARN or ERROR with this text are part of the test.
    pub fn expect_log(&self, text: &str) {
        self.log.expect(text);
    }

    /// Panics if the log has a line of WARN or ERROR, or a panic, that was not announced.
    pub fn assert_clean_log(&self) {
        let unexpected = self.log.unexpected();
        assert!(unexpected.is_empty(), "the server's log says:\n{}", unexpected.join("\n"));
    }

    /// `kill -9`. The directory and the ports stay as they are, see [`Server::restart`]. It may come in the
    /// middle of a write, which the next start then says.
    pub fn kill9(&mut self) {
        self.log.expect("removing an unfinished last batch");
        stop_now(&mut self.child).expect("a child of ours");
    }

    /// Sends SIGTERM and goes on.
    pub fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Stops the process where it stands, as a frozen machine would.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on, unaware of the time that has passed.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a child of ours");
    }

    /// Sends SIGTERM and waits for the end. `None`: a signal ended it. Panics when it does not end.
    pub fn terminate(&mut self) -> Option<i32> {
        self.ask_to_stop();
        self.wait()
    }

    /// Waits for the end, which must come by itself.
    pub fn wait(&mut self) -> Option<i32> {
        let began = Instant::now();
        while began.elapsed() < STOP_MAX {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status.code();
            }
            sleep(LOOK_EVERY);
        }
        panic!("the server did not end within {STOP_MAX:?}:\n{}", self.log.text());
    }

    /// Starts it again on the same directory and the same ports, after [`Server::kill9`] or
    /// [`Server::terminate`]. Gives the time until it was ready.
    pub fn restart(&mut self) -> Duration {
        let began = Instant::now();
        self.child = self.launch.spawn(self.address, self.admin, self.data.path(), &self.log);
        if let Err(why) = wait_until_ready(&mut self.child, self.admin) {
            panic!("the server did not start again: {why}\n{}", self.log.text());
        }
        began.elapsed()
    }

    /// As [`Server::restart`], and waits only until its operator's port answers.
    pub fn start_again(&mut self) {
        self.child = self.launch.spawn(self.address, self.admin, self.data.path(), &self.log);
        if let Err(why) = wait_until_up(&mut self.child, self.admin) {
            panic!("the server did not start again: {why}\n{}", self.log.text());
        }
    }

    /// Runs a second server on the same directory, on other ports, until it ends; its exit code and what it
    /// said. Panics when it does not end.
    pub fn second_on_the_same_directory(&self) -> (Option<i32>, String) {
        let log = Log::default();
        let mut child = self.launch.spawn(free_address(), free_address(), self.data.path(), &log);
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                log.wait_for_all();
                return (status.code(), log.text());
            }
            sleep(LOOK_EVERY);
        }
        let _ = stop_now(&mut child);
        panic!("a second server runs on the same directory");
    }

    /// Resident memory, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        memory::resident_bytes(self.pid()).expect("the process runs")
    }

    /// Follows the resident memory of this process from now on.
    pub fn watch_memory(&self) -> Peak {
        Peak::watch(self.pid())
    }

    /// Whether a new connection is answered: a call with a token and its whole way to the store. Panics
    /// when not.
    pub async fn assert_serves(&self) {
        let answer = self.client("somebody", "phone").get("/v1/conversations").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// The answer to these bytes on a connection of their own. Panics without one.
    pub async fn exchange(&self, request: &[u8]) -> Answer {
        let exchange = async { Connection::open(self.address).await?.exchange(request).await };
        exchange.await.unwrap_or_else(|error| panic!("no answer to {}: {error}", request.escape_ascii()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After an end of its own both only say so.
        let _ = stop_now(&mut self.child);
        self.log.wait_for_all();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log.text());
        } else {
            self.assert_clean_log();
        }
    }
}

fn stop_now(child: &mut Child) -> io::Result<ExitStatus> {
    child.kill()?;
    child.wait()
}

fn free_address() -> SocketAddr {
    for _ in 0..PORT_TRIES {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, rand::random_range(PORTS)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port of {PORTS:?} is free");
}

/// Until the operator's port says that the node serves.
fn wait_until_ready(child: &mut Child, admin: SocketAddr) -> Result<(), String> {
    wait_for(child, "ready", || is_ready(admin).unwrap_or(false))
}

/// Until the operator's port answers.
fn wait_until_up(child: &mut Child, admin: SocketAddr) -> Result<(), String> {
    wait_for(child, "up", || is_ready(admin).is_ok())
}

fn wait_for(child: &mut Child, what: &str, is_so: impl Fn() -> bool) -> Result<(), String> {
    let began = Instant::now();
    while began.elapsed() < START_MAX {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Err(format!("it ended with {status}"));
        }
        if is_so() {
            return Ok(());
        }
        sleep(LOOK_EVERY);
    }
    Err(format!("it was not {what} within {START_MAX:?}"))
}

fn is_ready(admin: SocketAddr) -> io::Result<bool> {
    use std::io::{Read as _, Write as _};
    let mut socket = std::net::TcpStream::connect(admin)?;
    socket.set_read_timeout(Some(START_MAX))?;
    socket.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut status_line = [0; 12];
    socket.read_exact(&mut status_line)?;
    Ok(&status_line == b"HTTP/1.1 200")
}

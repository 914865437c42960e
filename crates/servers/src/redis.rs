//! `redis-server` on loopback: a single server, a [`Cluster`] of three masters, a [`Sentinel`] set-up.
//!
//! Nothing is persisted, as Godwit keeps in Redis only what may be lost: a server that was restarted
//! is empty. Debian's package `redis-server` brings the program; version 7.0 or newer.

mod cluster;
mod protocol;
mod sentinel;
mod temporary;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{self, Error, Result};
use crate::ports::Port;
use crate::process::{LOOK_EVERY, Lifetime, Process};

pub use cluster::Cluster;
pub use protocol::Reply;
pub use sentinel::{MASTER_NAME, Sentinel};
pub use temporary::Temporary;

/// Debian's name of the program.
const PROGRAM: &str = "redis-server";

/// It answers within 100 ms; a machine that compiles beside it may take fifty times that.
const START_MAX: Duration = Duration::from_secs(10);

/// It has nothing to write down, so it ends within milliseconds.
const STOP_MAX: Duration = Duration::from_secs(10);

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where it listens on 127.0.0.1; none: a free port.
    pub port: Option<u16>,
    /// What `AUTH` must say; none: nothing.
    pub password: Option<String>,
    /// What it shows on a second port that speaks TLS; none: there is no such port.
    pub tls: Option<Tls>,
    /// Stays behind when the handle goes, found by `pid` in its directory.
    pub detached: bool,
}

/// The files of a server that speaks TLS, PEM. It asks its clients for no certificate.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Its certificate.
    pub certificate: PathBuf,
    /// The key of that.
    pub key: PathBuf,
    /// The root that signed it.
    pub root: PathBuf,
}

/// One `redis-server`.
#[derive(Debug)]
pub struct Server {
    dir: PathBuf,
    port: Port,
    tls_port: Option<Port>,
    password: Option<String>,
    /// The command line after the program.
    arguments: Vec<OsString>,
    lifetime: Lifetime,
    process: Process,
}

impl Server {
    /// Starts one with its files in `dir`, made when missing, and waits until it answers.
    ///
    /// # Errors
    /// When the port is taken, the program is missing, or it does not answer.
    pub fn start(dir: &Path, options: Options) -> Result<Self> {
        Self::start_as(dir, options, &[])
    }

    /// As [`Self::start`], with more of redis.conf as command line: `["--cluster-enabled", "yes"]`.
    fn start_as(dir: &Path, options: Options, more: &[String]) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(error::file("make", dir))?;
        let port = Port::wanted_or_free(options.port, &[Ipv4Addr::LOCALHOST])?;
        let number = port.number().to_string();
        let fixed = ["--port", &number, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let mut arguments: Vec<OsString> = fixed.iter().map(OsString::from).collect();
        arguments.extend(["--dir".into(), dir.into()]);
        if let Some(password) = &options.password {
            // Both: as a replica it logs in at its master with the second.
            arguments.extend(["--requirepass", password, "--masterauth", password].map(OsString::from));
        }
        let tls_port = options.tls.as_ref().map(|_| Port::free(&[Ipv4Addr::LOCALHOST])).transpose()?;
        if let (Some(tls), Some(port)) = (&options.tls, &tls_port) {
            arguments.extend(tls_arguments(tls, port.number()));
        }
        arguments.extend(more.iter().map(OsString::from));
        Ok(Self { tls_port, ..Self::run(dir, port, options, arguments)? })
    }

    /// Starts the program with exactly this command line.
    fn run(dir: &Path, port: Port, options: Options, arguments: Vec<OsString>) -> Result<Self> {
        let lifetime = if options.detached { Lifetime::Detached } else { Lifetime::Handle };
        let process = Process::start(PROGRAM, &arguments, &dir.join("log"), lifetime)?;
        let password = options.password;
        let dir = dir.to_owned();
        let mut server = Self { dir, port, tls_port: None, password, arguments, lifetime, process };
        server.wait("answering", START_MAX, |server| {
            server.ask(&["PING"]).is_ok_and(|reply| reply == Reply::Text("PONG".to_owned()))
        })?;
        if options.detached {
            server.process.record(&server.dir.join("pid"))?;
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    /// `redis://127.0.0.1:PORT`, without the password.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Where it speaks TLS, if it does: a port on 127.0.0.1.
    pub fn tls_port(&self) -> Option<u16> {
        self.tls_port.as_ref().map(Port::number)
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Sends one command on a connection of its own and returns the answer.
    ///
    /// # Errors
    /// [`Error::Refused`] when the answer is an error, [`Error::Connection`] when there is none.
    pub fn ask(&self, command: &[&str]) -> Result<Reply> {
        protocol::ask(self.address(), self.password.as_deref(), command)
    }

    /// Asks it to end and waits.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop(STOP_MAX)
    }

    /// Ends it at once.
    ///
    /// # Errors
    /// When the kernel does not do it.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill9()
    }

    /// Stops it where it is: connections stay open and nothing answers.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pause(&self) -> Result<()> {
        self.process.pause()
    }

    /// Lets it go on after [`Self::pause`].
    ///
    /// # Errors
    /// When it has ended.
    pub fn resume(&self) -> Result<()> {
        self.process.resume()
    }

    /// Starts it again on the same port, empty, and waits until it answers; ends it first if it runs.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.process = Process::start(PROGRAM, &self.arguments, &self.dir.join("log"), self.lifetime)?;
        self.wait("answering", START_MAX, |server| server.ask(&["PING"]).is_ok())
    }

    /// Waits until `done`, and not longer than the server lives.
    fn wait(&mut self, what: &'static str, within: Duration, done: impl Fn(&Self) -> bool) -> Result<()> {
        let began = Instant::now();
        while !done(self) {
            let late = began.elapsed() > within;
            if !late && self.process.is_running() {
                std::thread::sleep(LOOK_EVERY);
                continue;
            }
            let server = format!("redis-server on port {}", self.port.number());
            let output = error::tail(&[&self.dir.join("log")]);
            return Err(if late {
                Error::Late { server, what, within, output }
            } else {
                Error::Ended { server, output }
            });
        }
        Ok(())
    }
}

fn tls_arguments(tls: &Tls, port: u16) -> [OsString; 10] {
    [
        "--tls-port".into(),
        port.to_string().into(),
        "--tls-cert-file".into(),
        tls.certificate.clone().into(),
        "--tls-key-file".into(),
        tls.key.clone().into(),
        "--tls-ca-cert-file".into(),
        tls.root.clone().into(),
        "--tls-auth-clients".into(),
        "no".into(),
    ]
}

//! One node of a ring.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Options, config, lifetime, tail};
use crate::cql;
use crate::error::{Error, Result};
use crate::ports::Port;
use crate::process::{LOOK_EVERY, Process, run};

/// A node answers after 9 s on an idle machine; one that compiles beside it may take ten times that.
const START_MAX: Duration = Duration::from_secs(120);

/// It writes its tables to disk and says good-bye to the others: three to five seconds, and up to a
/// minute more when others are gone that it still wants an answer of.
const STOP_MAX: Duration = Duration::from_secs(90);

/// Everything that a node needs to be started, again and again.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) home: PathBuf,
    pub(super) lib: PathBuf,
    pub(super) address: Ipv4Addr,
    pub(super) native_port: u16,
    pub(super) storage_port: u16,
    /// The addresses of all nodes of the ring.
    pub(super) all: Vec<Ipv4Addr>,
    pub(super) options: Options,
}

impl Setup {
    pub(super) fn heap_mib(&self) -> u32 {
        self.options.heap_mib()
    }
}

/// One node of a [`super::Ring`].
#[derive(Debug)]
pub struct Node {
    setup: Setup,
    /// For `nodetool`, on 127.0.0.1 whatever the node's address is.
    jmx: Port,
    /// None before the first start.
    process: Option<Process>,
}

impl Node {
    pub(super) fn new(setup: Setup) -> Result<Self> {
        Ok(Self { setup, jmx: Port::free(&[Ipv4Addr::LOCALHOST])?, process: None })
    }

    /// Starts Java and waits until the node answers clients.
    pub(super) fn launch(&mut self, seeds: &[Ipv4Addr]) -> Result<()> {
        config::write(&self.setup, seeds)?;
        let arguments = config::arguments(&self.setup, self.jmx.number())?;
        let java = config::java_program("java");
        let output = self.setup.home.join("out");
        let process =
            Process::start(&java.to_string_lossy(), &arguments, &output, lifetime(&self.setup.options))?;
        // At once: a detached one must be found also when it never answers.
        if self.setup.options.detached {
            process.record(&self.setup.home.join("pid"))?;
        }
        let process = self.process.insert(process);
        let address = SocketAddr::from((self.setup.address, self.setup.native_port));
        let began = Instant::now();
        while !cql::answers(address) {
            let late = began.elapsed() > START_MAX;
            if !late && process.is_running() {
                std::thread::sleep(LOOK_EVERY);
                continue;
            }
            let (server, output) = (format!("cassandra on {address}"), tail(&self.setup.home));
            return Err(if late {
                Error::Late { server, what: "answering", within: START_MAX, output }
            } else {
                Error::Ended { server, output }
            });
        }
        Ok(())
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        (self.setup.address, self.setup.native_port).into()
    }

    /// Its directory: `log`, `cassandra.yaml`, `data` and so on.
    pub fn home(&self) -> &std::path::Path {
        &self.setup.home
    }

    /// The process, the last one when it has ended.
    ///
    /// # Panics
    /// Never: a node that one can have was started.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the ring started it")
    }

    /// Starts it again on its data and waits until it answers clients; ends it first if it runs. The
    /// other nodes may be down: then it answers and lets nobody in, since roles are read from most.
    ///
    /// # Errors
    /// When it does not answer; with the end of its log.
    pub fn start(&mut self) -> Result<()> {
        self.stop()?;
        // It belongs to the ring already, so any of the others will do to hear from.
        let all = self.setup.all.clone();
        self.launch(&all)
    }

    /// Asks it to end (SIGTERM), paused or not, and waits.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.process().stop(STOP_MAX)
    }

    /// Ends it at once: what it had not synced is gone, and the others are not told.
    ///
    /// # Errors
    /// When the kernel does not do it.
    pub fn kill9(&mut self) -> Result<()> {
        self.process().kill9()
    }

    /// Stops it where it is: connections stay open and nothing answers.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pause(&mut self) -> Result<()> {
        self.process().pause()
    }

    /// Lets it go on after [`Self::pause`].
    ///
    /// # Errors
    /// When it has ended.
    pub fn resume(&mut self) -> Result<()> {
        self.process().resume()
    }

    /// Runs Cassandra's own tool on this node, such as `["status"]` or `["pausehandoff"]`; a second or
    /// two of Java. Returns what it said.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn nodetool(&self, arguments: &[&str]) -> Result<String> {
        let mut java = Command::new(config::java_program("java"));
        java.args(config::tool_arguments(&self.setup, self.jmx.number())).args(arguments);
        run(&mut java)
    }
}

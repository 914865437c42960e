//! `cargo xtask services`: the servers below Godwit, for a developer to work with.
//!
//! They listen on loopback, keep their data in `target/services`, and outlive this command. `down`
//! ends what `up` started and nothing else: a process is told by its id and its start.

mod for_tests;
mod state;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use godwit_servers::{Process, cassandra, redis, scylla};

use crate::command;
use crate::tools::{self, Tool};
pub(crate) use for_tests::ForTests;
use state::{Cql, Kind, State};

/// Where clients of CQL look when nobody tells them.
const CQL_PORT: u16 = 9042;

/// Cassandra's nodes speak with each other on a port that is so far below the one for clients: 7000 with
/// 9042, as by default. Fixed, since nodes remember it of each other.
const STORAGE_PORT_BELOW: u16 = CQL_PORT - 7000;

/// What `--cql-port` must be above.
const CQL_PORT_MIN: u16 = 1024 + STORAGE_PORT_BELOW;

/// Where clients of Redis look when nobody tells them.
const REDIS_PORT: u16 = 6379;

/// Above what a Cassandra needs to write its tables to disk and to give up on others.
const STOP_MAX: Duration = Duration::from_secs(90);

/// The container that is ours.
const CONTAINER: &str = "godwit-services-scylla";

/// `cassandra` or `scylla`; without it ScyllaDB where a container engine answers.
const WHICH: &str = "GODWIT_TEST_CQL_SERVER";

/// What the command line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Start what does not run.
    Up {
        /// CQL nodes, 1 or 3.
        nodes: u8,
        /// Their port.
        cql_port: u16,
        /// Redis' port.
        redis_port: u16,
    },
    /// End what `up` started.
    Down,
    /// Say what runs.
    Status,
}

impl Command {
    /// None when the arguments make no sense.
    pub(crate) fn parse(arguments: &[String]) -> Option<Command> {
        let (name, rest) = arguments.split_first()?;
        match (name.as_str(), rest) {
            ("down", []) => Some(Command::Down),
            ("status", []) => Some(Command::Status),
            ("up", rest) => Self::parse_up(rest),
            _ => None,
        }
    }

    fn parse_up(arguments: &[String]) -> Option<Command> {
        let (mut nodes, mut cql_port, mut redis_port) = (1, CQL_PORT, REDIS_PORT);
        let (pairs, []) = arguments.as_chunks() else { return None };
        for [option, value] in pairs {
            match (option.as_str(), value.as_str()) {
                ("--nodes", "1") => nodes = 1,
                ("--nodes", "3") => nodes = 3,
                // Both ports above those that only root may take.
                ("--cql-port", port) => cql_port = port.parse().ok().filter(|port| *port > CQL_PORT_MIN)?,
                ("--redis-port", port) => redis_port = port.parse().ok()?,
                _ => return None,
            }
        }
        Some(Command::Up { nodes, cql_port, redis_port })
    }
}

/// Does what the command line asks for.
///
/// # Errors
/// When a server cannot be started or ended, and when a port is taken.
pub(crate) fn main(command: Command) -> Result<()> {
    let home = home();
    match command {
        Command::Up { nodes, cql_port, redis_port } => up(&home, nodes, cql_port, redis_port),
        Command::Down => down(&home),
        Command::Status => status(&home),
    }
}

/// Where the data of all these servers is, and what was fetched for them.
pub(crate) fn home() -> PathBuf {
    command::target_dir().join("services")
}

/// Cassandra's jars, fetched when they are missing.
///
/// # Errors
/// When Maven cannot bring them.
pub(crate) fn cassandra_lib() -> Result<PathBuf> {
    cassandra::fetch(&home().join("cassandra"))
        .with_context(|| format!("cannot fetch Apache Cassandra {}", cassandra::VERSION))
}

/// Which server speaks CQL, and the engine that runs the container if it is ScyllaDB.
///
/// # Errors
/// When ScyllaDB is asked for and no engine answers.
fn engine(nodes: u8) -> Result<Option<&'static str>> {
    match std::env::var(WHICH).ok().as_deref() {
        Some("cassandra") => Ok(None),
        Some("scylla") if nodes > 1 => bail!("{WHICH}=scylla is one node; several are Cassandra's"),
        Some("scylla") => Ok(Some(scylla::engine().context("no container engine answers `version`")?)),
        Some(other) => bail!("{WHICH} is cassandra or scylla, not {other:?}"),
        None if nodes > 1 => Ok(None),
        None => Ok(scylla::engine()),
    }
}

fn up(home: &Path, nodes: u8, cql_port: u16, redis_port: u16) -> Result<()> {
    std::fs::create_dir_all(home).with_context(|| format!("cannot make {}", home.display()))?;
    let mut state = State::read(home)?;
    tools::ensure(&[Tool::Redis])?;
    if let Some(process) = Process::recorded(&redis_dir(home).join("pid"))? {
        println!("redis is already running as process {}", process.pid());
    } else {
        state.redis_port = Some(redis_port);
        state.write(home)?;
        let options = redis::Options { port: Some(redis_port), detached: true, ..redis::Options::default() };
        redis::Server::start(&redis_dir(home), options)
            .with_context(|| format!("redis on port {redis_port} (--redis-port for another)"))?;
    }
    match running_nodes(home, &state)? {
        (0, _) => {
            state.cql = Some(start_cql(home, &mut state, nodes, cql_port)?);
            state.write(home)?;
        }
        (running, of) if of == nodes && running == of => println!("the CQL server is already running"),
        (running, of) => bail!("{running} of {of} CQL nodes are running: `cargo xtask services down` first"),
    }
    status(home)?;
    println!("\nFor `godwit dev` and `godwit serve` in this shell:\n\n{}", environment(home, &state));
    Ok(())
}

fn start_cql(home: &Path, state: &mut State, nodes: u8, port: u16) -> Result<Cql> {
    let hint = || format!("the CQL server on port {port} (--cql-port for another)");
    if let Some(engine) = engine(nodes)? {
        let cql = Cql { kind: Kind::Scylla(engine.to_owned()), nodes, port };
        scylla::Scylla::start(engine, CONTAINER, Some(port), true).with_context(hint)?;
        std::fs::write(password_file(home, &cql), scylla::PASSWORD)
            .context("cannot write the password's file")?;
        return Ok(cql);
    }
    tools::ensure(&[Tool::Java, Tool::Maven])?;
    let lib = cassandra_lib()?;
    let cql = Cql { kind: Kind::Cassandra, nodes, port };
    // Before the start: `down` must find what a start that fails leaves behind.
    state.cql = Some(cql.clone());
    state.write(home)?;
    println!("starting {nodes} of Cassandra, some 10 s each");
    let options = cassandra::Options {
        native_port: Some(port),
        storage_port: Some(port - STORAGE_PORT_BELOW),
        detached: true,
        ..cassandra::Options::nodes(nodes)
    };
    cassandra::Ring::start_with(&lib, &ring_dir(home, &cql), &options).with_context(hint)?;
    Ok(cql)
}

fn down(home: &Path) -> Result<()> {
    let state = State::read(home)?;
    let servers = servers(home, &state);
    // All at once: nodes of a ring would wait for those that are gone already.
    for pid_file in servers.iter().filter_map(|server| server.pid_file.as_ref()) {
        if let Some(mut process) = Process::recorded(pid_file)? {
            process.ask_to_end()?;
        }
    }
    for server in &servers {
        match &server.pid_file {
            Some(pid_file) => {
                if !pid_file.exists() {
                    continue;
                }
                if let Some(mut process) = Process::recorded(pid_file)? {
                    process.stop(STOP_MAX).with_context(|| server.name.clone())?;
                }
                std::fs::remove_file(pid_file).with_context(|| server.name.clone())?;
            }
            None if server.is_up()? => scylla::remove(&server.engine, CONTAINER)?,
            None => continue,
        }
        println!("{} has ended", server.name);
    }
    Ok(())
}

fn status(home: &Path) -> Result<()> {
    let servers = servers(home, &State::read(home)?);
    if servers.is_empty() {
        println!("nothing was started here: `cargo xtask services up`");
    }
    for server in servers {
        println!("{}", server.line()?);
    }
    Ok(())
}

/// CQL nodes that run, and how many there were to be.
fn running_nodes(home: &Path, state: &State) -> Result<(u8, u8)> {
    let nodes = state.cql.as_ref().map_or(0, |cql| cql.nodes);
    let mut running = 0;
    for server in servers(home, state).iter().filter(|server| server.name != "redis") {
        running += u8::from(server.is_up()?);
    }
    Ok((running, nodes))
}

/// One server that `up` started at some time.
#[derive(Debug)]
struct Server {
    name: String,
    address: String,
    login: String,
    /// None: a container.
    pid_file: Option<PathBuf>,
    engine: String,
}

impl Server {
    fn is_up(&self) -> Result<bool> {
        Ok(match &self.pid_file {
            Some(pid_file) => Process::recorded(pid_file)?.is_some(),
            None => scylla::is_running(&self.engine, CONTAINER),
        })
    }

    /// What, where, which process, up or down, and who may log in.
    fn line(&self) -> Result<String> {
        let process = match &self.pid_file {
            Some(pid_file) => Process::recorded(pid_file)?.map(|process| {
                let resident_mib = process.resident_kb().unwrap_or(0) / 1024;
                format!("process {}, {resident_mib} MiB", process.pid())
            }),
            None => self.is_up()?.then(|| format!("container {CONTAINER}")),
        };
        let (word, process) = process.map_or(("down", "-".to_owned()), |process| ("up", process));
        Ok(format!("{:<11}  {:<15}  {word:<4}  {process:<24}  {}", self.name, self.address, self.login))
    }
}

/// Redis first, then the nodes, as they were started.
fn servers(home: &Path, state: &State) -> Vec<Server> {
    let redis = state.redis_port.map(|port| Server {
        name: "redis".to_owned(),
        address: format!("127.0.0.1:{port}"),
        login: "no password".to_owned(),
        pid_file: Some(redis_dir(home).join("pid")),
        engine: String::new(),
    });
    let login = format!("user {}, password {}", cassandra::USER, cassandra::PASSWORD);
    let nodes = state.cql.iter().flat_map(|cql| (1..=cql.nodes).map(move |node| (cql, node)));
    let nodes = nodes.map(|(cql, node)| {
        let (name, pid_file, engine) = match &cql.kind {
            Kind::Cassandra => {
                let pid_file = ring_dir(home, cql).join(format!("n{node}/pid"));
                (format!("cassandra {node}"), Some(pid_file), String::new())
            }
            Kind::Scylla(engine) => ("scylla".to_owned(), None, engine.clone()),
        };
        Server {
            name,
            address: format!("127.0.0.{node}:{}", cql.port),
            login: login.clone(),
            pid_file,
            engine,
        }
    });
    redis.into_iter().chain(nodes).collect()
}

/// What makes a node use these servers, as lines for a shell.
fn environment(home: &Path, state: &State) -> String {
    let mut lines = Vec::new();
    if let Some(cql) = &state.cql {
        let nodes: Vec<String> = (1..=cql.nodes).map(|node| format!("127.0.0.{node}:{}", cql.port)).collect();
        lines.extend([
            "export GODWIT_STORE__KIND=cql".to_owned(),
            format!("export GODWIT_STORE__CQL__NODES={}", nodes.join(",")),
            format!("export GODWIT_STORE__CQL__DATACENTER={}", cassandra::DATACENTER),
            format!("export GODWIT_STORE__CQL__REPLICATION_FACTOR={}", cql.nodes),
            format!("export GODWIT_STORE__CQL__USER={}", cassandra::USER),
            format!("export GODWIT_STORE__CQL__PASSWORD_FILE={}", password_file(home, cql).display()),
        ]);
    }
    if let Some(port) = state.redis_port {
        lines.push(format!("export GODWIT_REDIS__URL=redis://127.0.0.1:{port}"));
    }
    lines.join("\n")
}

fn redis_dir(home: &Path) -> PathBuf {
    home.join("redis")
}

/// Rings do not share data: each knows who belongs to it, and by which ports.
fn ring_dir(home: &Path, cql: &Cql) -> PathBuf {
    home.join(format!("cassandra/{}-nodes-{}", cql.nodes, cql.port))
}

fn password_file(home: &Path, cql: &Cql) -> PathBuf {
    match cql.kind {
        Kind::Cassandra => ring_dir(home, cql).join("password"),
        Kind::Scylla(_) => home.join("scylla-password"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Command> {
        Command::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_are_checked() {
        assert_eq!(parse("up"), Some(Command::Up { nodes: 1, cql_port: 9042, redis_port: 6379 }));
        let all = Some(Command::Up { nodes: 3, cql_port: 9142, redis_port: 6380 });
        assert_eq!(parse("up --nodes 3 --cql-port 9142 --redis-port 6380"), all);
        assert_eq!(parse("down"), Some(Command::Down));
        for wrong in [
            "",
            "up --nodes 2",
            "up --nodes",
            "up 3",
            "up --cql-port 3000",
            "down now",
            "status --all",
            "restart",
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_up_started_is_listed_and_found_by_a_node() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(running_nodes(dir.path(), &State::default()).unwrap(), (0, 0));
        let cql = Some(Cql { kind: Kind::Cassandra, nodes: 3, port: 9142 });
        let state = State { redis_port: Some(6380), cql };
        state.write(dir.path()).unwrap();
        assert_eq!(State::read(dir.path()).unwrap(), state);
        assert_eq!(running_nodes(dir.path(), &state).unwrap(), (0, 3));
        let lines: Vec<String> =
            servers(dir.path(), &state).iter().map(|server| server.line().unwrap()).collect();
        assert!(lines[0].starts_with("redis        127.0.0.1:6380   down"), "{lines:?}");
        assert!(lines[3].starts_with("cassandra 3  127.0.0.3:9142   down"), "{lines:?}");
        let environment = environment(dir.path(), &state);
        assert!(environment.contains("NODES=127.0.0.1:9142,127.0.0.2:9142,127.0.0.3:9142\n"));
        assert!(environment.contains("GODWIT_REDIS__URL=redis://127.0.0.1:6380"));
    }
}

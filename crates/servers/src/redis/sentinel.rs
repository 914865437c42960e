//! Redis Sentinel: a master, a replica, and sentinels that make the replica master when the master is
//! gone.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use super::{Options, Reply, Server};
use crate::error::{self, Result};
use crate::ports::Port;

/// What the sentinel calls the master.
pub const MASTER_NAME: &str = "godwit";

/// As many as a majority that can lose one needs.
const SENTINELS: usize = 3;

/// How many must agree that the master is gone.
const QUORUM: usize = 2;

/// A replica is in sync within a second or two, and a sentinel looks every ten seconds.
const KNOWN_MAX: Duration = Duration::from_secs(30);

/// A master, its replica and three sentinels.
#[derive(Debug)]
pub struct Sentinel {
    /// The master at the start.
    pub master: Server,
    /// Its replica.
    pub replica: Server,
    /// The sentinels. They have no password, as in most set-ups.
    pub sentinels: Vec<Server>,
}

impl Sentinel {
    /// Starts them with their files under `dir` and waits until each sentinel knows all the others and could
    /// fail over.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start(dir: &Path, password: Option<&str>) -> Result<Self> {
        let options = Options { password: password.map(str::to_owned), ..Options::default() };
        // The first copy starts at once instead of after five seconds in which others might want one too.
        let more = ["--repl-diskless-sync-delay", "0"].map(str::to_owned);
        let master = Server::start_as(&dir.join("master"), options.clone(), &more)?;
        let port = master.address().port().to_string();
        let more = ["--replicaof", "127.0.0.1", &port].map(str::to_owned);
        let mut replica = Server::start_as(&dir.join("replica"), options, &more)?;
        let linked = |server: &Server| {
            let info = server.ask(&["INFO", "replication"]).unwrap_or(Reply::Nil);
            info.text().lines().any(|line| line == "master_link_status:up")
        };
        replica.wait("in sync", KNOWN_MAX, linked)?;
        let home = |number| dir.join(format!("sentinel-{number}"));
        let sentinels = (0..SENTINELS).map(|number| start_sentinel(&home(number), &port, password));
        let mut sentinels = sentinels.collect::<Result<Vec<_>>>()?;
        for sentinel in &mut sentinels {
            let knows = |server: &Server, what: &str, count: usize| {
                let known = server.ask(&["SENTINEL", what, MASTER_NAME]);
                matches!(known, Ok(Reply::List(known)) if known.len() == count)
            };
            sentinel.wait("aware of the others", KNOWN_MAX, |server| {
                knows(server, "REPLICAS", 1) && knows(server, "SENTINELS", SENTINELS - 1)
            })?;
        }
        Ok(Self { master, replica, sentinels })
    }

    /// The sentinels as `redis://127.0.0.1:PORT`.
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Server::url).collect()
    }

    /// Where the first sentinel says that the master is: a port on 127.0.0.1.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn master_port(&self) -> Result<Option<u16>> {
        let reply = self.sentinels[0].ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME])?;
        let Reply::List(parts) = reply else { return Ok(None) };
        Ok(parts.get(1).and_then(|port| port.text().parse().ok()))
    }
}

fn start_sentinel(dir: &Path, master: &str, password: Option<&str>) -> Result<Server> {
    std::fs::create_dir_all(dir).map_err(error::file("make", dir))?;
    let port = Port::free(&[Ipv4Addr::LOCALHOST])?;
    // Gone for a second is gone. The last is also how soon a vote that nobody won is held again, twice that.
    let mut text = format!(
        "port {}\nbind 127.0.0.1\n\
         sentinel monitor {MASTER_NAME} 127.0.0.1 {master} {QUORUM}\n\
         sentinel down-after-milliseconds {MASTER_NAME} 1000\n\
         sentinel failover-timeout {MASTER_NAME} 3000\n",
        port.number()
    );
    if let Some(password) = password {
        text.push_str(&format!("sentinel auth-pass {MASTER_NAME} {password}\n"));
    }
    // Its own: it writes there what it learns.
    let file = dir.join("sentinel.conf");
    std::fs::write(&file, text).map_err(error::file("write", &file))?;
    let arguments = vec![file.into(), "--dir".into(), dir.into(), "--sentinel".into()];
    Server::run(dir, port, Options::default(), arguments)
}

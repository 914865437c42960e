//! The one way to Redis: who is connected, whether it serves, and what a command costs while not.
//!
//! A link connects in the background and keeps at it. While the server is known to be away a command
//! fails at once, so that a dead Redis costs requests nothing; one that hangs costs the commands that
//! meet it first their timeout, and then a probe finds it away for all.

mod connect;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rand::RngExt as _;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

pub(crate) use connect::Connection;

use crate::metrics::{self, Facility};
use crate::options::Options;
use crate::script::Script;

/// How long connecting may take, the greeting included: three lost SYNs would be seven seconds.
const CONNECT: Duration = Duration::from_secs(2);
/// First and longest pause between two attempts to connect. The longest is how much later than Redis
/// everything resumes.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often a quiet link is probed: a server that vanished is known before somebody waits for it.
const PROBE: Duration = Duration::from_secs(2);
/// Least time between two probes that failed commands asked for.
const PROBE_PAUSE: Duration = Duration::from_millis(100);
/// How often the log says that commands fail although the server serves.
const COMPLAINT: Duration = Duration::from_secs(60);

/// What is known of Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// None is configured: everything is in the process.
    InProcess,
    /// No answer yet, neither good nor bad.
    Connecting,
    /// It serves.
    Up,
    /// It does not answer, with the reason. It is tried again and again.
    Away(String),
    /// It answers and will not have us, with the reason: a wrong password, mostly. It is tried again,
    /// but somebody must change something first.
    Refused(String),
}

/// Why a command brought nothing.
#[derive(Debug)]
pub(crate) enum Unserved {
    /// The server is not there.
    Away,
    /// The server said no, with its code, such as `NOGROUP`.
    Said(String),
}

pub(crate) struct Link {
    pub(crate) options: Options,
    connection: RwLock<Option<Connection>>,
    standing: watch::Sender<Standing>,
    sessions: AtomicU64,
    suspected: Notify,
    suspicion: Mutex<Option<String>>,
}

impl Link {
    pub(crate) fn new(options: Options) -> Arc<Self> {
        metrics::up(false);
        Arc::new(Self {
            options,
            connection: RwLock::new(None),
            standing: watch::Sender::new(Standing::Connecting),
            sessions: AtomicU64::new(0),
            suspected: Notify::new(),
            suspicion: Mutex::new(None),
        })
    }

    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Returns once the server serves: a number that is another one after it was away.
    pub(crate) async fn is_up(&self) -> u64 {
        // The sender lives as long as `self`.
        let _ = self.standing.subscribe().wait_for(|standing| *standing == Standing::Up).await;
        self.sessions.load(Ordering::Relaxed)
    }

    /// Runs a script, in no longer than the time of a command.
    pub(crate) async fn script(
        &self,
        facility: Facility,
        script: &Script,
        keys: &[&str],
        fill: impl Fn(&mut Cmd),
    ) -> Result<Value, Unserved> {
        let Some(connection) = self.connection.read().clone() else { return Err(Unserved::Away) };
        self.script_on(connection, facility, script, keys, fill).await
    }

    /// As [`Link::script`], on a connection of the caller's own.
    pub(crate) async fn script_on(
        &self,
        mut connection: Connection,
        facility: Facility,
        script: &Script,
        keys: &[&str],
        fill: impl Fn(&mut Cmd),
    ) -> Result<Value, Unserved> {
        metrics::command(facility);
        let called = async {
            match connection.send(&script.by_hash(keys, &fill)).await {
                // The server was restarted, or never saw it: the text teaches it.
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    connection.send(&script.by_text(keys, &fill)).await
                }
                other => other,
            }
        };
        let answer = tokio::time::timeout(self.options.timeout, called).await;
        self.judge(facility, answer.unwrap_or_else(|_| Err(connect::too_slow())))
    }

    /// Sends one command on a connection of the caller's own; `patience` is added to the usual time.
    pub(crate) async fn command_on(
        &self,
        connection: &mut Connection,
        facility: Facility,
        command: &Cmd,
        patience: Duration,
    ) -> Result<Value, Unserved> {
        metrics::command(facility);
        let answer = tokio::time::timeout(self.options.timeout + patience, connection.send(command)).await;
        self.judge(facility, answer.unwrap_or_else(|_| Err(connect::too_slow())))
    }

    /// A connection of the caller's own, for commands that block.
    pub(crate) async fn another(&self) -> Result<Connection, Unserved> {
        if *self.standing.borrow() != Standing::Up {
            return Err(Unserved::Away);
        }
        Connection::open(&self.options).await.map_err(|error| self.suspect(&error))
    }

    fn judge(&self, facility: Facility, answer: Result<Value, RedisError>) -> Result<Value, Unserved> {
        answer.map_err(|error| {
            if matches!(error.code(), Some("NOGROUP" | "BUSYGROUP")) {
                return Unserved::Said(error.code().unwrap_or_default().to_owned());
            }
            metrics::failure(facility);
            self.suspect(&error)
        })
    }

    /// Has the server probed: what failed may be the command's fault.
    fn suspect(&self, error: &RedisError) -> Unserved {
        *self.suspicion.lock() = Some(error.to_string());
        self.suspected.notify_one();
        match error.code() {
            Some(code) => Unserved::Said(code.to_owned()),
            None => Unserved::Away,
        }
    }

    /// Keeps the link up for as long as the task lives.
    pub(crate) async fn keep(self: Arc<Self>) {
        let mut pause = PAUSE.0;
        loop {
            let opened = match Connection::open(&self.options).await {
                Ok(mut connection) => self.probe(&mut connection).await.map(|()| connection),
                Err(error) => Err(error),
            };
            match opened {
                Ok(connection) => {
                    let since = Instant::now();
                    let error = self.serve(connection).await;
                    self.lost(&error);
                    if since.elapsed() > PAUSE.1 {
                        pause = PAUSE.0;
                    }
                }
                Err(error) => self.lost(&error),
            }
            // Nodes that lost the same server must not come back in step.
            let share = rand::rng().random_range(0.5..=1.0);
            tokio::time::sleep(pause.mul_f64(share)).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Lends the connection out until a probe finds it dead.
    async fn serve(&self, mut connection: Connection) -> RedisError {
        // What the connection before this one met says nothing of this one.
        *self.suspicion.lock() = None;
        *self.connection.write() = Some(connection.clone());
        metrics::up(true);
        self.sessions.fetch_add(1, Ordering::Relaxed);
        let before = self.standing.send_replace(Standing::Up);
        let server = self.options.address();
        match before {
            Standing::Connecting => tracing::info!(%server, "redis serves"),
            _ => tracing::info!(%server, "redis is back"),
        }
        let mut complained: Option<Instant> = None;
        loop {
            // Elapsed means that it was quiet, else somebody met a failure.
            let _ = tokio::time::timeout(PROBE, self.suspected.notified()).await;
            let suspicion = self.suspicion.lock().take();
            if let Err(error) = self.probe(&mut connection).await {
                *self.connection.write() = None;
                return error;
            }
            if let Some(reason) = suspicion {
                if complained.is_none_or(|at| at.elapsed() > COMPLAINT) {
                    complained = Some(Instant::now());
                    tracing::warn!(%server, %reason, "redis serves, but not every command");
                }
                tokio::time::sleep(PROBE_PAUSE).await;
            }
        }
    }

    /// Whether every server answers and takes writes: a replica, a full one and a cluster without all
    /// of its slots do not.
    async fn probe(&self, connection: &mut Connection) -> Result<(), RedisError> {
        metrics::command(Facility::Probe);
        let (ping, key) = (redis::cmd("PING"), format!("{}probe", self.options.prefix));
        let mut write = redis::cmd("SET");
        write.arg(key).arg("1").arg("PX").arg(60_000);
        let both = async {
            connection.send(&ping).await?;
            connection.send(&write).await.map(drop)
        };
        let answer = tokio::time::timeout(self.options.timeout * 2, both).await;
        answer.unwrap_or_else(|_| Err(connect::too_slow())).inspect_err(|_| metrics::failure(Facility::Probe))
    }

    /// Says once that the server is gone, or that it will not have us.
    fn lost(&self, error: &RedisError) {
        let refused = connect::is_refusal(error);
        let reason = error.to_string();
        let standing = if refused { Standing::Refused(reason) } else { Standing::Away(reason) };
        let before = self.standing.send_replace(standing);
        let server = self.options.address();
        metrics::up(false);
        let same = match before {
            Standing::Refused(_) => refused,
            Standing::Away(_) => !refused,
            _ => false,
        };
        match (same, refused) {
            (true, _) => {}
            (false, true) => tracing::error!(%server, reason = %error, "redis refuses this node"),
            (false, false) => tracing::warn!(
                %server,
                reason = %error,
                "redis is away: presence is unknown, rate limits are this node's own, push jobs wait"
            ),
        }
    }
}

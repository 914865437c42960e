//! What a worker is to do, whole: it needs nothing else but the word to go.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::profile::{self, Profile};

/// One worker's share of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Its number, from 0.
    pub worker: u32,
    /// Names this run in the ids of its messages: what an earlier one left in an inbox is not its own.
    pub run: u32,
    /// What its random choices are drawn from.
    pub seed: u64,
    /// What it talks to.
    pub server: ServerPlan,
    /// Who its accounts are.
    pub accounts: AccountsPlan,
    /// Who talks to whom; none: nobody says anything.
    pub conversations: Option<ConversationsPlan>,
    /// How streams behave.
    pub streams: StreamsPlan,
    /// How messages are sent; none: not at all.
    pub messages: Option<MessagesPlan>,
    /// For how long.
    pub times: Times,
    /// Whether everything is recorded and judged.
    pub verify: Option<VerifyPlan>,
}

/// The server, and the way to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerPlan {
    /// Base addresses, `http://` or `https://`, without a path. A connection takes the next one.
    pub targets: Vec<String>,
    /// What it is spoken to by; none: it is godwit.
    pub profile: Option<ProfilePlan>,
    /// Where connections come from, in turn; none: wherever the system says.
    pub sources: Vec<IpAddr>,
    /// The protocol.
    pub http: Http,
    /// Streams on one HTTP/2 connection, at most; the server may allow less.
    pub streams_per_connection: u32,
    /// Roots for TLS, PEM; none: those of the system.
    pub roots_pem: Option<String>,
    /// Where tokens come from.
    pub tokens: TokenSource,
}

impl ServerPlan {
    /// The name of what it talks to.
    ///
    /// # Errors
    /// When the profile is wrong.
    pub fn name(&self) -> Result<String, profile::Error> {
        match &self.profile {
            Some(profile) => Ok(profile.parse()?.name().to_owned()),
            None => Ok("godwit".to_owned()),
        }
    }
}

/// A profile, as it was read where the coordinator runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfilePlan {
    /// Where: for errors.
    pub file: PathBuf,
    /// What.
    pub text: String,
}

impl ProfilePlan {
    /// The profile. Variables that it names are those of this process.
    ///
    /// # Errors
    /// When it is wrong.
    pub fn parse(&self) -> Result<Profile, profile::Error> {
        Profile::parse(&self.file, &self.text, &|name| std::env::var(name).ok())
    }
}

/// The version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Http {
    /// HTTP/1.1: a connection for each stream.
    #[value(name = "1.1")]
    Http1,
    /// HTTP/2: many streams on a connection. Without TLS by prior knowledge.
    #[value(name = "2")]
    Http2,
}

impl Http {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Http::Http1 => "1.1",
            Http::Http2 => "2",
        }
    }
}

/// Where tokens come from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenSource {
    /// Signed here with this secret (HS256).
    Secret(String),
    /// Read from a file of the worker's host, a token a line; the plan's accounts are line numbers.
    File(PathBuf),
    /// Asked for at `GET /dev/token`, which `godwit dev` has.
    Dev,
    /// The host of the worker has its own, see [`crate::remote`].
    OfHost,
    /// The server wants none.
    None,
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TokenSource::Secret(_) => "Secret(…)",
            TokenSource::File(_) => "File",
            TokenSource::Dev => "Dev",
            TokenSource::OfHost => "OfHost",
            TokenSource::None => "None",
        })
    }
}

/// Numbered accounts with one device each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountsPlan {
    /// Their names begin so.
    pub prefix: String,
    /// The number of the first.
    pub first: u64,
    /// How many.
    pub count: u32,
}

/// Conversations among a worker's accounts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConversationsPlan {
    /// Sizes and how many conversations in proportion have them. Two members: a direct one.
    pub sizes: Vec<SizeShare>,
    /// How many conversations each account is in.
    pub per_account: u32,
}

/// A size of conversations, and its share of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SizeShare {
    /// Members.
    pub size: u32,
    /// In proportion to the other shares.
    pub share: f64,
}

/// How streams behave.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StreamsPlan {
    /// Opened before the load; if not, only after it, to see that all arrived.
    pub open: bool,
    /// Streams opened a second, at most; none: as fast as the server takes them.
    pub opened_per_s: Option<f64>,
    /// Mean length of a stream's life, in seconds, of an exponential distribution; none: for ever.
    pub life_s: Option<f64>,
    /// Of the streams that end so, the share that is left without a FIN.
    pub left_share: f64,
    /// Of the streams that end so, the share whose app goes into the background first.
    pub background_share: f64,
    /// Devices acknowledge what they receive.
    pub acks: bool,
    /// All streams are cut at once this often, in seconds.
    pub storm_every_s: Option<f64>,
    /// The share of devices that read slowly.
    pub slow_share: f64,
    /// What a slow one reads, in bytes a second.
    pub slow_bytes_per_s: u32,
}

/// How messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MessagesPlan {
    /// When.
    pub pace: Pace,
    /// Messages in one request; more than one go as an outbox.
    pub outbox: u32,
    /// Bytes of a message's text.
    pub text_bytes: u32,
    /// Connections that send.
    pub connections: u32,
    /// The share of accounts that write at all.
    pub active_share: f64,
}

/// When messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Pace {
    /// At times that were drawn beforehand, whatever the server does (an open loop).
    Open {
        /// Messages a second.
        per_s: f64,
        /// The rate grows from 0 for so long.
        ramp_s: f64,
    },
    /// Each connection sends when it was answered (a closed loop). Finds the limit; its times say little.
    Closed,
}

/// Lengths of the phases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Load that does not count.
    pub warm_up_s: f64,
    /// Load that counts.
    pub run_s: f64,
    /// The longest wait for what is under way at the end.
    pub settle_s: f64,
}

impl Times {
    /// Of all load.
    pub fn load(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up_s + self.run_s)
    }
}

/// What the judge needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyPlan {
    /// A directory for the whole history.
    pub history: Option<PathBuf>,
    /// Records that are kept, at most.
    pub records_max: usize,
}

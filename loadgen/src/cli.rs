//! The command line.

mod plans;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::groups;
use crate::plan::{Http, SizeShare};

pub use plans::{fits, plans, token_source};

/// Load for godwit and for other SSE servers, and the judge of what came back.
#[derive(Debug, Parser)]
#[command(name = "godwit-loadgen", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 a bug; 2 the load could not be made; 3 verify found a \
                          violation; 64 a flag is wrong.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open streams and hold them.
    Idle(Box<Load>),
    /// Conversations of two and of more, messages at random times.
    Chat(Box<Load>),
    /// As chat, and all streams are cut at once and come back, again and again.
    Storm(Box<Load>),
    /// As chat, with phones that change networks and put apps into the background.
    Flap(Box<Load>),
    /// As chat, and some devices read a few bytes a second.
    Slow(Box<Load>),
    /// A quiet evening: few of the connected accounts write, some phones move.
    Mixed(Box<Load>),
    /// Any of these, with everything recorded and the guarantees checked; exits 3 at a violation.
    Verify(Box<Verify>),
    /// A worker, by itself, for coordinators on other hosts.
    Worker(Worker),
}

/// The shape of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Streams on which nothing comes but heartbeats.
    Idle,
    /// Conversations.
    Chat,
    /// All streams cut at once.
    Storm,
    /// Phones that move.
    Flap,
    /// Readers that are slow.
    Slow,
    /// Few of many are active.
    Mixed,
}

impl Scenario {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Idle => "idle",
            Scenario::Chat => "chat",
            Scenario::Storm => "storm",
            Scenario::Flap => "flap",
            Scenario::Slow => "slow",
            Scenario::Mixed => "mixed",
        }
    }
}

/// A load that is judged.
#[derive(Debug, Clone, Args)]
pub struct Verify {
    /// Which.
    #[arg(long, value_enum, default_value = "flap")]
    pub scenario: Scenario,
    /// Directory for the whole history, a file of JSON lines for each worker
    #[arg(long, value_name = "DIR")]
    pub history: Option<PathBuf>,
    /// Records that a worker keeps, at most; some 200 bytes each
    #[arg(long, value_name = "N", default_value_t = 20_000_000)]
    pub history_records: usize,
    /// The load.
    #[command(flatten)]
    pub load: Load,
}

/// What a load is made of. What is not given is as the scenario says.
#[derive(Debug, Clone, Args)]
pub struct Load {
    /// Base address of a server; repeat it for the nodes of a cluster
    #[arg(long = "target", value_name = "URL", required = true, help_heading = "Server")]
    pub targets: Vec<String>,
    /// The targets are servers of their own: a worker stays with one of them
    #[arg(long, help_heading = "Server")]
    pub apart: bool,
    /// Another server than godwit: TOML, see docs/loadgen-profiles.md
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub profile: Option<PathBuf>,
    /// File with the secret that signs tokens (HS256). Without it and --tokens they are asked for at
    /// /dev/token, which `godwit dev` has
    #[arg(long, value_name = "FILE", conflicts_with = "tokens", help_heading = "Server")]
    pub token_secret_file: Option<PathBuf>,
    /// File with tokens, one a line; sub and dev in them say whose
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub tokens: Option<PathBuf>,
    /// Version of HTTP
    #[arg(long, value_enum, default_value = "1.1", help_heading = "Server")]
    pub http: Http,
    /// Streams on one HTTP/2 connection, at most; the server may allow less
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Server")]
    pub streams_per_connection: u32,
    /// Roots to believe instead of the system's, PEM
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub ca_file: Option<PathBuf>,

    /// Accounts, each with one device and its stream
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Load")]
    pub streams: Option<u32>,
    /// Messages a second, whatever the server does
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Load")]
    pub rate: Option<f64>,
    /// How long the load counts
    #[arg(long, value_name = "S", value_parser = not_negative, help_heading = "Load")]
    pub seconds: Option<f64>,
    /// The rate grows from nothing for so long
    #[arg(long, value_name = "S", default_value = "0", value_parser = not_negative, help_heading = "Load")]
    pub ramp_s: f64,
    /// Load before that, which does not count
    #[arg(long, value_name = "S", value_parser = not_negative, help_heading = "Load")]
    pub warm_up_s: Option<f64>,
    /// The longest wait at the end for what is under way
    #[arg(long, value_name = "S", default_value = "60", value_parser = not_negative, help_heading = "Load")]
    pub settle_s: f64,
    /// What all random choices are drawn from; drawn itself when not given
    #[arg(long, value_name = "N", help_heading = "Load")]
    pub seed: Option<u64>,
    /// Streams opened a second, at most; else as fast as the server takes them
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Load")]
    pub open_rate: Option<f64>,
    /// Names of accounts begin so
    #[arg(long, value_name = "TEXT", default_value = "load-", value_parser = prefix, help_heading = "Load")]
    pub account_prefix: String,
    /// Sizes of conversations and their shares, such as 2:80,10:15,50:5
    #[arg(long, value_name = "SIZES", default_value = "2", value_parser = Sizes::parse, help_heading = "Load")]
    pub groups: Sizes,
    /// Conversations that each account is in
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100), help_heading = "Load")]
    pub conversations: u32,
    /// Bytes of a message's text
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=16_000), help_heading = "Load")]
    pub text_bytes: u32,
    /// Connections that send, of all workers together
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Load")]
    pub connections: u32,
    /// Messages in one request, of one conversation
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Load")]
    pub outbox: u32,
    /// Each connection sends when it was answered, instead of at a rate: finds the limit
    #[arg(long, conflicts_with = "rate", help_heading = "Load")]
    pub closed_loop: bool,
    /// Streams are opened after the load only, to see that all arrived
    #[arg(long, help_heading = "Load")]
    pub no_streams: bool,

    /// storm: time between two cuts of all streams
    #[arg(long, value_name = "S", value_parser = positive, help_heading = "Scenario")]
    pub storm_every_s: Option<f64>,
    /// flap, mixed: mean life of a stream
    #[arg(long, value_name = "S", value_parser = positive, help_heading = "Scenario")]
    pub life_s: Option<f64>,
    /// flap, mixed: share of cuts without a FIN, as of a phone that leaves a network
    #[arg(long, value_name = "0…1", value_parser = share, help_heading = "Scenario")]
    pub left_share: Option<f64>,
    /// flap, mixed: share of the other cuts where the app goes into the background
    #[arg(long, value_name = "0…1", value_parser = share, help_heading = "Scenario")]
    pub background_share: Option<f64>,
    /// slow: share of devices that read slowly
    #[arg(long, value_name = "0…1", value_parser = share, help_heading = "Scenario")]
    pub slow_share: Option<f64>,
    /// slow: what they read a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Scenario")]
    pub slow_bytes_per_s: Option<u32>,
    /// mixed: share of accounts that write at all
    #[arg(long, value_name = "0…1", value_parser = share, help_heading = "Scenario")]
    pub active_share: Option<f64>,

    /// Worker processes, or where others listen: 4, or HOST:PORT,HOST:PORT
    #[arg(long, value_name = "N|HOSTS", default_value = "1", value_parser = WorkersArg::parse, help_heading = "Workers")]
    pub workers: WorkersArg,
    /// File with the secret that remote workers want
    #[arg(long, value_name = "FILE", help_heading = "Workers")]
    pub worker_secret_file: Option<PathBuf>,
    /// Source address; repeat it, and workers take them in turn. To a server on loopback each worker
    /// has some of its own by itself
    #[arg(long = "source", value_name = "ADDRESS", help_heading = "Workers")]
    pub sources: Vec<IpAddr>,

    /// Watch a server's process of this host; may be repeated
    #[arg(long = "pid", value_name = "PID", help_heading = "Output")]
    pub pids: Vec<u32>,
    /// Watch a server by its metrics, such as http://127.0.0.1:9090/metrics; may be repeated
    #[arg(long = "metrics", value_name = "URL", help_heading = "Output")]
    pub metrics: Vec<String>,
    /// Write the report as JSON; - for standard output
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub json: Option<PathBuf>,
    /// Write the report as one page
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,
    /// Say little while it runs
    #[arg(long, short, help_heading = "Output")]
    pub quiet: bool,
}

/// A worker by itself. Without `--listen` it is the coordinator's child and is no use to anybody else.
#[derive(Debug, Args)]
pub struct Worker {
    /// Where coordinators connect
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// File with the secret that coordinators must know; needed unless the address is a loopback one
    #[arg(long, value_name = "FILE")]
    pub worker_secret_file: Option<PathBuf>,
    /// File with the secret that signs tokens (HS256)
    #[arg(long, value_name = "FILE", conflicts_with = "tokens")]
    pub token_secret_file: Option<PathBuf>,
    /// File with tokens, one a line
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
}

/// Sizes of conversations.
#[derive(Debug, Clone)]
pub struct Sizes(pub Vec<SizeShare>);

impl Sizes {
    fn parse(text: &str) -> Result<Self, String> {
        groups::parse_sizes(text).map(Self)
    }
}

/// Workers: how many here, or where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkersArg {
    /// So many processes of this host.
    Here(u32),
    /// One for each address.
    At(Vec<String>),
}

impl WorkersArg {
    fn parse(text: &str) -> Result<Self, String> {
        match text.parse::<u32>() {
            Ok(0 | 1001..) => Err("from 1 to 1000, or HOST:PORT,…".to_owned()),
            Ok(count) => Ok(Self::Here(count)),
            Err(_) if text.split(',').all(|host| host.rsplit_once(':').is_some_and(is_address)) => {
                Ok(Self::At(text.split(',').map(str::to_owned).collect()))
            }
            Err(_) => Err("write a number, or HOST:PORT,… of hosts where workers listen".to_owned()),
        }
    }

    /// How many.
    pub fn count(&self) -> usize {
        match self {
            Self::Here(count) => *count as usize,
            Self::At(hosts) => hosts.len(),
        }
    }
}

fn is_address((host, port): (&str, &str)) -> bool {
    !host.is_empty() && port.parse::<u16>().is_ok()
}

fn number(text: &str, fits: impl Fn(f64) -> bool, wanted: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|&number: &f64| number.is_finite() && fits(number));
    number.ok_or_else(|| format!("must be {wanted}"))
}

fn positive(text: &str) -> Result<f64, String> {
    number(text, |number| number > 0.0, "a number above 0")
}

fn not_negative(text: &str) -> Result<f64, String> {
    // A month: what is longer is a mistake, and would not fit a Duration's arithmetic for ever.
    number(text, |number| (0.0..=2_700_000.0).contains(&number), "seconds from 0 to 2700000")
}

fn share(text: &str) -> Result<f64, String> {
    number(text, |number| (0.0..=1.0).contains(&number), "a share from 0 to 1")
}

/// What an account's id may begin with: what a conversation's may, so that it can be a channel's name.
fn prefix(text: &str) -> Result<String, String> {
    let fits =
        text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte));
    fits.then(|| text.to_owned()).ok_or_else(|| "at most 40 of A-Z a-z 0-9 . _ ~ -".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn workers_are_a_number_or_addresses() {
        assert_eq!(WorkersArg::parse("3"), Ok(WorkersArg::Here(3)));
        assert_eq!(WorkersArg::parse("a:1,b:2").map(|workers| workers.count()), Ok(2));
        for bad in ["0", "", "a", "a:", "a:1,", "a:99999", "-1"] {
            assert!(WorkersArg::parse(bad).is_err(), "{bad}");
        }
    }
}

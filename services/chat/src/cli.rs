//! The command line.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ErrorKind};
use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Sources};
use crate::exit::Exit;
use crate::token::Wanted;

/// What the program was told to do.
#[derive(Debug)]
pub enum Command {
    /// Show this text: the help or the version.
    Show(String),
    /// Run a node.
    Serve(Sources),
    /// Run a node to try things on.
    Dev {
        /// Where its configuration comes from.
        sources: Sources,
        /// Whether it may listen where others can reach it.
        i_know: bool,
    },
    /// Check a configuration.
    CheckConfig(Sources),
    /// Bring the database's schema up to date.
    Migrate {
        /// Where the configuration comes from.
        sources: Sources,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// Sign a token.
    Token(Wanted),
}

/// A command line that cannot be understood; one line that says what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    /// One line.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// The server side of mobile chat: one node, one directory, nothing else to install.
#[derive(Parser)]
#[command(name = "godwit", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Run a node to try things on, with defaults: no configuration, tokens for everybody
    ///
    /// Listens on 127.0.0.1:8080, with the operator's page on 127.0.0.1:9090, and keeps its data in
    /// ./godwit-data. Takes the environment too, such as GODWIT_STREAM__HEARTBEAT_MS=15000.
    Dev {
        #[command(flatten)]
        common: Common,
        /// Listen on addresses that others can reach, although anyone who reaches them gets a token
        /// for any account
        #[arg(long)]
        i_know: bool,
    },
    /// Run a node
    ///
    /// Precedence: flags, then the environment (GODWIT_SECTION__KEY, lists separated by commas),
    /// then the file, then defaults. docs/configuration.md has every key.
    Serve {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        common: Common,
    },
    /// Say what is wrong with a configuration, field by field; change nothing
    ///
    /// Takes the environment into account, as `serve` would. If all is right, shows every key as it
    /// is in force and where it was set.
    CheckConfig {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Bring the schema of the CQL database up to date, or say that it is
    ///
    /// `serve` does the same at its start. A schema is only ever added to while older nodes may use it.
    Migrate {
        #[command(flatten)]
        config: ConfigFile,
        /// Say from what to what it would go, and with which statements; change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Sign a token for a device of an account (HS256)
    Token {
        /// File with the signing secret, at least 32 bytes
        #[arg(long, value_name = "FILE")]
        secret_file: PathBuf,
        /// The account: 1 to 128 printable ASCII characters
        #[arg(long, value_name = "ID")]
        account: String,
        /// The device: 1 to 64 characters of A-Z a-z 0-9 . _ ~ -
        #[arg(long, value_name = "ID")]
        device: String,
        /// How long the token is good, such as 30m, 1h or 7d
        #[arg(long, value_name = "TIME", default_value = "1h")]
        ttl: String,
    },
}

#[derive(Args)]
struct ConfigFile {
    /// The configuration, in TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Args)]
struct Common {
    /// Where clients connect (node.listen)
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The operator's port (node.admin_listen)
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<String>,
    /// Directory of this node's data (node.data_dir)
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// What this node is called (node.id)
    #[arg(long, value_name = "ID")]
    node_id: Option<String>,
}

impl Common {
    fn flags(self) -> Vec<(&'static str, &'static str, String)> {
        let given = [
            ("--listen", "node.listen", self.listen),
            ("--admin-listen", "node.admin_listen", self.admin_listen),
            ("--data-dir", "node.data_dir", self.data_dir),
            ("--node-id", "node.id", self.node_id),
        ];
        given.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value?))).collect()
    }
}

/// Understands the command line, the program's own name first.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Error> {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Command::Show(error.to_string()));
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            return Err(Error(
                "no command is given; it is dev, serve, check-config, migrate or token; see --help".into(),
            ));
        }
        Err(error) => return Err(Error(on_one_line(&error))),
    };
    let sources = |file, flags| Sources { file, environment: std::env::vars_os().collect(), flags };
    Ok(match arguments.command {
        Subcommands::Dev { common, i_know } => {
            Command::Dev { sources: sources(None, common.flags()), i_know }
        }
        Subcommands::Serve { config, common } => Command::Serve(sources(Some(config.config), common.flags())),
        Subcommands::CheckConfig { config } => Command::CheckConfig(sources(Some(config.config), Vec::new())),
        Subcommands::Migrate { config, dry_run } => {
            Command::Migrate { sources: sources(Some(config.config), Vec::new()), dry_run }
        }
        Subcommands::Token { secret_file, account, device, ttl } => {
            Command::Token(Wanted { secret_file, account, device, ttl })
        }
    })
}

/// What clap says in several paragraphs: what is wrong, then its tips; without the usage.
fn on_one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let paragraphs = text
        .trim_start_matches("error: ")
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|paragraph| !paragraph.is_empty())
        .filter(|paragraph| {
            !["Usage:", "For more information"].iter().any(|start| paragraph.starts_with(start))
        });
    let line = paragraphs.collect::<Vec<_>>().join("; ");
    match error.get(ContextKind::Usage) {
        Some(_) => format!("{line}; see --help"),
        None => line,
    }
}

/// What `check-config` shows of a configuration that is right: TOML again.
pub fn checked(config: &Config) -> String {
    let lines: String = config.settings.iter().map(|setting| format!("{setting}\n")).collect();
    format!("{lines}# the configuration is right\n")
}

/// Writes to standard output. Whoever reads it may have had enough (`| head`): that is no failure.
pub fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Ok.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_no_fault_with_the_definition() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}

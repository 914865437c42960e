//! The server's binary.

mod allocator;

use std::process::ExitCode;

use godwit_chat::cli::{self, Command};
use godwit_chat::config::{Config, Mode};
use godwit_chat::{exit, migrate, server, token};

fn main() -> ExitCode {
    run().unwrap_or_else(|error| exit::report(&error))
}

fn run() -> anyhow::Result<ExitCode> {
    match cli::parse(std::env::args_os())? {
        Command::Show(text) => cli::print(&text),
        Command::Serve(sources) => server::run(Config::load(&sources, Mode::Serve)?, Mode::Serve),
        Command::Dev { sources, i_know } => {
            let mode = Mode::Dev { i_know };
            server::run(Config::load(&sources, mode)?, mode)
        }
        Command::CheckConfig(sources) => cli::print(&cli::checked(&Config::load(&sources, Mode::Serve)?)),
        Command::Migrate { sources, dry_run } => {
            cli::print(&migrate::run(&Config::load(&sources, Mode::Serve)?, dry_run)?)
        }
        Command::Token(wanted) => cli::print(&(token::from_file(&wanted)? + "\n")),
    }
}

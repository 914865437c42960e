//! The project's own commands, started as `cargo xtask COMMAND`.
//!
//! `test` runs every check that a change must pass, `bench` measures the release program,
//! `dist` builds the program that ships, `services` runs the servers below it. It must never become part of what ships: no other
//! crate depends on it.

mod bench;
mod command;
mod dist;
mod layers;
mod services;
mod test;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test  [--list] [--only STAGE]… [--keep-going]   run every check, or the named ones
  bench [--list] [--only NAME]… [--quick]         measure, and write docs/benchmarks.md
  dist                                            target/dist/godwit and godwit.debug
  services up [--nodes 1|3] [--cql-port P] [--redis-port P]
                                                  Cassandra (or ScyllaDB) and Redis on loopback
  services down | status                          end them; say what runs";

/// What sysexits(3) calls EX_USAGE; the server's programs use the same.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let outcome = match command.as_str() {
        "test" => test::main(&rest),
        "bench" => bench::main(&rest),
        "services" => match services::Command::parse(&rest) {
            Some(command) => services::main(command),
            None => return usage(),
        },
        "dist" if rest.is_empty() => dist::main(),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => return usage(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(EXIT_USAGE)
}

//! A client of `crates/bench` as a child process: started, watched together with the server, dismissed.

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Bench;
use super::process::{self, Sample};
use super::server::Server;
use crate::command;

/// Builds the clients as they are measured with: for release.
///
/// # Errors
/// When cargo fails.
pub(crate) fn build() -> Result<PathBuf> {
    command::run(command::cargo().args(["build", "--release", "--locked", "--package", "godwit-bench"]))?;
    Ok(command::target_dir().join("release/godwit-bench"))
}

/// A running client.
pub(crate) struct Client {
    child: Child,
    lines: BufReader<ChildStdout>,
}

/// What a load cost while it counted, in cores: 1.0 is one core all the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    server: f64,
    client: f64,
    /// Whoever else ran, and what the kernel did in nobody's name.
    others: f64,
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cores { server, client, others } = self;
        write!(f, "cores: server {server:.2}, client {client:.2}, all else {others:.2}")
    }
}

/// Processor times at one moment.
struct Moment {
    at: Instant,
    server: Duration,
    client: Duration,
    machine: Duration,
}

impl Moment {
    fn now(server: &Server, client: &Client) -> Result<Moment> {
        let cpu = |pid| Sample::of(pid).map(|sample| sample.cpu);
        let (server, client) = (cpu(server.pid())?, cpu(client.child.id())?);
        Ok(Moment { at: Instant::now(), server, client, machine: process::machine_busy()? })
    }

    /// What was used since then.
    fn cores_until(&self, end: &Moment) -> Cores {
        let seconds = (end.at - self.at).as_secs_f64();
        let share = |from, to: Duration| to.saturating_sub(from).as_secs_f64() / seconds;
        let (server, client) = (share(self.server, end.server), share(self.client, end.client));
        // Ticks of 10 ms may make the parts larger than the whole.
        let others = (share(self.machine, end.machine) - server - client).max(0.0);
        Cores { server, client, others }
    }
}

impl Client {
    /// Starts a measurement's client against a server, with arguments separated by spaces.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(bench: &Bench, server: &Server, arguments: &str) -> Result<Client> {
        let mut command = Command::new(&bench.client);
        command.arg("--address").arg(server.address.to_string());
        command.arg("--secret-file").arg(server.secret_file()).args(arguments.split_whitespace());
        // What goes wrong it says on standard error, which is ours.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the client cannot be started")?;
        let lines = BufReader::new(child.stdout.take().context("the client's output is a pipe")?);
        Ok(Client { child, lines })
    }

    /// Runs a load from its begin to its end; what the client found, and what both cost meanwhile.
    ///
    /// # Errors
    /// When the client fails, which it does at the first answer that is not right.
    pub(crate) fn load(bench: &Bench, server: &Server, arguments: &str) -> Result<(Value, Cores)> {
        let mut client = Client::start(bench, server, arguments)?;
        client.wait_for("begin")?;
        let began = Moment::now(server, &client)?;
        client.wait_for("end")?;
        let cores = began.cores_until(&Moment::now(server, &client)?);
        let result = client.wait_for("result")?;
        client.dismiss()?;
        Ok((result, cores))
    }

    /// Waits for the client's next line, which must be this one.
    ///
    /// # Errors
    /// When the client ends before, or says something else.
    pub(crate) fn wait_for(&mut self, at: &str) -> Result<Value> {
        let mut line = String::new();
        if self.lines.read_line(&mut line).context("the client's output cannot be read")? == 0 {
            bail!("the client ended before its {at:?}");
        }
        let said: Value = serde_json::from_str(&line).with_context(|| format!("the client said {line:?}"))?;
        if said["at"] != at {
            bail!("the client said {line:?} instead of {at:?}");
        }
        Ok(said)
    }

    /// Tells it that it is no longer needed; it may still say its result.
    pub(crate) fn release(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end well.
    pub(crate) fn dismiss(mut self) -> Result<()> {
        self.release();
        let status = self.child.wait().context("the client cannot be waited for")?;
        if !status.success() {
            bail!("the client ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // After `dismiss` the process is gone and both calls only say so.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A whole number of a client's result.
///
/// # Errors
/// When there is none of this name; `/` leads into a part of the result (RFC 6901).
pub(crate) fn number(result: &Value, pointer: &str) -> Result<u64> {
    let found = result.pointer(pointer).and_then(Value::as_u64);
    found.with_context(|| format!("the client's result has no {pointer}: {result}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_neither_server_nor_client_used_is_of_others() {
        let seconds = Duration::from_secs;
        let at = Instant::now();
        let began = Moment { at, server: seconds(1), client: seconds(2), machine: seconds(100) };
        let ended =
            Moment { at: at + seconds(10), server: seconds(11), client: seconds(4), machine: seconds(115) };
        let cores = began.cores_until(&ended).to_string();
        assert_eq!(cores, "cores: server 1.00, client 0.20, all else 0.30");
    }

    #[test]
    fn a_number_is_found_or_missed_by_name() {
        let result = serde_json::json!({"at": "result", "arrived_us": {"p50": 700}});
        assert_eq!(number(&result, "/arrived_us/p50").unwrap(), 700);
        let error = number(&result, "/arrived_us/p51").unwrap_err();
        assert!(error.to_string().contains("/arrived_us/p51"), "{error}");
    }
}

//! The workers: processes of this host, or of others that listen for us.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
    BufReader,
};
use tokio::net::TcpStream;
use tokio::process::{Child, Command as Process};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::link::{Command, LINE_BYTES_MAX, Said};
use crate::plan::Plan;
use crate::remote::{self, Secret};

/// What workers said and nobody has looked at: some seconds of all.
const SAID_MAX: usize = 1024;

/// Where a worker runs.
#[derive(Debug, Clone)]
pub enum Place {
    /// On this host.
    Here,
    /// At `host:port`, where `godwit-loadgen worker --listen` runs.
    At {
        /// Where.
        address: String,
        /// What both know.
        secret: Option<Secret>,
    },
}

impl Place {
    /// Whether it is this host.
    pub fn is_here(&self) -> bool {
        matches!(self, Place::Here)
    }
}

/// The two ends of a pipe or a connection: what a worker says, and what it hears.
type Ends = (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

/// Started workers.
pub(super) struct Workers {
    commands: Vec<Box<dyn AsyncWrite + Send + Unpin>>,
    children: Vec<Child>,
    readers: JoinSet<()>,
}

impl Workers {
    /// Starts them and gives each its plan. What they say comes with their number.
    ///
    /// # Errors
    /// When one cannot be started or reached; the others are ended then.
    pub(super) async fn start(plans: Vec<(Place, Plan)>) -> Result<(Self, mpsc::Receiver<(usize, Said)>)> {
        let (sender, receiver) = mpsc::channel(SAID_MAX);
        let mut workers = Self { commands: Vec::new(), children: Vec::new(), readers: JoinSet::new() };
        for (number, (place, plan)) in plans.into_iter().enumerate() {
            let (output, input) = match &place {
                Place::Here => workers.spawn()?,
                Place::At { address, secret } => connect(address, secret.as_ref()).await?,
            };
            workers.commands.push(input);
            workers.readers.spawn(read(number, BufReader::new(output), sender.clone()));
            workers.tell(number, &Command::Plan(Box::new(plan))).await?;
        }
        Ok((workers, receiver))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.commands.len()
    }

    /// Process ids of those on this host.
    pub(super) fn pids(&self) -> impl Iterator<Item = u32> {
        self.children.iter().filter_map(Child::id)
    }

    /// Tells all of them. One that is gone shows by what it no longer says.
    pub(super) async fn tell_all(&mut self, command: &Command) {
        for number in 0..self.count() {
            let _ = self.tell(number, command).await;
        }
    }

    async fn tell(&mut self, number: usize, command: &Command) -> Result<()> {
        let mut line = serde_json::to_vec(command).context("a command is JSON")?;
        line.push(b'\n');
        let input = &mut self.commands[number];
        input.write_all(&line).await.context("a worker does not listen")?;
        input.flush().await.context("a worker does not listen")
    }

    /// Ends all of them. They end by themselves when nobody talks to them any more.
    pub(super) async fn end(mut self) {
        self.commands.clear();
        for child in &mut self.children {
            let ended = tokio::time::timeout(std::time::Duration::from_secs(2), child.wait()).await;
            if ended.is_err() {
                // It may be gone by now, which is as good.
                let _ = child.kill().await;
            }
        }
    }

    fn spawn(&mut self) -> Result<Ends> {
        let program = std::env::current_exe().context("cannot find this program to start workers")?;
        let mut process = Process::new(program);
        // A group of its own: Ctrl-C is for the coordinator, who says what is to happen.
        process
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = process.spawn().context("cannot start a worker")?;
        let (output, input) = (child.stdout.take(), child.stdin.take());
        self.children.push(child);
        match (output, input) {
            (Some(output), Some(input)) => Ok((Box::new(output), Box::new(input))),
            _ => bail!("a worker has no pipes"),
        }
    }
}

async fn connect(address: &str, secret: Option<&Secret>) -> Result<Ends> {
    let running = "is `godwit-loadgen worker --listen` running there?";
    let socket = TcpStream::connect(address).await;
    let socket = socket.with_context(|| format!("cannot connect to the worker at {address}; {running}"))?;
    socket.set_nodelay(true).context("a worker's connection")?;
    let (output, mut input) = socket.into_split();
    let mut output = BufReader::new(output);
    remote::prove(&mut output, &mut input, secret)
        .await
        .with_context(|| format!("the worker at {address}"))?;
    Ok((Box::new(output), Box::new(input)))
}

/// Hands on what a worker says, until it says no more.
async fn read(number: usize, output: impl AsyncBufRead + Unpin, said: mpsc::Sender<(usize, Said)>) {
    let mut output = output;
    let mut done = false;
    loop {
        let mut line = Vec::new();
        let read = (&mut output).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line).await;
        let word = match read {
            Ok(1..) => serde_json::from_slice::<Said>(&line),
            _ => break,
        };
        let word = word
            .unwrap_or_else(|error| Said::Problem(format!("worker {number} said what is no word: {error}")));
        done |= matches!(word, Said::Done(_) | Said::Problem(_));
        if said.send((number, word)).await.is_err() {
            return;
        }
    }
    if !done {
        // If nobody listens, nobody minds.
        let _ = said.send((number, Said::Problem(format!("worker {number} ended before its time")))).await;
    }
}

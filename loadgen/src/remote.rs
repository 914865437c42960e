//! Workers on other hosts: `godwit-loadgen worker --listen`.
//!
//! Whoever may hand a worker its plan can aim it at anybody. So a listener that is not on loopback wants
//! a secret that coordinator and worker share: the worker sends a nonce, the coordinator its HMAC-SHA256
//! under the secret, both in hexadecimal lines, and the worker `welcome`. What follows is in the clear: tokens and secrets of
//! servers are therefore never part of a plan that goes to another host; each host has files of its own.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command as Process;

use crate::plan::TokenSource;

/// Bytes of a nonce.
const NONCE_BYTES: usize = 16;

/// What a worker says to who knows the secret.
const WELCOME: &str = "welcome";

/// The longest line before both trust one another.
const LINE_BYTES_MAX: u64 = 256;

/// Who does not prove itself by then is sent away.
const PROOF_MAX: Duration = Duration::from_secs(5);

/// Workers of this host at once, by default a small multiple of the cores that there are.
const WORKERS_MAX: usize = 256;

/// What coordinator and workers share.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The file's text without its line end.
    ///
    /// # Errors
    /// When it cannot be read, or is too short to keep anybody out.
    pub fn read(file: &PathBuf) -> Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let text = text.trim_end();
        ensure!(text.len() >= 22, "{}: a secret needs at least 22 characters", file.display());
        Ok(Self(text.as_bytes().to_vec()))
    }

    fn mac(&self, nonce: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(nonce.as_bytes());
        mac
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How this host's workers listen.
#[derive(Debug)]
pub struct Listen {
    /// Where.
    pub address: SocketAddr,
    /// What a coordinator must know.
    pub secret: Option<Secret>,
    /// Where this host's tokens come from.
    pub tokens: Option<TokenSource>,
}

/// Serves coordinators for ever: a process for each worker that they ask for.
///
/// # Errors
/// When the address cannot be listened on, or is not on loopback and nothing keeps strangers out.
pub async fn listen(listen: Listen) -> Result<()> {
    if !listen.address.ip().is_loopback() && listen.secret.is_none() {
        bail!(
            "--listen {} is open to others: name a --worker-secret-file, or listen on 127.0.0.1",
            listen.address
        );
    }
    let listener = TcpListener::bind(listen.address)
        .await
        .with_context(|| format!("cannot listen on {}", listen.address))?;
    eprintln!("listening on {}", listener.local_addr().context("the listener has an address")?);
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(WORKERS_MAX));
    loop {
        let (socket, from) = listener.accept().await.context("cannot accept")?;
        let Ok(place) = std::sync::Arc::clone(&places).try_acquire_owned() else { continue };
        let (secret, tokens) = (listen.secret.clone(), listen.tokens.clone());
        tokio::spawn(async move {
            match serve(socket, secret.as_ref(), tokens.as_ref()).await {
                Ok(()) => eprintln!("a worker for {from} has ended"),
                Err(error) => eprintln!("a worker for {from}: {error:#}"),
            }
            drop(place);
        });
    }
}

/// Runs one worker for one coordinator.
async fn serve(socket: TcpStream, secret: Option<&Secret>, tokens: Option<&TokenSource>) -> Result<()> {
    let (output, mut input) = socket.into_split();
    let mut output = BufReader::new(output);
    let trusted = tokio::time::timeout(PROOF_MAX, challenge(&mut output, &mut input, secret));
    trusted.await.context("no proof came")??;
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut process = Process::new(program);
    process.arg("worker").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = process.spawn().context("cannot start a worker")?;
    let (Some(mut to), Some(mut from)) = (child.stdin.take(), child.stdout.take()) else {
        bail!("a worker has no pipes")
    };
    let plan = plan(&mut output, tokens).await?;
    to.write_all(plan.as_bytes()).await.context("the worker")?;
    // When either side is gone, both are.
    tokio::select! {
        copied = tokio::io::copy(&mut output, &mut to) => copied.map(|_| ()).context("the coordinator"),
        copied = tokio::io::copy(&mut from, &mut input) => copied.map(|_| ()).context("the worker"),
    }
}

/// Reads the plan and puts this host's tokens into it.
async fn plan(output: &mut (impl AsyncBufRead + Unpin), tokens: Option<&TokenSource>) -> Result<String> {
    let mut line = String::new();
    output.take(crate::link::LINE_BYTES_MAX as u64).read_line(&mut line).await.context("no plan came")?;
    let Some(tokens) = tokens else { return Ok(line) };
    let mut command: crate::link::Command = serde_json::from_str(&line).context("no plan came")?;
    if let crate::link::Command::Plan(plan) = &mut command {
        plan.server.tokens = tokens.clone();
    }
    Ok(serde_json::to_string(&command)? + "\n")
}

/// Lets a coordinator prove that it knows the secret.
async fn challenge(
    from: &mut (impl AsyncBufRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    secret: Option<&Secret>,
) -> Result<()> {
    let nonce = if secret.is_some() { hex(&rand::random::<[u8; NONCE_BYTES]>()) } else { "open".to_owned() };
    to.write_all(format!("{nonce}\n").as_bytes()).await.context("cannot send")?;
    let Some(secret) = secret else { return Ok(()) };
    let proof = unhex(line(from).await?.trim()).context("the proof is not hexadecimal")?;
    secret.mac(&nonce).verify_slice(&proof).ok().context("the coordinator has another secret")?;
    to.write_all(format!("{WELCOME}\n").as_bytes()).await.context("cannot send")
}

/// Proves to a worker that one knows the secret.
///
/// # Errors
/// When it wants one and there is none, or another one.
pub async fn prove(
    from: &mut (impl AsyncBufRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    secret: Option<&Secret>,
) -> Result<()> {
    let nonce = hear(from).await?;
    match (nonce.trim(), secret) {
        ("open", _) => Ok(()),
        (_, None) => bail!("it wants a secret: name it with --worker-secret-file"),
        (nonce, Some(secret)) => {
            let proof = hex(&secret.mac(nonce).finalize().into_bytes());
            to.write_all(format!("{proof}\n").as_bytes()).await.context("cannot send")?;
            let welcome = hear(from).await.context("it has another secret than --worker-secret-file")?;
            ensure!(welcome.trim() == WELCOME, "what listens there is no worker");
            Ok(())
        }
    }
}

/// What a worker says next, soon.
async fn hear(from: &mut (impl AsyncBufRead + Unpin)) -> Result<String> {
    tokio::time::timeout(PROOF_MAX, line(from)).await.context("it says nothing")?
}

async fn line(from: &mut (impl AsyncBufRead + Unpin)) -> Result<String> {
    let mut line = String::new();
    from.take(LINE_BYTES_MAX).read_line(&mut line).await.context("nothing came")?;
    ensure!(line.ends_with('\n'), "it ended the connection");
    Ok(line)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn meet(worker: Option<&str>, coordinator: Option<&str>) -> (Result<()>, Result<()>) {
        let secret = |text: Option<&str>| text.map(|text| Secret(text.as_bytes().to_vec()));
        let (worker, coordinator) = (secret(worker), secret(coordinator));
        let (one, other) = tokio::io::duplex(1024);
        let ((one_from, mut one_to), (other_from, mut other_to)) =
            (tokio::io::split(one), tokio::io::split(other));
        let (mut one_from, mut other_from) = (BufReader::new(one_from), BufReader::new(other_from));
        let challenged = async {
            let challenged = challenge(&mut one_from, &mut one_to, worker.as_ref()).await;
            one_to.shutdown().await.unwrap();
            challenged
        };
        let proved = async {
            let proved = prove(&mut other_from, &mut other_to, coordinator.as_ref()).await;
            other_to.shutdown().await.unwrap();
            proved
        };
        tokio::join!(challenged, proved)
    }

    #[tokio::test]
    async fn who_knows_the_secret_is_let_in_and_nobody_else() {
        let (worker, coordinator) = meet(Some("swordfish"), Some("swordfish")).await;
        assert!(worker.is_ok() && coordinator.is_ok());
        for other in [Some("guess"), None] {
            let (worker, coordinator) = meet(Some("swordfish"), other).await;
            assert!(worker.is_err());
            assert!(coordinator.unwrap_err().to_string().contains("--worker-secret-file"));
        }
        assert!(meet(None, None).await.0.is_ok());
    }

    #[tokio::test]
    async fn an_open_worker_listens_on_loopback_only() {
        let address = "0.0.0.0:0".parse().unwrap();
        let refused = listen(Listen { address, secret: None, tokens: None }).await.unwrap_err();
        assert!(refused.to_string().contains("--worker-secret-file"));
    }
}

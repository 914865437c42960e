//! Asks a server that runs whether a profile fits it:
//! `cargo run -p godwit-loadgen --example try_profile -- PROFILE TARGET [TOKEN]`.
//!
//! Opens one stream as the profile says, posts one message to another channel and one to this one, and waits
//! for the second to come back. It says each step and what it saw, so that a profile can be written with it.
//! HTTP/1.1 in the clear only, by a client of a few lines: nothing stands between the profile and the wire.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use godwit_loadgen::profile::{Profile, Ready, Values};
use http::{Request, StatusCode};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server on the same machine that needs longer for one step does not fit.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open event stream.
pub(crate) struct Events {
    reader: BufReader<TcpStream>,
    /// The id that the last event had, where the server gives ids.
    pub(crate) last_id: Option<String>,
}

impl Events {
    /// Opens a stream and reads the head of its response.
    pub(crate) async fn open(request: Request<()>) -> Result<Self> {
        let (status, reader) = send(&request, b"").await?;
        ensure!(status == StatusCode::OK, "the stream was answered with {status}");
        Ok(Self { reader, last_id: None })
    }

    /// The data of the next event.
    ///
    /// Good for data of one line, which all JSON of the profiles is. A chunk's size (RFC 9112, section 7.1)
    /// stands on a line of its own and is passed over like any field that is not known.
    pub(crate) async fn next(&mut self) -> Result<String> {
        loop {
            let mut line = String::new();
            let length =
                timeout(PATIENCE, self.reader.read_line(&mut line)).await.context("no event came")??;
            ensure!(length > 0, "the stream ended");
            let line = line.trim_end();
            if let Some(id) = line.strip_prefix("id:") {
                self.last_id = Some(id.trim_start().to_owned());
            }
            if let Some(data) = line.strip_prefix("data:") {
                return Ok(data.trim_start().to_owned());
            }
        }
    }

    /// The id and the sending time of the next message; events that are none are shown and passed over.
    pub(crate) async fn message(&mut self, profile: &Profile) -> Result<(String, u64)> {
        loop {
            let data = self.next().await?;
            match profile.message(&data) {
                Some(seen) => return Ok((seen.id.into_owned(), seen.sent_us)),
                None => println!("passed over: {data}"),
            }
        }
    }
}

/// Posts one message; the status of the answer.
pub(crate) async fn post(profile: &Profile, values: &Values<'_>) -> Result<StatusCode> {
    let request = profile.publish(values)?;
    let (status, mut reader) = send(&request, request.body()).await?;
    if !profile.accepts(status) {
        let mut answer = vec![0; 4096];
        let length = timeout(PATIENCE, reader.read(&mut answer)).await.context("half an answer")??;
        bail!("the message was answered with {status}: {}", String::from_utf8_lossy(&answer[..length]));
    }
    Ok(status)
}

/// Sends a request on a connection of its own, and reads the head of the response.
async fn send<T>(request: &Request<T>, body: &[u8]) -> Result<(StatusCode, BufReader<TcpStream>)> {
    let uri = request.uri();
    let authority = uri.authority().context("the request has no authority")?;
    let address = (authority.host(), authority.port_u16().unwrap_or(80));
    let stream = timeout(PATIENCE, TcpStream::connect(address)).await.context("no connection")??;
    let mut reader = BufReader::new(stream);
    let path = uri.path_and_query().context("the request has no path")?;
    let mut head = format!("{} {path} HTTP/1.1\r\nhost: {authority}\r\n", request.method()).into_bytes();
    for (name, value) in request.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(body);
    reader.get_mut().write_all(&head).await?;
    let mut status = None;
    loop {
        let mut line = String::new();
        timeout(PATIENCE, reader.read_line(&mut line)).await.context("no answer came")??;
        match (status, line.trim_end()) {
            (None, line) => {
                let code = line.split(' ').nth(1).context("the answer is no HTTP")?;
                status = Some(StatusCode::from_bytes(code.as_bytes())?);
            }
            (Some(status), "") => return Ok((status, reader)),
            (Some(_), _) => {}
        }
    }
}

/// Opens a stream, posts two messages of which one is for it, and waits for that one.
///
/// # Errors
/// Says at which step the server did something else than the profile says.
pub(crate) async fn check(profile: &Profile, values: &Values<'_>) -> Result<Events> {
    let request = profile.subscribe(values, None)?;
    println!("GET {}", request.uri());
    let mut events = Events::open(request).await?;
    if profile.ready() == Ready::FirstEvent {
        println!("first event: {}", events.next().await?);
    }
    let elsewhere = Values { channel: "elsewhere", id: "elsewhere-1", ..*values };
    println!("posted to another channel: {}", post(profile, &elsewhere).await?);
    println!("posted: {}", post(profile, values).await?);
    let (id, sent_us) = events.message(profile).await?;
    ensure!(id == values.id, "the message {id:?} came instead of {:?}", values.id);
    ensure!(sent_us == values.sent_us, "its time came as {sent_us} instead of {}", values.sent_us);
    println!("came back");
    Ok(events)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let (file, target, token) = match arguments.as_slice() {
        [_, file, target] => (file, target, ""),
        [_, file, target, token] => (file, target, token.as_str()),
        _ => bail!("usage: try_profile PROFILE TARGET [TOKEN]"),
    };
    let profile = Profile::read(Path::new(file))?;
    let values = Values {
        target,
        account: "anna",
        channel: "tried",
        id: "message-1",
        sent_us: 1_700_000_000_000_001,
        text: "a \"text\" with = & é",
        token,
    };
    check(&profile, &values).await.map(drop)
}

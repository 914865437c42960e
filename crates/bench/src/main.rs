//! The clients of `cargo xtask bench`: processes of their own, so that what the server costs and what
//! they cost can be told apart, and so that each has its own open files.
//!
//! They share the cores with the server that they measure. So they are lean: requests are made
//! beforehand, answers are parsed as far as is needed to know that they are right. They never count
//! what was not acknowledged: an answer that is not the expected one ends the run.
//!
//! What they have to say they write to standard output, one JSON object a line; see [`caller`].

mod account;
mod caller;
mod chunks;
mod connection;
mod inboxes;
mod latency;
mod messages;
mod pairs;
mod request;
mod schedule;
mod stream;
mod streams;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use account::Secret;

/// Clients that measure a server.
#[derive(Debug, Parser)]
struct Cli {
    /// The server's clients' port.
    #[arg(long)]
    address: SocketAddr,
    /// The secret with which the server's tokens are signed.
    #[arg(long)]
    secret_file: PathBuf,
    #[command(subcommand)]
    measurement: Measurement,
}

#[derive(Debug, Subcommand)]
enum Measurement {
    /// As many messages as the server acknowledges.
    Messages(messages::Load),
    /// Messages at a given rate, and when they arrive.
    Latency(latency::Load),
    /// Streams on which nothing happens.
    Streams(streams::Load),
}

/// What every measurement needs to know of its server.
#[derive(Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    secret: Secret,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let target = Target { address: cli.address, secret: Secret::read(&cli.secret_file)? };
    // One thread: what the clients take of two cores the server lacks.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(async {
        match cli.measurement {
            Measurement::Messages(load) => messages::run(&target, &load).await,
            Measurement::Latency(load) => latency::run(&target, &load).await,
            Measurement::Streams(load) => streams::run(&target, &load).await,
        }?;
        caller::until_dismissed().await
    })
}

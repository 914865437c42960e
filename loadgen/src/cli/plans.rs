//! From the command line to a plan for each worker.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use http::Uri;

use super::{Load, Scenario, Verify, WorkersArg};
use crate::coordinator::Place;
use crate::plan::{
    AccountsPlan, ConversationsPlan, MessagesPlan, Pace, Plan, ProfilePlan, ServerPlan, StreamsPlan, Times,
    TokenSource, VerifyPlan,
};
use crate::remote::Secret;

/// A scenario's own figures.
struct Usual {
    streams: u32,
    /// Messages a second; none: by the number of active accounts, or no messages at all.
    rate: Option<f64>,
    seconds: f64,
}

/// Source addresses of a worker on loopback. The kernel finds a free port at once while half of the
/// 28,000 are free, and looks through all of the other half for each after that: a worker's 20,000
/// connections stay below it.
const LOOPBACK_SOURCES: u32 = 4;

/// How often an active account of `mixed` writes.
const MIXED_INTERVAL_S: f64 = 10.0;

/// The share of connected accounts that are active in `mixed`.
const MIXED_ACTIVE: f64 = 0.05;

impl Scenario {
    fn usual(self) -> Usual {
        let (streams, rate, seconds) = match self {
            Scenario::Idle => (1000, None, 60.0),
            Scenario::Chat | Scenario::Flap | Scenario::Slow => (200, Some(200.0), 60.0),
            Scenario::Storm => (1000, Some(100.0), 60.0),
            Scenario::Mixed => (2000, None, 60.0),
        };
        Usual { streams, rate, seconds }
    }
}

/// The plans of all workers, and where each runs.
///
/// # Errors
/// When the load cannot be made as it is asked for: what is wrong, and what would be right.
pub fn plans(
    scenario: Scenario,
    load: &Load,
    verify: Option<&Verify>,
    seed: u64,
) -> Result<Vec<(Place, Plan)>> {
    let profile = load.profile.as_deref().map(|file| profile(file, load, verify.is_some())).transpose()?;
    let workers = load.workers.count() as u32;
    let streams = load.streams.unwrap_or(scenario.usual().streams);
    ensure!(streams >= workers, "--streams {streams} are too few for {workers} workers");
    let tokens = tokens(load, profile.is_some())?;
    let roots_pem = load.ca_file.as_deref().map(read).transpose()?;
    let secret = load.worker_secret_file.as_ref().map(Secret::read).transpose()?;
    let run = rand::random();
    let mut first = 0;
    let mut plans = Vec::new();
    for worker in 0..workers {
        let count = share(streams, worker, workers);
        let place = match &load.workers {
            WorkersArg::Here(_) => Place::Here,
            WorkersArg::At(hosts) => {
                Place::At { address: hosts[worker as usize].clone(), secret: secret.clone() }
            }
        };
        let plan = Plan {
            worker,
            run,
            seed,
            server: ServerPlan {
                targets: targets(load, worker),
                profile: profile.clone(),
                sources: sources(load, worker, workers, &place),
                http: load.http,
                streams_per_connection: load.streams_per_connection,
                roots_pem: roots_pem.clone(),
                tokens: tokens_at(&tokens, &place),
            },
            accounts: AccountsPlan { prefix: load.account_prefix.clone(), first, count },
            conversations: (scenario != Scenario::Idle)
                .then(|| ConversationsPlan { sizes: load.groups.0.clone(), per_account: load.conversations }),
            streams: streams_plan(scenario, load, profile.is_some(), workers),
            messages: messages(scenario, load, streams, worker, workers),
            times: Times {
                warm_up_s: load.warm_up_s.unwrap_or(0.0),
                run_s: load.seconds.unwrap_or(scenario.usual().seconds),
                settle_s: load.settle_s,
            },
            verify: verify.map(|verify| VerifyPlan {
                history: verify.history.clone(),
                records_max: verify.history_records,
            }),
        };
        first += u64::from(count);
        plans.push((place, plan));
    }
    check(&plans)?;
    Ok(plans)
}

/// Whether the flags fit the scenario: those of another mean nothing, and who gives them expects something.
///
/// # Errors
/// The flag, and what it is for.
pub fn fits(scenario: Scenario, load: &Load) -> Result<()> {
    use Scenario::{Flap, Idle, Mixed, Slow, Storm};
    let flags: [(&str, bool, &[Scenario]); 7] = [
        ("--storm-every-s", load.storm_every_s.is_some(), &[Storm]),
        ("--life-s", load.life_s.is_some(), &[Flap, Mixed]),
        ("--left-share", load.left_share.is_some(), &[Flap, Mixed]),
        ("--background-share", load.background_share.is_some(), &[Flap, Mixed]),
        ("--slow-share", load.slow_share.is_some(), &[Slow]),
        ("--slow-bytes-per-s", load.slow_bytes_per_s.is_some(), &[Slow]),
        ("--active-share", load.active_share.is_some(), &[Mixed]),
    ];
    for (flag, given, of) in flags {
        let names: Vec<&str> = of.iter().map(|scenario| scenario.name()).collect();
        ensure!(
            !given || of.contains(&scenario),
            "{flag} is for {}, not for {}",
            names.join(" and "),
            scenario.name()
        );
    }
    let talks = load.rate.is_some() || load.closed_loop || load.no_streams;
    ensure!(
        !talks || scenario != Idle,
        "idle sends no messages: --rate, --closed-loop and --no-streams are for the others"
    );
    ensure!(!load.no_streams || scenario == Scenario::Chat, "--no-streams is for chat");
    ensure!(
        load.profile.is_none() || (load.conversations == 1 && load.outbox == 1),
        "a profile has one channel for each account and one message in each request: leave --conversations and --outbox out"
    );
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// A profile that is right.
fn profile(file: &Path, load: &Load, verify: bool) -> Result<ProfilePlan> {
    ensure!(!verify, "verify knows the guarantees of godwit: it takes no --profile");
    let plan = ProfilePlan { file: file.to_owned(), text: read(file)? };
    let tokens = load.tokens.is_some() || load.token_secret_file.is_some();
    ensure!(
        tokens || !plan.parse()?.needs_token(),
        "{} has {{token}} in it: give --token-secret-file or --tokens",
        file.display()
    );
    Ok(plan)
}

fn tokens(load: &Load, profile: bool) -> Result<TokenSource> {
    token_source(load.token_secret_file.as_deref(), load.tokens.as_deref())
        .map(|source| source.unwrap_or(if profile { TokenSource::None } else { TokenSource::Dev }))
}

/// What the flags say about tokens.
///
/// # Errors
/// When a file cannot be read.
pub fn token_source(secret_file: Option<&Path>, tokens: Option<&Path>) -> Result<Option<TokenSource>> {
    Ok(match (secret_file, tokens) {
        (Some(file), _) => Some(TokenSource::Secret(read(file)?.trim_end().to_owned())),
        (None, Some(file)) => {
            ensure!(file.is_file(), "--tokens {}: there is no such file", file.display());
            // A worker may have another working directory.
            Some(TokenSource::File(std::path::absolute(file).context("--tokens")?))
        }
        (None, None) => None,
    })
}

/// Another host has secrets of its own: what goes there is in the clear.
fn tokens_at(tokens: &TokenSource, place: &Place) -> TokenSource {
    match (place, tokens) {
        (Place::At { .. }, TokenSource::Secret(_) | TokenSource::File(_)) => TokenSource::OfHost,
        _ => tokens.clone(),
    }
}

/// A worker's part of a whole.
fn share(whole: u32, worker: u32, workers: u32) -> u32 {
    whole / workers + u32::from(worker < whole % workers)
}

fn targets(load: &Load, worker: u32) -> Vec<String> {
    match load.apart {
        true => vec![load.targets[worker as usize % load.targets.len()].clone()],
        false => load.targets.clone(),
    }
}

/// Where a worker's connections come from. On loopback there are addresses enough for each worker to have
/// some of its own, and with them all ports: 127.0.1.1 and up; 127.0.0.1 is everybody else's.
fn sources(load: &Load, worker: u32, workers: u32, place: &Place) -> Vec<IpAddr> {
    let given = &load.sources;
    if given.len() >= workers as usize {
        return given.iter().copied().skip(worker as usize).step_by(workers as usize).collect();
    }
    if !given.is_empty() {
        return vec![given[worker as usize % given.len()]];
    }
    let loopback = |target: &String| {
        let host = target.parse::<Uri>().ok()?.host()?.to_owned();
        Some(host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback()))
    };
    let all_loopback = load.targets.iter().all(|target| loopback(target) == Some(true));
    if !(matches!(place, Place::Here) && all_loopback) {
        return Vec::new();
    }
    let first = u32::from(Ipv4Addr::new(127, 0, 1, 1)) + worker * LOOPBACK_SOURCES;
    (first..first + LOOPBACK_SOURCES).map(|address| Ipv4Addr::from(address).into()).collect()
}

fn streams_plan(scenario: Scenario, load: &Load, profile: bool, workers: u32) -> StreamsPlan {
    let plan = StreamsPlan {
        open: !load.no_streams,
        opened_per_s: load.open_rate.map(|rate| rate / f64::from(workers)),
        ..StreamsPlan::default()
    };
    let moving = |life_s, left, background| StreamsPlan {
        life_s: Some(load.life_s.unwrap_or(life_s)),
        left_share: load.left_share.unwrap_or(left),
        background_share: if profile { 0.0 } else { load.background_share.unwrap_or(background) },
        acks: !profile,
        ..plan.clone()
    };
    match scenario {
        Scenario::Idle | Scenario::Chat => plan,
        Scenario::Storm => StreamsPlan { storm_every_s: Some(load.storm_every_s.unwrap_or(15.0)), ..plan },
        Scenario::Flap => moving(30.0, 0.5, 0.3),
        Scenario::Mixed => moving(300.0, 0.5, 0.3),
        Scenario::Slow => StreamsPlan {
            slow_share: load.slow_share.unwrap_or(0.1),
            slow_bytes_per_s: load.slow_bytes_per_s.unwrap_or(50),
            ..plan
        },
    }
}

fn messages(
    scenario: Scenario,
    load: &Load,
    streams: u32,
    worker: u32,
    workers: u32,
) -> Option<MessagesPlan> {
    if scenario == Scenario::Idle {
        return None;
    }
    let active_share = match scenario {
        Scenario::Mixed => load.active_share.unwrap_or(MIXED_ACTIVE),
        _ => 1.0,
    };
    let by_activity = f64::from(streams) * active_share / MIXED_INTERVAL_S;
    let rate = load.rate.or(scenario.usual().rate).unwrap_or(by_activity);
    let of_all = f64::from(share(streams, worker, workers)) / f64::from(streams);
    let pace = match load.closed_loop {
        true => Pace::Closed,
        false => Pace::Open { per_s: rate * of_all, ramp_s: load.ramp_s },
    };
    let connections = share(load.connections, worker, workers).max(1);
    Some(MessagesPlan { pace, outbox: load.outbox, text_bytes: load.text_bytes, connections, active_share })
}

/// Whether each connection of a closed loop has somebody to write for.
fn check(plans: &[(Place, Plan)]) -> Result<()> {
    for (_, plan) in plans {
        if let Some(messages) = plan.messages
            && messages.pace == Pace::Closed
            && messages.connections > plan.accounts.count
        {
            bail!(
                "in a closed loop each account writes on one connection: --connections {} are more than the \
                 {} accounts of a worker; raise --streams",
                messages.connections,
                plan.accounts.count
            );
        }
    }
    Ok(())
}

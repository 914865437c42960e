//! Whether this host can hold the load: file descriptors and ports.

use std::collections::HashMap;
use std::net::IpAddr;

use anyhow::{Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::plan::{Http, Plan};

/// Files of a worker that are no streams: pipes, epoll, timers, libraries.
const FILES_BESIDES: u64 = 64;

/// What a host allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open files of a process.
    pub files: u64,
    /// Ports for connections from one address to one address.
    pub ports: u64,
}

impl Limits {
    /// Of this host. The soft limit of open files is raised to the hard one.
    pub fn of_host() -> Self {
        let mut limit = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        let mut ends = range.split_whitespace().filter_map(|end| end.parse::<u64>().ok());
        let ports = match (ends.next(), ends.next()) {
            (Some(first), Some(last)) if last >= first => last - first + 1,
            // The kernel's default.
            _ => 60_999 - 32_768 + 1,
        };
        Self { files: limit.current.unwrap_or(u64::MAX), ports }
    }
}

/// Whether the workers of this host fit into its limits.
///
/// # Errors
/// Which limit it is, its value, and what to do.
pub fn check(plans: &[&Plan], limits: Limits) -> Result<()> {
    // Of connections to one target; a worker's connections spread evenly.
    let mut ports: HashMap<(Option<IpAddr>, &str), u64> = HashMap::new();
    for plan in plans {
        let connections = connections(plan);
        let files = connections + FILES_BESIDES;
        if files > limits.files {
            bail!(
                "a worker needs {files} open files and may have {}: raise the limit (ulimit -n), use more \
                 workers (--workers {}) or --http 2",
                limits.files,
                (files * plans.len() as u64).div_ceil(limits.files.saturating_sub(FILES_BESIDES).max(1))
            );
        }
        let (targets, sources) = (&plan.server.targets, &plan.server.sources);
        let from = || sources.iter().copied().map(Some).chain(sources.is_empty().then_some(None));
        let share = connections.div_ceil((targets.len() * sources.len().max(1)) as u64);
        for pair in targets.iter().flat_map(|target| from().map(move |source| (source, target.as_str()))) {
            *ports.entry(pair).or_default() += share;
        }
    }
    for ((source, target), ports) in ports {
        if ports > limits.ports {
            let from = source.map_or_else(|| "this host's address".to_owned(), |source| source.to_string());
            bail!(
                "{ports} connections from {from} to {target} need as many ports, and the system gives {} \
                 (net.ipv4.ip_local_port_range): give more source addresses (--source) or targets, or use \
                 --http 2",
                limits.ports
            );
        }
    }
    Ok(())
}

/// Connections of a worker, at most.
fn connections(plan: &Plan) -> u64 {
    let streams = u64::from(plan.accounts.count);
    let streams = match plan.server.http {
        // One that was left stays open beside the next.
        Http::Http1 if plan.streams.life_s.is_some() && plan.streams.left_share > 0.0 => {
            streams + (streams / 2).min(crate::device::LEFT_MAX as u64)
        }
        Http::Http1 => streams,
        Http::Http2 => streams.div_ceil(plan.server.streams_per_connection.max(1).into()),
    };
    streams + u64::from(plan.messages.map_or(0, |messages| messages.connections)) + setup_connections(plan)
}

fn setup_connections(plan: &Plan) -> u64 {
    if plan.conversations.is_some() { crate::setup::CONNECTIONS.into() } else { 1 }
}

//! What the configuration says, in the words of the parts that it is for.

use godwit_actors::Options;
use godwit_cache::Limit;
use godwit_core::delivery::{Bounds, Overflow};
use godwit_core::inbox::Retention;
use godwit_edge::{Rates, accept, api, auth};

use crate::config::{self, Config, KeySource};
use crate::dev;

/// How long an actor without work stays: longer than the pauses within a conversation, short enough that
/// a node's memory follows its load.
const ACTOR_IDLE: std::time::Duration = std::time::Duration::from_secs(30);

/// For the actors.
pub(crate) fn actors(config: &Config, inbox_expires: bool) -> Options {
    let overflow = match config.stream.overflow {
        config::Overflow::Replay => Overflow::Replay,
        config::Overflow::DropOldest => Overflow::DropOldest,
        config::Overflow::DropNewest => Overflow::DropNewest,
        config::Overflow::Disconnect => Overflow::Disconnect,
    };
    Options {
        heartbeat_ms: config.stream.heartbeat.as_millis() as u32,
        retry_ms: (config.stream.retry_min.as_millis() as u32, config.stream.retry_max.as_millis() as u32),
        queue: Bounds { queue_bytes: config.stream.queue_bytes, overflow },
        streams_per_account: config.limits.streams_per_account,
        members_max: config.limits.members,
        retention: Retention {
            events: config.retention.inbox_events,
            age_ms: config.retention.inbox.as_millis() as u64,
        },
        inbox_expires,
        commands_max: config.limits.commands,
        idle: ACTOR_IDLE,
    }
}

/// For the check of tokens. Makes the secret of a `dev` that has none.
pub(crate) fn auth(config: &Config) -> anyhow::Result<auth::Config> {
    let keys = match &config.auth.keys {
        KeySource::Secrets(secrets) => {
            auth::KeySource::Secrets(secrets.iter().map(|secret| secret.expose().to_vec()).collect())
        }
        KeySource::Pem(keys) => auth::KeySource::Pem(
            keys.iter().map(|key| auth::PemKey { kid: key.kid.clone(), pem: key.pem.clone() }).collect(),
        ),
        KeySource::Jwks(url) => auth::KeySource::Jwks(url.clone()),
        KeySource::Development => {
            auth::KeySource::Secrets(vec![dev::secret(&config.node.data_dir)?.expose().to_vec()])
        }
    };
    Ok(auth::Config {
        keys,
        algorithms: config.auth.algorithms.clone(),
        issuer: config.auth.issuer.clone(),
        audience: config.auth.audience.clone(),
        leeway: config.auth.leeway,
    })
}

/// For requests.
pub(crate) fn requests(config: &Config) -> api::Limits {
    let limits = &config.limits;
    api::Limits {
        body_bytes: limits.body_bytes,
        batch_bytes: limits.batch_bytes,
        batch: limits.batch,
        members: limits.members,
        json_depth: limits.json_depth,
        body_timeout: limits.body_timeout,
    }
}

/// For accounts.
pub(crate) fn rates(config: &Config) -> Rates {
    let limits = &config.limits;
    let rate = |per_second| (per_second > 0).then_some(Limit { per_second, burst: limits.burst });
    Rates { requests: rate(limits.requests_per_s), messages: rate(limits.messages_per_s) }
}

/// For connections.
pub(crate) fn connections(config: &Config) -> accept::Limits {
    let limits = &config.limits;
    accept::Limits {
        connections: limits.connections,
        unauthenticated_connections_per_address: u32::try_from(
            limits.unauthenticated_connections_per_address,
        )
        .unwrap_or(u32::MAX),
        head_bytes: limits.head_bytes,
        head_timeout: limits.head_timeout,
        http2_streams: u32::try_from(limits.http2_streams).unwrap_or(u32::MAX),
    }
}

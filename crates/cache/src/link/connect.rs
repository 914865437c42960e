//! One connection to whatever the options name.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, RedisError, RedisResult, Value};
use redis::{ServerErrorKind, TlsMode};

use super::CONNECT;
use crate::options::{Options, Servers};

/// Commands under way on one connection: a second's worth of a busy node at a millisecond each. More
/// wait, for no longer than a command may take.
const IN_FLIGHT_MAX: usize = 1024;

/// A connection; cloning it shares it. Commands of all its users go out in one pipeline.
#[derive(Clone)]
pub(crate) enum Connection {
    Node(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Connects; bounded by [`CONNECT`]. Boxed: the type of what is inside is too deep for the compiler
    /// to carry it into every future that may connect.
    pub(super) fn open(options: &Options) -> BoxFuture<'_, RedisResult<Self>> {
        name_tls_provider();
        let opened = async {
            match &options.servers {
                Servers::Cluster(_) => cluster(options).await.map(Self::Cluster),
                _ => node(options).await.map(Self::Node),
            }
        };
        async { tokio::time::timeout(CONNECT, opened).await.unwrap_or_else(|_| Err(too_slow())) }.boxed()
    }

    pub(super) async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Node(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }
}

pub(super) fn too_slow() -> RedisError {
    RedisError::from(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time"))
}

/// Whether trying again can help only after somebody changed the server or the configuration.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    // A cluster tells of its nodes' refusals in the text only.
    let text = || error.to_string();
    matches!(error.kind(), ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm))
        || matches!(error.code(), Some("WRONGPASS" | "NOAUTH"))
        || ["WRONGPASS", "NOAUTH", "authentication failed", "AuthenticationFailed"]
            .iter()
            .any(|word| text().contains(word))
}

/// The client asks the process for its TLS provider, and panics where two are compiled in and none is named.
fn name_tls_provider() {
    // An error says that one was named before.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn config() -> AsyncConnectionConfig {
    // How long an answer may take is decided command by command, see `Link`.
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(None)
        .set_concurrency_limit(IN_FLIGHT_MAX)
}

async fn node(options: &Options) -> RedisResult<MultiplexedConnection> {
    let client = match &options.servers {
        Servers::One(info) => match &options.tls {
            Some(tls) if is_tls(info.addr()) => Client::build_with_tls(info.clone(), tls.clone())?,
            _ => Client::open(info.clone())?,
        },
        _ => return sentinel(options).await,
    };
    client.get_multiplexed_async_connection_with_config(&config()).await
}

async fn sentinel(options: &Options) -> RedisResult<MultiplexedConnection> {
    let Servers::Sentinels { sentinels, master, user, password } = &options.servers else {
        return Err(RedisError::from((ErrorKind::InvalidClientConfig, "no sentinels are named")));
    };
    let addresses = sentinels.iter().map(|info| info.addr().clone());
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?;
    if let Some(user) = user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = password {
        builder = builder.set_client_to_redis_password(password);
    }
    let login = sentinels[0].redis_settings();
    if let Some(user) = login.username() {
        builder = builder.set_client_to_sentinel_username(user);
    }
    if let Some(password) = login.password() {
        builder = builder.set_client_to_sentinel_password(password);
    }
    if is_tls(sentinels[0].addr()) {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        if let Some(tls) = &options.tls {
            builder = builder
                .set_client_to_redis_certificates(tls.clone())
                .set_client_to_sentinel_certificates(tls.clone());
        }
    }
    builder.build()?.get_async_connection_with_config(&config()).await
}

async fn cluster(options: &Options) -> RedisResult<ClusterConnection> {
    let Servers::Cluster(seeds) = &options.servers else {
        return Err(RedisError::from((ErrorKind::InvalidClientConfig, "no cluster is named")));
    };
    let mut builder = ClusterClientBuilder::new(seeds.iter().cloned())
        .connection_timeout(CONNECT)
        // Blocking reads wait longer than any command: `Link` bounds the others.
        .response_timeout(std::time::Duration::from_secs(60))
        // One for a slot that has just moved; more would only outlast the command's time.
        .retries(2)
        .min_retry_wait(10)
        .max_retry_wait(50)
        .connection_concurrency_limit(IN_FLIGHT_MAX);
    if let Some(tls) = options.tls.as_ref().filter(|_| is_tls(seeds[0].addr())) {
        builder = builder.tls(TlsMode::Secure).certs(tls.clone());
    }
    builder.build()?.get_async_connection().await
}

fn is_tls(address: &ConnectionAddr) -> bool {
    matches!(address, ConnectionAddr::TcpTls { .. })
}

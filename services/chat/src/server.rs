//! One node, from its sockets to its end.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use axum::Router;
use godwit_actors::Region;
use godwit_cache::Cache;
use godwit_edge::auth::Authenticator;
use godwit_edge::operator::Operator;
use godwit_edge::{Cors, Gate, accept, api, operator};
use godwit_telemetry::allocator::Profiling;
use godwit_telemetry::log::{self, Format};
use godwit_telemetry::metrics;
use tokio::sync::watch;

use crate::config::{self, Config, KeySource, Mode, Secret};
use crate::exit::Exit;
use crate::listen::Listeners;
use crate::signal::Stop;
use crate::store::{self, Opened};
use crate::{banner, cache, cli, dev, node, page, token};

/// How long a heap profile watches before it shows what was allocated meanwhile and is still held.
const HEAP_PROFILE_TIME: Duration = Duration::from_secs(10);
/// How long a token of `/dev/token` is good.
const DEV_TOKEN_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs a node until it is told to stop. The sockets come first, so that nobody is refused while
/// the rest is made ready.
pub fn run(config: Config, mode: Mode) -> anyhow::Result<ExitCode> {
    let listeners = Listeners::bind(&config.node)?;
    let _flush = start_log(&config)?;
    let metrics = metrics::install(env!("CARGO_PKG_VERSION"))?;
    godwit_actors::describe_metrics();
    godwit_cql::describe();
    godwit_cache::describe_metrics();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    let exit = runtime.block_on(serve(config, mode, listeners, metrics))?;
    // What was to be finished is finished, or its time is over.
    runtime.shutdown_background();
    Ok(exit.into())
}

async fn serve(
    config: Config,
    mode: Mode,
    listeners: Listeners,
    metrics: metrics::Handle,
) -> anyhow::Result<Exit> {
    let stop = Stop::new().context("listen for signals")?;
    let (listen, admin_listen) = (listeners.public.local_addr()?, listeners.admin.local_addr()?);
    tracing::info!(node = config.node.id, %listen, %admin_listen, "listening");
    for setting in &config.settings {
        tracing::debug!("{setting}");
    }
    let parts = Arc::new(Parts {
        cache: cache::open(&config.redis).await?,
        auth: Arc::new(Authenticator::new(node::auth(&config)?)?),
        waits_for: store::WaitsFor::default(),
        region: OnceLock::new(),
        draining: AtomicBool::new(false),
    });
    let upkeep = tokio::spawn(keep(Arc::clone(&parts.auth), metrics.clone()));
    // The operator's port comes before the store: it is how a start that waits is watched.
    let operator = operator(&config, metrics, &parts);
    let (closing, closed) = watch::channel(false);
    let admin = tokio::spawn(accept::operator::serve(listeners.admin, operator, until(closed)));

    let served = served(&config, mode, listeners.public, (listen, admin_listen), &parts, stop).await?;
    upkeep.abort();
    // The operator's port goes last: it is how a drain is watched.
    closing.send_replace(true);
    admin.await.context("serve the operator")??;
    Ok(served)
}

/// What the node is made of, and how far it is.
struct Parts {
    cache: Cache,
    auth: Arc<Authenticator>,
    /// What the start waits for.
    waits_for: store::WaitsFor,
    /// There once the store is open.
    region: OnceLock<Region>,
    draining: AtomicBool,
}

/// From the opening of the store to its end.
async fn served(
    config: &Config,
    mode: Mode,
    listener: std::net::TcpListener,
    addresses: (SocketAddr, SocketAddr),
    parts: &Parts,
    mut stop: Stop,
) -> anyhow::Result<Exit> {
    let opening = store::open(config, &parts.waits_for);
    let opened = match &config.store {
        config::Store::Embedded => opening.await?,
        // A database may be away for long.
        config::Store::Cql(_) => tokio::select! {
            opened = opening => opened?,
            signal = stop.received() => {
                tracing::info!(signal, "stopped before the store was open");
                return Ok(Exit::Ok);
            }
        },
    };
    let Opened { store, tenure, inbox_expires } = opened;
    let region = Region::start(Arc::clone(&store), tenure, node::actors(config, inbox_expires)).await?;
    cache::follow_streams(&region, &parts.cache);
    let _ = parts.region.set(region.clone());
    let router = router(config, mode, addresses, &region, parts)?;
    let exit = clients(config, listener, router, &region, stop, &parts.draining).await;
    store.close().await.context("close the store")?;
    exit
}

/// Serves clients until a signal comes, and then until everything that was begun is finished.
async fn clients(
    config: &Config,
    listener: std::net::TcpListener,
    (router, gate): (Router, Arc<Gate>),
    region: &Region,
    mut stop: Stop,
    draining: &AtomicBool,
) -> anyhow::Result<Exit> {
    let deadline = config.drain.deadline;
    let (stopping, stopped) = watch::channel(false);
    let limits = node::connections(config);
    let serving = tokio::spawn(accept::serve(listener, router, gate, limits, until(stopped), deadline));
    let ended = tokio::select! {
        signal = stop.received() => {
            tracing::info!(signal, streams = region.streams(), "draining");
            None
        }
        why = region.ended() => Some(why),
    };
    draining.store(true, Ordering::Relaxed);
    stopping.send_replace(true);
    let written = region.drain(deadline).await;
    let drained = serving.await.context("serve clients")??;
    tracing::info!(finished = drained.finished, cut = drained.cut, written, "drained");
    if let Some(why) = ended {
        return Err(store::Ended(why).into());
    }
    Ok(if drained.cut == 0 && written { Exit::Ok } else { Exit::TempFail })
}

/// The client API, and in `dev` the page and tokens for everybody.
fn router(
    config: &Config,
    mode: Mode,
    (listen, admin_listen): (SocketAddr, SocketAddr),
    region: &Region,
    parts: &Parts,
) -> anyhow::Result<(Router, Arc<Gate>)> {
    let cors = Cors::new(config.node.cors_origins.clone());
    let rates = node::rates(config);
    let (auth, cache) = (Arc::clone(&parts.auth), parts.cache.clone());
    let gate = Arc::new(Gate::new(auth, region.clone(), cors, cache, rates));
    let router = api::router(Arc::clone(&gate), node::requests(config));
    let Mode::Dev { .. } = mode else { return Ok((router, gate)) };
    let secret = dev_secret(config)?;
    cli::print(&banner::render(listen, admin_listen, &config.node.data_dir, &secret)?)?;
    let sign: godwit_edge::dev::Sign = Box::new(move |account, device| {
        let now = SystemTime::now();
        let token =
            token::sign(&secret, account, device, DEV_TOKEN_TTL, now).map_err(|error| error.to_string())?;
        Ok(godwit_edge::dev::Signed { token, expires_at: (now + DEV_TOKEN_TTL).into() })
    });
    Ok((router.merge(godwit_edge::dev::router(sign, page::FILES)), gate))
}

fn operator(config: &Config, metrics: metrics::Handle, parts: &Arc<Parts>) -> Router {
    let scratch = config.node.data_dir.clone();
    let of_node = Arc::clone(parts);
    #[cfg(feature = "faults")]
    let parts = Arc::clone(parts);
    operator::router(Operator {
        not_ready: Box::new(move || {
            let mut reasons = operator::Reasons::new();
            if of_node.draining.load(Ordering::Relaxed) {
                reasons.push("the node is draining".into());
            }
            if !of_node.auth.has_keys() {
                reasons.push("no key to check tokens with has been fetched yet".into());
            }
            match of_node.region.get() {
                Some(region) => reasons.extend(region.waits_for().map(Into::into)),
                None => reasons.push(of_node.waits_for.reason().into()),
            }
            reasons
        }),
        metrics: Box::new(move || metrics.render()),
        heap_profile: Box::new(move || {
            let profiling = Profiling::start()?;
            std::thread::sleep(HEAP_PROFILE_TIME);
            Ok(profiling.dump(&scratch)?)
        }),
        admin_token: config.node.admin_token.as_ref().map(|token| token.expose().to_vec()),
        #[cfg(feature = "faults")]
        fault: Box::new(move |fault| crate::faults::switch(parts.region.get(), fault)),
    })
}

/// What is to be done again and again for as long as the node runs.
async fn keep(auth: Arc<Authenticator>, metrics: metrics::Handle) {
    let mut upkeep = tokio::time::interval(metrics::UPKEEP_EVERY);
    let metrics = async {
        loop {
            upkeep.tick().await;
            metrics.upkeep();
        }
    };
    tokio::join!(auth.keep_keys(), metrics);
}

async fn until(mut reached: watch::Receiver<bool>) {
    // An error says that the sender has gone, and with it whoever would have said it.
    let _ = reached.wait_for(|reached| *reached).await;
}

fn start_log(config: &Config) -> anyhow::Result<log::Flush> {
    let of_terminal = if io::stderr().is_terminal() { Format::Text } else { Format::Json };
    let format = config.telemetry.format.unwrap_or(of_terminal);
    log::init(&config.telemetry.log, format).context("start the log")
}

/// The secret that `dev` signs with: the operator's, else its own.
fn dev_secret(config: &Config) -> Result<Secret, dev::Error> {
    match &config.auth.keys {
        KeySource::Secrets(secrets) if !secrets.is_empty() => Ok(secrets[0].clone()),
        // `dev` takes no other source of keys.
        _ => dev::secret(&config.node.data_dir),
    }
}

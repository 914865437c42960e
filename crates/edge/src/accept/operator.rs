//! The operator's port: a plain HTTP/1 server for a few who watch.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use metrics::counter;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::drained;
use super::listen::Listener;
use super::measures::ACCEPT_ERRORS;

/// Connections at a time: a few scrapers, probes and people. More wait in the backlog.
const CONNECTIONS_MAX: usize = 64;

/// How long a head may take, and how long a connection may be idle: two scrapes.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How long answers under way may take after the shutdown: a heap profile, say.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Serves the operator until `shutdown`, and then until what is under way is answered (2 s at most). It should be the
/// last to go: it is how a drain is watched.
///
/// # Errors
/// The listener cannot be registered with the runtime.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut listener = Listener::new(listener)?;
    let errors = counter!(ACCEPT_ERRORS);
    let mut http1 = http1::Builder::new();
    http1.timer(TokioTimer::new()).header_read_timeout(IDLE_MAX).half_close(true);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (drain, draining) = watch::channel(false);
    let mut shutdown = pin!(shutdown);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept(&errors).await)
        };
        let (place, (socket, _)) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            next = next => next,
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = http1.serve_connection(TokioIo::new(socket), service);
        let mut draining = draining.clone();
        tokio::spawn(async move {
            let _place = place;
            let mut connection = pin!(connection);
            tokio::select! {
                _ = &mut connection => {}
                () = drained(&mut draining) => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await; // how it ended is the client's affair
                }
            }
        });
    }
    drop(listener);
    drain.send_replace(true);
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let _ = timeout(DRAIN_MAX, places.acquire_many(all)).await; // whoever is left is cut with the process
    Ok(())
}

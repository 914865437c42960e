//! The key set of an address: fetched at start, then every ten minutes, and when a token names a key that
//! is not known. While the address is away the keys that are known stay in use.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::key::{KeyError, KeyRing};

/// From one fetch to the next, when nothing asks for one before.
const REFRESH_EVERY: Duration = Duration::from_secs(600);
/// The least from one fetch to the next: whatever keys callers make up, the issuer sees six requests a
/// minute from a node.
const REFRESH_GAP: Duration = Duration::from_secs(10);
/// The first wait after a failed fetch; it doubles up to [`REFRESH_GAP`].
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// How long a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer. A key with a certificate chain has some 6 KB, and there may be 64.
const SET_BYTES_MAX: usize = 512 * 1024;

/// Where the fetching stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Under way: an answer may come any moment.
    Fetching,
    /// Just tried: the next one must wait.
    Resting,
    /// The next one may start as soon as someone wants it.
    Ready,
}

/// Why a key set could not be had.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("no certificates of authorities are installed on this machine")]
    Roots(#[source] std::io::Error),
    #[error("the request failed")]
    Request(#[source] hyper_util::client::legacy::Error),
    #[error("it was answered {0}, not 200")]
    Status(StatusCode),
    #[error("the answer broke off, or has more than {SET_BYTES_MAX} bytes")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("it took more than 10 s")]
    Timeout,
    #[error("its keys cannot be used")]
    Keys(#[source] KeyError),
}

type HttpClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// Fetches one address, at a bounded rate.
pub(super) struct Refresh {
    url: Uri,
    wanted: Notify,
    phase: watch::Sender<Phase>,
}

impl Refresh {
    /// Takes the address; fetches nothing yet.
    pub(super) fn new(url: Uri) -> Result<Self, KeyError> {
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let loopback =
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match url.scheme_str() {
            Some("https") if !host.is_empty() => {}
            Some("http") if loopback => {}
            _ => return Err(KeyError::Address),
        }
        Ok(Self { url, wanted: Notify::new(), phase: watch::Sender::new(Phase::Fetching) })
    }

    /// Where it stands.
    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Asks for a fetch and waits until it is over, but not longer than `limit`.
    pub(super) async fn wait(&self, limit: Duration) {
        let mut phase = self.phase.subscribe();
        // Wakes who waits now and leaves nothing behind: one wish is one fetch.
        self.wanted.notify_waiters();
        // Over or out of time: in both cases the caller looks at the keys again.
        let _ = timeout(limit, phase.wait_for(|phase| *phase == Phase::Resting)).await;
    }

    /// Fetches for ever and hands over each set.
    pub(super) async fn run(&self, replace: impl Fn(KeyRing)) {
        let mut client = None;
        let mut failures = 0u32;
        loop {
            self.phase.send_replace(Phase::Fetching);
            let fetched = timeout(FETCH_TIMEOUT, self.fetch(&mut client)).await;
            match fetched.unwrap_or(Err(FetchError::Timeout)) {
                Ok(keys) => {
                    if failures > 0 {
                        tracing::info!(url = %self.url, "the key set can be fetched again");
                    }
                    failures = 0;
                    replace(keys);
                }
                Err(error) => {
                    self.log_once(failures, &error);
                    failures = failures.saturating_add(1);
                }
            }
            self.rest(failures).await;
        }
    }

    async fn rest(&self, failures: u32) {
        self.phase.send_replace(Phase::Resting);
        if failures > 0 {
            return sleep((RETRY_FIRST * 2u32.pow(failures.min(5) - 1)).min(REFRESH_GAP)).await;
        }
        sleep(REFRESH_GAP).await;
        let wanted = self.wanted.notified(); // before anyone can see that it may be asked for
        self.phase.send_replace(Phase::Ready);
        // In time or by wish: the next thing is the same.
        let _ = timeout(REFRESH_EVERY - REFRESH_GAP, wanted).await;
    }

    fn log_once(&self, failures: u32, error: &FetchError) {
        let error: &dyn std::error::Error = error;
        if failures == 0 {
            tracing::warn!(url = %self.url, error, "the key set cannot be fetched; known keys stay in use");
        } else {
            tracing::debug!(url = %self.url, error, failures, "the key set still cannot be fetched");
        }
    }

    async fn fetch(&self, client: &mut Option<HttpClient>) -> Result<KeyRing, FetchError> {
        let client = match client {
            Some(client) => client,
            None => client.insert(http_client().map_err(FetchError::Roots)?),
        };
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.url.clone();
        request.headers_mut().insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
        let response = client.request(request).await.map_err(FetchError::Request)?;
        // A redirect is not followed: the address is what the operator trusts.
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body =
            Limited::new(response.into_body(), SET_BYTES_MAX).collect().await.map_err(FetchError::Body)?;
        KeyRing::of_jwks(&body.to_bytes()).map_err(FetchError::Keys)
    }
}

/// Made when it is first needed: reading the certificates takes longer than all else at start.
fn http_client() -> std::io::Result<HttpClient> {
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
}

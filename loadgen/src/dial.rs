//! Connections to the targets: from a source address, with TLS where the address says so.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use http::Uri;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::plan::{Http, ServerPlan};

/// A connection that is not there by then is counted as failed. Above the kernel's second repetition
/// of a SYN (3 s), so that one lost packet is no failure.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Where connections go to, in turn.
pub struct Dialer {
    endpoints: Vec<Endpoint>,
    sources: Vec<IpAddr>,
    next: AtomicUsize,
}

/// A target, resolved.
pub struct Endpoint {
    /// As it was given, without a path.
    pub base: String,
    /// The value of `Host` and `:authority`.
    pub authority: String,
    /// `http` or `https`.
    pub scheme: &'static str,
    addresses: Vec<SocketAddr>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Dialer {
    /// Resolves the targets' names and reads the roots.
    ///
    /// # Errors
    /// When a target is no address of a server or has no address, and when roots cannot be read.
    pub async fn new(plan: &ServerPlan) -> Result<Self> {
        let mut tls = None;
        let mut endpoints = Vec::new();
        for target in &plan.targets {
            let (https, host, port, authority) = parse(target)?;
            let looked_up = tokio::net::lookup_host((host.as_str(), port)).await;
            let looked_up =
                looked_up.with_context(|| format!("cannot resolve {host}, is --target right?"))?;
            let family = |address: &SocketAddr| {
                plan.sources.iter().all(|source| source.is_ipv4() == address.is_ipv4())
            };
            let addresses: Vec<_> = looked_up.filter(family).collect();
            ensure!(!addresses.is_empty(), "{host} has no address that --source can reach");
            let tls = match https {
                true if tls.is_none() => tls.insert(connector(plan)?).clone().into(),
                true => tls.clone(),
                false => None,
            };
            let name = || ServerName::try_from(host.clone()).with_context(|| format!("{host} is no name"));
            let tls = tls.map(|connector| name().map(|name| (connector, name))).transpose()?;
            let scheme = if https { "https" } else { "http" };
            let base = target.trim_end_matches('/').to_owned();
            endpoints.push(Endpoint { base, authority, scheme, addresses, tls });
        }
        ensure!(!endpoints.is_empty(), "there is no target");
        Ok(Self { endpoints, sources: plan.sources.clone(), next: AtomicUsize::new(0) })
    }

    /// The endpoint whose turn it is.
    pub fn next(&self) -> &Endpoint {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.endpoints[turn % self.endpoints.len()]
    }

    /// Connects to an endpoint. A receive buffer may be set, for a client that reads slowly.
    ///
    /// # Errors
    /// When nobody takes the connection, or TLS does not come about ([`io::ErrorKind::InvalidData`]).
    pub async fn connect(&self, endpoint: &Endpoint, receive_bytes: Option<u32>) -> io::Result<Socket> {
        // Once around the targets, the next address and source are taken.
        let turn = self.next.load(Ordering::Relaxed) / self.endpoints.len();
        let address = endpoint.addresses[turn % endpoint.addresses.len()];
        let connected = async {
            let socket = self.socket(address, turn, receive_bytes)?.connect(address).await?;
            socket.set_nodelay(true)?;
            match &endpoint.tls {
                None => Ok(Socket::Plain(socket)),
                Some((connector, name)) => {
                    let tls = connector.connect(name.clone(), socket).await?;
                    Ok(Socket::Tls(Box::new(tls)))
                }
            }
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no connection in {CONNECT_MAX:?}"));
        tokio::time::timeout(CONNECT_MAX, connected).await.unwrap_or_else(|_| Err(late()))
    }

    fn socket(&self, address: SocketAddr, turn: usize, receive_bytes: Option<u32>) -> io::Result<TcpSocket> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if !self.sources.is_empty() {
            // The port is chosen when the target is known, so that one is free for it.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(SocketAddr::new(self.sources[turn % self.sources.len()], 0))?;
        }
        Ok(socket)
    }
}

/// Scheme, host, port and authority of a target.
fn parse(target: &str) -> Result<(bool, String, u16, String)> {
    let wanted = "write http://HOST:PORT or https://HOST:PORT";
    let uri: Uri = target.parse().with_context(|| format!("target {target:?} is no address: {wanted}"))?;
    let https = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => bail!("target {target:?} has no scheme that is known: {wanted}"),
    };
    ensure!(matches!(uri.path(), "" | "/"), "target {target:?} has a path: {wanted}");
    let authority = uri.authority().with_context(|| format!("target {target:?} has no host: {wanted}"))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
    Ok((https, host, port, authority.to_string()))
}

/// What speaks TLS.
fn connector(plan: &ServerPlan) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    match &plan.roots_pem {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.context("--ca-file holds what is no certificate")?;
                roots.add(certificate).context("--ca-file holds what is no root")?;
            }
            ensure!(!roots.is_empty(), "--ca-file holds no certificate: PEM is wanted");
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            ensure!(!roots.is_empty(), "this host has no root certificates: name some with --ca-file");
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.context("TLS")?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = match plan.http {
        Http::Http1 => vec![b"http/1.1".to_vec()],
        Http::Http2 => vec![b"h2".to_vec()],
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A connection.
pub enum Socket {
    /// In the clear.
    Plain(TcpStream),
    /// With TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Closes with a reset instead of a FIN: the port is free at once, and nothing that is under way
    /// is waited for.
    pub fn reset(self) {
        let socket = match &self {
            Socket::Plain(socket) => socket,
            Socket::Tls(tls) => tls.get_ref().0,
        };
        // If the option cannot be set the socket is closed with a FIN, which does no harm.
        let _ = socket.set_zero_linger();
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Socket::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Socket::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn targets_are_read_or_refused() {
        let read = |target| parse(target).unwrap();
        assert_eq!(read("http://127.0.0.1:8080"), (false, "127.0.0.1".into(), 8080, "127.0.0.1:8080".into()));
        assert_eq!(read("https://chat.example.org/").2, 443);
        assert_eq!(read("http://[::1]:80").1, "::1");
        for bad in ["127.0.0.1:8080", "ftp://a", "http://a/b", "http://", "", "http://a b"] {
            let said = format!("{:#}", parse(bad).unwrap_err());
            assert!(said.contains("http://HOST:PORT"), "{bad}: {said}");
        }
    }
}

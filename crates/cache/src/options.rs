//! Where Redis is and how it is spoken to: checked before anything connects.

use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, TlsCertificates};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Most servers that may be named: they are only where the search begins.
const URLS_MAX: usize = 32;
/// Longest prefix, in bytes: it stands before every key.
const PREFIX_BYTES_MAX: usize = 64;

/// What an operator writes about Redis. [`Options::parse`] checks it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `redis://[user[:password]@]host[:port][/db]`, `rediss://…` for TLS, or `unix:///path`. With a
    /// cluster or sentinels several, of one scheme.
    pub urls: Vec<String>,
    /// Whether the URLs are nodes of a Redis cluster.
    pub cluster: bool,
    /// The name by which the sentinels at the URLs know the master. User and password of the URLs are
    /// the sentinels' then; [`Settings::user`] and [`Settings::password`] are the server's.
    pub sentinel_master: Option<String>,
    /// User of the servers; it beats a URL's.
    pub user: Option<String>,
    /// Password of the servers; it beats a URL's.
    pub password: Option<String>,
    /// Certificates to trust instead of the system's, in PEM.
    pub roots_pem: Option<Vec<u8>>,
    /// What every key begins with.
    pub prefix: String,
    /// How long one command may take. Nothing waits for Redis for longer.
    pub timeout: Duration,
    /// How long a device counts as present after its node last said so.
    pub presence: Duration,
    /// Bounds of the push queue.
    pub push: PushBounds,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            cluster: false,
            sentinel_master: None,
            user: None,
            password: None,
            roots_pem: None,
            prefix: "godwit:".to_owned(),
            // A hundred times what a server next door needs, and still not felt by a person.
            timeout: Duration::from_millis(250),
            // Three refreshes, so that two may be lost.
            presence: Duration::from_secs(90),
            push: PushBounds::default(),
        }
    }
}

/// How much the push queue holds and how often it tries.
#[derive(Debug, Clone)]
pub struct PushBounds {
    /// Jobs that the queue may hold, finished ones not counted. At the usual half KiB a job 50 MB of
    /// Redis; when it is reached, jobs wait in the processes that made them.
    pub queue_jobs: usize,
    /// Jobs that may wait in this process while Redis is away or the queue is full: about a minute of
    /// a busy node's. The oldest go first, since a notification is worth less the later it comes.
    pub buffer_jobs: usize,
    /// Bytes that those jobs may have, so that the buffer's bound holds for large ones too.
    pub buffer_bytes: usize,
    /// Times that a job is handed out before it becomes a dead letter.
    pub tries: u32,
    /// Dead letters that are kept for a person to look at; the oldest go.
    pub dead_jobs: usize,
    /// After how long a job that was taken and not finished is taken from its consumer.
    pub idle: Duration,
}

impl Default for PushBounds {
    fn default() -> Self {
        Self {
            queue_jobs: 100_000,
            buffer_jobs: 10_000,
            buffer_bytes: 32 * 1024 * 1024,
            tries: 5,
            dead_jobs: 1_000,
            idle: Duration::from_secs(30),
        }
    }
}

/// Why [`Settings`] cannot be used. The text says what would be right and shows no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// The addresses.
    #[error("{0}")]
    Url(String),
    /// The name of the sentinels' master.
    #[error("{0}")]
    SentinelMaster(&'static str),
    /// The certificates to trust.
    #[error("{0}")]
    Roots(String),
    /// The prefix of the keys.
    #[error("must be 1 to {PREFIX_BYTES_MAX} characters of A-Z a-z 0-9 . _ : -, but is {0:?}")]
    Prefix(String),
    /// The time for a command.
    #[error("must be from 1 ms to 10 s, but is {0:?}")]
    Timeout(Duration),
}

/// Checked settings.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) servers: Servers,
    pub(crate) tls: Option<TlsCertificates>,
    pub(crate) prefix: String,
    pub(crate) timeout: Duration,
    pub(crate) presence: Duration,
    pub(crate) push: PushBounds,
}

/// Who is asked.
#[derive(Debug, Clone)]
pub(crate) enum Servers {
    One(ConnectionInfo),
    Cluster(Vec<ConnectionInfo>),
    Sentinels {
        sentinels: Vec<ConnectionInfo>,
        master: String,
        user: Option<String>,
        password: Option<String>,
    },
}

impl Options {
    /// Checks `settings`; connects to nothing.
    ///
    /// # Errors
    /// Which field is wrong, and what would be right.
    pub fn parse(settings: &Settings) -> Result<Self, OptionsError> {
        let tls = settings.roots_pem.as_deref().map(roots).transpose()?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
        let prefix = settings.prefix.clone();
        if prefix.is_empty() || prefix.len() > PREFIX_BYTES_MAX || !prefix.chars().all(allowed) {
            return Err(OptionsError::Prefix(prefix));
        }
        if !(Duration::from_millis(1)..=Duration::from_secs(10)).contains(&settings.timeout) {
            return Err(OptionsError::Timeout(settings.timeout));
        }
        Ok(Self {
            servers: servers(settings)?,
            tls,
            prefix,
            timeout: settings.timeout,
            presence: settings.presence,
            push: settings.push.clone(),
        })
    }

    /// Where Redis is, without its password.
    pub fn address(&self) -> String {
        let list = |infos: &[ConnectionInfo]| {
            infos.iter().map(|info| info.addr().to_string()).collect::<Vec<_>>().join(",")
        };
        match &self.servers {
            Servers::One(info) => info.addr().to_string(),
            Servers::Cluster(infos) => format!("the cluster at {}", list(infos)),
            Servers::Sentinels { sentinels, master, .. } => {
                format!("the master {master:?} of the sentinels at {}", list(sentinels))
            }
        }
    }
}

fn servers(settings: &Settings) -> Result<Servers, OptionsError> {
    let bad = |text: &str| Err(OptionsError::Url(text.to_owned()));
    let many = settings.cluster || settings.sentinel_master.is_some();
    if settings.cluster && settings.sentinel_master.is_some() {
        return Err(OptionsError::SentinelMaster(
            "must not be set for a cluster, which fails over by itself",
        ));
    }
    if settings.urls.is_empty() || settings.urls.len() > URLS_MAX {
        return Err(OptionsError::Url(format!("must name 1 to {URLS_MAX} servers")));
    }
    if settings.urls.len() > 1 && !many {
        return bad("may name several servers only for a cluster or for sentinels");
    }
    let mut infos =
        settings.urls.iter().map(|url| server(url, settings)).collect::<Result<Vec<_>, OptionsError>>()?;
    let kind = |info: &ConnectionInfo| std::mem::discriminant(info.addr());
    if many && infos.iter().any(|info| matches!(info.addr(), ConnectionAddr::Unix(_))) {
        return bad("must begin with redis:// or rediss:// for a cluster or for sentinels");
    }
    if infos.iter().any(|info| kind(info) != kind(&infos[0])) {
        return bad("must begin with redis:// everywhere or with rediss:// everywhere");
    }
    if many && infos.iter().any(|info| info.redis_settings().db() != 0) {
        return bad("must not name a database for a cluster or for sentinels: only 0 is there");
    }
    match &settings.sentinel_master {
        Some(master) if master.is_empty() || master.chars().any(char::is_whitespace) => {
            Err(OptionsError::SentinelMaster("must be the name in `sentinel monitor NAME …`"))
        }
        Some(master) => Ok(Servers::Sentinels {
            sentinels: infos,
            master: master.clone(),
            user: settings.user.clone(),
            password: settings.password.clone(),
        }),
        None if settings.cluster => Ok(Servers::Cluster(infos)),
        None => Ok(Servers::One(infos.swap_remove(0))),
    }
}

/// One server. Nothing of the URL is repeated in an error: there may be a password in it.
fn server(url: &str, settings: &Settings) -> Result<ConnectionInfo, OptionsError> {
    const FORM: &str = "must be redis://[user:password@]host[:port][/db], rediss:// for TLS, or unix:///path";
    let bad = |text: &str| OptionsError::Url(text.to_owned());
    let parsed = redis::parse_redis_url(url).ok_or_else(|| bad(FORM))?;
    if !matches!(parsed.scheme(), "redis" | "rediss" | "unix") {
        return Err(bad(FORM));
    }
    if parsed.fragment().is_some() {
        return Err(bad("must have no #fragment: certificates are always checked"));
    }
    let info = parsed.into_connection_info().map_err(|error| match error.detail() {
        Some(detail) => OptionsError::Url(format!("{FORM} ({}: {detail})", error.category())),
        None => bad(FORM),
    })?;
    let mut login = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    if settings.sentinel_master.is_none() {
        if let Some(user) = &settings.user {
            login = login.set_username(user);
        }
        if let Some(password) = &settings.password {
            login = login.set_password(password);
        }
    }
    Ok(info.set_redis_settings(login))
}

fn roots(pem: &[u8]) -> Result<TlsCertificates, OptionsError> {
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| OptionsError::Roots(format!("must be certificates in PEM, but: {error}")))?;
    if found.is_empty() {
        return Err(OptionsError::Roots("must be certificates in PEM, but there is none".to_owned()));
    }
    Ok(TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(urls: &[&str]) -> Settings {
        Settings { urls: urls.iter().map(ToString::to_string).collect(), ..Settings::default() }
    }

    #[test]
    fn a_wrong_url_says_what_would_be_right_and_keeps_the_password() {
        for url in ["", "redis//x", "http://h:1", "valkey://h", "redis://u:secret@h:notaport", "redis://h/db"]
        {
            let error = Options::parse(&urls(&[url])).unwrap_err();
            assert!(error.to_string().starts_with("must be redis://"), "{url}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let insecure = Options::parse(&urls(&["rediss://h:1/#insecure"])).unwrap_err().to_string();
        assert!(insecure.contains("fragment"), "{insecure}");
        for url in ["redis://h", "rediss://:p%40ss@h:6380/2", "unix:///run/redis.sock"] {
            assert!(Options::parse(&urls(&[url])).is_ok(), "{url}");
        }
    }

    #[test]
    fn several_servers_are_a_cluster_or_sentinels_of_one_scheme() {
        let two = urls(&["redis://a:1", "redis://b:1"]);
        assert!(matches!(Options::parse(&two), Err(OptionsError::Url(_))));
        let cluster = Settings { cluster: true, ..two.clone() };
        assert_eq!(Options::parse(&cluster).unwrap().address(), "the cluster at a:1,b:1");
        let both = Settings { sentinel_master: Some("m".to_owned()), ..cluster };
        assert!(matches!(Options::parse(&both), Err(OptionsError::SentinelMaster(_))));
        for wrong in [&["redis://a", "rediss://b"][..], &["unix:///x"], &["redis://a/3"], &[]] {
            let settings = Settings { cluster: true, ..urls(wrong) };
            assert!(matches!(Options::parse(&settings), Err(OptionsError::Url(_))), "{wrong:?}");
        }
        let nameless = Settings { sentinel_master: Some(String::new()), ..two };
        assert!(matches!(Options::parse(&nameless), Err(OptionsError::SentinelMaster(_))));
    }

    #[test]
    fn prefix_timeout_and_roots_are_checked() {
        let good = urls(&["redis://h"]);
        for prefix in ["", "a{b}", "a b", &"x".repeat(65)] {
            let settings = Settings { prefix: prefix.to_owned(), ..good.clone() };
            assert!(matches!(Options::parse(&settings), Err(OptionsError::Prefix(_))), "{prefix}");
        }
        let slow = Settings { timeout: Duration::from_secs(11), ..good.clone() };
        assert!(matches!(Options::parse(&slow), Err(OptionsError::Timeout(_))));
        let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----";
        for pem in ["", "no certificate", broken] {
            let settings = Settings { roots_pem: Some(pem.into()), ..good.clone() };
            assert!(matches!(Options::parse(&settings), Err(OptionsError::Roots(_))), "{pem}");
        }
    }
}

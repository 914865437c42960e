//! A session with the database: which nodes, which datacentre, by what profiles.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use godwit_store::Error;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::host_filter::DcHostFilter;
use scylla::policies::load_balancing::{DefaultPolicy, LoadBalancingPolicy};
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::statement::{Consistency, SerialConsistency};

use crate::faults;
use crate::options::Options;
use crate::retries::{Budget, Budgeted, SECOND_READ_AFTER, SECOND_WRITE_AFTER, SecondTry};
use crate::statements::Profiles;

/// Longest time that opening one connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection on which nothing came for so long is asked whether it is alive, and has as long to answer. A
/// node that stands still is left after twice that; requests that are unanswered then go to another.
const KEEPALIVE: Duration = Duration::from_secs(3);

/// A session that speaks to one datacentre.
pub(crate) struct Connected {
    pub(crate) session: Session,
    pub(crate) datacenter: String,
    pub(crate) profiles: Profiles,
    /// The database is ScyllaDB, which has settings of its own.
    pub(crate) is_scylla: bool,
}

/// Connects once.
///
/// # Errors
/// `Refused` for what waiting does not mend: the password, the datacentre, the certificate's text.
pub(crate) async fn connect(options: &Options) -> Result<Connected, Error> {
    if !options.keyspace_is_a_name() {
        return Err(Error::Refused(format!(
            "{:?} is no name for a keyspace: a lower-case letter, then up to 47 of a-z, 0-9 and _",
            options.keyspace
        )));
    }
    let mut session = open(options, None).await?;
    let found = datacenters(&session);
    let datacenter = match &options.datacenter {
        Some(name) if found.contains(name) => name.clone(),
        Some(name) => {
            return Err(Error::Refused(format!(
                "no node of the database at {} is in datacentre {name:?}, there are: {}; name one of these",
                options.place(),
                in_words(&found)
            )));
        }
        None => first_datacenter(options, &session, &found).await?,
    };
    if found.len() > 1 {
        // Once more, so that no connection leads to another datacentre.
        session = open(options, Some(&datacenter)).await?;
    }
    let is_scylla = session.get_cluster_state().get_nodes_info().iter().any(|node| node.sharder().is_some());
    let profiles = profiles(options, &datacenter);
    session
        .get_default_execution_profile_handle()
        .clone()
        .map_to_another_profile(profiles.leases.to_profile());
    Ok(Connected { session, datacenter, profiles, is_scylla })
}

async fn open(options: &Options, datacenter: Option<&str>) -> Result<Session, Error> {
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.nodes)
        .connection_timeout(CONNECT_TIMEOUT)
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(KEEPALIVE)
        .tcp_nodelay(true)
        .keyspaces_to_fetch([&options.keyspace])
        .auto_await_schema_agreement(true);
    if let Some(user) = &options.user {
        builder = builder.user(user, &options.password);
    }
    if let Some(pem) = &options.tls_root {
        builder = builder.tls_context(Some(Arc::new(tls(pem)?)));
    }
    if let Some(name) = datacenter {
        builder = builder
            .host_filter(Arc::new(DcHostFilter::new(name.to_owned())))
            .prefer_datacenter(name.to_owned());
    }
    builder.build().await.map_err(|error| faults::of_session(&options.place(), &error))
}

fn tls(pem: &[u8]) -> Result<rustls::ClientConfig, Error> {
    let refused = |what: String| Error::Refused(format!("the database's certificate authority: {what}"));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refused("the file holds no certificate in PEM".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn datacenters(session: &Session) -> BTreeSet<String> {
    session.get_cluster_state().get_nodes_info().iter().filter_map(|node| node.datacenter.clone()).collect()
}

fn in_words(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The datacentre of the first node named: never one by chance.
async fn first_datacenter(
    options: &Options,
    session: &Session,
    found: &BTreeSet<String>,
) -> Result<String, Error> {
    if let [one] = found.iter().collect::<Vec<_>>()[..] {
        return Ok(one.clone());
    }
    let first = options.nodes.first().map_or("", String::as_str);
    let addresses: Vec<IpAddr> = match tokio::net::lookup_host(first).await {
        Ok(addresses) => addresses.map(|address| address.ip()).collect(),
        Err(error) => return Err(faults::failed(&format!("looking up {first}"), error)),
    };
    let state = session.get_cluster_state();
    let node = state.get_nodes_info().iter().find(|node| addresses.contains(&node.address.ip()));
    node.and_then(|node| node.datacenter.clone()).ok_or_else(|| {
        Error::Refused(format!(
            "the database has several datacentres, and the address of {first} tells none of them; name one of: {}",
            in_words(found)
        ))
    })
}

fn profiles(options: &Options, datacenter: &str) -> Profiles {
    let nodes: Arc<dyn LoadBalancingPolicy> = DefaultPolicy::builder()
        .prefer_datacenter(datacenter.to_owned())
        .token_aware(true)
        .permit_dc_failover(false)
        .build();
    let budget = Budget::new();
    let base = || {
        ExecutionProfile::builder()
            .consistency(Consistency::LocalQuorum)
            .serial_consistency(Some(SerialConsistency::LocalSerial))
            .request_timeout(Some(options.request_timeout))
            .load_balancing_policy(Arc::clone(&nodes))
    };
    let budgeted = |after| {
        let second = Arc::new(SecondTry { budget: Arc::clone(&budget), after });
        base()
            .retry_policy(Arc::new(Budgeted(Arc::clone(&budget))))
            .speculative_execution_policy(Some(second))
    };
    Profiles {
        reads: budgeted(SECOND_READ_AFTER).build().into_handle(),
        writes: budgeted(SECOND_WRITE_AFTER).build().into_handle(),
        leases: base().retry_policy(Arc::new(FallthroughRetryPolicy::new())).build().into_handle(),
    }
}

//! What Cassandra is told: `cassandra.yaml`, where it logs, and the command line of Java.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::node::Setup;
use super::tls;
use crate::error::{self, Error, Result};

/// Packages that Cassandra reaches into on Java 17; from `jvm17-server.options` of its distribution.
const OPENED: &[&str] = &[
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.ref",
    "java.base/java.lang.reflect",
    "java.base/java.math",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.nio.charset",
    "java.base/java.nio.file.spi",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks",
    "java.base/jdk.internal.access",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/jdk.internal.vm",
    "java.base/sun.net",
    "java.base/sun.nio.ch",
    "java.desktop/com.sun.beans.introspect",
    "java.management/com.sun.jmx.mbeanserver",
    "java.rmi/sun.rmi.transport.tcp",
    "jdk.management/com.sun.management.internal",
];

/// Packages that it uses and that are not exported; from the same file.
const EXPORTED: &[&str] = &[
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.rmi/sun.rmi.transport.tcp",
    "java.sql/java.sql",
    "jdk.attach/sun.tools.attach",
    "jdk.unsupported/sun.misc",
];

/// How long a node that joins listens first. Gossip goes round each second and must have come from the
/// seed once: 1 s was too short on an idle machine. The default is 30 s.
const RING_DELAY_MS: u32 = 3_000;

/// `java` or `keytool`: of `JAVA_HOME` where that is set, else from the path.
pub fn java_program(name: &str) -> PathBuf {
    match std::env::var_os("JAVA_HOME") {
        Some(home) => Path::new(&home).join("bin").join(name),
        None => name.into(),
    }
}

/// Writes `cassandra.yaml` and `logback.xml` into the node's directory.
///
/// # Errors
/// When they cannot be written.
pub(super) fn write(setup: &Setup, seeds: &[Ipv4Addr]) -> Result<()> {
    let home = &setup.home;
    std::fs::create_dir_all(home).map_err(error::file("make", home))?;
    let put = |name: &str, text: String| {
        let file = home.join(name);
        std::fs::write(&file, text).map_err(error::file("write", &file))
    };
    put("cassandra.yaml", yaml(setup, seeds))?;
    put("logback.xml", logback(&home.join("log")))
}

fn yaml(setup: &Setup, seeds: &[Ipv4Addr]) -> String {
    // A text in quotes is the same in YAML and in Rust, but for characters that no path here has.
    let home = |name: &str| format!("{:?}", setup.home.join(name));
    let keystore = setup.home.with_file_name(tls::KEYSTORE);
    let seeds: Vec<String> = seeds.iter().map(|seed| format!("{seed}:{}", setup.storage_port)).collect();
    let memtables_mib = setup.heap_mib() / 8;
    format!(
        r#"cluster_name: godwit
num_tokens: 16
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider: [{{class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [{{seeds: "{seeds}"}}]}}]
listen_address: {address}
rpc_address: {address}
native_transport_port: {native}
storage_port: {storage}
data_file_directories: [{data}]
commitlog_directory: {commitlog}
saved_caches_directory: {caches}
hints_directory: {hints}
cdc_raw_directory: {cdc}
# Synced before it answers. The default, periodic, acknowledges up to 10 s earlier.
commitlog_sync: group
commitlog_sync_group_window: 2ms
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
role_manager: CassandraRoleManager
# With TLS or without, on the one port.
client_encryption_options:
  enabled: true
  optional: true
  keystore: {keystore:?}
  keystore_password: {keystore_password}
  store_type: PKCS12
  require_client_auth: false
hinted_handoff_enabled: true
# On disk, where a kill leaves them, after 1 s instead of 10.
hints_flush_period: 1s
paxos_variant: v2
auto_snapshot: false
# Small, for a laptop.
memtable_heap_space: {memtables_mib}MiB
memtable_offheap_space: {memtables_mib}MiB
file_cache_size: 32MiB
key_cache_size: 8MiB
concurrent_reads: 8
concurrent_writes: 16
concurrent_compactors: 1
{more}
"#,
        seeds = seeds.join(","),
        address = setup.address,
        native = setup.native_port,
        storage = setup.storage_port,
        data = home("data"),
        commitlog = home("commitlog"),
        caches = home("caches"),
        hints = home("hints"),
        cdc = home("cdc"),
        keystore_password = tls::KEYSTORE_PASSWORD,
        more = setup.options.config,
    )
}

fn logback(file: &Path) -> String {
    format!(
        r#"<configuration>
  <appender name="file" class="ch.qos.logback.core.FileAppender">
    <file>{}</file>
    <encoder><pattern>%-5level %date{{HH:mm:ss.SSS}} %logger{{0}} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="file"/></root>
</configuration>
"#,
        file.display()
    )
}

/// Java's arguments for a node.
///
/// # Errors
/// When the jars are not in `lib`.
pub(super) fn arguments(setup: &Setup, jmx_port: u16) -> Result<Vec<OsString>> {
    let heap = setup.heap_mib();
    // Small at first: an idle node of 1 GiB then has 690 MiB resident and not 1500.
    let mut arguments: Vec<OsString> = vec!["-Xms128M".into(), format!("-Xmx{heap}M").into()];
    arguments.push("-XX:+UseG1GC".into());
    arguments.extend(modules());
    // Measures objects; Cassandra does not start without it.
    let mut agent = OsString::from("-javaagent:");
    agent.push(jar(&setup.lib, "jamm-")?);
    arguments.push(agent);
    let file = |name: &str| setup.home.join(name).display().to_string();
    let properties = [
        ("jdk.attach.allowAttachSelf", "true".to_owned()),
        ("cassandra.config", format!("file:{}", file("cassandra.yaml"))),
        ("cassandra.storagedir", file("")),
        ("logback.configurationFile", file("logback.xml")),
        ("cassandra.jmx.local.port", jmx_port.to_string()),
        // Nobody else is about to join, so no wait for gossip to become quiet.
        ("cassandra.ring_delay_ms", RING_DELAY_MS.to_string()),
        ("cassandra.skip_wait_for_gossip_to_settle", "0".to_owned()),
        ("cassandra.superuser_setup_delay_ms", "0".to_owned()),
        // Time for the others to hear the good-bye, on loopback, instead of 2 s.
        ("cassandra.shutdown_announce_in_ms", "200".to_owned()),
        // The password is no secret: a log-in takes 4 ms and not 70, and drivers make many.
        ("cassandra.auth_bcrypt_gensalt_log2_rounds", "4".to_owned()),
    ];
    arguments.extend(properties.map(|(name, value)| format!("-D{name}={value}").into()));
    if setup.options.unsafe_system {
        arguments.push("-Dcassandra.unsafesystem=true".into());
    }
    arguments.extend(setup.options.jvm.iter().map(OsString::from));
    arguments.extend(["-cp".into(), class_path(&setup.lib)]);
    arguments.push("org.apache.cassandra.service.CassandraDaemon".into());
    Ok(arguments)
}

/// Java's arguments for `nodetool`, before what the tool is to do.
pub(super) fn tool_arguments(setup: &Setup, jmx_port: u16) -> Vec<OsString> {
    let mut arguments = modules();
    let home = &setup.home;
    // It writes a history of its commands there.
    arguments.push(format!("-Duser.home={}", home.display()).into());
    arguments.push(format!("-Dlogback.configurationFile={}", home.join("logback.xml").display()).into());
    arguments.extend(["-cp".into(), class_path(&setup.lib), "org.apache.cassandra.tools.NodeTool".into()]);
    arguments.extend(["-h", "127.0.0.1", "-p", &jmx_port.to_string()].map(OsString::from));
    arguments
}

/// Opens and exports to all code what Cassandra needs of Java's own.
fn modules() -> Vec<OsString> {
    let opened = OPENED.iter().map(|package| ("--add-opens", package));
    let exported = EXPORTED.iter().map(|package| ("--add-exports", package));
    let argument =
        |(option, package): (&str, &&str)| [option.into(), format!("{package}=ALL-UNNAMED").into()];
    opened.chain(exported).flat_map(argument).collect()
}

/// All jars of the folder.
fn class_path(lib: &Path) -> OsString {
    lib.join("*").into()
}

/// The one jar whose name begins so.
fn jar(lib: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = std::fs::read_dir(lib).map_err(error::file("read", lib))?;
    let mut names = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    let missing = || Error::File {
        what: "find",
        path: lib.join(format!("{prefix}*.jar")),
        source: std::io::ErrorKind::NotFound.into(),
    };
    names.next().map(|entry| entry.path()).ok_or_else(missing)
}

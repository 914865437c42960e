//! The servers that the tests share: one CQL node and one Redis on ports of their own, there as long
//! as the stage runs.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use godwit_servers::{cassandra, environment, redis, scylla};
use tempfile::TempDir;

use super::{cassandra_lib, engine, home};

/// Running servers; they end when this is dropped, and when this program ends in whatever way.
#[derive(Debug)]
pub(crate) struct ForTests {
    redis: redis::Server,
    cql: Cql,
    lib: PathBuf,
    /// Their data. After the servers, so that it is removed when they are gone.
    dir: TempDir,
}

#[derive(Debug)]
enum Cql {
    Cassandra(cassandra::Ring),
    Scylla(scylla::Scylla),
}

impl ForTests {
    /// Starts them, 10 s with the jars there. Prints nothing, since it runs beside the compilation.
    ///
    /// # Errors
    /// When one does not start.
    pub(crate) fn start() -> Result<ForTests> {
        let home = home();
        std::fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
        let dir = tempfile::Builder::new().prefix("test-").tempdir_in(&home);
        let dir = dir.context("cannot make a directory for the servers of the tests")?;
        let redis = redis::Server::start(&dir.path().join("redis"), redis::Options::default())?;
        // Also beside ScyllaDB: rings are Cassandra's.
        let lib = cassandra_lib()?;
        let cql = match engine(1)? {
            Some(engine) => {
                let name = format!("godwit-test-scylla-{}", std::process::id());
                let scylla = scylla::Scylla::start(engine, &name, None, false)?;
                std::fs::write(dir.path().join("password"), scylla::PASSWORD)
                    .context("cannot write the password's file")?;
                Cql::Scylla(scylla)
            }
            None => {
                let options = cassandra::Options {
                    // Each suite makes keyspaces with a dozen tables, and nobody wants them back.
                    unsafe_system: true,
                    // The first compiler only: it lives for minutes, and shares the processors.
                    jvm: vec!["-XX:TieredStopAtLevel=1".to_owned()],
                    ..cassandra::Options::nodes(1)
                };
                Cql::Cassandra(cassandra::Ring::start_with(&lib, &dir.path().join("cassandra"), &options)?)
            }
        };
        Ok(ForTests { redis, cql, lib, dir })
    }

    /// What tells the tests about them.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut variables: Vec<(&'static str, OsString)> = vec![
            (environment::SERVICES, "required".into()),
            (environment::REDIS, self.redis.url().into()),
            (environment::CASSANDRA_LIB, self.lib.clone().into()),
        ];
        match &self.cql {
            Cql::Cassandra(ring) => variables.extend([
                (environment::CQL, ring.address().to_string().into()),
                (environment::CQL_USER, cassandra::USER.into()),
                (environment::CQL_PASSWORD_FILE, ring.password_file().into()),
                (environment::CQL_CA_FILE, ring.ca_file().into()),
            ]),
            Cql::Scylla(scylla) => variables.extend([
                (environment::CQL, scylla.address().to_string().into()),
                (environment::CQL_USER, scylla::USER.into()),
                (environment::CQL_PASSWORD_FILE, self.dir.path().join("password").into()),
            ]),
        }
        variables
    }
}

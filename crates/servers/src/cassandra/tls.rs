//! The certificate that the nodes of a ring share.

use std::path::Path;
use std::process::Command;

use super::config;
use crate::error::Result;
use crate::process::run;

/// Key and certificate, PKCS #12.
pub(super) const KEYSTORE: &str = "keystore.p12";

/// Keytool wants one. It protects nothing: the certificate is good for loopback only.
pub(super) const KEYSTORE_PASSWORD: &str = "cassandra";

/// The certificate as PEM. It signed itself, so it is its own root.
pub(super) const CA_FILE: &str = "ca.pem";

/// Makes both in the ring's directory, unless they are there.
///
/// # Errors
/// When keytool, which comes with Java, is missing or fails.
pub(super) fn make_certificate(dir: &Path) -> Result<()> {
    if dir.join(CA_FILE).exists() {
        return Ok(());
    }
    let keytool = || {
        let mut keytool = Command::new(config::java_program("keytool"));
        keytool.current_dir(dir);
        keytool
    };
    let store = ["-keystore", KEYSTORE, "-storepass", KEYSTORE_PASSWORD, "-alias", "node"];
    if !dir.join(KEYSTORE).exists() {
        let names = "san=ip:127.0.0.1,ip:127.0.0.2,ip:127.0.0.3,dns:localhost";
        let about = ["-dname", "CN=Cassandra for tests", "-ext", names, "-validity", "3650"];
        let key = ["-storetype", "PKCS12", "-keyalg", "EC", "-groupname", "secp256r1"];
        run(keytool().arg("-genkeypair").args(store).args(key).args(about))?;
    }
    run(keytool().args(["-exportcert", "-rfc", "-file", CA_FILE]).args(store))?;
    Ok(())
}

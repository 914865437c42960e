//! nginx with nchan in the foreground, with the configuration that the generator's profile ships with.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::server;
use crate::command;

/// What the shipped configuration listens on; replaced by a free port.
const LISTEN: &str = "listen 127.0.0.1:8080 ";

/// It listens within milliseconds, unless the machine is busy.
const START_MAX: Duration = Duration::from_secs(10);

/// A running nginx; killed when dropped.
pub(crate) struct Nchan {
    process: Child,
    address: SocketAddr,
    /// Its prefix, the directory that it writes to; removed when it is.
    _home: tempfile::TempDir,
}

impl Nchan {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When there is no nginx with nchan, or it does not start.
    pub(crate) fn start() -> Result<Nchan> {
        let address = server::free_address()?;
        let home = tempfile::tempdir().context("cannot make a directory for nginx")?;
        let shipped = profiles().join("nchan.nginx.conf");
        let shipped = std::fs::read_to_string(&shipped)
            .with_context(|| format!("cannot read {}", shipped.display()))?;
        ensure!(shipped.contains(LISTEN), "the configuration of nginx does not say `{LISTEN}`");
        let configuration = shipped.replace(LISTEN, &format!("listen {address} "));
        std::fs::write(home.path().join("nginx.conf"), configuration).context("cannot write nginx.conf")?;
        // As many open files as it may have: a stream needs one. The shell becomes nginx, so that the
        // process id is nginx's. `-e`: Debian's nginx opens its own log before it has read a file.
        let nginx = "ulimit -n \"$(ulimit -Hn)\" && exec nginx -e stderr -c nginx.conf -p \"$0\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", nginx]).arg(home.path());
        // It warns of limits that are meant; that it does not start shows by itself.
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = shell.spawn().context("cannot start nginx")?;
        let mut nchan = Nchan { process, address, _home: home };
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if let Some(status) = nchan.process.try_wait()? {
                bail!("nginx ended by itself: {status}");
            }
            if TcpStream::connect(address).is_ok() {
                return Ok(nchan);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("nginx does not listen after {START_MAX:?}")
    }

    /// What tells the load generator where it is, and how it is spoken to.
    pub(crate) fn flags(&self) -> Vec<OsString> {
        let mut flags: Vec<OsString> = vec!["--target".into(), format!("http://{}", self.address).into()];
        flags.extend(["--pid".into(), self.process.id().to_string().into()]);
        flags.extend(["--profile".into(), profiles().join("nchan.toml").into()]);
        flags
    }
}

impl Drop for Nchan {
    fn drop(&mut self) {
        // Killed and not asked: nchan 1.3.6 frees memory twice when such a process ends by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `nginx 1.22.1-9, nchan 1.3.6` as Debian calls them; elsewhere what nginx says of itself.
///
/// # Errors
/// When there is no nginx.
pub(crate) fn version() -> Result<String> {
    let of_package = |package: &str| {
        let mut query = Command::new("dpkg-query");
        query.args(["--show", "--showformat=${Version}", package]);
        command::output(&mut query).ok()
    };
    if let (Some(nginx), Some(nchan)) = (of_package("nginx"), of_package("libnginx-mod-nchan")) {
        return Ok(format!("nginx {nginx}, nchan {nchan}"));
    }
    let output = Command::new("nginx").arg("-v").output().context("nginx does not say its version")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(said.trim().trim_start_matches("nginx version: ").to_owned())
}

fn profiles() -> PathBuf {
    command::root().join("loadgen/profiles")
}

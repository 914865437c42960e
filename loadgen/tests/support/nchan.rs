//! nginx with nchan in the foreground, on a port of its own, with the configuration that the profile ships with.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What the shipped configuration listens on, replaced by a free port.
const LISTEN: &str = "listen 127.0.0.1:8080 ";

/// It listens within milliseconds, unless the machine is busy.
const START_MAX: Duration = Duration::from_secs(10);

/// Ports to try: another program may take one between its choice and nginx's start.
const PORTS_MAX: usize = 5;

/// A running nginx; killed when dropped.
pub(crate) struct Nchan {
    process: Child,
    /// Its prefix: the directory that it writes to.
    home: TempDir,
    port: u16,
}

impl Nchan {
    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// When there is no nginx with nchan, or it does not start: with what it wrote.
    pub(crate) fn start() -> Self {
        let mut written = String::new();
        for _ in 0..PORTS_MAX {
            match Self::start_on(free_port()) {
                Ok(nchan) => return nchan,
                Err(why) => written = why,
            }
        }
        panic!("nginx did not start; it is in Debian's nginx and libnginx-mod-nchan:\n{written}");
    }

    fn start_on(port: u16) -> Result<Self, String> {
        let home = tempfile::tempdir().expect("a temporary directory");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/nchan.nginx.conf");
        let shipped = fs::read_to_string(shipped).expect("the configuration beside the profile");
        assert!(shipped.contains(LISTEN), "the shipped configuration must have `{LISTEN}`");
        let configuration = shipped.replace(LISTEN, &format!("listen 127.0.0.1:{port} "));
        fs::write(home.path().join("nginx.conf"), configuration).expect("a configuration");
        let log = home.path().join("stderr");
        // As many file descriptors as it may have: a stream needs one. The shell becomes nginx, so that
        // the process id is nginx's. `-e`: Debian's nginx opens its own log before it has read a file.
        let nginx = "ulimit -n \"$(ulimit -Hn)\" && exec nginx -e stderr -c nginx.conf -p \"$0\"";
        let process = Command::new("sh")
            .args(["-c", nginx])
            .arg(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("a file for what it writes"))
            .spawn()
            .expect("a shell");
        let mut nchan = Self { process, home, port };
        let start = Instant::now();
        while start.elapsed() < START_MAX {
            if nchan.process.try_wait().expect("its state").is_some() {
                return Err(nchan.written());
            }
            // Not before the process was seen alive: a stranger may listen on the port.
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(nchan);
            }
            sleep(Duration::from_millis(10));
        }
        Err(format!("it does not listen after {START_MAX:?}\n{}", nchan.written()))
    }

    /// Where it is, for `--target`.
    pub(crate) fn target(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The one process that it is, for `--pid`.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it wrote to its log: warnings and errors.
    pub(crate) fn written(&self) -> String {
        fs::read_to_string(self.home.path().join("stderr")).expect("its log")
    }
}

impl Drop for Nchan {
    fn drop(&mut self) {
        // Killed and not asked: nchan 1.3.6 frees memory twice when such a process ends by itself.
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

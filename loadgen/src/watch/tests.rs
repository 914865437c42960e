use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command};

use super::*;

/// A process that does nothing, ended with the test.
struct Idle(Child);

impl Idle {
    fn start() -> Self {
        Self(Command::new("sleep").arg("60").spawn().expect("sleep is there"))
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Answers each connection with the next of these, then listens no more.
fn serve(answers: Vec<&'static str>) -> SocketAddr {
    serve_on(TcpListener::bind("127.0.0.1:0").expect("a port"), answers)
}

fn serve_on(listener: TcpListener, answers: Vec<&'static str>) -> SocketAddr {
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
            }
            let allowed = String::from_utf8_lossy(&head).contains("\r\nauthorization: Bearer secret\r\n");
            let answer = if allowed { answer } else { "HTTP/1.1 401 Unauthorized\r\n\r\n" };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

const TOLD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n\
    process_resident_memory_bytes 5e6\nprocess_cpu_seconds_total 1.5\n";

/// Collects until something is there, ten seconds at most.
fn next(watcher: &Watcher) -> Option<Seen> {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if let Some(seen) = watcher.seen().next() {
            return Some(seen);
        }
        thread::sleep(Duration::from_millis(20));
    }
    None
}

#[test]
fn a_process_is_watched_until_it_ends() {
    let mut idle = Idle::start();
    let pid = idle.0.id();
    let mut watcher = Watcher::new(Instant::now());
    watcher.watch(Target::process(pid).expect("it runs"), true).expect("a thread");
    let first = next(&watcher).expect("a sample at once");
    assert_eq!((&*first.name, first.of_server), (format!("pid {pid}").as_str(), true));
    assert!(first.sample.resident_bytes > 100_000, "{first:?}");
    assert!(first.sample.private_bytes.is_some_and(|private| private < first.sample.resident_bytes));
    assert!(first.sample.cpu_s.is_some() && first.sample.at_s < 1.0, "{first:?}");
    let second = next(&watcher).expect("a sample a second later");
    let apart = second.sample.at_s - first.sample.at_s;
    assert!((0.9..5.0).contains(&apart), "{apart} s apart");

    idle.0.kill().expect("it runs");
    // Ended, but nobody has asked how: it has no memory any more.
    let end = Instant::now() + Duration::from_secs(10);
    while let Ok(target) = Target::process(pid) {
        assert!(Instant::now() < end, "{target:?} is a zombie and no process");
        thread::sleep(Duration::from_millis(10));
    }
    assert!(matches!(Target::process(pid), Err(Error::NoProcess { .. })));
    thread::sleep(INTERVAL + Duration::from_millis(300));
    let _ = watcher.seen().count();
    thread::sleep(INTERVAL + Duration::from_millis(300));
    assert_eq!(watcher.seen().count(), 0);
}

#[test]
fn a_process_that_is_not_there_is_named() {
    let mut idle = Idle::start();
    let pid = idle.0.id();
    idle.0.kill().and_then(|()| idle.0.wait()).expect("it ran");
    let error = Target::process(pid).expect_err("it is gone");
    assert!(error.to_string().contains(&format!("no process {pid}")), "{error}");
}

#[test]
fn a_busy_process_uses_processor_time() {
    let target = Target::process(std::process::id()).expect("this runs");
    let before = target.look().expect("still").cpu_s.expect("known");
    let end = Instant::now() + Duration::from_secs(20);
    // Other tests share the processors: as long as it takes.
    while target.look().expect("still").cpu_s.expect("known") < before + 0.1 {
        assert!(Instant::now() < end, "no processor time in 20 s of work");
    }
}

#[test]
fn metrics_are_watched_through_a_restart() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let again = listener.try_clone().expect("a second one");
    // Once for the check at the start, and once for the first look.
    let address = serve_on(listener, vec![TOLD, TOLD]);
    let url = format!("http://{address}/metrics");
    let target = Target::metrics(&url, Some("secret")).expect("it answers");
    let mut watcher = Watcher::new(Instant::now());
    watcher.watch(target, true).expect("a thread");
    let first = next(&watcher).expect("a sample");
    assert_eq!((&*first.name, first.sample.resident_bytes), (url.as_str(), 5_000_000));
    assert_eq!((first.sample.private_bytes, first.sample.cpu_s), (None, Some(1.5)));
    // A look meanwhile is not answered within its second.
    thread::sleep(INTERVAL * 2 + Duration::from_millis(500));
    assert_eq!(watcher.seen().count(), 0, "nothing is made up");
    let missed = "HTTP/1.1 503 Service Unavailable\r\n\r\n";
    serve_on(again, vec![missed, missed, missed, TOLD]);
    let back = next(&watcher).expect("samples go on");
    assert!(back.sample.at_s > first.sample.at_s + 2.0, "{back:?}");
}

#[test]
fn metrics_that_do_not_come_are_refused_with_a_reason() {
    let refused = |answer: &'static str, token| {
        let url = format!("http://{}/metrics", serve(vec![answer]));
        let error = Target::metrics(&url, token).expect_err("no metrics");
        assert!(error.to_string().contains(&url), "{error}");
        error
    };
    assert!(matches!(refused(TOLD, None), Error::Status { status: 401, .. }));
    let token = Some("secret");
    assert!(refused("HTTP/1.1 404 Not Found\r\n\r\n", token).to_string().contains("/metrics"));
    assert!(matches!(refused("HTTP/1.1 200 OK\r\n\r\n<html>", token), Error::NotTold { .. }));
    assert!(matches!(refused("SSH-2.0-OpenSSH\r\n", token), Error::NoAnswer { .. }));
    assert!(matches!(refused("", token), Error::NoAnswer { .. }));

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let asked = Instant::now();
    let error = Target::metrics(&url, None).expect_err("nobody accepts");
    assert!(asked.elapsed() < TIMEOUT_SEEN, "{:?}", asked.elapsed());
    assert!(std::error::Error::source(&error).is_some_and(|why| why.to_string().contains("within 1 s")));
    drop(listener);
    let error = Target::metrics(&url, None).expect_err("nobody listens");
    assert!(matches!(error, Error::NoAnswer { .. }), "{error}");
}

/// A time-out of a second on a busy machine.
const TIMEOUT_SEEN: Duration = Duration::from_secs(5);

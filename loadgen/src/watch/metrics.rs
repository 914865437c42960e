//! A process that says of itself what it uses, as Prometheus' text over HTTP.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use http::{HeaderValue, Uri};

use super::{Error, Looked};

/// Resident memory, as Prometheus' own client libraries name it.
pub(super) const RESIDENT: &str = "process_resident_memory_bytes";
/// Processor time since the process began; not every server tells it.
const CPU: &str = "process_cpu_seconds_total";

/// One look from connecting to the last byte. The next one is due a second later.
const TIMEOUT: Duration = Duration::from_secs(1);

/// An answer: a busy server tells some thousand series, 100 bytes each. More is no answer of metrics.
const ANSWER_BYTES_MAX: u64 = 8 << 20;

/// Header lines of an answer: a proxy in front adds a dozen.
const HEADERS_MAX: usize = 64;

/// An address of metrics.
#[derive(Clone)]
pub struct Metrics {
    url: String,
    host: String,
    port: u16,
    /// Head of the request, with the token.
    request: Vec<u8>,
}

/// Without the token.
impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Metrics {
    pub(super) fn new(url: &str, token: Option<&str>) -> Result<Self, Error> {
        let bad = || Error::Address { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let authority = uri.authority().ok_or_else(bad)?;
        // A name and password in front of the host would end up in reports.
        if uri.scheme_str() != Some("http") || authority.as_str().contains('@') {
            return Err(bad());
        }
        let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
        let path = format!("{}{query}", uri.path());
        // HTTP/1.0 is answered with one body that ends with the connection: no chunks to put together.
        let mut request = format!("GET {path} HTTP/1.0\r\nhost: {authority}\r\naccept: text/plain\r\n");
        if let Some(token) = token.map(str::trim) {
            HeaderValue::from_str(token).map_err(|_| Error::Token { url: url.to_owned() })?;
            request += &format!("authorization: Bearer {token}\r\n");
        }
        request += "\r\n";
        // An IPv6 address is in brackets there, and without them here.
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self { url: url.to_owned(), host, port, request: request.into_bytes() })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn look(&self) -> Result<Looked, Error> {
        let url = || self.url.clone();
        let answer = self.ask().map_err(|source| Error::NoAnswer { url: url(), source })?;
        let unreadable = |why: &str| Error::NoAnswer {
            url: url(),
            source: io::Error::new(io::ErrorKind::InvalidData, why.to_owned()),
        };
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut headers);
        let length = match head.parse(&answer) {
            Ok(httparse::Status::Complete(length)) => length,
            _ => return Err(unreadable("what answers does not speak HTTP")),
        };
        match head.code {
            Some(200) => {}
            status => return Err(Error::Status { url: url(), status: status.unwrap_or_default() }),
        }
        let body = String::from_utf8_lossy(&answer[length..]);
        let resident = value(&body, RESIDENT).ok_or_else(|| Error::NotTold { url: url() })?;
        Ok(Looked { resident_bytes: resident as u64, private_bytes: None, cpu_s: value(&body, CPU) })
    }

    /// The whole answer, or nothing of it when the time is over.
    fn ask(&self) -> io::Result<Vec<u8>> {
        let end = Instant::now() + TIMEOUT;
        let mut stream = self.connect(end)?;
        stream.set_write_timeout(Some(left(end)?))?;
        stream.write_all(&self.request)?;
        let mut answer = Vec::new();
        let mut chunk = [0; 16 << 10];
        loop {
            stream.set_read_timeout(Some(left(end)?))?;
            match stream.read(&mut chunk) {
                Ok(0) => return Ok(answer),
                Ok(read) => answer.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What the system says for a time-out of a socket, in words.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(late()),
                Err(error) => return Err(error),
            }
            if answer.len() as u64 > ANSWER_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer has more than 8 MiB"));
            }
        }
    }

    /// A name may have several addresses, of which one answers: `localhost` has two.
    fn connect(&self, end: Instant) -> io::Result<TcpStream> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(end)?) {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(late()) } else { Ok(left) }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", TIMEOUT.as_secs()))
}

/// The sum over all lines of a metric, if there is one:
/// <https://prometheus.io/docs/instrumenting/exposition_formats/>.
fn value(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let behind = line.trim_start().strip_prefix(name)?;
        let value = match behind.strip_prefix('{') {
            // Values of labels are quoted and may hold anything; nothing behind them holds a bracket.
            Some(labels) => labels.rsplit_once('}')?.1,
            None => behind.starts_with([' ', '\t']).then_some(behind)?,
        };
        value.split_whitespace().next()?.parse::<f64>().ok().filter(|value| value.is_finite())
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_prometheus_writes_them() {
        let text = "# HELP process_resident_memory_bytes x\n\
            # TYPE process_resident_memory_bytes gauge\n\
            process_resident_memory_bytes_other 1\n\
            process_resident_memory_bytes 1.5843328e+07 1700000000000\n\
            process_cpu_seconds_total{job=\"a } b\"} 1.5\n\
            process_cpu_seconds_total{job=\"b\",} 2.25\n";
        assert_eq!(value(text, RESIDENT), Some(15_843_328.0));
        assert_eq!(value(text, CPU), Some(3.75));
        assert_eq!(value(text, "process_threads"), None);
        assert_eq!(value("process_cpu_seconds_total NaN\n", CPU), None);
    }

    #[test]
    fn addresses_that_cannot_be_asked_are_refused() {
        for url in ["127.0.0.1:9090", "https://127.0.0.1/metrics", "http://", "http://a:b@c/", "/metrics", ""]
        {
            let error = Metrics::new(url, None).expect_err(url);
            assert!(matches!(&error, Error::Address { url: named } if named == url), "{error}");
        }
        let error = Metrics::new("http://[::1]:9090/metrics", Some("a\r\nb: c")).expect_err("two lines");
        assert!(matches!(error, Error::Token { .. }), "{error}");
        let metrics = Metrics::new("http://[::1]:9090?a=b", Some(" secret\n")).expect("an address");
        assert_eq!((metrics.host.as_str(), metrics.port), ("::1", 9090));
        let head = "GET /?a=b HTTP/1.0\r\nhost: [::1]:9090\r\naccept: text/plain\r\nauthorization: Bearer secret\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&metrics.request), head);
        assert!(!format!("{metrics:?}").contains("secret"));
    }
}

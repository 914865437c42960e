//! What kind of request the first bytes of a connection begin.

use http::header::{HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Uri, Version, request};

/// Where streams are.
pub(super) const STREAM_PATH: &str = "/v1/events";

/// The client's connection preface of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Longest request target: what RFC 9110, section 4.1 asks everyone to support, rounded up. A token (4 KiB)
/// and an event id in a query fit.
pub(super) const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Fields in a head: the number that hyper takes too.
const FIELDS_MAX: usize = 100;

/// What a connection's first bytes are.
#[derive(Debug)]
pub(super) enum Head {
    /// Not enough bytes yet.
    Partial,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// `GET /v1/events` over HTTP/1.0 or 1.1.
    Stream(Box<request::Parts>),
    /// Any other request over HTTP/1.
    Other,
    /// No request that can be answered otherwise than by saying so.
    Bad(Fault),
}

/// What is wrong with a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not HTTP, or against its grammar.
    Malformed,
    /// HTTP/1.1 without `Host`, or with two (RFC 9112, section 3.2).
    Host,
    /// The target is over [`TARGET_BYTES_MAX`].
    TargetTooLong,
    /// The head is over the limit, or has more than [`FIELDS_MAX`] fields.
    TooLarge,
}

/// Looks at the first bytes of a connection; `bytes_max` is how many a head may have.
pub(super) fn classify(bytes: &[u8], bytes_max: usize) -> Head {
    let compared = bytes.len().min(PREFACE.len());
    if compared > 0 && bytes[..compared] == PREFACE[..compared] {
        return if compared == PREFACE.len() { Head::Http2 } else { Head::Partial };
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(end)) if end > bytes_max => Head::Bad(Fault::TooLarge),
        Ok(httparse::Status::Complete(_)) => complete(&request),
        Ok(httparse::Status::Partial) => partial(bytes, request.path, bytes_max),
        Err(httparse::Error::TooManyHeaders) => Head::Bad(Fault::TooLarge),
        Err(_) => Head::Bad(Fault::Malformed),
    }
}

fn partial(bytes: &[u8], target: Option<&str>, bytes_max: usize) -> Head {
    // Without a target the request line is still under way: a method, then the target.
    let target_bytes = target.map_or_else(|| unfinished_target(bytes), str::len);
    if target_bytes > TARGET_BYTES_MAX {
        Head::Bad(Fault::TargetTooLong)
    } else if bytes.len() >= bytes_max {
        Head::Bad(Fault::TooLarge)
    } else {
        Head::Partial
    }
}

fn unfinished_target(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| *b == b' ').map_or(0, |method| bytes.len() - method - 1)
}

fn complete(request: &httparse::Request<'_, '_>) -> Head {
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Head::Bad(Fault::Malformed);
    };
    if target.len() > TARGET_BYTES_MAX {
        return Head::Bad(Fault::TargetTooLong);
    }
    let hosts = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(HOST.as_str())).count();
    if hosts > 1 || (hosts == 0 && version == 1) {
        return Head::Bad(Fault::Host);
    }
    if method != Method::GET.as_str() {
        return Head::Other;
    }
    let Ok(uri) = Uri::try_from(target) else {
        return Head::Bad(Fault::Malformed);
    };
    if uri.path() != STREAM_PATH {
        return Head::Other;
    }
    match parts(uri, version, request.headers) {
        Some(parts) => Head::Stream(Box::new(parts)),
        None => Head::Bad(Fault::Malformed),
    }
}

fn parts(uri: Uri, version: u8, fields: &[httparse::Header<'_>]) -> Option<request::Parts> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.uri = uri;
    parts.version = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    parts.headers = headers;
    Some(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 16 * 1024;

    fn fault(bytes: &[u8]) -> Option<Fault> {
        match classify(bytes, MAX) {
            Head::Bad(fault) => Some(fault),
            _ => None,
        }
    }

    #[test]
    fn a_stream_is_recognised_at_its_last_byte() {
        let head = b"GET /v1/events?heartbeat_s=30 HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 4-1-abcd\r\n\r\n";
        for end in 1..head.len() {
            assert!(matches!(classify(&head[..end], MAX), Head::Partial), "at {end}");
        }
        let Head::Stream(parts) = classify(head, MAX) else { panic!("no stream") };
        assert_eq!(parts.uri.query(), Some("heartbeat_s=30"));
        assert_eq!(parts.version, Version::HTTP_11);
        assert_eq!(parts.headers["last-event-id"], "4-1-abcd");
    }

    #[test]
    fn what_is_beside_the_stream_is_ordinary() {
        for head in [
            "POST /v1/events HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /v1/events/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /v1/eventsx HTTP/1.1\r\nHost: x\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
        ] {
            assert!(matches!(classify(head.as_bytes(), MAX), Head::Other), "{head}");
        }
        let absolute = "GET http://x/v1/events HTTP/1.1\r\nHost: x\r\n\r\n";
        assert!(matches!(classify(absolute.as_bytes(), MAX), Head::Stream(_)));
        assert!(matches!(classify(b"GET /v1/events HTTP/1.0\r\n\r\n", MAX), Head::Stream(_)));
    }

    #[test]
    fn http_2_is_known_by_its_preface_alone() {
        for end in 1..PREFACE.len() {
            assert!(matches!(classify(&PREFACE[..end], MAX), Head::Partial), "at {end}");
        }
        assert!(matches!(classify(PREFACE, MAX), Head::Http2));
        assert_eq!(fault(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"), Some(Fault::Malformed));
    }

    #[test]
    fn faults_have_names() {
        assert_eq!(fault(b"\x16\x03\x01\x02\x00\x01"), Some(Fault::Malformed)); // a TLS hello
        assert_eq!(fault(b"GET / HTTP/1.1\r\n\r\n"), Some(Fault::Host));
        assert_eq!(fault(b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n"), Some(Fault::Host));
        let target = "a".repeat(10 * 1024);
        assert_eq!(fault(format!("GET /{target}").as_bytes()), Some(Fault::TargetTooLong));
        assert_eq!(
            fault(format!("GET /{target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()),
            Some(Fault::TargetTooLong)
        );
        let mut large = b"GET / HTTP/1.1\r\nHost: x\r\nA: ".to_vec();
        large.resize(MAX, b'a');
        assert_eq!(fault(&large), Some(Fault::TooLarge));
        let many = "a: b\r\n".repeat(FIELDS_MAX + 1);
        assert_eq!(fault(format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes()), Some(Fault::TooLarge));
    }

    /// Bytes that begin as a request does, and go on as they like.
    fn nearly_a_head() -> impl Strategy<Value = Vec<u8>> {
        let begin = prop_oneof![
            Just(&b""[..]),
            Just(&b"GET /v1/events"[..]),
            Just(&b"GET /v1/events HTTP/1.1\r\nHost: x\r\n"[..]),
            Just(&b"GET http://"[..]),
            Just(&b"PRI * HTTP/2.0\r\n"[..]),
        ];
        (begin, proptest::collection::vec(any::<u8>(), 0..300), any::<bool>()).prop_map(
            |(begin, rest, end)| {
                let end: &[u8] = if end { b"\r\n\r\n" } else { b"" };
                [begin, &rest[..], end].concat()
            },
        )
    }

    proptest! {
        #[test]
        fn any_bytes_are_classified(bytes in nearly_a_head()) {
            let whole = classify(&bytes, MAX);
            // What was decided on fewer bytes stays decided: a head may arrive in any pieces.
            for cut in 1..bytes.len() {
                match (classify(&bytes[..cut], MAX), &whole) {
                    (Head::Partial, _) | (Head::Other, Head::Other) | (Head::Http2, Head::Http2) => {}
                    (Head::Stream(a), Head::Stream(b)) => prop_assert_eq!(a.headers, b.headers.clone()),
                    (Head::Bad(a), Head::Bad(b)) => prop_assert_eq!(a, *b),
                    (early, late) => prop_assert!(false, "{:?} then {:?}", early, late),
                }
            }
        }
    }
}

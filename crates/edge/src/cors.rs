//! Which web pages may call (Fetch standard, section 3.3). Tokens travel in a header and never in a
//! cookie, so no credentials are allowed and a page of another origin can do nothing in a user's name.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

/// What a page may send besides what every page may.
const ALLOWED_HEADERS: &str = "authorization, content-type, godwit-ack, last-event-id";
/// What a page may do.
const ALLOWED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// What a page may read besides what every page may.
const EXPOSED_HEADERS: &str = "allow, ratelimit, ratelimit-policy, retry-after, www-authenticate";
/// Seconds for which a browser may remember the answer to a preflight; Chromium keeps none longer.
const MAX_AGE_S: &str = "7200";

/// The origins whose pages may call.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    any: bool,
    origins: Vec<String>,
}

impl Cors {
    /// Of origins as browsers send them, such as `https://chat.example`; `*` is every one.
    pub fn new(origins: Vec<String>) -> Self {
        Self { any: origins.iter().any(|origin| origin == "*"), origins }
    }

    /// Adds to an answer what lets the page that asked read it.
    pub(crate) fn allow(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        if self.any {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else if !self.origins.is_empty() {
            // A cache must not hand one page the answer to another.
            answer.append(header::VARY, HeaderValue::from_static("origin"));
            let Some(origin) = request.get(header::ORIGIN).filter(|origin| self.lists(origin)) else {
                return;
            };
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        } else {
            return;
        }
        answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
    }

    /// The answer to a preflight, for a request that is one.
    pub(crate) fn preflight(&self, method: &Method, request: &HeaderMap) -> Option<(StatusCode, HeaderMap)> {
        const ASKS: HeaderName = header::ACCESS_CONTROL_REQUEST_METHOD;
        if method != Method::OPTIONS || !request.contains_key(header::ORIGIN) || !request.contains_key(ASKS) {
            return None;
        }
        let mut answer = HeaderMap::new();
        self.allow(request, &mut answer);
        if answer.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS).is_some() {
            answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(ALLOWED_METHODS));
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED_HEADERS));
            answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_S));
        }
        Some((StatusCode::NO_CONTENT, answer))
    }

    fn lists(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(origin: &'static str) -> HeaderMap {
        let mut request = HeaderMap::new();
        request.insert(header::ORIGIN, HeaderValue::from_static(origin));
        request.insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        request
    }

    #[test]
    fn a_listed_origin_may_call_and_another_may_not() {
        let cors = Cors::new(vec!["https://chat.example".into()]);
        let (status, answer) = cors.preflight(&Method::OPTIONS, &from("https://chat.example")).unwrap();
        assert_eq!(status, StatusCode::NO_CONTENT);
        assert_eq!(answer[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://chat.example");
        assert_eq!(answer[header::ACCESS_CONTROL_ALLOW_HEADERS], ALLOWED_HEADERS);
        assert_eq!(answer[header::VARY], "origin");
        let (_, answer) = cors.preflight(&Method::OPTIONS, &from("https://chat.example.evil")).unwrap();
        assert!(!answer.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        assert!(!answer.contains_key(header::ACCESS_CONTROL_ALLOW_METHODS));
        assert!(cors.preflight(&Method::POST, &from("https://chat.example")).is_none());
    }

    #[test]
    fn without_origins_nothing_is_said_and_a_star_is_for_all() {
        let mut answer = HeaderMap::new();
        Cors::default().allow(&from("https://a.example"), &mut answer);
        assert!(answer.is_empty());
        Cors::new(vec!["*".into()]).allow(&from("https://a.example"), &mut answer);
        assert_eq!(answer[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!answer.contains_key(header::VARY));
    }
}

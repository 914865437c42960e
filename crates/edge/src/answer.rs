//! Answers: problems as HTTP responses with the headers that belong to them.

use bytes::Bytes;
use godwit_wire::{Code, Problem};
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

/// Keeps a browser from guessing that an answer is a page.
pub(crate) const NOSNIFF: (HeaderName, HeaderValue) =
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));

/// RFC 9457 `application/problem+json`, with `Retry-After` or `WWW-Authenticate` where they belong.
pub(crate) fn problem(problem: &Problem) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(problem.to_json()));
    *response.status_mut() = status(problem.code);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(NOSNIFF.0, NOSNIFF.1);
    if let Some(seconds) = problem.retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(challenge) = challenge(problem.code) {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// The status of a code.
pub(crate) fn status(code: Code) -> StatusCode {
    // The table has nothing but valid numbers: a test below goes through it.
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// RFC 6750, section 3.1: who brought no token is told no error.
fn challenge(code: Code) -> Option<HeaderValue> {
    let text = match code {
        Code::TokenMissing => "Bearer realm=\"godwit\"",
        Code::TokenInvalid => {
            "Bearer realm=\"godwit\", error=\"invalid_token\", error_description=\"The token is not valid\""
        }
        Code::TokenExpired => {
            "Bearer realm=\"godwit\", error=\"invalid_token\", error_description=\"The token has expired\""
        }
        Code::TokenRevoked => {
            "Bearer realm=\"godwit\", error=\"invalid_token\", error_description=\"The token was revoked\""
        }
        _ => return None,
    };
    Some(HeaderValue::from_static(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_answered_with_its_status_and_headers() {
        for &code in Code::ALL {
            let response = problem(&Problem::new(code, "x"));
            assert_eq!(response.status().as_u16(), code.status(), "{code:?}");
            assert!(response.status().is_client_error() || response.status().is_server_error());
            let has = |name| response.headers().contains_key(name);
            assert_eq!(has(header::WWW_AUTHENTICATE), code.status() == 401, "{code:?}");
            assert_eq!(has(header::RETRY_AFTER), matches!(code.status(), 429 | 503), "{code:?}");
        }
    }
}

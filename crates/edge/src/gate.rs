//! Who may pass: the token of a request, what it is worth, and what every call may carry besides.

use std::sync::Arc;

use godwit_actors::Region;
use godwit_cache::Cache;
use godwit_types::{Cursor, Timestamp};
use godwit_wire::{Code, Problem};
use http::HeaderMap;
use http::header;

use crate::auth::{Authenticator, Identity};
use crate::cors::Cors;
use crate::rates::{Limited, Rates};

/// Requests that were refused for their token. Label `code`: a code of the table of problems.
const AUTH_FAILURES: &str = "godwit_auth_failures_total";

/// On any call: the same as `POST /v1/acks`.
const ACK_HEADER: &str = "godwit-ack";

type Revoked = Box<dyn Fn(&Identity) -> bool + Send + Sync>;

/// What both transports ask before they serve: the API's handlers and the taken-over streams.
pub struct Gate {
    pub(crate) auth: Arc<Authenticator>,
    pub(crate) region: Region,
    pub(crate) cors: Cors,
    pub(crate) cache: Cache,
    pub(crate) rates: Rates,
    revoked: Revoked,
}

impl Gate {
    /// In front of the actors of this node. Presence comes from `cache`, and with it rates are counted.
    pub fn new(auth: Arc<Authenticator>, region: Region, cors: Cors, cache: Cache, rates: Rates) -> Self {
        let known = region.clone();
        let revoked = move |who: &Identity| known.is_revoked(&who.account, &who.device, who.issued_at);
        Self { auth, region, cors, cache, rates, revoked: Box::new(revoked) }
    }

    #[cfg(test)]
    pub(crate) fn with_revoked(self, revoked: impl Fn(&Identity) -> bool + Send + Sync + 'static) -> Self {
        Self { revoked: Box::new(revoked), ..self }
    }

    /// Whose request this is, by its `Authorization` header. Errors: 401, or 503 while no key is known.
    pub(crate) async fn caller(&self, headers: &HeaderMap, now: Timestamp) -> Result<Identity, Problem> {
        self.admit(bearer(headers), now).await
    }

    /// Whose token this is, and whether it was revoked.
    pub(crate) async fn admit(&self, token: Option<&str>, now: Timestamp) -> Result<Identity, Problem> {
        let admitted = match token {
            Some(token) => self.auth.identify(token, now).await.and_then(|identity| {
                let revoked = (self.revoked)(&identity);
                if revoked {
                    Err(Problem::new(Code::TokenRevoked, "the device or its account was revoked"))
                } else {
                    Ok(identity)
                }
            }),
            None => Err(Problem::new(Code::TokenMissing, "send Authorization: Bearer and a token")),
        };
        admitted.inspect_err(|problem| {
            metrics::counter!(AUTH_FAILURES, "code" => problem.code.as_str()).increment(1);
        })
    }

    /// One more request of this account. Errors: the 429 to answer with.
    pub(crate) async fn request(&self, who: &Identity) -> Result<(), Limited> {
        self.rates.request(&self.cache, &who.account).await
    }

    /// That many more messages of this account. Errors: the 429 to answer with.
    pub(crate) async fn messages(&self, who: &Identity, count: usize) -> Result<(), Limited> {
        self.rates.messages(&self.cache, &who.account, count).await
    }

    /// Does what the header `Godwit-Ack` asks for, if it is there. Errors: 400 `cursor_malformed` or
    /// `cursor_unknown`, and what the actors answer.
    pub(crate) async fn acknowledge(&self, headers: &HeaderMap, who: &Identity) -> Result<(), Problem> {
        let Some(value) = headers.get(ACK_HEADER) else { return Ok(()) };
        let cursor = cursor(value.to_str().unwrap_or_default(), "Godwit-Ack:")?;
        self.region.acknowledge(&who.account, &who.device, cursor).await
    }
}

/// Reads an event id; `pointer` says where it stood. Errors: 400 `cursor_malformed`.
pub(crate) fn cursor(text: &str, pointer: &'static str) -> Result<Cursor, Problem> {
    Cursor::parse(text).map_err(|error| {
        let mut problem = Problem::field(pointer, error.to_string());
        problem.code = Code::CursorMalformed;
        problem
    })
}

/// The token of the `Authorization` header (RFC 6750, section 2.1). None when there is no such header;
/// of another scheme it is empty, which no token is.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    Some(if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers), None);
        for (value, token) in
            [("Bearer a.b.c", "a.b.c"), ("bearer  a.b.c ", "a.b.c"), ("Basic YTpi", ""), ("Bearer", "")]
        {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(bearer(&headers), Some(token), "{value}");
        }
    }

    #[test]
    fn a_malformed_id_says_where_it_stood() {
        let problem = cursor("4-1", "Godwit-Ack:").unwrap_err();
        assert_eq!(
            (problem.code, problem.errors[0].pointer.as_str()),
            (Code::CursorMalformed, "Godwit-Ack:")
        );
    }
}

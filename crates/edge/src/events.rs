//! `GET /v1/events`: what a client asks for, and how it is answered. Shared by both transports: the
//! taken-over socket and hyper.
//!
//! This call is never answered with a 5xx or 429: a stock `EventSource` gives up for good on one. What
//! cannot be served now is a 200 with `retry` and `bye`.

mod body;

use bytes::Bytes;
use godwit_actors::StreamRequest;
use godwit_types::{Cursor, Timestamp};
use godwit_wire::event::{ByeData, data};
use godwit_wire::{ByeReason, Code, EventKind, Problem, sse};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode, Uri};

use crate::answer;
use crate::auth::Identity;
use crate::gate::{Gate, bearer, cursor};
use crate::query::Query;

pub(crate) use body::serve;

/// The middle of the time between two heartbeats that a client may ask for, in seconds: not more often
/// than is good for a battery, not less often than carriers forget an idle connection.
const HEARTBEAT_S: std::ops::RangeInclusive<u64> = 15..=300;

/// What a stream may leave out.
const EXCLUDABLE: [&str; 3] = ["typing", "presence", "receipt"];

/// Milliseconds that a client waits before it comes back, drawn anew for each.
const RETRY_MS: std::ops::RangeInclusive<u32> = 1_000..=5_000;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Why there is no stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request is wrong: 400, 401 or 406.
    Problem(Problem),
    /// The device was revoked: 204, which stops an `EventSource`.
    Revoked,
    /// Not now: 200, `retry`, `bye`.
    NotNow(ByeReason),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        match problem.code {
            Code::TokenRevoked => Self::Revoked,
            Code::Draining => Self::NotNow(ByeReason::Drain),
            code if code.status() >= 500 || code.status() == 429 => Self::NotNow(ByeReason::Overload),
            _ => Self::Problem(problem),
        }
    }
}

/// Reads a request for a stream: `Accept`, token, `Last-Event-ID`, options. An id of another account or
/// from the future is passed on: it leads to a `gap`.
pub(crate) async fn request(
    uri: &Uri,
    headers: &HeaderMap,
    gate: &Gate,
    now: Timestamp,
) -> Result<StreamRequest, Refusal> {
    if !accepts_events(headers) {
        return Err(Problem::new(Code::NotAcceptable, "this call answers with text/event-stream only").into());
    }
    let query = Query::of(uri);
    let in_query = query.text("access_token");
    let who = gate.admit(bearer(headers).or(in_query.as_deref()), now).await?;
    let after = last_event_id(headers, &query)?;
    let heartbeat_ms = query.number("heartbeat_s", HEARTBEAT_S)?.map(|seconds| seconds as u32 * 1000);
    check_options(&query)?;
    acknowledge(headers, gate, &who).await?;
    Ok(StreamRequest {
        account: who.account,
        device: who.device,
        after,
        heartbeat_ms,
        expires_at: who.expires_at,
    })
}

/// An acknowledgement that cannot be noted now is no reason to refuse a stream: the client repeats it.
async fn acknowledge(headers: &HeaderMap, gate: &Gate, who: &Identity) -> Result<(), Problem> {
    match gate.acknowledge(headers, who).await {
        Err(problem) if problem.code.retryable() => Ok(()),
        other => other,
    }
}

fn last_event_id(headers: &HeaderMap, query: &Query<'_>) -> Result<Option<Cursor>, Problem> {
    if let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) {
        return cursor(value.to_str().unwrap_or_default(), "Last-Event-ID:").map(Some);
    }
    query.text("last_event_id").map(|text| cursor(&text, "?last_event_id")).transpose()
}

/// Options that are known and have no effect yet are checked all the same: what is wrong today must not
/// begin to mean something tomorrow.
fn check_options(query: &Query<'_>) -> Result<(), Problem> {
    if let Some(list) = query.text("exclude")
        && let Some(unknown) = list.split(',').find(|name| !EXCLUDABLE.contains(name))
    {
        let detail = format!("{unknown:?} is none of {}", EXCLUDABLE.join(", "));
        return Err(Problem::field("?exclude", detail));
    }
    match query.text("state").as_deref() {
        None | Some("background" | "foreground") => Ok(()),
        Some(_) => Err(Problem::field("?state", "must be background or foreground")),
    }
}

/// Whether `Accept` admits `text/event-stream` (RFC 9110, section 12.5.1). Without the header all is
/// accepted.
fn accepts_events(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::ACCEPT).iter().peekable();
    if values.peek().is_none() {
        return true;
    }
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused = parts.any(|parameter| {
            let weight = parameter.strip_prefix("q=").or(parameter.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.parse() == Ok(0.0f32))
        });
        matches!(&*media, "text/event-stream" | "text/*" | "*/*") && !refused
    })
}

/// The head of a stream: 200 and its headers. `request` are the headers of the request.
pub(crate) fn head(gate: &Gate, request: &HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    // Proxies of nginx's kind would hold events back until a buffer is full.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    headers.insert(answer::NOSNIFF.0, answer::NOSNIFF.1);
    gate.cors.allow(request, headers);
    response
}

/// The whole answer to a request that gets no stream.
pub(crate) fn refuse(refusal: &Refusal, gate: &Gate, request: &HeaderMap) -> Response<Bytes> {
    let mut response = match refusal {
        Refusal::Problem(problem) => answer::problem(problem),
        Refusal::Revoked => {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Refusal::NotNow(reason) => return head(gate, request).map(|()| bye(*reason)),
    };
    gate.cors.allow(request, response.headers_mut());
    response
}

/// `retry` and `bye`: what a stream that never opens consists of.
fn bye(reason: ByeReason) -> Bytes {
    let retry_ms = rand::random_range(RETRY_MS);
    let said = ByeData { reason, reconnect: reason.reconnect(), retry_ms: Some(retry_ms) };
    sse::frame_with_retry(retry_ms, None, EventKind::Bye, &data(&said))
}

#[cfg(test)]
mod tests;

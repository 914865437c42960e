//! Around every call: what is counted, what every answer carries, and what a panic becomes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use godwit_wire::{Code, Problem};
use http::{Method, StatusCode, header};

use super::{Api, Failure};
use crate::answer;

/// Requests answered. Labels: `route` (a template of the router, or `unknown`), `method`, `status` (`2xx`).
const REQUESTS: &str = "godwit_http_requests_total";
/// Seconds from a request's head to its answer's. Label: `route`. Streams are not counted: theirs is over
/// with the head.
const SECONDS: &str = "godwit_http_request_seconds";

pub(super) async fn observe(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let asked = request.headers().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = match api.gate.cors.preflight(&method, &asked) {
        Some((status, headers)) => (status, headers).into_response(),
        None => {
            let mut response = answered(next, request).await;
            if !response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
                api.gate.cors.allow(&asked, response.headers_mut());
            }
            response
        }
    };
    // The router adds `Allow` behind us: what OPTIONS asks for (RFC 9110, section 9.3.7).
    if method == Method::OPTIONS && response.status() == StatusCode::METHOD_NOT_ALLOWED {
        *response.status_mut() = StatusCode::NO_CONTENT;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    response.headers_mut().insert(answer::NOSNIFF.0, answer::NOSNIFF.1);
    count(route.as_ref(), &method, response.status(), start);
    response
}

/// A panic ends one request and no connection.
async fn answered(next: Next, request: Request) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let what = panic.downcast_ref::<&str>().copied();
            let what = what.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            tracing::error!(panic = what.unwrap_or("of no text"), "a handler panicked");
            Failure(Problem::new(Code::Internal, "the call failed inside the server")).into_response()
        }
    }
}

fn count(route: Option<&MatchedPath>, method: &Method, status: StatusCode, start: Instant) {
    let route = route.map_or_else(|| "unknown".to_owned(), |route| route.as_str().to_owned());
    let method = match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    };
    let class = match status.as_u16() {
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    if route != "/v1/events" {
        metrics::histogram!(SECONDS, "route" => route.clone()).record(start.elapsed());
    }
    metrics::counter!(REQUESTS, "route" => route, "method" => method, "status" => class).increment(1);
}

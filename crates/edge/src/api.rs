//! The client API: its routes, and what each checks before the actors are asked.

mod body;
mod content;
mod conversations;
mod devices;
mod extract;
mod inbox;
mod later;
mod members;
mod messages;
mod observe;
mod outbox;
mod presence;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post, put};
use godwit_wire::{Code, Problem};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

use crate::answer;
use crate::events;
use crate::gate::Gate;

/// Smallest answer that is compressed, in bytes: less fits a TCP segment anyway.
const COMPRESSED_BYTES_MIN: u64 = 1024;

/// What a request may cost before the actors are asked.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest body, in bytes.
    pub body_bytes: usize,
    /// Largest body of an outbox (`POST /v1/messages`), in bytes.
    pub batch_bytes: usize,
    /// Most messages of an outbox.
    pub batch: usize,
    /// Most members of a conversation.
    pub members: usize,
    /// Deepest nesting of arrays and objects in a body.
    pub json_depth: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 64 * 1024,
            batch_bytes: 2 * 1024 * 1024,
            batch: 100,
            members: 1000,
            json_depth: godwit_wire::json::DEPTH_MAX,
            body_timeout: Duration::from_secs(30),
        }
    }
}

/// What handlers share.
pub(crate) struct Api {
    gate: Arc<Gate>,
    limits: Limits,
}

type Shared = State<Arc<Api>>;

/// All calls of the client API. Cloning the router is cheap: its state is in place.
pub fn router(gate: Arc<Gate>, limits: Limits) -> Router {
    let api = Arc::new(Api { gate, limits });
    Router::new()
        .merge(read())
        .merge(write())
        .merge(later::routes())
        .route("/v1/events", get(stream))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&api), observe::observe))
        .with_state(api)
}

/// Pages and deltas: what is worth compressing.
fn read() -> Router<Arc<Api>> {
    let compression = CompressionLayer::new().compress_when(SizeAbove::new(COMPRESSED_BYTES_MIN));
    Router::new()
        .route("/v1/conversations", get(conversations::list))
        .route("/v1/conversations/{conversation}", get(conversations::show))
        .route("/v1/conversations/{conversation}/members", get(members::list))
        .route("/v1/conversations/{conversation}/messages", get(messages::history))
        .route("/v1/conversations/{conversation}/messages/{seq}", get(messages::show))
        .route("/v1/sync", get(inbox::sync))
        .route("/v1/devices", get(devices::list))
        .route("/v1/presence", get(presence::show))
        .route_layer(compression)
}

fn write() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/conversations", post(conversations::open))
        .route("/v1/conversations/{conversation}", patch(conversations::rename))
        .route(
            "/v1/conversations/{conversation}/members/{account}",
            put(members::add).delete(members::remove),
        )
        .route("/v1/conversations/{conversation}/messages", post(messages::post))
        .route("/v1/messages", post(outbox::post))
        .route("/v1/acks", post(inbox::acknowledge))
        .route("/v1/devices/{device}", put(devices::register).delete(devices::remove))
}

async fn stream(State(api): Shared, request: Request) -> Response {
    events::serve(Arc::clone(&api.gate), request.into_parts().0).await
}

async fn unknown() -> Failure {
    Failure(Problem::new(Code::NotFound, "the API has no such path"))
}

async fn wrong_method() -> Failure {
    Failure(Problem::new(Code::MethodNotAllowed, "Allow says which methods this path has"))
}

/// A problem as a handler's answer.
#[derive(Debug)]
struct Failure(Problem);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        answer::problem(&self.0).map(Body::from)
    }
}

type Answer = Result<Response, Failure>;

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| Problem::new(Code::Internal, format!("the answer cannot be written: {error}")))?;
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // What one account may see is not for a cache between.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn created_or_ok(new: bool) -> StatusCode {
    if new { StatusCode::CREATED } else { StatusCode::OK }
}

fn no_content() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[cfg(test)]
mod tests;

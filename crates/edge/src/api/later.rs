//! Calls of the contract that this release does not have: 501, to whoever may call at all.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, patch, post, put};
use godwit_wire::{Code, Problem};

use super::extract::Caller;
use super::{Api, Failure};

pub(super) fn routes() -> Router<Arc<Api>> {
    const CONVERSATION: &str = "/v1/conversations/{conversation}";
    let of = |rest: &str| format!("{CONVERSATION}{rest}");
    Router::new()
        .route(&of("/messages/{seq}"), patch(later).delete(later))
        .route(&of("/messages/{seq}/reactions/{reaction}"), put(later).delete(later))
        .route(&of("/read"), put(later))
        .route(&of("/receipts"), get(later))
        .route(&of("/typing"), post(later))
        .route(&of("/settings"), put(later))
        .route("/v1/settings", get(later).put(later))
        .route("/v1/devices/{device}/state", put(later))
        .route("/v1/presence", put(later))
        .route("/v1/presence/subscriptions", put(later))
        .route("/v1/blocks/{account}", get(later).put(later).delete(later))
        .route("/v1/events/{connection}/token", post(later))
        .route("/openapi.json", get(no_document))
}

async fn later(_: Caller) -> Failure {
    Failure(Problem::new(
        Code::NotImplemented,
        "the call is part of the contract and comes with a later release",
    ))
}

async fn no_document() -> Failure {
    Failure(Problem::new(
        Code::NotImplemented,
        "the OpenAPI document comes with a later release; docs/api.md is here",
    ))
}

//! What handlers take from a request's head.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::response::{IntoResponse, Response};
use godwit_types::{AccountId, ConversationId, DeviceId, Timestamp};
use godwit_wire::Problem;
use http::request::Parts;

use super::{Api, Failure};
use crate::accept::Peer;
use crate::auth::Identity;

/// Whose request it is. It is within the account's rate, and what the header `Godwit-Ack` asks for has
/// been done.
pub(super) struct Caller(pub(super) Identity);

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Response> {
        let refused = |problem: Problem| Failure(problem).into_response();
        let now = Timestamp::from(SystemTime::now());
        let who = api.gate.caller(&parts.headers, now).await.map_err(refused)?;
        if let Some(peer) = parts.extensions.get::<Peer>() {
            peer.authenticated();
        }
        api.gate.request(&who).await.map_err(IntoResponse::into_response)?;
        api.gate.acknowledge(&parts.headers, &who).await.map_err(refused)?;
        Ok(Self(who))
    }
}

/// `{conversation}`. What is no id names nothing: 404.
pub(super) struct Conversation(pub(super) ConversationId);

/// `{account}`, percent-decoded.
pub(super) struct Account(pub(super) AccountId);

/// `{device}`.
pub(super) struct Device(pub(super) DeviceId);

/// `{seq}`. What is no number names nothing: 404.
pub(super) struct Seq(pub(super) u64);

macro_rules! from_path {
    ($name:ident, $parameter:literal, $read:expr) => {
        impl FromRequestParts<Arc<Api>> for $name {
            type Rejection = Failure;

            async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Failure> {
                // An error is a segment that is no UTF-8 after decoding.
                let segments =
                    RawPathParams::from_request_parts(parts, api).await.map_err(|_| Problem::not_found())?;
                let text = segments.iter().find(|(name, _)| *name == $parameter).map_or("", |(_, text)| text);
                let read: fn(&str) -> Result<_, Problem> = $read;
                Ok(Self(read(text)?))
            }
        }
    };
}

from_path!(Conversation, "conversation", |text| {
    ConversationId::new(text).map_err(|_| Problem::not_found())
});
from_path!(Seq, "seq", |text| text.parse().map_err(|_| Problem::not_found()));
from_path!(Account, "account", |text| {
    AccountId::new(text).map_err(|error| Problem::field("{account}", error.to_string()))
});
from_path!(Device, "device", |text| {
    DeviceId::new(text).map_err(|error| Problem::field("{device}", error.to_string()))
});

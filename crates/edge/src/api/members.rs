//! Members of a conversation.

use axum::extract::State;
use godwit_wire::api::PutMember;
use http::{StatusCode, Uri};

use super::body::OptionalJson;
use super::conversations::page;
use super::extract::{Account, Caller, Conversation};
use super::{Answer, Shared, json, no_content};
use crate::query::Query;

pub(super) async fn list(
    State(api): Shared,
    Caller(who): Caller,
    Conversation(id): Conversation,
    uri: Uri,
) -> Answer {
    let query = Query::of(&uri);
    let limit = page(&query)?;
    let cursor = query.text("cursor");
    json(StatusCode::OK, &api.gate.region.members(&who.account, &id, cursor.as_deref(), limit).await?)
}

pub(super) async fn add(
    State(api): Shared,
    Caller(who): Caller,
    Conversation(id): Conversation,
    Account(account): Account,
    OptionalJson(request): OptionalJson<PutMember>,
) -> Answer {
    api.gate.region.put_member(&who.account, &id, &account, request).await?;
    no_content()
}

pub(super) async fn remove(
    State(api): Shared,
    Caller(who): Caller,
    Conversation(id): Conversation,
    Account(account): Account,
) -> Answer {
    api.gate.region.remove_member(&who.account, &id, &account).await?;
    no_content()
}

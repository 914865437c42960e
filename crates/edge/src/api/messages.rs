//! Messages: saying one, and reading what was said.

use axum::extract::State;
use axum::response::IntoResponse as _;
use godwit_actors::HistoryPage;
use godwit_wire::Problem;
use godwit_wire::api::NewMessage;
use http::{StatusCode, Uri};

use super::body::Json;
use super::conversations::page;
use super::extract::{Caller, Conversation, Seq};
use super::{Answer, Shared, content, created_or_ok, json};
use crate::query::Query;

pub(super) async fn post(
    State(api): Shared,
    Caller(who): Caller,
    Conversation(id): Conversation,
    Json(mut message): Json<NewMessage>,
) -> Answer {
    content::check(&mut message.body, &message.mentions)?;
    if let Err(limited) = api.gate.messages(&who, 1).await {
        return Ok(limited.into_response());
    }
    let (new, posted) = api.gate.region.post(&who.account, &id, message).await?;
    json(created_or_ok(new), &posted)
}

pub(super) async fn history(
    State(api): Shared,
    Caller(who): Caller,
    Conversation(id): Conversation,
    uri: Uri,
) -> Answer {
    let page = which(&Query::of(&uri))?;
    json(StatusCode::OK, &api.gate.region.history(&who.account, &id, page).await?)
}

pub(super) async fn show(
    State(api): Shared,
    Caller(who): Caller,
    Conversation(id): Conversation,
    Seq(seq): Seq,
) -> Answer {
    json(StatusCode::OK, &api.gate.region.message(&who.account, &id, seq).await?)
}

fn which(query: &Query<'_>) -> Result<HistoryPage, Problem> {
    let before = query.number("before", 0..=u64::MAX)?;
    let after = query.number("after", 0..=u64::MAX)?;
    if before.is_some() && after.is_some() {
        return Err(Problem::field("?after", "must not stand beside before"));
    }
    Ok(HistoryPage { before, after, limit: page(query)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_history_goes_one_way() {
        let which = |query: &str| which(&Query::of(&format!("/x{query}").parse().unwrap()));
        let newest = which("").unwrap();
        assert_eq!((newest.before, newest.after, newest.limit), (None, None, 50));
        assert_eq!(which("?after=0&limit=200").unwrap().after, Some(0));
        for query in ["?before=1&after=2", "?limit=0", "?limit=201", "?before=-1", "?after=x"] {
            assert!(which(query).is_err(), "{query}");
        }
    }
}

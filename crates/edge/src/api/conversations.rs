//! Conversations: opening, listing, naming.

use std::collections::HashSet;

use axum::extract::State;
use godwit_types::AccountId;
use godwit_wire::api::{Kind, OpenConversation, Rename, TITLE_BYTES_MAX};
use godwit_wire::{Code, Problem};
use http::{StatusCode, Uri};
use serde::{Deserialize, Deserializer};

use super::body::Json;
use super::extract::{Caller, Conversation};
use super::{Answer, Shared, created_or_ok, json};
use crate::query::Query;

/// Entries of a page that does not say how many.
pub(super) const PAGE_DEFAULT: usize = 50;
/// Most entries of a page.
const PAGE_MAX: u64 = 200;

/// `?limit=` of a page.
pub(super) fn page(query: &Query<'_>) -> Result<usize, Problem> {
    Ok(query.number("limit", 1..=PAGE_MAX)?.map_or(PAGE_DEFAULT, |limit| limit as usize))
}

pub(super) async fn open(
    State(api): Shared,
    Caller(who): Caller,
    Json(mut request): Json<OpenConversation>,
) -> Answer {
    check(&who.account, &mut request, api.limits.members)?;
    let (new, conversation) = api.gate.region.open(&who.account, request).await?;
    json(created_or_ok(new), &conversation)
}

pub(super) async fn list(State(api): Shared, Caller(who): Caller, uri: Uri) -> Answer {
    let query = Query::of(&uri);
    let limit = page(&query)?;
    let cursor = query.text("cursor");
    json(StatusCode::OK, &api.gate.region.conversations(&who.account, cursor.as_deref(), limit).await?)
}

pub(super) async fn show(State(api): Shared, Caller(who): Caller, Conversation(id): Conversation) -> Answer {
    json(StatusCode::OK, &api.gate.region.conversation(&who.account, &id).await?)
}

pub(super) async fn rename(
    State(api): Shared,
    Caller(who): Caller,
    Conversation(id): Conversation,
    Json(Title { title }): Json<Title>,
) -> Answer {
    check_title(title.as_deref())?;
    json(StatusCode::OK, &api.gate.region.rename(&who.account, &id, Rename { title }).await?)
}

/// A [`Rename`] that must say something: without `title` it would take a title away by accident.
#[derive(Deserialize)]
pub(super) struct Title {
    #[serde(deserialize_with = "given")]
    title: Option<String>,
}

fn given<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(d)
}

fn check_title(title: Option<&str>) -> Result<(), Problem> {
    match title {
        Some(title) if title.len() > TITLE_BYTES_MAX => {
            Err(Problem::field("/title", format!("must be at most {TITLE_BYTES_MAX} bytes")))
        }
        _ => Ok(()),
    }
}

/// What can be said without knowing the conversation. Leaves in `members` the others, each once.
fn check(caller: &AccountId, request: &mut OpenConversation, members_max: usize) -> Result<(), Problem> {
    check_title(request.title.as_deref())?;
    let mut seen = HashSet::from([caller.clone()]);
    request.members.retain(|member| seen.insert(member.clone()));
    match request.kind {
        Kind::Direct if request.members.len() != 1 => {
            Err(Problem::field("/members", "must name exactly one other account for a direct conversation"))
        }
        Kind::Direct if request.title.is_some() => {
            Err(Problem::field("/title", "must not be there: a direct conversation has no title"))
        }
        Kind::Group if request.client_id.is_none() => {
            Err(Problem::field("/client_id", "is needed for a group, so that a repeat opens no second one"))
        }
        Kind::Group if seen.len() > members_max => {
            let detail = format!("a conversation may have {members_max} members");
            Err(Problem::new(Code::TooManyMembers, detail))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::body::parse_text;
    use super::*;

    fn checked(request: Value) -> Result<Vec<String>, Problem> {
        let mut request: OpenConversation = parse_text(&request.to_string())?;
        check(&AccountId::new("me").unwrap(), &mut request, 1000)?;
        Ok(request.members.iter().map(|member| member.to_string()).collect())
    }

    fn pointer(request: Value) -> String {
        checked(request).unwrap_err().errors[0].pointer.clone()
    }

    #[test]
    fn a_direct_conversation_has_one_other() {
        for members in [json!(["you"]), json!(["you", "me"]), json!(["me", "you", "you"])] {
            assert_eq!(checked(json!({"kind": "direct", "members": members})).unwrap(), ["you"]);
        }
        for members in [json!([]), json!(["me"]), json!(["me", "me"]), json!(["a", "b"])] {
            assert_eq!(pointer(json!({"kind": "direct", "members": members})), "/members");
        }
        assert_eq!(pointer(json!({"kind": "direct", "members": ["you"], "title": "x"})), "/title");
    }

    #[test]
    fn a_group_has_a_client_id_and_bounds() {
        let group = |members: usize, title: usize| {
            let members: Vec<String> = (0..members).map(|i| format!("u{i}")).collect();
            json!({"kind": "group", "members": members, "client_id": "k", "title": "x".repeat(title)})
        };
        assert_eq!(checked(group(999, 256)).unwrap().len(), 999);
        assert_eq!(checked(group(1000, 1)).unwrap_err().code, Code::TooManyMembers);
        assert_eq!(pointer(group(1, 257)), "/title");
        assert_eq!(pointer(json!({"kind": "group", "members": []})), "/client_id");
    }

    #[test]
    fn a_rename_says_its_title() {
        assert_eq!(parse_text::<Title>(r#"{"title":null}"#).unwrap().title, None);
        assert_eq!(parse_text::<Title>(r#"{"title":"x"}"#).unwrap().title.as_deref(), Some("x"));
        assert_eq!(parse_text::<Title>("{}").err().unwrap().errors[0].pointer, "/title");
    }
}

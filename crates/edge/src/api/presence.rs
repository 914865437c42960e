//! `GET /v1/presence`: who is there, of those with whom one shares a conversation.

use axum::extract::State;
use godwit_cache::{Seen, State as Presence};
use godwit_types::{AccountId, Timestamp};
use godwit_wire::Problem;
use http::{StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::extract::Caller;
use super::{Answer, Shared, json};
use crate::query::Query;

/// Accounts of one call: as many as a subscription may have.
const ACCOUNTS_MAX: usize = 200;

#[derive(Serialize)]
struct Answered {
    presence: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    account: AccountId,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<Timestamp>,
}

pub(super) async fn show(State(api): Shared, Caller(who): Caller, uri: Uri) -> Answer {
    let accounts = accounts(&Query::of(&uri))?;
    let shared = api.gate.region.shares(&who.account, &accounts).await?;
    let asked: Vec<AccountId> =
        accounts.iter().filter(|account| shared.contains(*account)).cloned().collect();
    let mut seen = api.gate.cache.presence().of(&asked).await.into_iter();
    let items = accounts.into_iter().map(|account| {
        // A stranger looks like somebody who is not there.
        let known = if shared.contains(&account) { seen.next() } else { None };
        item(account, known.unwrap_or(Seen { state: Presence::Offline, last_seen: None }))
    });
    json(StatusCode::OK, &Answered { presence: items.collect() })
}

fn item(account: AccountId, seen: Seen) -> Item {
    let state = match seen.state {
        Presence::Online => "online",
        Presence::Away => "away",
        Presence::Offline => "offline",
        Presence::Unknown => "unknown",
    };
    Item { account, state, last_seen: seen.last_seen }
}

/// `?accounts=`: ids with commas between them. An id's own comma or percent sign is percent-encoded
/// before, so that any id can be named.
fn accounts(query: &Query<'_>) -> Result<Vec<AccountId>, Problem> {
    let wrong = |detail: String| Problem::field("?accounts", detail);
    let text =
        query.text("accounts").ok_or_else(|| wrong("must name the accounts, with commas".to_owned()))?;
    if text.split(',').count() > ACCOUNTS_MAX {
        return Err(wrong(format!("must be at most {ACCOUNTS_MAX} accounts")));
    }
    let read = |part: &str| {
        let id = percent_decode_str(part).decode_utf8().map_err(|_| wrong("must be UTF-8".to_owned()))?;
        AccountId::new(&id).map_err(|error| wrong(error.to_string()))
    };
    text.split(',').map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_id_can_be_named() {
        let read = |query: &str| accounts(&Query::of(&format!("/x?{query}").parse().unwrap()));
        let names =
            |query: &str| -> Vec<String> { read(query).unwrap().iter().map(ToString::to_string).collect() };
        assert_eq!(names("accounts=ann,auth0%7C5"), ["ann", "auth0|5"]);
        // As browsers write it: the comma between is encoded as well.
        assert_eq!(names("accounts=ann%2Cbob"), ["ann", "bob"]);
        assert_eq!(names("accounts=a%252Cb,c%2525"), ["a,b", "c%"]);
        for wrong in ["", "accounts=", "accounts=a,,b", "accounts=%25FF", "accounts=.."] {
            assert_eq!(read(wrong).unwrap_err().errors[0].pointer, "?accounts", "{wrong}");
        }
        let many = |count: usize| format!("accounts={}", vec!["a"; count].join(","));
        assert!(read(&many(ACCOUNTS_MAX)).is_ok() && read(&many(ACCOUNTS_MAX + 1)).is_err());
    }
}

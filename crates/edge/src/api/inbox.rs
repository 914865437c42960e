//! The account's own events apart from a stream: the delta for a short wake, and acknowledgements.

use axum::extract::State;
use godwit_types::{Cursor, Timestamp};
use godwit_wire::Problem;
use godwit_wire::api::Acknowledge;
use http::{StatusCode, Uri};

use super::body::Json;
use super::extract::Caller;
use super::{Answer, Shared, json, no_content};
use crate::gate::cursor;
use crate::query::Query;

/// Events of a delta that does not say how many.
const SYNC_DEFAULT: usize = 500;
/// Most events of a delta.
const SYNC_MAX: u64 = 1000;

pub(super) async fn sync(State(api): Shared, Caller(who): Caller, uri: Uri) -> Answer {
    let Since { cursor, time, limit } = since(&Query::of(&uri))?;
    json(StatusCode::OK, &api.gate.region.sync(&who.account, cursor, time, limit).await?)
}

pub(super) async fn acknowledge(
    State(api): Shared,
    Caller(who): Caller,
    Json(request): Json<Acknowledge>,
) -> Answer {
    let taken = cursor(&request.last_event_id, "/last_event_id")?;
    api.gate.region.acknowledge(&who.account, &who.device, taken).await?;
    no_content()
}

struct Since {
    cursor: Option<Cursor>,
    time: Option<Timestamp>,
    limit: usize,
}

fn since(query: &Query<'_>) -> Result<Since, Problem> {
    let cursor = query.text("since").map(|text| cursor(&text, "?since")).transpose()?;
    let time = query.parsed("since_time")?;
    if cursor.is_some() && time.is_some() {
        return Err(Problem::field("?since_time", "must not stand beside since"));
    }
    let limit = query.number("limit", 1..=SYNC_MAX)?.map_or(SYNC_DEFAULT, |limit| limit as usize);
    Ok(Since { cursor, time, limit })
}

#[cfg(test)]
mod tests {
    use godwit_wire::Code;

    use super::*;

    #[test]
    fn a_delta_starts_at_an_event_or_a_time() {
        let since = |query: &str| since(&Query::of(&format!("/v1/sync{query}").parse().unwrap()));
        assert_eq!(since("").map(|since| since.limit).unwrap(), 500);
        assert!(since("?since=4-1-abcd&limit=1000").unwrap().cursor.is_some());
        let time = since("?since_time=2023-11-14T22:13:20.007Z").unwrap().time.unwrap();
        assert_eq!(time.as_ms(), 1_700_000_000_007);
        let code = |query: &str| since(query).err().unwrap().code;
        assert_eq!(code("?since=x"), Code::CursorMalformed);
        for query in
            ["?limit=1001", "?since_time=yesterday", "?since=4-1-abcd&since_time=2023-11-14T22:13:20Z"]
        {
            assert_eq!(code(query), Code::InvalidRequest, "{query}");
        }
    }
}

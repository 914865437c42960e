//! Request bodies: how many bytes, how fast, and JSON with a word about what is wrong with it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use godwit_wire::json::depth;
use godwit_wire::{Code, FieldError, Problem};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{Api, Failure};

/// Bodies refused. Label `code`: a code of the table of problems.
const BODIES_REFUSED: &str = "godwit_http_bodies_refused_total";

/// A body of JSON up to `body_bytes`.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        Ok(Self(read(&parts.headers, body, api, api.limits.body_bytes).await?))
    }
}

/// The same where no body at all is as good as `{}`.
pub(super) struct OptionalJson<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<Arc<Api>> for OptionalJson<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Failure> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        Ok(Self(Json::from_request(request, api).await?.0))
    }
}

/// Reads a whole body of at most `bytes_max` bytes and parses it. Errors: 415, 413, 408, 400.
pub(super) async fn read<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    api: &Api,
    bytes_max: usize,
) -> Result<T, Problem> {
    let read = async {
        check_type(headers)?;
        parse(&collect(body, api, bytes_max).await?, api.limits.json_depth)
    };
    read.await.inspect_err(|problem| {
        metrics::counter!(BODIES_REFUSED, "code" => problem.code.as_str()).increment(1);
    })
}

/// JSON under any of its names (RFC 6839, section 3.1), in UTF-8, its only encoding (RFC 8259, section 8.1).
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = value.split(';').map(|part| part.trim().to_ascii_lowercase());
    let media = parts.next().unwrap_or_default();
    let is_json =
        media == "application/json" || media.starts_with("application/") && media.ends_with("+json");
    let is_utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some(("charset", name)) => matches!(name.trim_matches('"'), "utf-8" | "utf8"),
        _ => true,
    });
    if is_json && is_utf8 {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMediaType, "send Content-Type: application/json, in UTF-8"))
}

async fn collect(body: Body, api: &Api, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large =
        || Problem::new(Code::BodyTooLarge, format!("this call takes a body of at most {bytes_max} bytes"));
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large()); // said by Content-Length: nothing needs to be read
    }
    match timeout(api.limits.body_timeout, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(Code::InvalidRequest, "the body broke off")),
        Err(_) => Err(Problem::new(Code::RequestTimeout, "the body did not arrive in time")),
    }
}

/// Parses a whole body that nests at most `depth_max` levels. Errors: 400 `invalid_json`, or
/// `invalid_request` with a pointer to the field.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8], depth_max: usize) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Problem::new(Code::InvalidJson, format!("it is no UTF-8: {error}")))?;
    if depth(bytes) > depth_max {
        return Err(Problem::new(Code::InvalidJson, format!("it nests deeper than {depth_max} levels")));
    }
    parse_text(text)
}

/// Parses text that has been looked at before: the part of a body. Errors: 400.
pub(super) fn parse_text<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(|_| explain::<T>(text))
}

/// Parses again what could not be parsed, this time with an eye on the path.
fn explain<T: DeserializeOwned>(text: &str) -> Problem {
    let mut json = serde_json::Deserializer::from_str(text);
    let wrong = match serde_path_to_error::deserialize::<_, T>(&mut json) {
        // The value is good: what follows it is not.
        Ok(_) => return Problem::new(Code::InvalidJson, "something follows the JSON value"),
        Err(error) => error,
    };
    if !wrong.inner().is_data() {
        return Problem::new(Code::InvalidJson, wrong.inner().to_string());
    }
    let mut pointer = pointer(wrong.path());
    let detail = wrong.inner().to_string();
    let detail = detail.split(" at line ").next().unwrap_or_default();
    if let Some(name) = detail.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        pointer = format!("{pointer}/{name}");
    }
    Problem::field(pointer, detail)
}

/// RFC 6901.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut out = String::new();
    for segment in path {
        out.push('/');
        match segment {
            Segment::Seq { index } => out.push_str(&index.to_string()),
            Segment::Map { key } => out.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => out.push_str(variant),
            Segment::Unknown => out.push('?'),
        }
    }
    out
}

/// The same problem about a part that stands at `prefix` of the whole.
pub(super) fn below(prefix: &str, mut problem: Problem) -> Problem {
    let move_down = |error: FieldError| FieldError { pointer: format!("{prefix}{}", error.pointer), ..error };
    problem.errors = problem.errors.into_iter().map(move_down).collect();
    if let [error] = &problem.errors[..] {
        problem.detail = format!("{}: {}", error.pointer, error.detail).into();
    }
    problem
}

#[cfg(test)]
mod tests {
    use godwit_wire::api::{NewMessage, OpenConversation, PutMember};
    use godwit_wire::json::DEPTH_MAX;
    use proptest::prelude::*;

    use super::*;

    fn wrong<T: DeserializeOwned>(text: &str) -> (Code, String) {
        let problem = parse::<T>(text.as_bytes(), DEPTH_MAX).err().unwrap();
        let pointer = problem.errors.first().map_or_else(String::new, |error| error.pointer.clone());
        (problem.code, pointer)
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        let invalid = |pointer: &str| (Code::InvalidRequest, pointer.to_owned());
        assert_eq!(
            wrong::<OpenConversation>(r#"{"kind":"direct","members":["a",7]}"#),
            invalid("/members/1")
        );
        assert_eq!(
            wrong::<OpenConversation>(r#"{"kind":"direct","members":["a",""]}"#),
            invalid("/members/1")
        );
        assert_eq!(wrong::<OpenConversation>(r#"{"kind":"direct"}"#), invalid("/members"));
        assert_eq!(wrong::<OpenConversation>(r#"{"kind":"club","members":[]}"#), invalid("/kind"));
        assert_eq!(
            wrong::<NewMessage>(r#"{"client_id":"k","body":{},"reply_to":"x"}"#),
            invalid("/reply_to")
        );
        assert_eq!(wrong::<NewMessage>(r#"{"client_id":5,"body":{}}"#), invalid("/client_id"));
        assert_eq!(wrong::<NewMessage>(r#"{"client_id":"k"}"#), invalid("/body"));
        assert_eq!(wrong::<PutMember>(r#"[]"#).0, Code::InvalidRequest);
    }

    #[test]
    fn what_is_no_json_is_said_to_be_none() {
        for text in
            ["", "{", r#"{"client_id":"k","body":{}"#, r#"{"client_id":"k","body":{},}"#, "{}x", "\u{feff}{}"]
        {
            assert_eq!(wrong::<PutMember>(text).0, Code::InvalidJson, "{text:?}");
        }
        assert_eq!(parse::<PutMember>(b"{\"x\":\"\xff\"}", DEPTH_MAX).err().unwrap().code, Code::InvalidJson);
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(32), "]".repeat(32));
        assert_eq!(wrong::<PutMember>(&deep).0, Code::InvalidJson);
        let less_deep = deep.replacen("[[", "[", 1).replacen("]]", "]", 1);
        assert!(parse::<PutMember>(less_deep.as_bytes(), DEPTH_MAX).is_ok());
    }

    #[test]
    fn a_message_keeps_its_body_as_it_was_written() {
        let text = r#"{"more":1,"body":{"type":"x","n":1.50,"s":"\u00e9"},"client_id":"k"}"#;
        let message: NewMessage = parse_text(text).unwrap();
        assert_eq!(message.body.get(), r#"{"type":"x","n":1.50,"s":"\u00e9"}"#);
    }

    #[test]
    fn types_of_json_are_taken() {
        let check = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            check_type(&headers).is_ok()
        };
        for value in ["application/json", "Application/JSON; charset=UTF-8", "application/x+json;v=1"] {
            assert!(check(value), "{value}");
        }
        for value in [
            "",
            "text/plain",
            "application/jsonx",
            "application/json; charset=latin1",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!check(value), "{value}");
        }
        assert!(check_type(&HeaderMap::new()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse::<NewMessage>(&bytes, DEPTH_MAX);
            let _ = parse::<OpenConversation>(&bytes, DEPTH_MAX);
        }
    }
}

//! What only `godwit dev` serves: tokens for everybody, and the demonstration page.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use godwit_types::{AccountId, DeviceId, Timestamp};
use godwit_wire::{Code, Problem};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::answer;
use crate::query::Query;

/// The page runs its own scripts and styles and talks to its own node. It shows what accounts wrote, so
/// nothing that is written may run.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// A file of the page.
pub struct File {
    /// Where, such as `/app.js`.
    pub path: &'static str,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// What.
    pub bytes: &'static [u8],
}

/// A token that was made, and until when it is good.
pub struct Signed {
    /// The token.
    pub token: String,
    /// `exp`.
    pub expires_at: Timestamp,
}

/// Makes a token for a device of an account; the text of an error is shown.
pub type Sign = Box<dyn Fn(&AccountId, &DeviceId) -> Result<Signed, String> + Send + Sync>;

/// `GET /dev/token?account=&device=` and the page. To be merged with the API's router, in `dev` only:
/// whoever reaches it is whoever they say.
pub fn router(sign: Sign, files: impl IntoIterator<Item = File>) -> Router {
    let sign = Arc::new(sign);
    let token = move |uri: Uri| {
        let answered = token(&uri, &sign).unwrap_or_else(|problem| answer::problem(&problem).map(Body::from));
        std::future::ready(answered)
    };
    files.into_iter().fold(Router::new().route("/dev/token", get(token)), |router, file| {
        let page = Arc::new(Page::new(&file));
        router.route(file.path, get(move |headers: HeaderMap| std::future::ready(page.answer(&headers))))
    })
}

fn token(uri: &Uri, sign: &Sign) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Token {
        token: String,
        account: AccountId,
        device: DeviceId,
        expires_at: Timestamp,
    }
    let query = Query::of(uri);
    let account: AccountId = required(&query, "account")?;
    let device: DeviceId = required(&query, "device")?;
    let Signed { token, expires_at } =
        sign(&account, &device).map_err(|error| Problem::new(Code::Internal, error))?;
    let body = serde_json::to_vec(&Token { token, account, device, expires_at });
    let body = body.map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        answer::NOSNIFF,
    ];
    Ok((headers, body).into_response())
}

fn required<T: std::str::FromStr<Err: std::fmt::Display>>(
    query: &Query<'_>,
    name: &str,
) -> Result<T, Problem> {
    query.parsed(name)?.ok_or_else(|| Problem::field(format!("?{name}"), "is needed"))
}

/// A file with the headers that it is served with.
struct Page {
    headers: HeaderMap,
    etag: HeaderValue,
    bytes: Bytes,
}

impl Page {
    fn new(file: &File) -> Self {
        let digest = Sha256::digest(file.bytes);
        let name: String = digest[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        // Hexadecimal digits in quotes are always a header value.
        let etag = HeaderValue::try_from(format!("\"{name}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        // A new build shows at the next reload, and an old one costs no bytes.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::ETAG, etag.clone());
        headers.insert(answer::NOSNIFF.0, answer::NOSNIFF.1);
        Self { headers, etag, bytes: Bytes::from_static(file.bytes) }
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let etag = self.etag.to_str().unwrap_or_default();
        // Weak comparison (RFC 9110, section 13.1.2).
        let same = |tag: &str| matches!(tag.trim(), "*") || tag.trim().trim_start_matches("W/") == etag;
        if known.flat_map(|value| value.split(',')).any(same) {
            return (StatusCode::NOT_MODIFIED, self.headers.clone()).into_response();
        }
        (self.headers.clone(), self.bytes.clone()).into_response()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn get(path: &str, if_none_match: Option<&str>) -> Response {
        let sign: Sign = Box::new(|account, device| {
            Ok(Signed { token: format!("{account}/{device}"), expires_at: Timestamp::from_ms(0) })
        });
        let page = File { path: "/app.js", content_type: "text/javascript", bytes: b"hello" };
        let mut request = http::Request::get(path);
        if let Some(tag) = if_none_match {
            request = request.header("if-none-match", tag);
        }
        router(sign, [page]).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn anybody_gets_a_token() {
        let response = get("/dev/token?account=a%40b&device=phone", None).await;
        assert_eq!(response.headers()["cache-control"], "no-store");
        let said = r#"{"token":"a@b/phone","account":"a@b","device":"phone","expires_at":"1970-01-01T00:00:00.000Z"}"#;
        assert_eq!(text(response).await, said);
        for (path, pointer) in [
            ("/dev/token?device=phone", "?account"),
            ("/dev/token?account=a", "?device"),
            ("/dev/token?account=a&device=a%20b", "?device"),
        ] {
            let response = get(path, None).await;
            assert_eq!(response.status(), 400, "{path}");
            assert!(text(response).await.contains(pointer), "{path}");
        }
    }

    #[tokio::test]
    async fn the_page_is_served_once_and_runs_nothing_foreign() {
        let response = get("/app.js", None).await;
        assert_eq!(response.headers()["content-type"], "text/javascript");
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
        let etag = response.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(text(response).await, "hello");
        for tag in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".into()] {
            let response = get("/app.js", Some(&tag)).await;
            assert_eq!(response.status(), 304, "{tag}");
            assert_eq!(response.headers()["etag"], *etag);
            assert_eq!(text(response).await, "");
        }
        assert_eq!(get("/app.js", Some("\"x\"")).await.status(), 200);
    }
}

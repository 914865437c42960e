//! The operator's port: whether the node lives and serves, its metrics, its profiles. Not for clients.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use godwit_wire::{Code, Problem};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::answer;
use crate::gate::bearer;

/// Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why a node is not ready, if anything: one entry a reason, for a person.
pub type Reasons = Vec<Cow<'static, str>>;

/// What a profile or fault hook fails with.
pub type HookError = Box<dyn Error + Send + Sync>;

/// A heap profile in the format of pprof or jemalloc, on demand.
pub type HeapProfile = Box<dyn Fn() -> Result<Vec<u8>, HookError> + Send + Sync>;

/// Makes the node fail in the way that the JSON says. For tests.
#[cfg(feature = "faults")]
pub type Fault = Box<dyn Fn(serde_json::Value) -> Result<(), String> + Send + Sync>;

/// What the operator's port shows. Everything is asked for when a request comes.
pub struct Operator {
    /// Why the node should get no traffic now; empty: it is ready.
    pub not_ready: Box<dyn Fn() -> Reasons + Send + Sync>,
    /// The metrics in Prometheus' text format.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// The heap profile; may take a second and runs where it may block.
    pub heap_profile: HeapProfile,
    /// The bearer token of `/admin/`; none: whoever reaches the port may.
    pub admin_token: Option<Vec<u8>>,
    /// `POST /admin/faults`.
    #[cfg(feature = "faults")]
    pub fault: Fault,
}

/// The routes of the operator's port.
pub fn router(operator: Operator) -> Router {
    let operator = Arc::new(operator);
    Router::new()
        .merge(admin(&operator))
        .route("/", get(index))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(async || problem(&Problem::new(Code::NotFound, "the operator's port has no such path")))
        .method_not_allowed_fallback(async || {
            problem(&Problem::new(Code::MethodNotAllowed, "Allow says which methods this path has"))
        })
        .with_state(operator)
}

fn admin(operator: &Arc<Operator>) -> Router<Arc<Operator>> {
    let routes = Router::new().route("/admin/profile/heap", get(heap_profile));
    #[cfg(feature = "faults")]
    let routes = routes.route("/admin/faults", axum::routing::post(faults));
    routes.route_layer(from_fn_with_state(Arc::clone(operator), admit))
}

/// Compares digests, so that neither the time nor a length tells how much of a guess was right.
async fn admit(State(operator): State<Arc<Operator>>, request: Request, next: Next) -> Response {
    let Some(wanted) = &operator.admin_token else { return next.run(request).await };
    let Some(token) = bearer(request.headers()) else {
        return problem(&Problem::new(Code::TokenMissing, "send the operator's token"));
    };
    let (token, wanted) = (Sha256::digest(token), Sha256::digest(wanted));
    let differing = token.iter().zip(wanted.iter()).fold(0u8, |found, (a, b)| found | (a ^ b));
    if std::hint::black_box(differing) != 0 {
        return problem(&Problem::new(Code::TokenInvalid, "it is not the operator's token"));
    }
    next.run(request).await
}

/// For a person who opens the port in a browser.
async fn index() -> Response {
    const TEXT: &str = "godwit, the operator's port\n\n\
        /livez               whether the process lives\n\
        /readyz              whether it should get traffic, and if not, why\n\
        /metrics             Prometheus metrics\n\
        /admin/profile/heap  what 10 s allocate and still hold, for jeprof (bearer token if one is configured)\n";
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], TEXT).into_response()
}

async fn livez() -> Response {
    json(StatusCode::OK, &serde_json::json!({"live": true}))
}

async fn readyz(State(operator): State<Arc<Operator>>) -> Response {
    #[derive(Serialize)]
    struct Readiness {
        ready: bool,
        reasons: Reasons,
    }
    let reasons = (operator.not_ready)();
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &Readiness { ready, reasons })
}

async fn metrics(State(operator): State<Arc<Operator>>) -> Response {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], (operator.metrics)()).into_response()
}

async fn heap_profile(State(operator): State<Arc<Operator>>) -> Response {
    let taken = tokio::task::spawn_blocking(move || (operator.heap_profile)()).await;
    let failed = |detail: String| problem(&Problem::new(Code::Internal, detail));
    match taken {
        Ok(Ok(bytes)) => {
            let name = HeaderValue::from_static("attachment; filename=\"heap.prof\"");
            let kind = HeaderValue::from_static("application/octet-stream");
            ([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)], bytes).into_response()
        }
        Ok(Err(error)) => failed(format!("no heap profile could be taken: {error}")),
        Err(_) => failed("no heap profile could be taken: it panicked".into()),
    }
}

/// Largest request for a fault: a few names.
#[cfg(feature = "faults")]
const FAULT_BYTES_MAX: usize = 64 * 1024;

#[cfg(feature = "faults")]
async fn faults(State(operator): State<Arc<Operator>>, request: Request) -> Response {
    let wrong = |detail: String| problem(&Problem::new(Code::InvalidRequest, detail));
    let body = match axum::body::to_bytes(request.into_body(), FAULT_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) => return wrong(error.to_string()),
    };
    match serde_json::from_slice(&body).map_err(|error| error.to_string()).and_then(&operator.fault) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(what) => wrong(what),
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let bytes = serde_json::to_vec(value).unwrap_or_default(); // structs of text: writing them does not fail
    (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], bytes)
        .into_response()
}

fn problem(problem: &Problem) -> Response {
    answer::problem(problem).map(Body::from)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    fn operator(reasons: &'static [&'static str]) -> Operator {
        Operator {
            not_ready: Box::new(|| reasons.iter().map(|&reason| reason.into()).collect()),
            metrics: Box::new(|| "godwit_up 1\n".into()),
            heap_profile: Box::new(|| Ok(b"profile".to_vec())),
            admin_token: Some(b"secret".to_vec()),
            #[cfg(feature = "faults")]
            fault: Box::new(|fault| if fault["poison"] == "u1" { Ok(()) } else { Err("unknown".into()) }),
        }
    }

    async fn get(operator: Operator, path: &str, token: Option<&str>) -> (u16, String) {
        let mut request = http::Request::get(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = router(operator).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_node_says_how_it_is() {
        assert_eq!(get(operator(&[]), "/livez", None).await, (200, r#"{"live":true}"#.into()));
        assert_eq!(get(operator(&[]), "/readyz", None).await, (200, r#"{"ready":true,"reasons":[]}"#.into()));
        let waiting = operator(&["waits for the key set"]);
        let said = r#"{"ready":false,"reasons":["waits for the key set"]}"#;
        assert_eq!(get(waiting, "/readyz", None).await, (503, said.into()));
        assert_eq!(get(operator(&[]), "/metrics", None).await, (200, "godwit_up 1\n".into()));
        assert_eq!(get(operator(&[]), "/v1/sync", None).await.0, 404);
    }

    #[tokio::test]
    async fn admin_needs_the_token() {
        let path = "/admin/profile/heap";
        for (token, status) in [
            (None, 401),
            (Some(""), 401),
            (Some("secreT"), 401),
            (Some("secret2"), 401),
            (Some("secret"), 200),
        ] {
            assert_eq!(get(operator(&[]), path, token).await.0, status, "{token:?}");
        }
        let open = Operator { admin_token: None, ..operator(&[]) };
        assert_eq!(get(open, path, None).await, (200, "profile".into()));
        let broken = Operator { heap_profile: Box::new(|| Err("off".into())), ..operator(&[]) };
        assert_eq!(get(broken, path, Some("secret")).await.0, 500);
    }

    #[cfg(feature = "faults")]
    #[tokio::test]
    async fn a_fault_is_what_the_json_says() {
        for (body, token, status) in [
            (r#"{"poison":"u1"}"#, "secret", 204),
            ("{}", "secret", 400),
            ("x", "secret", 400),
            ("{}", "x", 401),
        ] {
            let request =
                http::Request::post("/admin/faults").header("authorization", format!("Bearer {token}"));
            let response =
                router(operator(&[])).oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{body}");
        }
    }
}

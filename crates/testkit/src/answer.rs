//! What a server answered.

use std::fmt;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A whole HTTP answer.
#[derive(Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body, as it was sent (content codings are still on).
    pub body: Bytes,
}

impl Answer {
    /// A header field as text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON. Panics when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The answer with its content coding taken off. Panics when the body is not what the header says.
    pub async fn decoded(&self) -> Answer {
        let body = match self.header("content-encoding") {
            "" => return self.clone(),
            "gzip" => read_all(GzipDecoder::new(&*self.body)).await,
            "br" => read_all(BrotliDecoder::new(&*self.body)).await,
            "zstd" => read_all(ZstdDecoder::new(&*self.body)).await,
            other => panic!("nobody asked for the content coding {other}"),
        };
        Answer { body, ..self.clone() }
    }

    /// The body as JSON, `null` where it is empty. Panics on another status than this one.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The problem (RFC 9457) that this is. Panics when it is none, or another one.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &code.into()), "{problem}");
        assert!(problem["type"].is_string() && problem["title"].is_string(), "{problem}");
        assert!(problem["detail"].is_string() && problem["retryable"].is_boolean(), "{problem}");
        problem
    }
}

async fn read_all(mut decoder: impl AsyncRead + Unpin) -> Bytes {
    let mut body = Vec::new();
    decoder.read_to_end(&mut body).await.expect("a body in the content coding that the header names");
    body.into()
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        /// More of a body helps nobody who reads a failed test.
        const SHOWN_BYTES_MAX: usize = 2000;
        let shown = &self.body[..self.body.len().min(SHOWN_BYTES_MAX)];
        write!(f, "\n{}", String::from_utf8_lossy(shown))
    }
}

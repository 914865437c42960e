//! How another server is spoken to: a *profile*, read from a TOML file.
//!
//! A profile says how a stream is opened, how a message is posted, and where in an event's data the id
//! and the sending time of that message stand. With it the same load runs against nchan, Mercure or
//! Centrifugo as against Godwit. Nothing here touches a socket: a profile makes requests of the `http`
//! crate and reads the data of events. The format is described in `docs/loadgen-profiles.md`.

mod error;
mod pointer;
mod read;
mod template;

use std::borrow::Cow;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};

pub use error::{Error, Problem, RequestError};
pub use read::KEYS;
pub use template::Placeholder;

use pointer::Pointers;
use template::Template;

/// How one kind of server is spoken to. Made once, used for every request and every event.
#[derive(Debug)]
pub struct Profile {
    name: String,
    subscribe: Subscribe,
    publish: Publish,
    data: Pointers,
    ready: Ready,
}

/// What the placeholders of a profile stand for in one request.
///
/// An opening stream has no message: `id`, `sent_us` and `text` are not looked at for it.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// Where the server is, `http://127.0.0.1:8080`: no path, no query. A last slash is dropped.
    pub target: &'a str,
    /// Who opens the stream or sends the message.
    pub account: &'a str,
    /// Where the message goes, and what the stream is opened for.
    pub channel: &'a str,
    /// What the message is recognised by, unique in a run.
    pub id: &'a str,
    /// When the message was to be sent, in microseconds of the sender's clock.
    pub sent_us: u64,
    /// The message's filling. May hold any character.
    pub text: &'a str,
    /// What the server knows the account by; empty where [`Profile::needs_token`] is false.
    pub token: &'a str,
}

/// A message, as an event's data names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<'a> {
    /// [`Values::id`] of the message. Borrowed from the data unless it had escapes in it.
    pub id: Cow<'a, str>,
    /// [`Values::sent_us`] of the message.
    pub sent_us: u64,
}

/// From when on a stream gets what is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// From the response's head on: the server subscribes before it answers.
    Head,
    /// From the first event on, whatever is in it: the server answers first, and tells by an event
    /// that it has subscribed.
    FirstEvent,
}

/// How a stream is opened.
#[derive(Debug)]
struct Subscribe {
    endpoint: Endpoint,
    last_event_id: LastEventId,
}

/// How a message is posted.
#[derive(Debug)]
struct Publish {
    method: Method,
    endpoint: Endpoint,
    body: Template,
    status: Vec<StatusCode>,
}

/// URL and headers of one kind of request.
#[derive(Debug)]
struct Endpoint {
    /// Path and query; the target stands before it.
    path: Template,
    /// Headers without a placeholder.
    fixed: HeaderMap,
    /// Headers with one.
    filled: Vec<(HeaderName, Template)>,
}

/// Where a stream that comes back says what it saw last.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LastEventId {
    /// In `Last-Event-ID`, as `EventSource` does.
    Header,
    /// In this field of the query; the name is percent-encoded.
    Query(String),
    /// Nowhere: the server keeps nothing.
    None,
}

/// `Last-Event-ID`, which the `http` crate has no constant for.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

impl Profile {
    /// Reads a profile from a file. Variables that it names are taken from this process's environment.
    ///
    /// # Errors
    /// When the file cannot be read, is no TOML, or has a mistake: the first one, with its line.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { file: path.to_owned(), source })?;
        Self::parse(path, &text, &|name| std::env::var(name).ok())
    }

    /// Reads a profile from the content of a file. `path` is only named in errors, `variable` is the
    /// environment.
    ///
    /// # Errors
    /// As [`Profile::read`].
    pub fn parse(path: &Path, text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        read::profile(path, text, variable)
    }

    /// What reports call the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From when on a stream gets what is posted.
    pub fn ready(&self) -> Ready {
        self.ready
    }

    /// Whether a stream that comes back can say what it saw last.
    pub fn resumes(&self) -> bool {
        self.subscribe.last_event_id != LastEventId::None
    }

    /// Whether a request needs [`Values::token`].
    pub fn needs_token(&self) -> bool {
        let endpoints = [&self.subscribe.endpoint, &self.publish.endpoint];
        self.publish.body.uses(Placeholder::Token)
            || endpoints.into_iter().any(|endpoint| endpoint.uses(Placeholder::Token))
    }

    /// The request that opens a stream, with an absolute URL; `last_event_id` when it comes back.
    ///
    /// # Errors
    /// When a value cannot stand where the profile puts it.
    pub fn subscribe(
        &self,
        values: &Values<'_>,
        last_event_id: Option<&str>,
    ) -> Result<Request<()>, RequestError> {
        let Subscribe { endpoint, last_event_id: place } = &self.subscribe;
        let mut url = endpoint.url(values);
        let mut headers = endpoint.headers(values)?;
        match (place, last_event_id) {
            (LastEventId::Header, Some(id)) => {
                headers.insert(LAST_EVENT_ID, header_value(&LAST_EVENT_ID, id.to_owned())?);
            }
            (LastEventId::Query(name), Some(id)) => {
                url.push(if url.contains('?') { '&' } else { '?' });
                url.push_str(name);
                url.push('=');
                template::percent_encode(id, &mut url);
            }
            (LastEventId::None, _) | (_, None) => {}
        }
        let mut request = Request::new(());
        *request.uri_mut() = uri(url, values)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The request that posts a message, with an absolute URL. It has a `Content-Length`.
    ///
    /// # Errors
    /// When a value cannot stand where the profile puts it.
    pub fn publish(&self, values: &Values<'_>) -> Result<Request<Bytes>, RequestError> {
        let Publish { method, endpoint, body, status: _ } = &self.publish;
        let mut headers = endpoint.headers(values)?;
        let body = body.render(values);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri(endpoint.url(values), values)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Whether this answer to a post says that the server took the message.
    pub fn accepts(&self, status: StatusCode) -> bool {
        match self.publish.status.as_slice() {
            [] => status.is_success(),
            list => list.contains(&status),
        }
    }

    /// The message that an event's data tells of; `None` for an event that tells of none, such as a
    /// server's pings.
    pub fn message<'a>(&self, data: &'a str) -> Option<Seen<'a>> {
        self.data.read(data)
    }
}

impl Endpoint {
    /// Target, path and query.
    fn url(&self, values: &Values<'_>) -> String {
        let target = values.target.strip_suffix('/').unwrap_or(values.target);
        let mut url = String::with_capacity(target.len() + self.path.room(values));
        url.push_str(target);
        self.path.render_into(values, &mut url);
        url
    }

    fn headers(&self, values: &Values<'_>) -> Result<HeaderMap, RequestError> {
        let mut headers = self.fixed.clone();
        for (name, template) in &self.filled {
            headers.insert(name.clone(), header_value(name, template.render(values))?);
        }
        Ok(headers)
    }

    fn uses(&self, placeholder: Placeholder) -> bool {
        self.path.uses(placeholder) || self.filled.iter().any(|(_, template)| template.uses(placeholder))
    }
}

/// The URL that was put together; the profile's part was checked when it was read.
fn uri(url: String, values: &Values<'_>) -> Result<Uri, RequestError> {
    // From shared bytes, so that the text is not copied.
    Uri::from_maybe_shared(Bytes::from(url))
        .map_err(|source| RequestError::Target { target: values.target.to_owned(), source })
}

/// The value of a header; what it stands for may be a secret, so that it is in no error and in no log.
fn header_value(name: &HeaderName, value: String) -> Result<HeaderValue, RequestError> {
    let mut value = HeaderValue::from_maybe_shared(Bytes::from(value))
        .map_err(|source| RequestError::Header { name: name.clone(), source })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;

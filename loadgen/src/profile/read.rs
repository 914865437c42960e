//! From a TOML file to a profile: every key is checked, nothing is guessed.

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use toml::de::DeValue;

use super::error::{Error, Problem};
use super::pointer::{self, Pointers};
use super::template::{self, Encoding, Piece, Placeholder, Template};
use super::{Endpoint, LAST_EVENT_ID, LastEventId, Profile, Publish, Ready, Subscribe};

mod keys;

pub use keys::KEYS;
use keys::{Entry, Keys};

/// Where a template stands, which decides what may be in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Subscribe,
    Publish,
}

/// A key with its section, as in `key!(section, "url")`.
macro_rules! key {
    ($section:expr, $name:literal) => {
        match $section {
            Section::Subscribe => concat!("subscribe.", $name),
            Section::Publish => concat!("publish.", $name),
        }
    };
}

/// Headers that the load generator or its HTTP sets by itself.
const SET: [HeaderName; 5] =
    [header::CONNECTION, header::CONTENT_LENGTH, header::HOST, header::TRANSFER_ENCODING, LAST_EVENT_ID];

const FORM: &str = "application/x-www-form-urlencoded";

/// Reads a profile out of the content of a file.
pub(super) fn profile(
    file: &Path,
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Profile, Error> {
    let table = keys::table(file, text)?;
    let keys = Keys::gather(file, text, table.get_ref())?;
    let reader = Reader { keys: &keys, variable };
    let name = keys.required("name", "name = \"nchan\"")?.0.to_owned();
    let subscribe =
        Subscribe { endpoint: reader.endpoint(Section::Subscribe)?, last_event_id: reader.last_event_id()? };
    let publish = reader.publish()?;
    Ok(Profile { name, subscribe, publish, data: reader.data()?, ready: reader.ready()? })
}

struct Reader<'a> {
    keys: &'a Keys<'a>,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Reader<'_> {
    /// URL, query and headers of one kind of request.
    fn endpoint(&self, section: Section) -> Result<Endpoint, Error> {
        let key = key!(section, "url");
        let example = match section {
            Section::Subscribe => "url = \"{target}/sub/{channel}\" below [subscribe]",
            Section::Publish => "url = \"{target}/pub/{channel}\" below [publish]",
        };
        let (url, at) = self.keys.required(key, example)?;
        let mut path = self.path(section, url).map_err(|problem| self.keys.wrong(key, at, problem))?;
        let query = key!(section, "query");
        let mut separator = if url.contains('?') { "&" } else { "?" };
        for entry in self.keys.entries(query) {
            path.push_text(separator);
            self.push_field(section, query, entry, &mut path)?;
            separator = "&";
        }
        let (fixed, filled) = self.headers(section)?;
        Ok(Endpoint { path, fixed, filled })
    }

    /// What stands behind the target.
    fn path(&self, section: Section, url: &str) -> Result<Template, Problem> {
        let path =
            url.strip_prefix("{target}").filter(|path| path.starts_with('/')).ok_or(Problem::Target)?;
        let pieces = self.pieces(section, path)?;
        for piece in &pieces {
            if let Piece::Text(text) = piece
                && let Some(character) = text.chars().find(|&character| !is_of_url(character))
            {
                return Err(Problem::UrlCharacter { character, query: key!(section, "query") });
            }
        }
        let mut template = Template::default();
        template.push(&pieces, Encoding::PERCENT, Encoding::NONE);
        Ok(template)
    }

    /// `name=value` of a query or a form.
    fn push_field(
        &self,
        section: Section,
        table: &str,
        entry: &Entry<'_>,
        out: &mut Template,
    ) -> Result<(), Error> {
        let (text, at) = self.keys.text_of(table, entry)?;
        let wrong = |problem| self.keys.wrong(&entry.key_in(table), at, problem);
        let pieces = self.pieces(section, text).map_err(wrong)?;
        let json = template::looks_like_json(&pieces);
        if json {
            template::check_json(&pieces).map_err(wrong)?;
        }
        let mut name = String::new();
        template::percent_encode(entry.name, &mut name);
        out.push_text(&name);
        out.push_text("=");
        out.push(&pieces, Encoding { json, percent: true }, Encoding::PERCENT);
        Ok(())
    }

    fn headers(&self, section: Section) -> Result<(HeaderMap, Vec<(HeaderName, Template)>), Error> {
        let (mut fixed, mut filled) = (HeaderMap::new(), Vec::new());
        if section == Section::Subscribe {
            fixed.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        } else if !self.keys.entries("publish.form").is_empty() {
            fixed.insert(header::CONTENT_TYPE, HeaderValue::from_static(FORM));
        }
        let table = key!(section, "headers");
        for entry in self.keys.entries(table) {
            let (text, at) = self.keys.text_of(table, entry)?;
            let wrong = |problem| self.keys.wrong(&entry.key_in(table), at, problem);
            let name =
                HeaderName::from_bytes(entry.name.as_bytes()).map_err(|_| wrong(Problem::HeaderName))?;
            if SET.contains(&name) {
                return Err(wrong(Problem::HeaderSet));
            }
            let pieces = self.pieces(section, text).map_err(wrong)?;
            let mut template = Template::default();
            template.push(&pieces, Encoding::NONE, Encoding::NONE);
            for text in template.texts() {
                HeaderValue::from_str(text).map_err(|_| wrong(Problem::HeaderValue))?;
            }
            let Some(text) = template.fixed() else {
                fixed.remove(&name);
                filled.push((name, template));
                continue;
            };
            let mut value = HeaderValue::from_str(text).map_err(|_| wrong(Problem::HeaderValue))?;
            // A variable may hold a secret.
            value.set_sensitive(pieces.iter().any(|piece| matches!(piece, Piece::Variable(_))));
            fixed.insert(name, value);
        }
        Ok((fixed, filled))
    }

    fn last_event_id(&self) -> Result<LastEventId, Error> {
        let key = "subscribe.last_event_id";
        let Some((text, at)) = self.keys.optional(key)? else { return Ok(LastEventId::Header) };
        match (text, text.strip_prefix("query:")) {
            ("header", _) => Ok(LastEventId::Header),
            ("none", _) => Ok(LastEventId::None),
            (_, Some(name)) if !name.is_empty() => {
                let mut encoded = String::new();
                template::percent_encode(name, &mut encoded);
                Ok(LastEventId::Query(encoded))
            }
            _ => {
                let wanted =
                    "\"header\", \"none\" or \"query:\" and the name of a field, as in \"query:last\"";
                Err(self.keys.wrong(key, at, Problem::Value { value: text.to_owned(), wanted }))
            }
        }
    }

    fn publish(&self) -> Result<Publish, Error> {
        let publish = Publish {
            method: self.method()?,
            endpoint: self.endpoint(Section::Publish)?,
            body: self.body()?,
            status: self.status()?,
        };
        for placeholder in [Placeholder::Id, Placeholder::SentUs] {
            if !(publish.body.uses(placeholder) || publish.endpoint.uses(placeholder)) {
                let at = self.keys.section("publish");
                return Err(self.keys.wrong("publish", at, Problem::NotCarried { placeholder }));
            }
        }
        Ok(publish)
    }

    fn method(&self) -> Result<Method, Error> {
        let key = "publish.method";
        let Some((text, at)) = self.keys.optional(key)? else { return Ok(Method::POST) };
        let known = [Method::POST, Method::PUT, Method::PATCH, Method::GET];
        known.into_iter().find(|method| method.as_str() == text).ok_or_else(|| {
            let wanted = "\"POST\", \"PUT\", \"PATCH\" or \"GET\"";
            self.keys.wrong(key, at, Problem::Value { value: text.to_owned(), wanted })
        })
    }

    fn body(&self) -> Result<Template, Error> {
        let key = "publish.body";
        let mut template = Template::default();
        let form = self.keys.entries("publish.form");
        let Some((text, at)) = self.keys.optional(key)? else {
            for (number, entry) in form.iter().enumerate() {
                if number > 0 {
                    template.push_text("&");
                }
                self.push_field(Section::Publish, "publish.form", entry, &mut template)?;
            }
            return Ok(template);
        };
        let wrong = |problem| self.keys.wrong(key, at, problem);
        if !form.is_empty() {
            return Err(wrong(Problem::Both { other: "publish.form" }));
        }
        let pieces = self.pieces(Section::Publish, text).map_err(wrong)?;
        let kind = self.content_type();
        let json = template::looks_like_json(&pieces) || kind.ends_with("/json") || kind.ends_with("+json");
        if json {
            template::check_json(&pieces).map_err(wrong)?;
        }
        template.push(&pieces, Encoding { json, percent: kind == FORM }, Encoding::NONE);
        Ok(template)
    }

    /// The body's media type without its parameters, in small letters; empty when none is given.
    fn content_type(&self) -> String {
        let mut headers = self.keys.entries("publish.headers").iter();
        let given = headers.find(|entry| entry.name.eq_ignore_ascii_case(header::CONTENT_TYPE.as_str()));
        let text = given.and_then(|entry| entry.value.as_str()).unwrap_or_default();
        text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The statuses that are listed; none when any success will do.
    fn status(&self) -> Result<Vec<StatusCode>, Error> {
        let key = "publish.status";
        let Some((value, at)) = self.keys.value(key) else { return Ok(Vec::new()) };
        let wrong = |value: &str| self.keys.wrong(key, at, Problem::Status { value: value.to_owned() });
        let list = value.as_array().ok_or_else(|| wrong("this"))?;
        if list.is_empty() {
            return Err(wrong("an empty list"));
        }
        let status = |item: &DeValue<'_>| {
            let DeValue::Integer(number) = item else { return Err(wrong("an item")) };
            let code = number.as_str().parse().ok().filter(|code| (100..600).contains(code));
            code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| wrong(number.as_str()))
        };
        list.iter().map(|item| status(item.get_ref())).collect()
    }

    fn data(&self) -> Result<Pointers, Error> {
        let tokens = |key, example| {
            let (text, at) = self.keys.required(key, example)?;
            let tokens = pointer::tokens(text).map_err(|problem| self.keys.wrong(key, at, problem))?;
            Ok((tokens, at))
        };
        let (id, _) = tokens("data.id", "id = \"/id\" below [data]")?;
        let (sent_us, at) = tokens("data.sent_us", "sent_us = \"/sent_us\" below [data]")?;
        Pointers::new(&id, &sent_us).ok_or_else(|| self.keys.wrong("data.sent_us", at, Problem::PointersMeet))
    }

    fn ready(&self) -> Result<Ready, Error> {
        let key = "connection.ready";
        match self.keys.optional(key)? {
            None | Some(("head", _)) => Ok(Ready::Head),
            Some(("first_event", _)) => Ok(Ready::FirstEvent),
            Some((text, at)) => {
                let wanted = "\"head\" or \"first_event\"";
                Err(self.keys.wrong(key, at, Problem::Value { value: text.to_owned(), wanted }))
            }
        }
    }

    /// Takes a template apart, and holds that it asks for nothing that its request does not have.
    fn pieces(&self, section: Section, text: &str) -> Result<Vec<Piece>, Problem> {
        let pieces = template::pieces(text, self.variable)?;
        for piece in &pieces {
            if let Piece::Value(placeholder) = piece
                && section == Section::Subscribe
                && placeholder.is_of_message()
            {
                return Err(Problem::NoMessage { placeholder: *placeholder });
            }
        }
        Ok(pieces)
    }
}

/// Whether a character may stand in the path or the query of a URL: RFC 3986, appendix A. Not `#`,
/// which ends the query and is sent to no server.
fn is_of_url(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~:/?[]@!$&'()*+,;=%".contains(character)
}

//! Text with placeholders: parsed once, filled in for every request.
//!
//! A value is encoded as its place needs it. Two encodings exist and can stand in each other: a JSON
//! string's escapes (RFC 8259, section 7) inside, percent-encoding (RFC 3986, section 2.1) outside.

use serde::de::IgnoredAny;

use super::Values;
use super::error::Problem;

/// Something that a template leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// `{target}`
    Target,
    /// `{account}`
    Account,
    /// `{channel}`
    Channel,
    /// `{id}`
    Id,
    /// `{sent_us}`
    SentUs,
    /// `{text}`
    Text,
    /// `{token}`
    Token,
    /// `{env:NAME}`, filled in when the profile is read.
    Env,
}

impl Placeholder {
    /// All of them.
    pub const ALL: [Placeholder; 8] = [
        Placeholder::Target,
        Placeholder::Account,
        Placeholder::Channel,
        Placeholder::Id,
        Placeholder::SentUs,
        Placeholder::Text,
        Placeholder::Token,
        Placeholder::Env,
    ];

    /// As it is written in a profile.
    pub fn shown(self) -> &'static str {
        match self {
            Placeholder::Target => "{target}",
            Placeholder::Account => "{account}",
            Placeholder::Channel => "{channel}",
            Placeholder::Id => "{id}",
            Placeholder::SentUs => "{sent_us}",
            Placeholder::Text => "{text}",
            Placeholder::Token => "{token}",
            Placeholder::Env => "{env:NAME}",
        }
    }

    /// What stands between its braces.
    fn name(self) -> &'static str {
        self.shown().trim_start_matches('{').trim_end_matches('}')
    }

    /// Whether it is part of a message, so that a stream that opens has none.
    pub(super) fn is_of_message(self) -> bool {
        matches!(self, Placeholder::Id | Placeholder::SentUs | Placeholder::Text)
    }

    fn nearest(name: &str) -> Placeholder {
        let distance = |known: &Placeholder| strsim::damerau_levenshtein(name, known.name());
        Placeholder::ALL.into_iter().min_by_key(distance).expect("there are placeholders")
    }
}

/// A piece of a template as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text that was written as it is.
    Text(String),
    /// The content of a variable: text, but encoded as a value is.
    Variable(String),
    /// Filled in for every request.
    Value(Placeholder),
}

/// Takes a text of the file apart.
pub(super) fn pieces(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Piece>, Problem> {
    let mut pieces = Vec::new();
    let mut written = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let brace = if rest.as_bytes()[at] == b'{' { '{' } else { '}' };
        written.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            written.push(brace);
            rest = after;
            continue;
        }
        let end = if brace == '{' { rest.find(['{', '}', '"', ' ']) } else { None };
        let Some((name, after)) = end.and_then(|end| Some((&rest[..end], rest[end..].strip_prefix('}')?)))
        else {
            return Err(Problem::Brace { brace });
        };
        if !written.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut written)));
        }
        pieces.push(piece(name, variable)?);
        rest = after;
    }
    written.push_str(rest);
    if !written.is_empty() {
        pieces.push(Piece::Text(written));
    }
    Ok(pieces)
}

/// What `{name}` stands for.
fn piece(name: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Piece, Problem> {
    if let Some(name) = name.strip_prefix("env:") {
        let content = variable(name).ok_or_else(|| Problem::Variable { name: name.to_owned() })?;
        return Ok(Piece::Variable(content));
    }
    let known = Placeholder::ALL.into_iter().find(|known| known.name() == name && *known != Placeholder::Env);
    known
        .map(Piece::Value)
        .ok_or_else(|| Problem::Placeholder { name: name.to_owned(), nearest: Placeholder::nearest(name) })
}

/// How a value is written where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Encoding {
    /// As the inside of a JSON string.
    pub(super) json: bool,
    /// Percent-encoded.
    pub(super) percent: bool,
}

impl Encoding {
    /// As it is.
    pub(super) const NONE: Encoding = Encoding { json: false, percent: false };
    /// As a part of a URL or of a form.
    pub(super) const PERCENT: Encoding = Encoding { json: false, percent: true };

    fn write(self, value: &str, out: &mut String) {
        if !self.json {
            return self.write_outer(value, out);
        }
        let mut rest = value;
        while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
            self.write_outer(&rest[..at], out);
            match rest.as_bytes()[at] {
                b'"' => self.write_outer("\\\"", out),
                b'\\' => self.write_outer("\\\\", out),
                control => self.write_outer(&format!("\\u{control:04x}"), out),
            }
            rest = &rest[at + 1..];
        }
        self.write_outer(rest, out);
    }

    fn write_outer(self, text: &str, out: &mut String) {
        if self.percent { percent_encode(text, out) } else { out.push_str(text) }
    }
}

/// Writes all but the unreserved characters of RFC 3986, section 2.3, as `%XX`.
///
/// That is right in a path, in a query and in a form alike: a form's decoder reads `%20` as it reads `+`.
pub(super) fn percent_encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Whether a text is JSON by its looks: it begins like an object or a list.
pub(super) fn looks_like_json(pieces: &[Piece]) -> bool {
    matches!(pieces.first(), Some(Piece::Text(text)) if text.trim_start().starts_with(['{', '[']))
}

/// Checks that a text is JSON whatever its placeholders stand for.
pub(super) fn check_json(pieces: &[Piece]) -> Result<(), Problem> {
    // With characters that need an escape: a placeholder without quotes must not pass by luck.
    const NASTY: &str = "a\"\\\n";
    let nasty = Values {
        target: NASTY,
        account: NASTY,
        channel: NASTY,
        id: NASTY,
        sent_us: u64::MAX,
        text: NASTY,
        token: NASTY,
    };
    let mut template = Template::default();
    template.push(pieces, Encoding { json: true, percent: false }, Encoding::NONE);
    serde_json::from_str::<IgnoredAny>(&template.render(&nasty))
        .map(|_| ())
        .map_err(|error| Problem::Json { what: error.to_string() })
}

/// Text and placeholders, all encodings decided.
#[derive(Default)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Placeholder, Encoding),
}

impl Template {
    /// Appends text as it is.
    pub(super) fn push_text(&mut self, text: &str) {
        match self.parts.last_mut() {
            Some(Part::Text(before)) => before.push_str(text),
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }

    /// Appends pieces: values as `value` says, what was written around them as `written` says.
    pub(super) fn push(&mut self, pieces: &[Piece], value: Encoding, written: Encoding) {
        let mut encoded = String::new();
        for piece in pieces {
            let (text, encoding) = match piece {
                Piece::Value(placeholder) => {
                    self.parts.push(Part::Value(*placeholder, value));
                    continue;
                }
                Piece::Text(text) => (text, written),
                Piece::Variable(content) => (content, value),
            };
            encoded.clear();
            encoding.write(text, &mut encoded);
            self.push_text(&encoded);
        }
    }

    pub(super) fn uses(&self, placeholder: Placeholder) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Value(used, _) if *used == placeholder))
    }

    /// All text that needs no value.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Value(..) => None,
        })
    }

    /// The text, when it has no placeholder.
    pub(super) fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Bytes that the text will need; more when values have to be escaped.
    pub(super) fn room(&self, values: &Values<'_>) -> usize {
        /// Digits of the largest number.
        const NUMBER: usize = 20;
        let room = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Value(Placeholder::SentUs, _) => NUMBER,
            Part::Value(placeholder, _) => value(*placeholder, values).len(),
        };
        self.parts.iter().map(room).sum()
    }

    pub(super) fn render(&self, values: &Values<'_>) -> String {
        let mut out = String::with_capacity(self.room(values));
        self.render_into(values, &mut out);
        out
    }

    pub(super) fn render_into(&self, values: &Values<'_>, out: &mut String) {
        use std::fmt::Write as _;
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                // Digits need no encoding anywhere.
                Part::Value(Placeholder::SentUs, _) => {
                    write!(out, "{}", values.sent_us).expect("a String takes all that is written");
                }
                Part::Value(placeholder, encoding) => encoding.write(value(*placeholder, values), out),
            }
        }
    }
}

/// Shows no text: a variable's content, perhaps a secret, may be part of it.
impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let placeholders = self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Value(placeholder, _) => Some(placeholder.shown()),
        });
        f.debug_list().entries(placeholders).finish()
    }
}

/// The text of a placeholder; the time is a number, and a variable is text since the reading.
fn value<'a>(placeholder: Placeholder, values: &Values<'a>) -> &'a str {
    match placeholder {
        Placeholder::Target => values.target,
        Placeholder::Account => values.account,
        Placeholder::Channel => values.channel,
        Placeholder::Id => values.id,
        Placeholder::Text => values.text,
        Placeholder::Token => values.token,
        Placeholder::SentUs | Placeholder::Env => "",
    }
}

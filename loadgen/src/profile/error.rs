//! What can be wrong with a profile, in words that say what would be right.

use std::path::PathBuf;

use http::HeaderName;

use super::template::Placeholder;

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file, or this user may not read it.
    #[error("{}: cannot be read; name a TOML file that this user may read", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no TOML.
    #[error("{}, line {line}: no TOML: {what}", file.display())]
    Toml {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        what: String,
    },
    /// A key is wrong.
    #[error("{}, line {line}: {key}: {problem}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// Counted from 1; where the key stands, or its section when it is missing.
        line: usize,
        /// The key with its section: `subscribe.url`.
        key: String,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What is wrong with one key of a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It must be there.
    #[error("is missing; write for example {example}")]
    Missing {
        /// A line as it could stand in the file.
        example: &'static str,
    },
    /// No key has this name.
    #[error("is no key of a profile; did you mean {nearest}?")]
    Unknown {
        /// The key that looks most like it.
        nearest: &'static str,
    },
    /// The value is of another type.
    #[error("must be {wanted}")]
    Type {
        /// The type that is right.
        wanted: &'static str,
    },
    /// The value is none of those that the key takes.
    #[error("{value:?} is not known; it takes {wanted}")]
    Value {
        /// What stands there.
        value: String,
        /// What may.
        wanted: &'static str,
    },
    /// Two keys of which one is enough.
    #[error("stands beside {other}; keep one of them")]
    Both {
        /// The other one.
        other: &'static str,
    },
    /// A brace that belongs to no placeholder.
    #[error("has a single `{brace}`; a brace that is meant as itself is written twice, `{brace}{brace}`")]
    Brace {
        /// Which.
        brace: char,
    },
    /// A placeholder that does not exist.
    #[error("{{{name}}} is no placeholder; did you mean {}?", nearest.shown())]
    Placeholder {
        /// What stands between the braces.
        name: String,
        /// The one that looks most like it.
        nearest: Placeholder,
    },
    /// A placeholder of a message where there is no message.
    #[error("{} belongs to a message, and there is none yet when a stream is opened", placeholder.shown())]
    NoMessage {
        /// Which.
        placeholder: Placeholder,
    },
    /// The message does not carry what the receiver needs.
    #[error("no part of the request has {}; without it the message could not be recognised", placeholder.shown())]
    NotCarried {
        /// Which.
        placeholder: Placeholder,
    },
    /// A variable that is not set, or is no UTF-8.
    #[error("{{env:{name}}}: the environment has no {name}; set it before the program is started")]
    Variable {
        /// The variable's name.
        name: String,
    },
    /// A URL that does not begin with the target and a path.
    #[error("must begin with {{target}}/, as in \"{{target}}/events\"; --target says which server it is")]
    Target,
    /// A character that no URL may hold.
    #[error(
        "{character:?} cannot stand in a URL; percent-encode it, or let the query be written by [{query}]"
    )]
    UrlCharacter {
        /// The character.
        character: char,
        /// The table that would encode it: `subscribe.query` or `publish.query`.
        query: &'static str,
    },
    /// A name that no header can have.
    #[error("is no name of a header; it may have letters, digits and - in it")]
    HeaderName,
    /// A value that no header can have.
    #[error("cannot stand in a header: there is a control character in it")]
    HeaderValue,
    /// A header that the program sets by itself.
    #[error("is set by the load generator; remove it")]
    HeaderSet,
    /// A number that is no status of HTTP.
    #[error("{value} is no status; it takes a list of numbers from 100 to 599, as in [200, 201]")]
    Status {
        /// What stands there.
        value: String,
    },
    /// Text that should be JSON once the placeholders are filled in.
    #[error(
        "is no JSON with the placeholders filled in ({what}); \
         put quotes around every placeholder but {{sent_us}}, and write {{{{ and }}}} for braces"
    )]
    Json {
        /// What the parser said.
        what: String,
    },
    /// No JSON pointer (RFC 6901).
    #[error("{value:?} is no JSON pointer: {what}; write for example \"/pub/data/id\"")]
    Pointer {
        /// What stands there.
        value: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// One pointer leads into what the other one points to.
    #[error("leads to the same value as data.id, or into it; each needs a value of its own")]
    PointersMeet,
}

/// Why no request could be made of a profile and values.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The target begins no URL. The rest of the URL is not shown: a token may be part of it.
    #[error("{target:?} begins no URL; a target is written as http://127.0.0.1:8080")]
    Target {
        /// What was given.
        target: String,
        /// What is wrong with it.
        source: http::uri::InvalidUri,
    },
    /// A value has a character that no header can hold. The value is not shown: it may be a token.
    #[error("the value for the header {name} has a character in it that no header can hold")]
    Header {
        /// Which header.
        name: HeaderName,
        /// What is wrong with the value.
        source: http::header::InvalidHeaderValue,
    },
}

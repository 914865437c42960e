//! Errors as clients see them: RFC 9457 problems with one table of codes.

use std::borrow::Cow;

use serde::Serialize;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $retryable:literal, $title:literal;)*) => {
        /// Every error that the API answers with. The text form is stable; `docs/api.md` has the same table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The stable text form.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code,)* }
            }

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Code::$name => $status,)* }
            }

            /// Whether the same request may succeed later.
            pub const fn retryable(self) -> bool {
                match self { $(Code::$name => $retryable,)* }
            }

            /// What went wrong, in general.
            pub const fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// The request is not what the API document says.
    InvalidRequest = "invalid_request", 400, false, "The request is not valid";
    /// A body that is no JSON.
    InvalidJson = "invalid_json", 400, false, "The body is not valid JSON";
    /// A text that is no event id.
    CursorMalformed = "cursor_malformed", 400, false, "That is no event id";
    /// An acknowledgement of something that this account's inbox does not have.
    CursorUnknown = "cursor_unknown", 400, false, "That event id is not one of this account";
    /// No token.
    TokenMissing = "token_missing", 401, false, "A bearer token is needed";
    /// A token that cannot be trusted.
    TokenInvalid = "token_invalid", 401, false, "The token is not valid";
    /// A token whose time is over.
    TokenExpired = "token_expired", 401, false, "The token has expired";
    /// A token that was taken back.
    TokenRevoked = "token_revoked", 401, false, "The token was revoked";
    /// Only an owner may do that.
    NotOwner = "not_owner", 403, false, "Only an owner of the group may do that";
    /// A device of another name than the token's.
    NotThisDevice = "not_this_device", 403, false, "A device can only be registered with its own token";
    /// Nothing there, or nothing that the caller may know of.
    NotFound = "not_found", 404, false, "There is no such thing";
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, false, "That method is not allowed here";
    /// The client accepts nothing that the server can send.
    NotAcceptable = "not_acceptable", 406, false, "No acceptable form of the answer exists";
    /// The request did not arrive in time.
    RequestTimeout = "request_timeout", 408, true, "The request took too long to arrive";
    /// The same client_id with another body.
    ClientIdReused = "client_id_reused", 409, false, "That client_id was used for another message";
    /// A direct conversation's members and title are fixed.
    DirectUnchangeable = "direct_unchangeable", 409, false, "A direct conversation cannot be changed";
    /// More members than a conversation may have.
    TooManyMembers = "too_many_members", 409, false, "The conversation has as many members as it may have";
    /// A body over the limit.
    BodyTooLarge = "body_too_large", 413, false, "The body is too large";
    /// A request target over the limit.
    UriTooLong = "uri_too_long", 414, false, "The request target is too long";
    /// A body of another type than JSON.
    UnsupportedMediaType = "unsupported_media_type", 415, false, "The body must be application/json";
    /// Early data that must not be repeated.
    TooEarly = "too_early", 425, true, "Send that again after the handshake";
    /// Too many requests.
    RateLimited = "rate_limited", 429, true, "Too many requests";
    /// A head over the limit.
    HeadTooLarge = "head_too_large", 431, false, "The request head is too large";
    /// A fault of the server's.
    Internal = "internal", 500, true, "The server failed";
    /// A call of the contract that this release does not have.
    NotImplemented = "not_implemented", 501, false, "This release does not have that call";
    /// More work than the server takes on.
    Overloaded = "overloaded", 503, true, "The server is overloaded";
    /// The node is going away.
    Draining = "draining", 503, true, "This node is shutting down";
    /// Whether it was stored is not known yet: send it again with the same client_id.
    NotConfirmed = "not_confirmed", 503, true, "It could not be confirmed in time";
    /// An earlier item of the batch failed in a way that can be retried.
    PrecedingFailed = "preceding_failed", 503, true, "An earlier message of the same conversation must be sent first";
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// RFC 6901 pointer into the body; for query parameters and headers `?name` and `Name:`.
    pub pointer: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

/// An error answer: RFC 9457, section 3.1, with `code`, `retryable` and `errors` as extensions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct Problem {
    /// Which.
    pub code: Code,
    /// This occurrence, for a person.
    pub detail: Cow<'static, str>,
    /// Which fields, for a 400.
    pub errors: Vec<FieldError>,
    /// Seconds after which to come back, for a 429 or 503.
    pub retry_after_s: Option<u32>,
}

impl Problem {
    /// A problem with an explanation.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let retry_after_s = matches!(code.status(), 429 | 503).then_some(1);
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after_s }
    }

    /// A 400 about one field.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let (pointer, detail) = (pointer.into(), detail.into());
        let mut problem = Self::new(Code::InvalidRequest, format!("{pointer}: {detail}"));
        problem.errors.push(FieldError { pointer, detail });
        problem
    }

    /// The one answer to everything that is not there or not the caller's to know of.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "it does not exist, or you are no member of it")
    }

    /// `application/problem+json`.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // no map with odd keys, no failing Serialize in it
    }
}

impl Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            r#type: String,
            title: &'a str,
            status: u16,
            detail: &'a str,
            code: &'a str,
            retryable: bool,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [FieldError],
        }
        Body {
            r#type: format!("urn:godwit:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status(),
            detail: &self.detail,
            code: self.code.as_str(),
            retryable: self.code.retryable(),
            errors: &self.errors,
        }
        .serialize(s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_rfc_9457_says() {
        let problem = Problem::field("/members/1", "must not be empty");
        let json: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
        assert_eq!(json["type"], "urn:godwit:problem:invalid_request");
        assert_eq!(json["status"], 400);
        assert_eq!(json["errors"][0]["pointer"], "/members/1");
        assert_eq!(json["retryable"], false);
    }

    #[test]
    fn codes_are_unique_and_what_is_busy_says_when_to_come_back() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
        for &code in Code::ALL {
            let busy = matches!(code.status(), 429 | 503);
            assert_eq!(Problem::new(code, "x").retry_after_s.is_some(), busy, "{code:?}");
        }
    }
}

//! The query part of a request target.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::str::FromStr;

use godwit_wire::Problem;
use http::Uri;

/// Parameters, percent-decoded. Unknown ones are ignored; of one that is given twice the first counts;
/// an empty one is as good as none.
pub(crate) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// The parameters of a request target.
    pub(crate) fn of(uri: &'a Uri) -> Self {
        Self(uri.query().unwrap_or_default())
    }

    /// A parameter's text.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        form_urlencoded::parse(self.0.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
            .filter(|value| !value.is_empty())
    }

    /// A parameter as a value of some type. Errors: 400 that names it.
    pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        let parse = |text: Cow<'_, str>| {
            text.parse().map_err(|error: T::Err| Problem::field(format!("?{name}"), error.to_string()))
        };
        self.text(name).map(parse).transpose()
    }

    /// A whole number. Errors: 400 that says what is allowed.
    pub(crate) fn number(&self, name: &str, allowed: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse().ok().filter(|number| allowed.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let (low, high) = (allowed.start(), allowed.end());
                Err(Problem::field(
                    format!("?{name}"),
                    format!("must be a whole number from {low} to {high}"),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_checked() {
        let uri: Uri = "/x?a=1%2B1&limit=201&b&a=2&c=&n=18446744073709551616".parse().unwrap();
        let query = Query::of(&uri);
        assert_eq!(query.text("a").as_deref(), Some("1+1"));
        assert_eq!((query.text("b"), query.text("c"), query.text("d")), (None, None, None));
        let problem = query.number("limit", 1..=200).unwrap_err();
        assert_eq!(problem.errors[0].pointer, "?limit");
        assert_eq!(problem.errors[0].detail, "must be a whole number from 1 to 200");
        assert!(query.number("n", 0..=u64::MAX).is_err());
        assert_eq!(query.number("limit", 1..=1000), Ok(Some(201)));
    }
}

//! How ids stand in keys.

use std::fmt;

use godwit_types::AccountId;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// As in the API's paths (RFC 3986, section 2.3: unreserved characters stay). A `}` of an account must
/// not end a hash tag, and a `:` no part of a key.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The account, percent-encoded, in braces: all its keys are in one slot of a cluster.
pub(crate) fn encoded(account: &AccountId) -> impl fmt::Display + '_ {
    struct Tag<'a>(&'a AccountId);
    impl fmt::Display for Tag<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{{{}}}", utf8_percent_encode(self.0.as_str(), ENCODED))
        }
    }
    Tag(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_cannot_end_its_own_hash_tag() {
        let of = |text: &str| encoded(&AccountId::new(text).unwrap()).to_string();
        assert_eq!(of("auth0|5}:{"), "{auth0%7C5%7D%3A%7B}");
        assert_eq!(of("a.B_1~-"), "{a.B_1~-}");
    }
}

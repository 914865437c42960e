//! JSON as text: how deep it goes, and the same without white space.

use std::borrow::Cow;

/// Deepest nesting of arrays and objects in a request.
pub const DEPTH_MAX: usize = 32;

/// How deep arrays and objects nest, counted without parsing: what stands in strings does not count.
/// For text that is no JSON the number means nothing, but it is found in one pass without recursion, so
/// that a parser never sees what would exhaust its stack.
pub fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for &byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The same JSON without white space between its tokens, so that it is one line (SSE ends a field at a
/// line break, and JSON allows one only between tokens). `text` must be valid JSON.
pub fn compact(text: &str) -> Cow<'_, str> {
    let (mut in_string, mut escaped) = (false, false);
    let mut keep = |byte: u8| match byte {
        _ if escaped => {
            escaped = false;
            true
        }
        b'\\' if in_string => {
            escaped = true;
            true
        }
        b'"' => {
            in_string = !in_string;
            true
        }
        b' ' | b'\t' | b'\n' | b'\r' => in_string,
        _ => true,
    };
    let Some(first) = text.bytes().position(|b| !keep(b)) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len());
    out.push_str(&text[..first]);
    let mut start = first + 1;
    for (i, byte) in text.bytes().enumerate().skip(first + 1) {
        if !keep(byte) {
            out.push_str(&text[start..i]);
            start = i + 1;
        }
    }
    out.push_str(&text[start..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn depth_is_of_brackets_outside_strings() {
        assert_eq!(depth(br#""[[[""#), 0);
        assert_eq!(depth(br#"{"a":[{"b\"[":1}]}"#), 3);
        assert_eq!(depth("[".repeat(100_000).as_bytes()), 100_000);
    }

    #[test]
    fn compact_keeps_white_space_in_strings_only() {
        assert_eq!(compact("{ \"a b\" :\n[1,\t2 ] }\r\n"), r#"{"a b":[1,2]}"#);
        assert!(matches!(compact(r#"{"a b":"\" x"}"#), Cow::Borrowed(_)));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((".{0,6}", inner), 0..4)
                    .prop_map(|pairs| json!(pairs.into_iter().collect::<std::collections::BTreeMap<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn compact_is_what_serde_json_writes(value in value()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(compact(&pretty), serde_json::to_string(&value).unwrap());
        }
    }
}

//! What a message may say: the checks that need to know nothing but the message.

use std::fmt;

use godwit_types::AccountId;
use godwit_wire::api::{BODY_BYTES_MAX, MENTIONS_MAX};
use godwit_wire::json::compact;
use godwit_wire::{Code, Problem};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Checks a message and takes the white space out of its body. Errors: 400 with a pointer, or 413.
pub(super) fn check(body: &mut Box<RawValue>, mentions: &[AccountId]) -> Result<(), Problem> {
    if mentions.len() > MENTIONS_MAX {
        return Err(Problem::field("/mentions", format!("must be at most {MENTIONS_MAX} accounts")));
    }
    if let std::borrow::Cow::Owned(short) = compact(body.get()) {
        *body = RawValue::from_string(short).map_err(|error| Problem::field("/body", error.to_string()))?;
    }
    let length = body.get().len();
    if length > BODY_BYTES_MAX {
        let detail =
            format!("a message's body may have {BODY_BYTES_MAX} bytes as JSON, and this one has {length}");
        return Err(Problem::new(Code::BodyTooLarge, detail));
    }
    // Whoever receives the body must be able to read it: a lone surrogate or a number beyond a double is
    // valid by the grammar, and makes strict parsers refuse the whole event.
    let outline: Outline =
        serde_json::from_str(body.get()).map_err(|error| Problem::field("/body", error.to_string()))?;
    match outline {
        Outline { object: false, .. } => Err(Problem::field("/body", "must be an object")),
        Outline { r#type: Sound::Text { .. }, text: Sound::Text { .. }, .. } => Ok(()),
        Outline { r#type: Sound::Text { says_text: true }, .. } => {
            Err(Problem::field("/body/text", "must be a string, since the type is \"text\""))
        }
        Outline { r#type: Sound::Text { .. }, .. } => Ok(()),
        _ => Err(Problem::field("/body/type", "must be a string")),
    }
}

/// What a body's first level says.
struct Outline {
    object: bool,
    r#type: Sound,
    text: Sound,
}

/// Any value that can be read in full. Nothing of it is kept.
#[derive(Clone, Copy)]
enum Sound {
    Text { says_text: bool },
    Other,
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(OutlineVisitor)
    }
}

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(SoundVisitor)
    }
}

/// The names that matter on the first level.
enum Name {
    Type,
    Text,
    Other,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(match name {
                    "type" => Name::Type,
                    "text" => Name::Text,
                    _ => Name::Other,
                })
            }
        }
        d.deserialize_str(NameVisitor)
    }
}

macro_rules! scalars {
    ($value:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<Sound>()?.is_some() {}
            Ok($value)
        }
    };
}

struct OutlineVisitor;

impl OutlineVisitor {
    const NO_OBJECT: Outline = Outline { object: false, r#type: Sound::Other, text: Sound::Other };
}

impl<'de> Visitor<'de> for OutlineVisitor {
    type Value = Outline;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    scalars!(Self::NO_OBJECT);

    fn visit_str<E>(self, _: &str) -> Result<Outline, E> {
        Ok(Self::NO_OBJECT)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outline, A::Error> {
        let mut outline = Outline { object: true, ..Self::NO_OBJECT };
        while let Some(name) = map.next_key()? {
            let value = map.next_value()?;
            match name {
                Name::Type => outline.r#type = value,
                Name::Text => outline.text = value,
                Name::Other => {}
            }
        }
        Ok(outline)
    }
}

struct SoundVisitor;

impl<'de> Visitor<'de> for SoundVisitor {
    type Value = Sound;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    scalars!(Sound::Other);

    fn visit_str<E>(self, text: &str) -> Result<Sound, E> {
        Ok(Sound::Text { says_text: text == "text" })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sound, A::Error> {
        while map.next_entry::<Name, Sound>()?.is_some() {}
        Ok(Sound::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(body: &str) -> Result<String, Problem> {
        let mut body = RawValue::from_string(body.to_owned()).unwrap();
        check(&mut body, &[]).map(|()| body.get().to_owned())
    }

    fn pointer(body: &str) -> String {
        checked(body).unwrap_err().errors[0].pointer.clone()
    }

    #[test]
    fn a_body_is_an_object_with_a_type() {
        assert_eq!(
            checked("{ \"type\": \"text\",\n \"text\": \"a b\" }").unwrap(),
            r#"{"type":"text","text":"a b"}"#
        );
        let cipher = r#"{"n":[1,-2,1.5e3,null,true,{"x":"\ud83d\ude00"}],"type":"cipher","text":5}"#;
        assert_eq!(checked(cipher).unwrap(), cipher);
        for body in ["[]", "1", "\"text\"", "null", "true", "-1", "1.5"] {
            assert_eq!(pointer(body), "/body", "{body}");
        }
        assert_eq!(pointer("{}"), "/body/type");
        assert_eq!(pointer(r#"{"type":5,"text":"x"}"#), "/body/type");
        assert_eq!(pointer(r#"{"type":"text"}"#), "/body/text");
        assert_eq!(pointer(r#"{"text":{"type":"text"},"type":"text"}"#), "/body/text");
    }

    #[test]
    fn what_strict_parsers_refuse_is_refused() {
        for body in
            [r#"{"type":"x","s":"\ud800"}"#, r#"{"type":"x","\udc00":1}"#, r#"{"type":"x","n":[1e999]}"#]
        {
            assert_eq!(pointer(body), "/body", "{body}");
        }
    }

    #[test]
    fn size_counts_without_white_space() {
        let of = |text: usize| format!(r#"{{"type":"text","text":"{}"}}"#, "x".repeat(text));
        let most = BODY_BYTES_MAX - of(0).len();
        assert!(checked(&of(most)).is_ok());
        assert!(checked(&of(most).replace(':', ":          ")).is_ok());
        assert_eq!(checked(&of(most + 1)).unwrap_err().code, Code::BodyTooLarge);
    }

    #[test]
    fn mentions_are_bounded() {
        let mut body = RawValue::from_string(r#"{"type":"x"}"#.into()).unwrap();
        let mentions = vec![AccountId::new("u").unwrap(); MENTIONS_MAX + 1];
        assert!(check(&mut body, &mentions[1..]).is_ok());
        assert_eq!(check(&mut body, &mentions).unwrap_err().errors[0].pointer, "/mentions");
    }
}

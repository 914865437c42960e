//! Reads the two values that are wanted out of an event's data, in one pass and without a tree of it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Deserializer;

use super::Seen;
use super::error::Problem;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Id,
    SentUs,
}

/// Two JSON pointers (RFC 6901), laid over each other: what they share is walked once.
#[derive(Debug)]
pub(super) struct Pointers {
    root: Node,
}

/// A value on the way to one that is wanted, or a wanted one.
#[derive(Debug, Default)]
struct Node {
    wanted: Option<Wanted>,
    children: Vec<Child>,
}

#[derive(Debug)]
struct Child {
    /// The member's name in an object.
    name: String,
    /// The same as the place in a list, where it is one.
    index: Option<usize>,
    node: Node,
}

/// One pointer, taken apart.
pub(super) fn tokens(pointer: &str) -> Result<Vec<String>, Problem> {
    let problem = |what| Problem::Pointer { value: pointer.to_owned(), what };
    if pointer.is_empty() {
        return Err(problem("it names the whole data and not a value in it"));
    }
    let rest = pointer.strip_prefix('/').ok_or_else(|| problem("it does not begin with /"))?;
    rest.split('/')
        .map(|token| {
            // RFC 6901, section 3: ~ is written ~0, / is written ~1, and nothing else follows a ~.
            let escapes_are_right = token.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
            if !escapes_are_right {
                return Err(problem("after ~ comes 0 (for ~) or 1 (for /)"));
            }
            Ok(token.replace("~1", "/").replace("~0", "~"))
        })
        .collect()
}

impl Pointers {
    /// Lays them over each other; `None` when one leads to or into what the other points to.
    pub(super) fn new(id: &[String], sent_us: &[String]) -> Option<Self> {
        if id.starts_with(sent_us) || sent_us.starts_with(id) {
            return None;
        }
        let mut root = Node::default();
        root.add(id, Wanted::Id);
        root.add(sent_us, Wanted::SentUs);
        Some(Self { root })
    }

    /// Both values; `None` when the data is no JSON, or one of them is not in it or of another type.
    pub(super) fn read<'a>(&self, data: &'a str) -> Option<Seen<'a>> {
        let mut found = Found::default();
        let mut data = Deserializer::from_str(data);
        Walk { node: &self.root, found: &mut found }.deserialize(&mut data).ok()?;
        data.end().ok()?;
        Some(Seen { id: found.id?, sent_us: found.sent_us? })
    }
}

impl Node {
    fn add(&mut self, tokens: &[String], wanted: Wanted) {
        let Some((name, rest)) = tokens.split_first() else {
            self.wanted = Some(wanted);
            return;
        };
        let at = self.children.iter().position(|child| child.name == *name).unwrap_or_else(|| {
            self.children.push(Child { name: name.clone(), index: index(name), node: Node::default() });
            self.children.len() - 1
        });
        self.children[at].node.add(rest, wanted);
    }
}

/// The place in a list: RFC 6901, section 4, digits without a leading zero.
fn index(token: &str) -> Option<usize> {
    let plain = token == "0" || !token.starts_with(['0', '+']);
    token.parse().ok().filter(|_| plain)
}

#[derive(Default)]
struct Found<'de> {
    id: Option<Cow<'de, str>>,
    sent_us: Option<u64>,
}

/// Reads one value, and takes from it what is wanted.
struct Walk<'n, 'f, 'de> {
    node: &'n Node,
    found: &'f mut Found<'de>,
}

impl Walk<'_, '_, '_> {
    fn number(self, number: u64) {
        match self.node.wanted {
            Some(Wanted::SentUs) => self.found.sent_us = Some(number),
            Some(Wanted::Id) => self.found.id = Some(Cow::Owned(number.to_string())),
            None => {}
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Every kind of value is taken: a message is told by what it has, not by what else is in it.
impl<'de> Visitor<'de> for Walk<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(child) = map.next_key_seed(Key(self.node))? {
            match child {
                Some(node) => map.next_value_seed(Walk { node, found: &mut *self.found })?,
                None => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        for place in 0.. {
            let child = self.node.children.iter().find(|child| child.index == Some(place));
            let more = match child {
                Some(child) => {
                    list.next_element_seed(Walk { node: &child.node, found: &mut *self.found })?.is_some()
                }
                None => list.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<(), E> {
        match self.node.wanted {
            Some(Wanted::Id) => self.found.id = Some(Cow::Borrowed(text)),
            _ => return self.visit_str(text),
        }
        Ok(())
    }

    /// A string with escapes in it; a time may be written as a string too.
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match self.node.wanted {
            Some(Wanted::Id) => self.found.id = Some(Cow::Owned(text.to_owned())),
            Some(Wanted::SentUs) => self.found.sent_us = text.parse().ok(),
            None => {}
        }
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.number(number);
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a member's name: which child of the node it is.
struct Key<'n>(&'n Node);

impl<'de, 'n> DeserializeSeed<'de> for Key<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Key<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.children.iter().find(|child| child.name == name).map(|child| &child.node))
    }
}

//! Reads typed values out of what was given, and notes every mistake on the way.
//!
//! A value that is wrong is replaced by its default, so that reading goes on and all mistakes come
//! out at once. Whoever compares two fields asks [`Fields::sound`] first: a comparison with a
//! replaced value would only confuse.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use godwit_telemetry::log::Filter;
use godwit_types::DeviceId;

use super::key::{Absent, Key, Shape, Size, Unit, parse_size};
use super::layers::{Given, Layers, Raw};
use super::problem::{Place, Problem};

/// Longest text of a key such as `node.zone`, in characters: it stands in every log line.
const TEXT_CHARS_MAX: usize = 256;

/// Why a value that is always needed is there.
const DEFAULT_IS_RIGHT: &str = "a key that is always needed has a default that is right";

pub(super) struct Fields {
    layers: Layers,
    keys: &'static [&'static Key],
    unsound: BTreeSet<&'static str>,
}

impl Fields {
    pub(super) fn new(layers: Layers, keys: &'static [&'static Key]) -> Self {
        Self { layers, keys, unsound: BTreeSet::new() }
    }

    /// Whether none of these fields has had a problem so far.
    pub(super) fn sound(&self, names: &[&str]) -> bool {
        names.iter().all(|name| !self.unsound.contains(name))
    }

    /// Whether somebody set the field.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.layers.values.contains_key(name)
    }

    /// Notes what is wrong with a field, as it was written.
    pub(super) fn problem(&mut self, name: &'static str, what: impl Into<String>) {
        let given = self.layers.values.get(name);
        let place = given.map_or(Place::Default, |given| given.place.clone());
        let value = given.map(|given| shown(&given.raw));
        self.unsound.insert(name);
        self.layers.problems.push(Problem { place, field: name.to_owned(), value, what: what.into() });
    }

    /// As [`Fields::problem`], for a value that nobody may read in a log.
    pub(super) fn problem_hiding_value(&mut self, name: &'static str, what: impl Into<String>) {
        self.problem(name, what);
        if let Some(problem) = self.layers.problems.last_mut() {
            problem.value = problem.value.take().map(|_| super::secret::MASK.to_owned());
        }
    }

    pub(super) fn address(&mut self, name: &'static str) -> SocketAddr {
        self.required(name, |word| word.one()?.parse().ok())
    }

    pub(super) fn id(&mut self, name: &'static str) -> Option<DeviceId> {
        self.read(name, |word| DeviceId::new(word.one()?).ok())
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.read(name, |word| word.one().filter(|text| is_text(text)).map(str::to_owned))
    }

    pub(super) fn texts(&mut self, name: &'static str) -> Vec<String> {
        self.read(name, |word| word.many().filter(|texts| texts.iter().all(|text| is_text(text))))
            .unwrap_or_default()
    }

    pub(super) fn path(&mut self, name: &'static str) -> Option<PathBuf> {
        self.read(name, |word| word.one().filter(|path| !path.is_empty()).map(PathBuf::from))
    }

    pub(super) fn paths(&mut self, name: &'static str) -> Vec<PathBuf> {
        let all = |word: Word<'_>| word.many().filter(|paths| paths.iter().all(|path| !path.is_empty()));
        self.read(name, all).unwrap_or_default().into_iter().map(PathBuf::from).collect()
    }

    pub(super) fn filter(&mut self, name: &'static str) -> Filter {
        self.required(name, |word| word.one()?.parse().ok())
    }

    /// One of the words of the key's [`Shape::Choice`].
    pub(super) fn choice(&mut self, name: &'static str) -> Option<&'static str> {
        let Shape::Choice(words) = self.key(name).shape else { unreachable!("{name} is a choice") };
        self.read(name, |word| {
            let text = word.one()?;
            words.iter().find(|word| **word == text).copied()
        })
    }

    /// Some of the words of the key's [`Shape::Choices`].
    pub(super) fn choices(&mut self, name: &'static str) -> Vec<&'static str> {
        let Shape::Choices(words) = self.key(name).shape else { unreachable!("{name} is a choice") };
        let find = |text: &String| words.iter().find(|word| **word == text.as_str()).copied();
        self.read(name, |word| word.many()?.iter().map(find).collect()).unwrap_or_default()
    }

    pub(super) fn number(&mut self, name: &'static str) -> u64 {
        self.maybe_number(name).expect(DEFAULT_IS_RIGHT)
    }

    /// A number whose default is the caller's.
    pub(super) fn maybe_number(&mut self, name: &'static str) -> Option<u64> {
        let Shape::Number { unit, min, max } = self.key(name).shape else {
            unreachable!("{name} is a number")
        };
        let in_bounds = move |number: u64| Some(number).filter(|number| (min..=max).contains(number));
        self.read(name, |word| in_bounds(word.number(unit)?))
    }

    /// `true` or `false`.
    pub(super) fn switch(&mut self, name: &'static str) -> bool {
        self.required(name, |word| word.switch())
    }

    /// A number that has no default of its own.
    pub(super) fn optional_number(&mut self, name: &'static str) -> Option<u64> {
        let Shape::Number { unit, min, max } = self.key(name).shape else {
            unreachable!("{name} is a number")
        };
        self.read(name, |word| word.number(unit).filter(|number| (min..=max).contains(number)))
    }

    pub(super) fn count(&mut self, name: &'static str) -> usize {
        // On a machine of 32 bits the largest there is: more cannot be held anyway.
        usize::try_from(self.number(name)).unwrap_or(usize::MAX)
    }

    /// The number in the unit of its key.
    pub(super) fn duration(&mut self, name: &'static str) -> Duration {
        let number = self.number(name);
        match self.key(name).shape {
            Shape::Number { unit: Unit::Milliseconds, .. } => Duration::from_millis(number),
            Shape::Number { unit: Unit::Days, .. } => Duration::from_secs(number * 24 * 60 * 60),
            _ => Duration::from_secs(number),
        }
    }

    /// What was given and what was not, for the operator; and the problems.
    pub(super) fn finish(self) -> (Vec<super::Setting>, Vec<Problem>) {
        let settings = self.keys.iter().map(|key| {
            let given = self.layers.values.get(key.name);
            let value = match (given, key.default) {
                (Some(given), _) => in_toml(&given.raw, key.shape),
                (None, Absent::Is(value)) => in_toml(&Raw::Words(value.to_owned()), key.shape),
                (None, Absent::Means(_)) => String::new(),
            };
            let place = given.map_or(Place::Default, |given| given.place.clone());
            super::Setting { name: key.name, value, place }
        });
        (settings.collect(), self.layers.problems)
    }

    fn required<T>(&mut self, name: &'static str, parse: impl Fn(Word<'_>) -> Option<T>) -> T {
        self.read(name, parse).expect(DEFAULT_IS_RIGHT)
    }

    /// The value, or the default when nothing was given or what was given is wrong.
    fn read<T>(&mut self, name: &'static str, parse: impl Fn(Word<'_>) -> Option<T>) -> Option<T> {
        let key = self.key(name);
        if let Some(Given { raw, .. }) = self.layers.values.get(name) {
            if let Some(value) = parse(Word(raw)) {
                return Some(value);
            }
            self.problem(name, format!("must be {}", key.shape));
        }
        match key.default {
            Absent::Is(value) => parse(Word(&Raw::Words(value.to_owned()))),
            Absent::Means(_) => None,
        }
    }

    fn key(&self, name: &str) -> &'static Key {
        self.keys
            .iter()
            .find(|key| key.name == name)
            .copied()
            .expect("a section reads the keys that it declares")
    }
}

/// A value on its way to a type.
#[derive(Clone, Copy)]
struct Word<'v>(&'v Raw);

impl<'v> Word<'v> {
    fn one(self) -> Option<&'v str> {
        match self.0 {
            Raw::Words(text) | Raw::Text(text) => Some(text),
            Raw::Integer(_) | Raw::List(_) | Raw::Other(_) => None,
        }
    }

    /// At least one.
    fn many(self) -> Option<Vec<String>> {
        match self.0 {
            Raw::Words(text) => Some(text.split(',').map(|part| part.trim().to_owned()).collect()),
            Raw::Text(text) => Some(vec![text.clone()]),
            Raw::List(list) if !list.is_empty() => Some(list.clone()),
            Raw::List(_) | Raw::Integer(_) | Raw::Other(_) => None,
        }
    }

    fn switch(self) -> Option<bool> {
        match self.0 {
            Raw::Words(text) | Raw::Other(text) => text.parse().ok(),
            Raw::Text(_) | Raw::Integer(_) | Raw::List(_) => None,
        }
    }

    fn number(self, unit: Unit) -> Option<u64> {
        match self.0 {
            Raw::Integer(number) => u64::try_from(*number).ok(),
            Raw::Words(text) | Raw::Text(text) if unit == Unit::Bytes => parse_size(text),
            Raw::Words(text) => text.parse().ok(),
            Raw::Text(_) | Raw::List(_) | Raw::Other(_) => None,
        }
    }
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control)
}

fn shown(raw: &Raw) -> String {
    match raw {
        Raw::Words(text) | Raw::Text(text) => format!("{text:?}"),
        Raw::Integer(number) => number.to_string(),
        Raw::List(list) => format!("{list:?}"),
        Raw::Other(text) => text.clone(),
    }
}

/// The value as it would stand in the file.
fn in_toml(raw: &Raw, shape: Shape) -> String {
    let is_list = matches!(shape, Shape::Paths | Shape::Texts | Shape::Origins | Shape::Choices(_));
    match raw {
        Raw::Words(text) if matches!(shape, Shape::Number { .. }) && text.parse::<u64>().is_ok() => {
            text.clone()
        }
        Raw::Words(text) if matches!(shape, Shape::Switch) => text.clone(),
        Raw::Words(_) if is_list => format!("{:?}", Word(raw).many().unwrap_or_default()),
        _ => shown(raw),
    }
}

/// A size as errors of a comparison show it.
pub(super) fn size(bytes: usize) -> Size {
    Size(bytes as u64)
}

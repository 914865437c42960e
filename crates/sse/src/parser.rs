//! The parser: bytes in pieces cut anywhere go in, items come out as soon as they are complete.

use std::borrow::Cow;
use std::mem;

use memchr::{memchr, memchr2};

/// The byte order mark in UTF-8. One at the very start of a stream is no part of it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a stream says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A dispatched event.
    Event(Event<'a>),
    /// The reconnection time, in milliseconds. A number beyond `u64` counts as the largest.
    Retry(u64),
    /// A comment, without its colon: nothing that a page sees, but how heartbeats look.
    Comment(&'a str),
}

/// A dispatched event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its name; `message` where none was said.
    pub event: &'a str,
    /// Its data lines, joined by LF.
    pub data: &'a str,
    /// The last event id of the stream after this event: what a resume would start from.
    pub last_event_id: &'a str,
    /// Whether this very event carried an id.
    pub has_id: bool,
}

/// More bytes in one event than the [`Parser`] was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event has more than {event_bytes_max} bytes")]
pub struct EventTooLarge {
    /// The bound that was given to [`Parser::new`].
    pub event_bytes_max: usize,
}

/// The state between two pieces of a stream.
///
/// Between two events it owns no memory but the last event id. Of an event that is complete inside one
/// piece only the id is copied, and its data where it has several lines. What is known of an event that
/// a piece cuts in two is kept in one allocation more, which ends with the event.
#[derive(Debug)]
pub struct Parser {
    event_bytes_max: usize,
    last_event_id: String,
    /// What was received of an event and is not complete.
    partial: Option<Box<Partial>>,
    /// The first line, which may begin with a byte order mark, is over.
    begun: bool,
    /// The last byte was a CR: an LF that follows belongs to that line end.
    after_cr: bool,
}

/// What a piece left of an event.
#[derive(Debug)]
struct Partial {
    /// The beginning of a line.
    line: Vec<u8>,
    /// What the lines before it said.
    fields: Fields<'static>,
}

/// What the lines since the last blank one said.
#[derive(Debug, Default)]
struct Fields<'a> {
    event: Cow<'a, str>,
    /// The lines so far, joined by LF; none before the first.
    data: Option<Cow<'a, str>>,
    /// It counts from the blank line on.
    id: Option<Cow<'a, str>>,
}

impl Parser {
    /// A parser at the start of a stream. `event_bytes_max` bounds the fields of one event that are
    /// kept (its name, data and id, after decoding) together with the line being read, whatever it holds.
    pub const fn new(event_bytes_max: usize) -> Self {
        Self { event_bytes_max, last_event_id: String::new(), partial: None, begun: false, after_cr: false }
    }

    /// Takes the next bytes of the stream and hands on what they complete, in its order. An event is
    /// complete when the first byte of the end of its blank line is there.
    ///
    /// # Errors
    /// When an event grows beyond the bound. What came before it was handed on. The parser has lost its
    /// place and is good for nothing then but [`Parser::last_event_id`].
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(Item<'_>)) -> Result<(), EventTooLarge> {
        let mut bytes = self.behind_cr(bytes);
        let mut fields = Fields::default();
        if let Some(mut partial) = self.partial.take() {
            if partial.line.is_empty() {
                fields = partial.fields;
            } else if let Some((line, rest)) = self.split_line(bytes) {
                // Only the first line of a piece can have begun before it.
                let Partial { line: mut whole, fields: known } = *partial;
                whole.extend_from_slice(line);
                let mut known: Fields<'_> = known;
                self.end_line(&whole, &mut known, &mut take)?;
                fields = known.into_owned();
                bytes = rest;
            } else {
                self.check(&partial.fields, partial.line.len() + bytes.len())?;
                partial.line.extend_from_slice(bytes);
                self.partial = Some(partial);
                return Ok(());
            }
        }
        while let Some((line, rest)) = self.split_line(bytes) {
            self.end_line(line, &mut fields, &mut take)?;
            bytes = rest;
        }
        if !(bytes.is_empty() && fields.is_empty()) {
            self.check(&fields, bytes.len())?;
            self.partial = Some(Box::new(Partial { line: bytes.to_vec(), fields: fields.into_owned() }));
        }
        Ok(())
    }

    /// What a client would send as `Last-Event-ID` if the stream ended here; empty: nothing.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The bytes without an LF that is the second half of a line end.
    fn behind_cr<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        match bytes.split_first() {
            Some((first, rest)) if mem::take(&mut self.after_cr) && *first == b'\n' => rest,
            _ => bytes,
        }
    }

    /// The first line without its end, and what follows; none without a line end.
    fn split_line<'b>(&mut self, bytes: &'b [u8]) -> Option<(&'b [u8], &'b [u8])> {
        let end = memchr2(b'\r', b'\n', bytes)?;
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        self.after_cr = bytes[end] == b'\r';
        Some((line, self.behind_cr(rest)))
    }

    fn check(&self, fields: &Fields<'_>, line_bytes: usize) -> Result<(), EventTooLarge> {
        let event_bytes_max = self.event_bytes_max;
        if fields.bytes() + line_bytes > event_bytes_max {
            return Err(EventTooLarge { event_bytes_max });
        }
        Ok(())
    }

    fn end_line<'b>(
        &mut self,
        line: &'b [u8],
        fields: &mut Fields<'b>,
        take: &mut impl FnMut(Item<'_>),
    ) -> Result<(), EventTooLarge> {
        self.check(fields, line.len())?;
        let line = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if !self.begun => rest,
            _ => line,
        };
        self.begun = true;
        if line.is_empty() {
            self.dispatch(mem::take(fields), take);
            return Ok(());
        }
        let (name, value) = match memchr(b':', line) {
            Some(0) => {
                take(Item::Comment(&decoded(&line[1..])));
                return Ok(());
            }
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => fields.event = decoded(value),
            b"data" => fields.push_data(decoded(value)),
            b"id" if memchr(0, value).is_none() => fields.id = Some(decoded(value)),
            b"retry" => retry(value).into_iter().for_each(|ms| take(Item::Retry(ms))),
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, fields: Fields<'_>, take: &mut impl FnMut(Item<'_>)) {
        let Fields { event, data, id } = fields;
        if let Some(id) = &id {
            self.last_event_id.clear();
            self.last_event_id.push_str(id);
            // One long id must not cost its memory for as long as the stream lives.
            self.last_event_id.shrink_to(2 * id.len());
        }
        let Some(data) = data else { return };
        take(Item::Event(Event {
            event: if event.is_empty() { "message" } else { &event },
            data: &data,
            last_event_id: &self.last_event_id,
            has_id: id.is_some(),
        }));
    }
}

impl<'a> Fields<'a> {
    fn push_data(&mut self, line: Cow<'a, str>) {
        match &mut self.data {
            Some(data) => {
                let data = data.to_mut();
                data.push('\n');
                data.push_str(&line);
            }
            None => self.data = Some(line),
        }
    }

    fn is_empty(&self) -> bool {
        self.event.is_empty() && self.data.is_none() && self.id.is_none()
    }

    fn bytes(&self) -> usize {
        let length = |text: &Option<Cow<'_, str>>| text.as_ref().map_or(0, |text| text.len());
        self.event.len() + length(&self.data) + length(&self.id)
    }

    fn into_owned(self) -> Fields<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Fields { event: owned(self.event), data: self.data.map(owned), id: self.id.map(owned) }
    }
}

/// Part by part is as good as over the whole stream: every part ends where an ASCII byte stands, and no
/// sequence of UTF-8, nor what a broken one is replaced by, spans one.
fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Milliseconds, if it is digits only and at least one.
fn retry(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |ms, byte| {
        byte.is_ascii_digit().then(|| ms.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
    })
}

#[cfg(test)]
mod tests;

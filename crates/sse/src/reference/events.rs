//! Server-sent events as WHATWG HTML, section 9.2.6, tells it, sentence by sentence.

use super::{cuts, pieces};
use crate::{EventTooLarge, Parser};

/// What a stream says, as [`crate::Item`], with texts of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A dispatched event.
    Event {
        /// Its name.
        event: String,
        /// Its data.
        data: String,
        /// The last event id string when it was dispatched.
        last_event_id: String,
        /// Whether it carried an id itself.
        has_id: bool,
    },
    /// The reconnection time, in milliseconds.
    Retry(u64),
    /// A comment, without its colon.
    Comment(String),
}

/// A whole stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stream {
    /// What it says.
    pub items: Vec<Item>,
    /// The last event id string at its end.
    pub last_event_id: String,
}

/// Reads a whole stream.
pub fn parse(bytes: &[u8]) -> Stream {
    // "Streams must be decoded using the UTF-8 decode algorithm", which strips one byte order mark.
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut state = State::default();
    for line in lines(text) {
        state.line(&line);
    }
    // "Once the end of the file is reached, any pending data must be discarded."
    state.stream
}

/// The lines that have an end: CR LF, an LF that no CR stands before, a CR that no LF stands behind.
fn lines(text: &str) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' => {
                characters.next_if_eq(&'\n');
                lines.push(std::mem::take(&mut line));
            }
            '\n' => lines.push(std::mem::take(&mut line)),
            _ => line.push(character),
        }
    }
    lines
}

/// The buffers of the standard.
#[derive(Default)]
struct State {
    data: String,
    event_type: String,
    last_event_id: String,
    /// Not of the standard: an id was set since the last blank line.
    has_id: bool,
    stream: Stream,
}

impl State {
    fn line(&mut self, line: &str) {
        if line.is_empty() {
            self.dispatch();
        } else if let Some(comment) = line.strip_prefix(':') {
            self.stream.items.push(Item::Comment(comment.to_owned()));
        } else if let Some(colon) = line.find(':') {
            let (field, value) = (&line[..colon], &line[colon + 1..]);
            self.field(field, value.strip_prefix(' ').unwrap_or(value));
        } else {
            self.field(line, "");
        }
    }

    fn field(&mut self, field: &str, value: &str) {
        if field == "event" {
            self.event_type = value.to_owned();
        } else if field == "data" {
            self.data.push_str(value);
            self.data.push('\n');
        } else if field == "id" {
            if !value.contains('\0') {
                self.last_event_id = value.to_owned();
                self.has_id = true;
            }
        } else if field == "retry" {
            let digits_only = value.chars().all(|character| character.is_ascii_digit());
            // No digits at all are no integer in base ten.
            if digits_only && !value.is_empty() {
                self.stream.items.push(Item::Retry(value.parse().unwrap_or(u64::MAX)));
            }
        }
    }

    fn dispatch(&mut self) {
        self.stream.last_event_id = self.last_event_id.clone();
        let has_id = std::mem::take(&mut self.has_id);
        let mut data = std::mem::take(&mut self.data);
        let event_type = std::mem::take(&mut self.event_type);
        if data.is_empty() {
            return;
        }
        if data.ends_with('\n') {
            data.pop();
        }
        let event = if event_type.is_empty() { "message".to_owned() } else { event_type };
        let last_event_id = self.stream.last_event_id.clone();
        self.stream.items.push(Item::Event { event, data, last_event_id, has_id });
    }
}

impl From<crate::Item<'_>> for Item {
    fn from(item: crate::Item<'_>) -> Self {
        match item {
            crate::Item::Event(event) => Item::Event {
                event: event.event.to_owned(),
                data: event.data.to_owned(),
                last_event_id: event.last_event_id.to_owned(),
                has_id: event.has_id,
            },
            crate::Item::Retry(ms) => Item::Retry(ms),
            crate::Item::Comment(text) => Item::Comment(text.to_owned()),
        }
    }
}

/// What the real parser makes of these pieces, and whether it gave up.
pub fn parse_pieces(event_bytes_max: usize, pieces: &[&[u8]]) -> (Stream, Result<(), EventTooLarge>) {
    let mut parser = Parser::new(event_bytes_max);
    let mut items = Vec::new();
    let result = pieces.iter().try_for_each(|piece| parser.feed(piece, |item| items.push(item.into())));
    (Stream { items, last_event_id: parser.last_event_id().to_owned() }, result)
}

/// The body of the fuzz target. Cut in any way, the stream must say what the reference reads; and a
/// bound that it breaks must be broken at the same place however it is cut.
///
/// # Panics
/// When the two differ.
pub fn compare(input: &[u8]) {
    /// Low enough for an input to break it.
    const SMALL_BYTES_MAX: usize = 24;
    let (sizes, bytes) = cuts(input);
    let whole = [bytes];
    let cut = pieces(bytes, &sizes);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    let expected = (parse(bytes), Ok(()));
    let bounded = parse_pieces(SMALL_BYTES_MAX, &whole);
    for pieces in [&whole[..], &cut, &single] {
        assert_eq!(parse_pieces(usize::MAX, pieces), expected, "in {} pieces", pieces.len());
        assert_eq!(parse_pieces(SMALL_BYTES_MAX, pieces), bounded, "bounded, in {} pieces", pieces.len());
    }
}

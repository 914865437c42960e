//! A parser of server-sent events, after the letter of WHATWG HTML, section 9.2.6, and independent of
//! the code that writes them.
//!
//! Takes bytes in pieces cut anywhere and gives items. It knows no socket and reconnects nothing.

use std::collections::VecDeque;

/// Longest line and largest event that a test server may send. Four times the largest event of the
/// API (a conversation that lists 50 members with ids of 128 bytes and a message of 16 KiB).
const EVENT_BYTES_MAX: usize = 128 * 1024;

/// What a stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A dispatched event.
    Event(Frame),
    /// The reconnection time, in milliseconds.
    Retry(u64),
    /// A comment, without its colon: nothing that a client sees, but how heartbeats look.
    Comment(String),
}

/// A dispatched event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its name; `message` where none was said.
    pub event: String,
    /// Its data lines, joined by LF.
    pub data: String,
    /// The last event id of the stream after this event: what a resume would start from.
    pub last_event_id: String,
    /// Whether this very event carried an id.
    pub has_id: bool,
}

/// More bytes in one event than [`Parser`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event has more than {EVENT_BYTES_MAX} bytes")]
pub struct EventTooLarge;

/// The state between two pieces of a stream.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    /// The line before ended with CR: an LF that follows belongs to that end.
    after_cr: bool,
    /// The first line, which may begin with a byte order mark, is over.
    begun: bool,
    event: String,
    data: String,
    /// The buffer that an `id` field sets; it counts from the next blank line on.
    id: String,
    has_id: bool,
    last_event_id: String,
    items: VecDeque<Item>,
}

impl Parser {
    /// Takes the next bytes; what they complete is fetched with [`Parser::next`].
    ///
    /// # Errors
    /// When an event grows beyond what a server may send.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), EventTooLarge> {
        for &byte in bytes {
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    self.end_line(&line);
                    self.line = line;
                    self.line.clear();
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                return Err(EventTooLarge);
            }
        }
        Ok(())
    }

    /// The oldest item that is complete and was not fetched.
    #[expect(clippy::should_implement_trait, reason = "more may come after a None")]
    pub fn next(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    /// What a client would send as `Last-Event-ID` if the stream ended here.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    fn end_line(&mut self, line: &[u8]) {
        let line = match line.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if !self.begun => rest,
            _ => line,
        };
        self.begun = true;
        // Line by line is as good as over the whole stream: no sequence of UTF-8 spans an ASCII byte.
        let line = String::from_utf8_lossy(line);
        if line.is_empty() {
            return self.dispatch();
        }
        match line.split_once(':') {
            Some(("", comment)) => self.items.push_back(Item::Comment(comment.to_owned())),
            Some((name, value)) => self.field(name, value.strip_prefix(' ').unwrap_or(value)),
            None => self.field(&line, ""),
        }
    }

    fn field(&mut self, name: &str, value: &str) {
        match name {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => {
                value.clone_into(&mut self.id);
                self.has_id = true;
            }
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                self.items.push_back(Item::Retry(value.parse().unwrap_or(u64::MAX)));
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        self.last_event_id.clone_from(&self.id);
        let has_id = std::mem::take(&mut self.has_id);
        let mut event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        if data.pop().is_none() {
            return;
        }
        if event.is_empty() {
            event.push_str("message");
        }
        self.items.push_back(Item::Event(Frame {
            event,
            data,
            last_event_id: self.last_event_id.clone(),
            has_id,
        }));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<Item> {
        let mut parser = Parser::default();
        for piece in pieces {
            parser.feed(piece).unwrap();
        }
        std::iter::from_fn(|| parser.next()).collect()
    }

    fn frame(event: &str, data: &str, id: &str, has_id: bool) -> Item {
        Item::Event(Frame { event: event.into(), data: data.into(), last_event_id: id.into(), has_id })
    }

    #[test]
    fn the_examples_of_the_standard() {
        assert_eq!(
            parse(&[b"data: YHOO\ndata: +2\ndata: 10\n\n"]),
            [frame("message", "YHOO\n+2\n10", "", false)]
        );
        assert_eq!(
            parse(&[b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"]),
            [
                Item::Comment(" test stream".into()),
                frame("message", "first event", "1", true),
                frame("message", "second event", "", true),
                frame("message", " third event", "", false),
            ]
        );
        assert_eq!(
            parse(&[b"data\n\ndata\ndata\n\ndata:"]),
            [frame("message", "", "", false), frame("message", "\n", "", false)]
        );
        assert_eq!(
            parse(&[b"data:test\n\ndata: test\n\n"]),
            [frame("message", "test", "", false), frame("message", "test", "", false)]
        );
    }

    #[test]
    fn lines_end_with_cr_lf_or_both() {
        let expected = [frame("a", "1\n2", "7", true)];
        for end in ["\n", "\r", "\r\n"] {
            let text = "id:7|event:a|data:1|data:2||".replace('|', end);
            assert_eq!(parse(&[text.as_bytes()]), expected, "{end:?}");
        }
    }

    #[test]
    fn an_event_is_there_when_the_cr_is_and_the_lf_after_it_is_no_second_end() {
        let mut parser = Parser::default();
        parser.feed(b"data:1\r\n\r").unwrap();
        assert_eq!(parser.next(), Some(frame("message", "1", "", false)));
        parser.feed(b"\ndata:2\r\n\r\n").unwrap();
        assert_eq!(parser.next(), Some(frame("message", "2", "", false)));
        assert_eq!(parser.next(), None);
    }

    #[test]
    fn one_byte_order_mark_at_the_start_is_dropped() {
        assert_eq!(parse(&[b"\xef\xbb", b"\xbfdata:1\n\n"]), [frame("message", "1", "", false)]);
        assert_eq!(parse(&[b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\n"]), []);
        assert_eq!(parse(&[b"\n\xef\xbb\xbfdata:1\n\n"]), []);
    }

    #[test]
    fn an_id_with_nul_is_ignored_and_an_empty_one_counts() {
        assert_eq!(
            parse(&[b"id:1\ndata:a\n\nid:2\0\ndata:b\n\nid:\ndata:c\n\n"]),
            [
                frame("message", "a", "1", true),
                frame("message", "b", "1", false),
                frame("message", "c", "", true)
            ]
        );
    }

    #[test]
    fn an_id_counts_from_the_blank_line_on_also_without_data() {
        let mut parser = Parser::default();
        parser.feed(b"id:5\n").unwrap();
        assert_eq!(parser.last_event_id(), "");
        parser.feed(b"\n").unwrap();
        assert_eq!(parser.next(), None);
        assert_eq!(parser.last_event_id(), "5");
    }

    #[test]
    fn retry_takes_digits_only() {
        assert_eq!(
            parse(&[b"retry: 3000\nretry:+1\nretry:1.5\nretry\nretry:99999999999999999999\n"]),
            [Item::Retry(3000), Item::Retry(u64::MAX)]
        );
    }

    #[test]
    fn what_is_no_utf_8_is_replaced() {
        assert_eq!(parse(&[b"data:a\xff\xc3\n\n"]), [frame("message", "a\u{fffd}\u{fffd}", "", false)]);
    }

    #[test]
    fn an_event_without_an_end_is_an_error() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(&vec![b'x'; EVENT_BYTES_MAX + 1]), Err(EventTooLarge));
        let mut parser = Parser::default();
        assert_eq!(parser.feed("data:x\n".repeat(EVENT_BYTES_MAX).as_bytes()), Err(EventTooLarge));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_a_stream_is_cut(
            text in "(\u{feff})?([:a\r\n ]|data:|id:|event:|retry:|ü|[0-9]){0,60}",
            cuts in prop::collection::vec(0usize..200, 0..6),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parse(&pieces), parse(&[bytes]));
        }
    }
}

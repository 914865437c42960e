//! What a message is called: enough to know it again, and when it was due.
//!
//! `RUN.WORKER.CONVERSATION.SENDER.NUMBER.DUE`, hexadecimal: the run and the worker that it is of, the
//! worker's numbers for conversation, sender and message, and when it was due in microseconds from the
//! worker's beginning. So nothing is remembered about a message that is under way. The last message of a
//! conversation has `last` for a number.

use std::fmt;

/// The number of a conversation's last message.
const LAST: u64 = u64::MAX;

/// A message's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientId {
    /// The run.
    pub run: u32,
    /// The worker.
    pub worker: u32,
    /// The conversation.
    pub conversation: u32,
    /// The account that says it.
    pub sender: u32,
    /// Which of the worker's messages.
    pub number: u64,
    /// When it was due, in microseconds from the worker's beginning.
    pub due_us: u64,
}

impl ClientId {
    /// The last message of its conversation instead; sent after all others were answered.
    pub fn last(self) -> Self {
        Self { number: LAST, ..self }
    }

    /// Whether it is one.
    pub fn is_last(&self) -> bool {
        self.number == LAST
    }

    /// Reads one; none for a name that others gave.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let mut part = || parts.next().filter(|part| !part.starts_with('+'));
        let run = u32::from_str_radix(part()?, 16).ok()?;
        let worker = u32::from_str_radix(part()?, 16).ok()?;
        let conversation = u32::from_str_radix(part()?, 16).ok()?;
        let sender = u32::from_str_radix(part()?, 16).ok()?;
        let number = match part()? {
            "last" => LAST,
            number => u64::from_str_radix(number, 16).ok()?,
        };
        let due_us = u64::from_str_radix(part()?, 16).ok()?;
        parts.next().is_none().then_some(Self { run, worker, conversation, sender, number, due_us })
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, worker, conversation, sender, number, due_us } = self;
        write!(f, "{run:08x}.{worker:x}.{conversation:x}.{sender:x}.")?;
        match self.is_last() {
            true => write!(f, "last.{due_us:x}"),
            false => write!(f, "{number:x}.{due_us:x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A year of a million messages a second, in a run of the largest size.
    const LARGEST: ClientId = ClientId {
        run: u32::MAX,
        worker: 0xffff,
        conversation: 0xff_ffff,
        sender: 0xff_ffff,
        number: 1 << 45,
        due_us: 1 << 45,
    };

    #[test]
    fn is_read_as_it_was_written() {
        let first = ClientId { run: 7, worker: 0, conversation: 0, sender: 1, number: 0, due_us: 1 };
        for id in [first, LARGEST, LARGEST.last()] {
            let text = id.to_string();
            assert_eq!(ClientId::parse(&text), Some(id), "{text}");
            assert!(
                text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
            );
        }
    }

    #[test]
    fn other_names_are_not_taken_for_ours() {
        for text in ["", "w1-7", "1.2.3.4.5", "1.2.3.4.5.6.7", "x.2.3.4.5.6", "1.+2.3.4.5.6"] {
            assert_eq!(ClientId::parse(text), None, "{text}");
        }
    }
}

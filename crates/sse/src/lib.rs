//! The reading side of server-sent events, after the letter of WHATWG HTML, section 9.2.6, and of the
//! chunked coding (RFC 9112, section 7.1) that they mostly come in.
//!
//! Made for a client with many thousand streams in one process: a stream on which nothing is half
//! received costs a [`Parser`] of 48 bytes and the last event id. It knows no socket and no clock,
//! reconnects nothing, and shares no code with whatever writes the events.

pub mod chunked;
mod parser;
#[cfg(any(test, feature = "reference"))]
pub mod reference;

pub use parser::{Event, EventTooLarge, Item, Parser};

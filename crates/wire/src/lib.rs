//! What crosses a boundary, and how it is written: the client API's JSON, SSE frames, problems, and the
//! payloads that the store keeps.
//!
//! Encoders and decoders only. Nothing here decides, waits or knows where bytes come from; every decoder
//! takes any bytes and answers with a value or an error.

pub mod api;
pub mod event;
pub mod json;
pub mod payload;
pub mod problem;
pub mod sse;

pub use event::{ByeReason, EventKind, GapReason};
pub use payload::{Change, ConversationRow, InboxEvent, PayloadError, Told};
pub use problem::{Code, FieldError, Problem};

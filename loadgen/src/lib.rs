//! Load for godwit and for other SSE servers, and the judge of what came back.
//!
//! A *coordinator* (the program that a person starts) makes one plan, hands each *worker* its share,
//! and merges what they count. A worker is a process with one thread: it holds some thousand streams,
//! sends messages at times that were drawn beforehand, and, when told to, records all that it sees for
//! the checker of the guarantees. Members of one conversation are always in one worker, so that no two
//! clocks are compared and each worker can judge by itself.
//!
//! It knows a server as a client does, by its contract, and shares no code with it but the nouns.

pub mod measure;
pub mod report;

//! Load for godwit and for other SSE servers, and the judge of what came back.
//!
//! A *coordinator* (the program that a person starts) makes one plan, hands each *worker* its share,
//! and merges what they count. A worker is a process with one thread: it holds some thousand streams,
//! sends messages at times that were drawn beforehand, and, when told to, records all that it sees for
//! the checker of the guarantees. Members of one conversation are always in one worker, so that no two
//! clocks are compared and each worker can judge by itself.
//!
//! It knows a server as a client does, by its contract, and shares no code with it but the nouns.

pub mod account;
pub mod arrivals;
pub mod behaviour;
pub mod cli;
pub mod client_id;
pub mod clock;
pub mod coordinator;
pub mod device;
pub mod dial;
pub mod failure;
pub mod groups;
pub mod jobs;
pub mod limits;
pub mod line;
pub mod link;
pub mod measure;
pub mod plan;
pub mod profile;
pub mod program;
pub mod recorder;
pub mod remote;
pub mod report;
pub mod sender;
pub mod server;
pub mod settle;
pub mod setup;
pub mod stream;
pub mod terminal;
pub mod watch;
pub mod worker;
pub mod world;

//! Every decision of the system, as plain state machines.
//!
//! No runtime, no clock, no randomness and no I/O: time and random numbers come in as arguments, what is
//! to be done comes out as values. Actors, sockets and stores carry it out. That is what lets a whole
//! cluster run in one process under a seed. `docs/architecture.md` tells how the parts meet.

pub mod conversation;
pub mod delivery;
pub mod fanout;
pub mod held;
pub mod inbox;
pub mod keys;
pub mod lease;
pub mod log;
pub mod recover;
pub mod wheel;

pub use conversation::Conversation;
pub use delivery::Delivery;
pub use fanout::Fanout;
pub use held::Held;
pub use inbox::Inbox;
pub use log::Log;
pub use wheel::Wheel;

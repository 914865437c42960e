//! Things that happen, counted.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! counts {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// Something that happens, and is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Count {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Count {
            /// All of them.
            pub const ALL: &[Count] = &[$(Count::$variant,)*];

            /// Its name in reports, stable.
            pub fn name(self) -> &'static str {
                match self {
                    $(Count::$variant => $name,)*
                }
            }
        }
    };
}

counts! {
    /// A message was to be sent: its time had come.
    Due = "messages_due",
    /// A message was acknowledged for the first time.
    Acknowledged = "messages_acknowledged",
    /// An attempt to send was repeated: no answer, or one that says to try again.
    Repeated = "attempts_repeated",
    /// A message came on the stream of a member who is not its sender.
    Arrived = "messages_arrived",
    /// A message that was acknowledged is to come on the stream of a member who is not its sender.
    Owed = "deliveries_owed",
    /// An event of any kind came.
    Event = "events",
    /// A heartbeat came.
    Heartbeat = "heartbeats",
    /// A stream was opened, for the first time or again.
    Opened = "streams_opened",
    /// Of these, after an event id.
    Resumed = "streams_resumed",
    /// A stream was cut by this side, with a reset or a FIN.
    Cut = "streams_cut",
    /// A stream was left without a word, as by a phone that leaves a network.
    Left = "streams_left",
    /// A stream was ended by the server.
    Ended = "streams_ended",
    /// The server said that events are missing.
    Gap = "gaps",
    /// An acknowledgement of events was answered.
    Ack = "acks",
    /// A change between foreground and background was answered.
    StateChange = "state_changes",
    /// A call was answered 501: this server does not have it.
    NotImplemented = "not_implemented",
    /// A conversation was set up.
    Conversation = "conversations",
}

/// How often each thing happened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts([u64; Count::ALL.len()]);

impl Counts {
    /// Adds others.
    pub fn add(&mut self, other: &Counts) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

impl Index<Count> for Counts {
    type Output = u64;

    fn index(&self, count: Count) -> &u64 {
        &self.0[count as usize]
    }
}

impl IndexMut<Count> for Counts {
    fn index_mut(&mut self, count: Count) -> &mut u64 {
        &mut self.0[count as usize]
    }
}

/// As a map from names to what is not 0.
impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_map(Count::ALL.iter().map(|&count| (count.name(), self[count])).filter(|x| x.1 > 0))
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = std::collections::HashMap::<String, u64>::deserialize(deserializer)?;
        let mut counts = Counts::default();
        for &count in Count::ALL {
            counts[count] = named.get(count.name()).copied().unwrap_or_default();
        }
        Ok(counts)
    }
}

//! Which guarantees can be broken, and where.

use std::fmt;
use std::str::FromStr;

/// One way to break a guarantee of `docs/architecture.md`. Its name is what `POST /admin/faults` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `lost`, G1: a message is acknowledged and never comes into a member's inbox.
    Lost,
    /// `unstored`, G1: a message is acknowledged a second before it is written. Only an end in between,
    /// without a drain, shows it.
    Unstored,
    /// `doubled`, G1: a message comes into a member's inbox twice, under two numbers.
    Doubled,
    /// `skipped_live`, G2: open streams of an account leave out an event.
    SkippedLive,
    /// `skipped_resume`, G2: a resume leaves out an event.
    SkippedResume,
    /// `out_of_order`, G3: two events of an account's open streams each stand under the other's id.
    OutOfOrder,
    /// `disagreement`, G3: a member sees another message than the others at a number.
    Disagreement,
    /// `sender_order`, G3: what a sender sent after an answer comes before what was answered.
    SenderOrder,
    /// `repeated`, G4: an event comes twice on a stream.
    Repeated,
    /// `malformed_id`: a message comes without its event id.
    MalformedId,
    /// `malformed_data`: a message comes without its `seq`.
    MalformedData,
}

/// Where a fault acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On messages before their conversation numbers them.
    Message,
    /// On parcels before their inbox takes them.
    Parcel,
    /// On messages on their way to open streams, once for all streams of an account.
    Live,
    /// On messages on their way to streams that catch up.
    Replay,
}

/// A name that no fault has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no fault; there are {names}", names = Fault::ALL.map(Fault::name).join(", "))]
pub struct UnknownFault(String);

impl Fault {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Lost,
        Self::Unstored,
        Self::Doubled,
        Self::SkippedLive,
        Self::SkippedResume,
        Self::OutOfOrder,
        Self::Disagreement,
        Self::SenderOrder,
        Self::Repeated,
        Self::MalformedId,
        Self::MalformedData,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Unstored => "unstored",
            Self::Doubled => "doubled",
            Self::SkippedLive => "skipped_live",
            Self::SkippedResume => "skipped_resume",
            Self::OutOfOrder => "out_of_order",
            Self::Disagreement => "disagreement",
            Self::SenderOrder => "sender_order",
            Self::Repeated => "repeated",
            Self::MalformedId => "malformed_id",
            Self::MalformedData => "malformed_data",
        }
    }

    pub(super) fn place(self) -> Place {
        match self {
            Self::Unstored | Self::SenderOrder => Place::Message,
            Self::Lost | Self::Doubled => Place::Parcel,
            Self::SkippedResume => Place::Replay,
            Self::SkippedLive
            | Self::OutOfOrder
            | Self::Disagreement
            | Self::Repeated
            | Self::MalformedId
            | Self::MalformedData => Place::Live,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        let found = Self::ALL.into_iter().find(|fault| fault.name() == name);
        found.ok_or_else(|| UnknownFault(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_fault_and_an_unknown_one_is_told_all() {
        for fault in Fault::ALL {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        let said = "drop".parse::<Fault>().unwrap_err().to_string();
        assert!(said.starts_with("\"drop\" is no fault; there are lost, unstored, "), "{said}");
        assert!(said.ends_with(", malformed_data"), "{said}");
    }
}

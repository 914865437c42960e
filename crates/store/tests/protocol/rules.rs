//! The rules of the protocol, each with a switch.

/// What may be switched off, by its name in the design of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Settling hides what lies beyond the tail.
    SettleDelete,
    /// Settling writes the rows again of which one replica only may have a copy.
    SettleRewrite,
    /// An owner serves when its settling is stored, not before.
    SettleWait,
    /// After settling, and before it serves, an owner looks whether it is fenced.
    SettleGuard,
    /// After a row is stored, and before it is committed, too.
    CommitGuard,
    /// Nothing leaves the owner before it is committed.
    CommitFirst,
    /// A message that is in the log already is answered with its place.
    Dedupe,
    /// Every stamp of an owner is above every one of all owners before.
    OwnerStamps,
    /// Who attaches is told where the log ends after a look at the session that began when it had asked.
    AttachGuard,
}

/// The rules that are off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules(&'static [Rule]);

impl Rules {
    /// All on.
    pub(crate) const ALL: Self = Self(&[]);

    /// All but these.
    pub(crate) const fn without(off: &'static [Rule]) -> Self {
        Self(off)
    }

    /// Whether this one holds.
    pub(crate) fn on(self, rule: Rule) -> bool {
        !self.0.contains(&rule)
    }
}

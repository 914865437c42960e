//! Write timestamps: which of two writes of one cell counts.

use std::fmt;

/// When an owner made a write: microseconds since 1970 by its clock, and above every stamp that it or an
/// owner before it has used. Where several processes write to one database, the write with the higher stamp
/// counts, whichever arrives last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(i64);

impl Stamp {
    /// Below every stamp of an owner.
    pub const MIN: Self = Self(0);

    /// From microseconds since 1970.
    pub const fn from_us(us: i64) -> Self {
        Self(us)
    }

    /// Microseconds since 1970.
    pub const fn as_us(self) -> i64 {
        self.0
    }

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// This much later.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        let us = (ms as i64).saturating_mul(1000);
        Self(self.0.saturating_add(us))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

//! Faults that a test switches on. Not in a release: feature `faults` only.

use godwit_types::AccountId;
use parking_lot::Mutex;

/// What is broken on purpose.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    poisoned: Mutex<Option<AccountId>>,
}

impl Faults {
    /// From now on every event of this account makes its actor panic; none ends it.
    pub(crate) fn poison(&self, account: Option<AccountId>) {
        *self.poisoned.lock() = account;
    }

    /// Panics where the account is poisoned.
    #[allow(clippy::panic)]
    pub(crate) fn touch(&self, account: &AccountId) {
        let poisoned = self.poisoned.lock().as_ref() == Some(account);
        assert!(!poisoned, "poisoned by a test");
    }
}

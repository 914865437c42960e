//! Tokens that no longer count, in memory: every request asks.

use std::collections::HashMap;

use godwit_store::Revocation;
use godwit_types::{AccountId, DeviceId, Timestamp};
use parking_lot::RwLock;

/// The newest revocation of each device, and of each account as a whole.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    by_account: RwLock<HashMap<AccountId, Vec<Revoked>>>,
}

/// Tokens of that device, or of all devices, that were issued up to then.
type Revoked = (Option<DeviceId>, Timestamp);

impl Revocations {
    pub(crate) fn new(stored: Vec<Revocation>) -> Self {
        let new = Self::default();
        for revocation in stored {
            new.insert(&revocation);
        }
        new
    }

    pub(crate) fn insert(&self, revocation: &Revocation) {
        let mut by_account = self.by_account.write();
        let of_account = by_account.entry(revocation.account.clone()).or_default();
        match of_account.iter_mut().find(|(device, _)| *device == revocation.device) {
            Some((_, at)) => *at = (*at).max(revocation.at),
            None => of_account.push((revocation.device.clone(), revocation.at)),
        }
    }

    pub(crate) fn is_revoked(&self, account: &AccountId, device: &DeviceId, issued_at: Timestamp) -> bool {
        let by_account = self.by_account.read();
        by_account.get(account).is_some_and(|of_account| {
            of_account
                .iter()
                .any(|(named, at)| named.as_ref().is_none_or(|named| named == device) && issued_at <= *at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_voids_the_tokens_before_it() {
        let (ann, phone) = (AccountId::new("ann").unwrap(), DeviceId::new("phone").unwrap());
        let at = Timestamp::from_ms;
        let revocation = |device: Option<&DeviceId>, ms| Revocation {
            account: ann.clone(),
            device: device.cloned(),
            at: at(ms),
        };
        let revocations = Revocations::new(vec![revocation(Some(&phone), 10), revocation(Some(&phone), 5)]);
        assert!(revocations.is_revoked(&ann, &phone, at(10)));
        assert!(!revocations.is_revoked(&ann, &phone, at(11)));
        let tablet = DeviceId::new("tablet").unwrap();
        assert!(!revocations.is_revoked(&ann, &tablet, at(1)));
        revocations.insert(&revocation(None, 20));
        assert!(revocations.is_revoked(&ann, &tablet, at(20)));
    }
}

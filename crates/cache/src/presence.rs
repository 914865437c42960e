//! Who is there: devices that this node announces, and what all nodes announced.
//!
//! A node keeps the list of its own devices and says again and again that they are there, so what a dead
//! node said is forgotten by itself. Changes go out at once, coalesced; one task writes both.

mod local;
mod shared;

use std::sync::Arc;

use godwit_types::{AccountId, DeviceId, Timestamp};

use crate::link::Link;
use local::Local;
use shared::Shared;

/// What a device says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceState {
    /// Somebody looks at it.
    Online,
    /// It is connected, nobody looks.
    Away,
}

/// An account over all its devices: the most present one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A device is online.
    Online,
    /// A device is connected, none is online.
    Away,
    /// No device is connected.
    Offline,
    /// Redis is away, so nobody can say.
    Unknown,
}

/// What is known of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Now.
    pub state: State,
    /// When a device was last known to be connected. None: never, too long ago, or not known now.
    pub last_seen: Option<Timestamp>,
}

impl Seen {
    const UNKNOWN: Self = Self { state: State::Unknown, last_seen: None };
}

/// The presence of accounts.
pub struct Presence {
    local: Arc<Local>,
    shared: Option<Arc<Shared>>,
}

impl Presence {
    pub(crate) fn new(link: Option<&Arc<Link>>) -> Self {
        let local = Arc::new(Local::new(link.is_some()));
        let shared = link.map(|link| Arc::new(Shared::new(Arc::clone(link), Arc::clone(&local))));
        Self { local, shared }
    }

    /// The task that writes to Redis, if there is one.
    pub(crate) fn writer(&self) -> Option<impl Future<Output = ()> + use<>> {
        self.shared.clone().map(Shared::write)
    }

    /// A stream of this device was opened on this node, which makes it online. Waits for nothing.
    pub fn opened(&self, account: &AccountId, device: &DeviceId) {
        self.local.opened(account, device);
    }

    /// A stream of this device was closed; with the last one the device is gone. Waits for nothing.
    pub fn closed(&self, account: &AccountId, device: &DeviceId) {
        self.local.closed(account, device);
    }

    /// This device is connected to this node, until it is withdrawn. Waits for nothing.
    pub fn announce(&self, account: &AccountId, device: &DeviceId, state: DeviceState) {
        self.local.announce(account, device, state);
    }

    /// This device is no longer connected to this node. Waits for nothing.
    pub fn withdraw(&self, account: &AccountId, device: &DeviceId) {
        self.local.withdraw(account, device);
    }

    /// What is known of each account, in their order. Answers within the time of a command for each 256
    /// of them.
    pub async fn of(&self, accounts: &[AccountId]) -> Vec<Seen> {
        match &self.shared {
            Some(shared) => shared.of(accounts).await,
            None => accounts.iter().map(|account| self.local.of(account)).collect(),
        }
    }
}

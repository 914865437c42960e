//! The devices of this node: all of the presence there is without Redis, and what is told to it else.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::time::SystemTime;

use godwit_types::{AccountId, DeviceId, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{DeviceState, Seen, State};
use crate::metrics;

/// Devices that a node announces: ten times the streams it can hold open. Those beyond it are offline
/// to others, which a metric counts.
const DEVICES_MAX: usize = 1_000_000;
/// Changes that wait to be written, a few seconds of a node whose streams all came at once. Beyond it
/// an announcement comes with the next refresh, and what was withdrawn expires.
const CHANGES_MAX: usize = 65_536;
/// Accounts whose last-seen a node without Redis remembers, some 10 MB; the oldest go.
const LAST_SEEN_MAX: usize = 100_000;

/// A device of an account. `None` stands before all devices of its account.
type Key = (AccountId, Option<DeviceId>);

/// What is to be told of one device: its state, or that it is gone.
pub(super) type Change = (AccountId, DeviceId, Option<DeviceState>);

pub(super) struct Local {
    table: Mutex<Table>,
    changed: Notify,
    /// Whether changes are to be told to somebody.
    told: bool,
    start: (Timestamp, Instant),
}

/// A device of this node. With its key, whose text is the stream's, 64 bytes of heap, measured over 100,000.
#[derive(Clone, Copy)]
struct Here {
    state: DeviceState,
    /// Streams that it has open; 1 when it was announced without one.
    streams: u32,
}

#[derive(Default)]
struct Table {
    devices: BTreeMap<Key, Here>,
    changes: BTreeSet<Key>,
    last_seen: HashMap<AccountId, Timestamp>,
    /// Accounts in the order in which they came into `last_seen`.
    order: VecDeque<AccountId>,
}

impl Local {
    pub(super) fn new(told: bool) -> Self {
        let start = (Timestamp::from(SystemTime::now()), Instant::now());
        Self { table: Mutex::default(), changed: Notify::new(), told, start }
    }

    pub(super) fn announce(&self, account: &AccountId, device: &DeviceId, state: DeviceState) {
        self.enter(account, device, state, 0);
    }

    pub(super) fn opened(&self, account: &AccountId, device: &DeviceId) {
        self.enter(account, device, DeviceState::Online, 1);
    }

    fn enter(&self, account: &AccountId, device: &DeviceId, state: DeviceState, streams: u32) {
        let key = (account.clone(), Some(device.clone()));
        let mut table = self.table.lock();
        if let Some(here) = table.devices.get_mut(&key) {
            here.streams = here.streams.saturating_add(streams);
            let same = std::mem::replace(&mut here.state, state) == state;
            if !same {
                self.note(&mut table, key);
            }
        } else if table.devices.len() < DEVICES_MAX {
            table.devices.insert(key.clone(), Here { state, streams: 1 });
            self.note(&mut table, key);
        } else {
            metrics::unannounced();
        }
    }

    pub(super) fn withdraw(&self, account: &AccountId, device: &DeviceId) {
        self.leave(account, device, u32::MAX);
    }

    pub(super) fn closed(&self, account: &AccountId, device: &DeviceId) {
        self.leave(account, device, 1);
    }

    fn leave(&self, account: &AccountId, device: &DeviceId, streams: u32) {
        let key = (account.clone(), Some(device.clone()));
        let mut table = self.table.lock();
        let Some(here) = table.devices.get_mut(&key) else { return };
        here.streams = here.streams.saturating_sub(streams);
        if here.streams > 0 {
            return;
        }
        table.devices.remove(&key);
        if !self.told {
            table.seen(account, self.now());
        }
        self.note(&mut table, key);
    }

    pub(super) fn of(&self, account: &AccountId) -> Seen {
        let table = self.table.lock();
        let here = table.devices.range((account.clone(), None)..).take_while(|((of, _), _)| of == account);
        let state = here.fold(State::Offline, |best, (_, here)| match (best, here.state) {
            (State::Online, _) | (_, DeviceState::Online) => State::Online,
            _ => State::Away,
        });
        let last_seen = match state {
            State::Offline => table.last_seen.get(account).copied(),
            _ => Some(self.now()),
        };
        Seen { state, last_seen }
    }

    /// Returns when something is there for [`Local::changes`].
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes up to `max` changes.
    pub(super) fn changes(&self, max: usize) -> Vec<Change> {
        let mut table = self.table.lock();
        let mut out = Vec::new();
        while out.len() < max
            && let Some(key) = table.changes.pop_first()
        {
            let state = table.devices.get(&key).map(|here| here.state);
            if let (account, Some(device)) = key {
                out.push((account, device, state));
            }
        }
        if !table.changes.is_empty() {
            self.changed.notify_one();
        }
        out
    }

    /// How many devices there are.
    pub(super) fn devices(&self) -> usize {
        self.table.lock().devices.len()
    }

    /// Up to `max` devices behind `after`, in order. The lock is held for these few only.
    pub(super) fn page(&self, after: Option<&Change>, max: usize) -> Vec<Change> {
        let from = match after {
            Some((account, device, _)) => Bound::Excluded((account.clone(), Some(device.clone()))),
            None => Bound::Unbounded,
        };
        let table = self.table.lock();
        let rest = table.devices.range((from, Bound::Unbounded)).take(max);
        rest.filter_map(|((account, device), here)| {
            Some((account.clone(), device.clone()?, Some(here.state)))
        })
        .collect()
    }

    fn note(&self, table: &mut Table, key: Key) {
        if self.told && (table.changes.len() < CHANGES_MAX) {
            table.changes.insert(key);
            self.changed.notify_one();
        }
    }

    /// The wall clock of the start and tokio's since: a test's paused time moves it.
    fn now(&self) -> Timestamp {
        let (wall, start) = self.start;
        wall.plus_ms(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

impl Table {
    fn seen(&mut self, account: &AccountId, at: Timestamp) {
        if self.last_seen.insert(account.clone(), at).is_none() {
            self.order.push_back(account.clone());
        }
        if self.order.len() > LAST_SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.last_seen.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(account: &str, device: &str) -> (AccountId, DeviceId) {
        (AccountId::new(account).unwrap(), DeviceId::new(device).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn changes_of_a_device_are_one_change() {
        let local = Local::new(true);
        let (ann, phone) = ids("ann", "phone");
        let (bob, web) = ids("bob", "web");
        local.announce(&ann, &phone, DeviceState::Online);
        local.announce(&ann, &phone, DeviceState::Away);
        local.announce(&bob, &web, DeviceState::Online);
        local.withdraw(&bob, &web);
        local.changed().await;
        let first = local.changes(1);
        assert_eq!(first, [(ann.clone(), phone.clone(), Some(DeviceState::Away))]);
        local.changed().await;
        assert_eq!(local.changes(10), [(bob, web, None)]);
        local.announce(&ann, &phone, DeviceState::Away);
        assert_eq!(local.changes(10), [], "what did not change is no change");
        assert_eq!(local.page(None, 10), first);
        assert_eq!(local.page(Some(&first[0]), 10), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_is_there_as_long_as_one_of_its_streams() {
        let local = Local::new(false);
        let (ann, phone) = ids("ann", "phone");
        local.opened(&ann, &phone);
        local.announce(&ann, &phone, DeviceState::Away);
        assert_eq!(local.of(&ann).state, State::Away);
        local.opened(&ann, &phone);
        assert_eq!(local.of(&ann).state, State::Online, "opening a stream means foreground");
        local.closed(&ann, &phone);
        assert_eq!(local.of(&ann).state, State::Online);
        local.closed(&ann, &phone);
        assert_eq!(local.of(&ann).state, State::Offline);
        local.closed(&ann, &phone);
        assert!(local.of(&ann).last_seen.is_some());
        // Of another account whose name begins alike.
        local.opened(&ids("ann2", "phone").0, &phone);
        assert_eq!(local.of(&ann).state, State::Offline);
    }

    #[tokio::test(start_paused = true)]
    async fn last_seen_is_bounded_and_the_oldest_goes() {
        let mut table = Table::default();
        let account = |n: usize| AccountId::new(&format!("u{n}")).unwrap();
        for n in 0..=LAST_SEEN_MAX {
            table.seen(&account(n), Timestamp::from_ms(n as u64));
        }
        assert_eq!((table.last_seen.len(), table.order.len()), (LAST_SEEN_MAX, LAST_SEEN_MAX));
        assert!(!table.last_seen.contains_key(&account(0)));
    }
}

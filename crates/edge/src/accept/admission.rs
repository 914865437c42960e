//! Who may connect: how many in all, and how many of one address that nobody has vouched for.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::Limits;
use super::measures::{Kind, Measures, Refused};

/// Connections that are being turned away at a time, beyond `limits.connections`. Each takes a descriptor for
/// a few seconds; more than these get no answer, because answering a flood must not cost what it aims at.
const REFUSALS_MAX: usize = 256;

/// All connections of one listener.
pub(crate) struct Admission {
    connections_max: usize,
    unauthenticated_max: u32,
    seats: Mutex<Seats>,
    strangers: Mutex<HashMap<IpAddr, u32>>,
    emptied: Notify,
    pub(crate) measures: Measures,
}

/// The open connections, so that they can be counted, and ended at a drain's deadline.
#[derive(Default)]
struct Seats {
    tasks: Slab<AbortHandle>,
    refusals: usize,
}

/// A connection's place; dropping it frees the place.
pub(crate) struct Seat {
    admission: Arc<Admission>,
    key: u32,
    /// Whose share of unauthenticated connections this is part of, while it is.
    address: IpAddr,
    stranger: AtomicBool,
    kind: AtomicU8,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            connections_max: limits.connections,
            unauthenticated_max: limits.unauthenticated_connections_per_address,
            seats: Mutex::default(),
            strangers: Mutex::default(),
            emptied: Notify::new(),
            measures: Measures::new(),
        })
    }

    /// Runs a connection as a task of its own with the seat that it gets, or drops it where there is none.
    /// A seat of [`Kind::Refused`] is for an answer that says so.
    pub(crate) fn seat<C, F>(self: &Arc<Self>, address: IpAddr, connection: C)
    where
        C: FnOnce(Seat) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let address = share(address);
        let mut seats = self.seats.lock();
        let refused = if seats.tasks.len() - seats.refusals >= self.connections_max {
            Some(Refused::Connections)
        } else if !self.admit_stranger(address) {
            Some(Refused::Address)
        } else {
            None
        };
        if let Some(reason) = refused {
            if seats.refusals >= REFUSALS_MAX {
                drop(seats);
                self.measures.refused(Refused::Unanswered);
                return;
            }
            self.measures.refused(reason);
            seats.refusals += 1;
        }
        let kind = if refused.is_some() { Kind::Refused } else { Kind::New };
        self.measures.open(kind).increment(1.0);
        let entry = seats.tasks.vacant_entry();
        let seat = Seat {
            admission: Arc::clone(self),
            key: entry.key() as u32, // a process has far fewer descriptors
            address,
            stranger: AtomicBool::new(refused.is_none()),
            kind: AtomicU8::new(kind as u8),
        };
        // The lock is held until the handle is in its place: the task may be over before.
        entry.insert(tokio::spawn(connection(seat)).abort_handle());
    }

    fn admit_stranger(&self, address: IpAddr) -> bool {
        let mut strangers = self.strangers.lock();
        let count = strangers.entry(address).or_insert(0);
        let admitted = *count < self.unauthenticated_max;
        *count += u32::from(admitted);
        admitted
    }

    fn forget_stranger(&self, address: IpAddr) {
        let mut strangers = self.strangers.lock();
        if let Some(count) = strangers.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                strangers.remove(&address);
            }
        }
        // A storm from many addresses leaves a large table behind.
        if strangers.len() * 4 < strangers.capacity() && strangers.capacity() > 1_024 {
            strangers.shrink_to_fit();
        }
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.seats.lock().tasks.len()
    }

    /// When no connection is open.
    pub(crate) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.open() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Ends all connections at once, and says how many they were.
    pub(crate) fn cut(&self) -> usize {
        let tasks: Vec<_> = self.seats.lock().tasks.iter().map(|(_, task)| task.clone()).collect();
        tasks.iter().for_each(AbortHandle::abort);
        tasks.len()
    }
}

impl Seat {
    /// What the connection has become.
    pub(crate) fn becomes(&self, kind: Kind) {
        let before = self.kind.swap(kind as u8, Ordering::Relaxed);
        self.admission.measures.open_at(before).decrement(1.0);
        self.admission.measures.open(kind).increment(1.0);
    }

    /// Whether this connection is only to be told that there is no room.
    pub(crate) fn is_refused(&self) -> bool {
        self.kind.load(Ordering::Relaxed) == Kind::Refused as u8
    }

    /// Somebody has proved who they are on this connection: it no longer counts as a stranger's.
    pub(crate) fn authenticated(&self) {
        if self.stranger.swap(false, Ordering::Relaxed) {
            self.admission.forget_stranger(self.address);
        }
    }

    pub(crate) fn measures(&self) -> &Measures {
        &self.admission.measures
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.authenticated();
        self.admission.measures.open_at(*self.kind.get_mut()).decrement(1.0);
        let mut seats = self.admission.seats.lock();
        seats.refusals -= usize::from(*self.kind.get_mut() == Kind::Refused as u8);
        let task = seats.tasks.try_remove(self.key as usize);
        let empty = seats.tasks.is_empty();
        drop(seats);
        drop(task);
        if empty {
            self.admission.emptied.notify_waiters();
        }
    }
}

/// Who shares a limit: an IPv4 address, or an IPv6 network of 64 bits, which is what one customer has at least.
fn share(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::*;

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    struct Hall {
        admission: Arc<Admission>,
        seated: mpsc::UnboundedReceiver<Seat>,
        seats: mpsc::UnboundedSender<Seat>,
    }

    impl Hall {
        fn new(connections: usize, unauthenticated: u32) -> Self {
            let limits = Limits {
                connections,
                unauthenticated_connections_per_address: unauthenticated,
                ..Limits::default()
            };
            let (seats, seated) = mpsc::unbounded_channel();
            Self { admission: Admission::new(&limits), seated, seats }
        }

        /// Connects and takes the seat out of the task.
        async fn connect(&mut self, address: IpAddr) -> Option<Seat> {
            let seats = self.seats.clone();
            self.admission.seat(address, |seat| async move { seats.send(seat).unwrap() });
            tokio::time::timeout(Duration::from_secs(1), self.seated.recv()).await.ok().flatten()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_its_share_until_it_says_who_it_is() {
        let mut hall = Hall::new(100, 2);
        let first = hall.connect(A).await.unwrap();
        let second = hall.connect(A).await.unwrap();
        assert!(hall.connect(A).await.unwrap().is_refused());
        assert!(!hall.connect(B).await.unwrap().is_refused());
        first.authenticated();
        first.authenticated(); // a second request on the connection
        let third = hall.connect(A).await.unwrap();
        assert!(!third.is_refused());
        assert!(hall.connect(A).await.unwrap().is_refused());
        drop(second);
        assert!(!hall.connect(A).await.unwrap().is_refused());
        drop((first, third));
        assert_eq!(hall.admission.open(), 0);
        assert!(hall.admission.strangers.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_limit_some_are_told_and_the_rest_dropped() {
        let mut hall = Hall::new(3, 100);
        let mut seats = Vec::new();
        for _ in 0..3 {
            seats.push(hall.connect(A).await.unwrap());
        }
        assert!(seats.iter().all(|seat| !seat.is_refused()));
        for _ in 0..REFUSALS_MAX {
            let seat = hall.connect(A).await.unwrap();
            assert!(seat.is_refused());
            seats.push(seat);
        }
        assert!(hall.connect(A).await.is_none());
        seats.remove(0);
        assert!(!hall.connect(A).await.unwrap().is_refused());
        seats.clear();
        hall.admission.empty().await;
        assert_eq!(hall.admission.seats.lock().refusals, 0);
    }

    #[test]
    fn an_ipv6_customer_is_one_address() {
        assert_eq!(share("2001:db8::1".parse().unwrap()), share("2001:db8::ffff:2".parse().unwrap()));
        assert_ne!(share("2001:db8::1".parse().unwrap()), share("2001:db8:0:1::1".parse().unwrap()));
        assert_eq!(share("::ffff:192.0.2.1".parse().unwrap()), A);
    }
}

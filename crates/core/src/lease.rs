//! Who may write: a node's session, the owners of shards, and the stamps of an owner's writes.
//!
//! Here is what is written into the tables of leases and what may be concluded from them; the tables
//! themselves change by compare-and-set only. Clocks decide when somebody tries, never whether it is
//! safe: that rests on the order of fence, read and write alone (`docs/adr/0009-the-log-on-a-shared-database.md`).

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use godwit_types::{NodeId, ShardId, Stamp};

/// Bits of an epoch below its count, taken from the incarnation of who took the shard: two takers who both
/// believe that they won still write different positions.
const EPOCH_RANDOM_BITS: u32 = 16;
/// A stamp so near its ceiling is not used for the time of day any more: this many more writes find room.
const STAMPS_RESERVED: i64 = 1 << 20;

/// A node's claim to be alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Which run of the node: random, never the same twice.
    pub incarnation: u64,
    /// Counts up as long as the node lives.
    pub renewals: u64,
    /// No write of the node bears a higher stamp.
    pub ceiling: Stamp,
    /// It was declared dead, and will not write again under this incarnation.
    pub fenced: bool,
}

impl Session {
    /// The first session of a run that follows `former`, the node's last one. A ceiling never goes down:
    /// whoever takes over from the former run starts above it.
    pub fn begin(former: Option<Session>, incarnation: u64, now: Stamp, lease: Duration) -> Self {
        let ceiling = former.map_or(Stamp::MIN, |former| former.ceiling).max(ceiling(now, lease));
        Self { incarnation, renewals: 0, ceiling, fenced: false }
    }

    /// The same run, a while later, with room for stamps from `base` on.
    #[must_use]
    pub fn renewed(self, now: Stamp, base: Stamp, lease: Duration) -> Self {
        let ceiling = self.ceiling.max(ceiling(now.max(base), lease));
        Self { renewals: self.renewals + 1, ceiling, ..self }
    }

    /// The same, declared dead.
    #[must_use]
    pub fn fence(self) -> Self {
        Self { fenced: true, ..self }
    }

    /// Whether this run may write.
    pub fn is_alive_as(self, incarnation: u64) -> bool {
        self.incarnation == incarnation && !self.fenced
    }
}

fn ceiling(now: Stamp, lease: Duration) -> Stamp {
    now.plus_ms(2 * lease.as_millis() as u64)
}

/// Whose a shard is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// The owner.
    pub node: NodeId,
    /// Which run of it.
    pub incarnation: u64,
    /// The epoch under which it writes: a count in the upper 48 bits, 16 bits of the incarnation below.
    /// No two owners of a shard have had the same.
    pub epoch: u64,
    /// Its lowest stamp, above all of every earlier owner.
    pub base: Stamp,
    /// The lowest stamp of the last owner that took the shard from one that may have crashed: a log whose last
    /// row is older has to be settled.
    pub unclean_base: Stamp,
}

impl Ownership {
    /// Whether that owner cannot write any more, so that the shard is there to be taken. `session` is one of its
    /// node that was read after this was: an owner's session is there before it owns anything, so an older
    /// read would take a run that has just begun for one that is over.
    pub fn is_over(&self, session: Option<&Session>) -> bool {
        session.is_some_and(|session| !session.is_alive_as(self.incarnation))
    }

    /// The shard in the hands of a node. `session` is the present one of the former owner, which cannot write
    /// any more; its ceiling is above whatever it has written or may still bring.
    pub fn take(
        former: Option<&Ownership>,
        session: Option<&Session>,
        node: &NodeId,
        incarnation: u64,
        now: Stamp,
    ) -> Self {
        let count = former.map_or(0, |former| former.epoch >> EPOCH_RANDOM_BITS);
        let after = [former.map(|former| former.base.next()), session.map(|session| session.ceiling.next())];
        let base = after.into_iter().flatten().fold(now, Stamp::max);
        Self { node: node.clone(), incarnation, epoch: epoch(count, incarnation), base, unclean_base: base }
    }

    /// The same owner once more, above an epoch that was found in a log: the tables of leases are older
    /// than the logs, as after a restored backup.
    #[must_use]
    pub fn raised_above(&self, found: u64, now: Stamp) -> Self {
        let count = self.epoch.max(found) >> EPOCH_RANDOM_BITS;
        let base = now.max(self.base.next());
        Self { epoch: epoch(count, self.incarnation), base, unclean_base: base, ..self.clone() }
    }
}

/// What a node makes of the owners of some shards.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Shards that are this run's.
    pub mine: Vec<(ShardId, Ownership)>,
    /// Shards to take: the epoch that the swap expects, and what it is to become.
    pub take: Vec<(ShardId, Option<u64>, Ownership)>,
    /// Nodes that own shards and are alive, as far as is known.
    pub others: BTreeSet<NodeId>,
}

/// Who asks, and what it knows.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// This node.
    pub node: &'a NodeId,
    /// This run of it.
    pub incarnation: u64,
    /// The session of the run before this one, as this one found it: its ceiling bounds what that one wrote.
    pub former: Option<&'a Session>,
    /// The sessions of other nodes, read after the owners.
    pub sessions: &'a HashMap<NodeId, Session>,
    /// The wall clock.
    pub now: Stamp,
}

impl View<'_> {
    /// What to do about these shards, `owners` being those among them that have had an owner.
    pub fn plan(&self, shards: impl Iterator<Item = ShardId>, owners: &[(ShardId, Ownership)]) -> Plan {
        let owners: HashMap<ShardId, &Ownership> =
            owners.iter().map(|(shard, owner)| (*shard, owner)).collect();
        let mut plan = Plan::default();
        for shard in shards {
            let owner = owners.get(&shard).copied();
            match owner {
                Some(owner) if owner.node == *self.node && owner.incarnation == self.incarnation => {
                    plan.mine.push((shard, owner.clone()));
                    continue;
                }
                Some(owner) if owner.node != *self.node && !owner.is_over(self.sessions.get(&owner.node)) => {
                    plan.others.insert(owner.node.clone());
                    continue;
                }
                _ => {}
            }
            let session = owner.and_then(|owner| match owner.node == *self.node {
                true => self.former,
                false => self.sessions.get(&owner.node),
            });
            let taken = Ownership::take(owner, session, self.node, self.incarnation, self.now);
            plan.take.push((shard, owner.map(|owner| owner.epoch), taken));
        }
        plan
    }
}

fn epoch(former_count: u64, incarnation: u64) -> u64 {
    ((former_count + 1) << EPOCH_RANDOM_BITS) | (incarnation & ((1 << EPOCH_RANDOM_BITS) - 1))
}

/// Gives a node's writes their stamps: near the present, each above the last, none above the ceiling.
#[derive(Debug)]
pub struct Stamps {
    last: Stamp,
}

impl Stamps {
    /// The first one will be above `last`.
    pub fn after(last: Stamp) -> Self {
        Self { last }
    }

    /// From now on not below `base`.
    pub fn not_below(&mut self, base: Stamp) {
        self.last = self.last.max(Stamp::from_us(base.as_us() - 1));
    }

    /// The next stamp; `None` when the ceiling leaves no room: the session has not been renewed for so long
    /// that it counts as lost.
    pub fn next(&mut self, now: Stamp, ceiling: Stamp) -> Option<Stamp> {
        let present = now.min(Stamp::from_us(ceiling.as_us() - STAMPS_RESERVED));
        let next = self.last.next().max(present);
        (next <= ceiling).then(|| {
            self.last = next;
            next
        })
    }
}

/// What a node has seen of the sessions of others, by its own clock.
#[derive(Debug, Default)]
pub struct Watch {
    seen: HashMap<NodeId, Seen>,
}

#[derive(Debug)]
struct Seen {
    incarnation: u64,
    renewals: u64,
    since: Duration,
}

impl Watch {
    /// Takes note of a session at `now`, any clock that does not stop. Whether it has shown no sign of
    /// life for so long (1.1 leases) that its node may be declared dead.
    pub fn is_silent(&mut self, node: &NodeId, session: &Session, now: Duration, lease: Duration) -> bool {
        let new = || Seen { incarnation: session.incarnation, renewals: session.renewals, since: now };
        let seen = self.seen.entry(node.clone()).or_insert_with(new);
        if (seen.incarnation, seen.renewals) != (session.incarnation, session.renewals) {
            *seen = new();
        }
        !session.fenced && now.saturating_sub(seen.since) >= lease * 11 / 10
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEASE: Duration = Duration::from_secs(5);

    fn node(id: &str) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn at(us: i64) -> Stamp {
        Stamp::from_us(us)
    }

    #[test]
    fn a_new_run_keeps_the_ceiling_of_the_last() {
        let first = Session::begin(None, 7, at(1_000), LEASE);
        assert_eq!(first, Session { incarnation: 7, renewals: 0, ceiling: at(10_001_000), fenced: false });
        // Its clock is behind that of the run before.
        let second = Session::begin(Some(first.fence()), 8, at(0), LEASE);
        assert_eq!((second.ceiling, second.fenced), (first.ceiling, false));
        let later = second.renewed(at(5_000_000), Stamp::MIN, LEASE);
        assert_eq!((later.renewals, later.ceiling), (1, at(15_000_000)));
        assert_eq!(later.renewed(at(0), at(20_000_000), LEASE).ceiling, at(30_000_000), "room above a base");
        assert!(later.is_alive_as(8) && !later.is_alive_as(7) && !later.fence().is_alive_as(8));
    }

    #[test]
    fn a_shard_is_free_once_its_owner_cannot_write() {
        let session = Session::begin(None, 7, at(0), LEASE);
        let owned = Ownership::take(None, None, &node("a"), 7, at(50));
        assert_eq!((owned.epoch, owned.base, owned.unclean_base), (1 << 16 | 7, at(50), at(50)));
        assert!(!owned.is_over(Some(&session)));
        assert!(owned.is_over(Some(&session.fence())));
        assert!(owned.is_over(Some(&Session { incarnation: 8, ..session })), "a later run of the node");
        assert!(!owned.is_over(None), "who owns has a session; that read was too early");
    }

    #[test]
    fn epochs_of_two_takers_differ_and_a_raise_goes_above_what_was_found() {
        let former = Ownership::take(None, None, &node("a"), 7, at(50));
        let [b, c] = [8, 9].map(|run| Ownership::take(Some(&former), None, &node("b"), run, at(60)));
        assert_eq!((b.epoch >> 16, c.epoch >> 16), (2, 2));
        assert_ne!(b.epoch, c.epoch);
        let raised = b.raised_above(9 << 16 | 3, at(0));
        assert_eq!((raised.epoch, raised.base), (10 << 16 | 8, at(61)));
    }

    #[test]
    fn a_node_is_silent_when_it_has_not_renewed_for_a_lease_and_a_tenth() {
        let mut watch = Watch::default();
        let session = Session::begin(None, 7, at(0), LEASE);
        let mut is_silent =
            |session: &Session, ms| watch.is_silent(&node("a"), session, Duration::from_millis(ms), LEASE);
        assert!(!is_silent(&session, 100));
        assert!(!is_silent(&session, 5_599));
        assert!(is_silent(&session, 5_600));
        let renewed = session.renewed(at(1), Stamp::MIN, LEASE);
        assert!(!is_silent(&renewed, 5_700));
        assert!(!is_silent(&renewed, 11_000));
        assert!(is_silent(&renewed, 11_200));
        assert!(!is_silent(&renewed.fence(), 20_000), "it is fenced already");
    }

    #[test]
    fn a_node_takes_what_is_free_and_leaves_what_is_not() {
        let alive = Session::begin(None, 7, at(0), LEASE);
        let sessions = HashMap::from([(node("live"), alive), (node("dead"), alive.fence())]);
        let former = Session { ceiling: at(900), ..alive };
        let view = View {
            node: &node("me"),
            incarnation: 5,
            former: Some(&former),
            sessions: &sessions,
            now: at(60),
        };
        let owned = |id: &str, run| Ownership::take(None, None, &node(id), run, at(50));
        let owners = [owned("live", 7), owned("dead", 7), owned("me", 5), owned("me", 4), owned("live", 6)];
        let owners: Vec<_> = (1..).map(ShardId).zip(owners).collect();
        let plan = view.plan((0..6).map(ShardId), &owners);
        assert_eq!(plan.mine, [owners[2].clone()]);
        assert_eq!(plan.others, [node("live")].into());
        let taken: Vec<_> =
            plan.take.iter().map(|(shard, expected, new)| (shard.0, *expected, new.base)).collect();
        let (first, over) = (1 << 16, alive.ceiling.next());
        // Never owned; a dead node's; this node's run before; a live node's run before.
        let expected = [
            (0, None, at(60)),
            (2, Some(first | 7), over),
            (4, Some(first | 4), at(901)),
            (5, Some(first | 6), over),
        ];
        assert_eq!(taken, expected);
    }

    proptest! {
        /// Whatever the clocks say, every stamp of a later owner is above every one of an earlier.
        #[test]
        fn stamps_rise_over_owners(clocks in prop::collection::vec((0i64..100_000_000, 1usize..50), 1..8)) {
            let (mut highest, mut owned, mut session) = (Stamp::MIN, None::<Ownership>, None::<Session>);
            for (run, (clock, writes)) in clocks.into_iter().enumerate() {
                let run = run as u64 + 1;
                let begun = Session::begin(session.map(Session::fence), run, at(clock), LEASE);
                let taken = Ownership::take(owned.as_ref(), session.as_ref(), &node("a"), run, at(clock));
                let begun = begun.renewed(at(clock), taken.base, LEASE);
                let mut stamps = Stamps::after(Stamp::MIN);
                stamps.not_below(taken.base);
                for i in 0..writes {
                    let stamp = stamps.next(at(clock + i as i64 / 2), begun.ceiling).unwrap();
                    prop_assert!(stamp > highest && stamp >= taken.base && stamp <= begun.ceiling);
                    highest = stamp;
                }
                (owned, session) = (Some(taken), Some(begun));
            }
        }

        /// Past the reserve there is room for a million stamps, and then none.
        #[test]
        fn the_ceiling_holds(now in 0i64..1_000) {
            let (mut stamps, ceiling) = (Stamps::after(Stamp::MIN), at(now + STAMPS_RESERVED));
            prop_assert_eq!(stamps.next(at(now + 2 * STAMPS_RESERVED), ceiling), Some(at(now.max(1))));
            stamps.not_below(ceiling);
            prop_assert_eq!(stamps.next(at(now), ceiling), Some(ceiling));
            prop_assert_eq!(stamps.next(at(now), ceiling), None);
        }
    }
}

//! One conversation, its fan-out and its members' inboxes over stores that keep what was written and a network
//! that loses, doubles and delays. Owners crash and come back from what is stored.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod seat;
mod world;

use proptest::prelude::*;

use world::{ACCOUNTS, World};

/// One thing that happens. Numbers choose among what there is at that moment.
#[derive(Debug, Clone)]
enum Step {
    /// So many messages, one after the other.
    Post {
        who: usize,
        count: usize,
    },
    Put {
        by: usize,
        who: usize,
    },
    Remove {
        by: usize,
        who: usize,
    },
    /// An account leaves, or is removed, and is back at once.
    Return {
        who: usize,
    },
    /// Write number `pick` of those under way to the conversation's log lands.
    StoreRow {
        pick: usize,
    },
    /// All of them land.
    StoreRows,
    /// A parcel arrives, or is lost, or arrives and is still on its way.
    Parcel {
        pick: usize,
        fate: Fate,
    },
    /// An answer does.
    Answer {
        pick: usize,
        fate: Fate,
    },
    /// Write number `pick` of those under way to an inbox lands.
    StoreInboxRow {
        who: usize,
        pick: usize,
    },
    StoreInboxRows {
        who: usize,
    },
    /// A summary is written if there may be one.
    Summarise {
        who: Option<usize>,
    },
    /// An owner is gone, and a new one starts from a summary that may not be the newest.
    CrashConversation {
        older: usize,
    },
    CrashInbox {
        who: usize,
        older: usize,
        told: bool,
    },
    Wait {
        ms: u64,
    },
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Arrives,
    Lost,
    Doubled,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![6 => Just(Fate::Arrives), 1 => Just(Fate::Lost), 1 => Just(Fate::Doubled)]
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..ACCOUNTS.len();
    let by = || prop_oneof![3 => Just(0), 1 => who()]; // an owner most often
    let count = prop_oneof![6 => 1..4usize, 1 => 40..90usize];
    prop_oneof![
        6 => (who(), count).prop_map(|(who, count)| Step::Post { who, count }),
        3 => (by(), who()).prop_map(|(by, who)| Step::Put { by, who }),
        2 => (by(), who()).prop_map(|(by, who)| Step::Remove { by, who }),
        2 => who().prop_map(|who| Step::Return { who }),
        3 => (0..64usize).prop_map(|pick| Step::StoreRow { pick }),
        5 => Just(Step::StoreRows),
        9 => (any::<usize>(), fate()).prop_map(|(pick, fate)| Step::Parcel { pick, fate }),
        9 => (any::<usize>(), fate()).prop_map(|(pick, fate)| Step::Answer { pick, fate }),
        3 => (who(), 0..64usize).prop_map(|(who, pick)| Step::StoreInboxRow { who, pick }),
        6 => who().prop_map(|who| Step::StoreInboxRows { who }),
        2 => prop::option::of(who()).prop_map(|who| Step::Summarise { who }),
        2 => (0..3usize).prop_map(|older| Step::CrashConversation { older }),
        2 => (who(), 0..3usize, any::<bool>()).prop_map(|(who, older, told)| Step::CrashInbox { who, older, told }),
        3 => prop_oneof![Just(10u64), Just(100), Just(2_000)].prop_map(|ms| Step::Wait { ms }),
    ]
}

fn carry_out(world: &mut World, step: &Step) {
    match *step {
        Step::Post { who, count } => (0..count).for_each(|_| world.post(who)),
        Step::Put { by, who } => world.put(by, who),
        Step::Remove { by, who } => world.remove(by, who),
        Step::Return { who } => {
            world.remove(0, who);
            world.put(0, who);
        }
        Step::StoreRow { pick } => world.store_row(pick),
        Step::StoreRows => world.store_rows(),
        Step::Parcel { pick, fate } => {
            world.parcel(pick, !matches!(fate, Fate::Lost), matches!(fate, Fate::Doubled))
        }
        Step::Answer { pick, fate } => {
            world.answer(pick, !matches!(fate, Fate::Lost), matches!(fate, Fate::Doubled))
        }
        Step::StoreInboxRow { who, pick } => world.inboxes[who].store_row(pick, &mut world.answers),
        Step::StoreInboxRows { who } => world.inboxes[who].store_rows(&mut world.answers),
        Step::Summarise { who: None } => world.summarise(),
        Step::Summarise { who: Some(who) } => world.inboxes[who].summarise(),
        Step::CrashConversation { older } => world.crash(older),
        Step::CrashInbox { who, older, told } => world.inboxes[who].crash(older, told, &mut world.answers),
        Step::Wait { ms } => world.wait(ms),
    }
}

proptest! {
    /// G1: whatever was acknowledged is in the log. G2: every inbox has every row of the time of its account's
    /// membership, the last one included. G3: in the one order. G4: once. G6: within the bounds, on the way and
    /// at the end.
    #[test]
    fn every_member_gets_every_row_once_in_one_order(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            carry_out(&mut world, step);
            world.judge_bounds();
        }
        world.heal();
        world.judge();
    }
}

/// Two thousand rows through a conversation whose owner and one of whose inboxes come back again and again: past
/// every summary and every window.
#[test]
fn a_long_conversation_passes_every_summary() {
    let mut world = World::new();
    for round in 0..40 {
        (0..50).for_each(|_| world.post(round % 3));
        world.store_rows();
        if round % 5 == 4 {
            world.crash(round % 2);
        }
        if round % 3 == 2 {
            world.inboxes[1].crash(round % 2, true, &mut world.answers);
        }
        world.heal();
        world.summarise_if_due();
        world.judge_bounds();
    }
    world.judge();
    assert!(world.rows() > 2_000);
}

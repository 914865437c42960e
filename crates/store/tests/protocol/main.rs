//! A simulation of the log protocol: owners in turn, one log, a database that delays, loses and doubles.
//!
//! Owners start, fence each other, take the log, hand it over, crash, and go on without knowing that they
//! were replaced. Senders repeat until they are answered, readers resume. After every step all that was
//! promised is looked for in what any next owner would read. The decisions are `godwit-core`'s where they
//! are made there; the faults are those of `godwit_store::memory`.
//!
//! Each rule of the protocol has a switch, and a test that shows what comes of it without that rule.
//! `GODWIT_SIMULATION_SEEDS` runs another number of seeds, `GODWIT_SIMULATION_SEED` one, with every step told.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod clients;
mod judge;
mod owner;
mod rules;
mod serving;
mod tenure;
mod world;

use rules::{Rule, Rules};
use world::World;

/// Seeds of one run: 10 s of one core (4 ms each) without optimisation.
const SEEDS: u64 = 2_500;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Runs one seed; an error is what went wrong.
fn run(seed: u64, rules: Rules) -> Result<(), String> {
    World::new(seed, rules).run()
}

/// With every rule on, nothing is lost, doubled, taken back or skipped.
#[test]
fn the_protocol_keeps_what_it_promises() {
    if let Some(seed) = number("GODWIT_SIMULATION_SEED") {
        let mut world = World::new(seed, Rules::ALL);
        world.tell();
        world.run().unwrap();
        return;
    }
    for seed in 0..number("GODWIT_SIMULATION_SEEDS").unwrap_or(SEEDS) {
        if let Err(wrong) = run(seed, Rules::ALL) {
            let mut world = World::new(seed, Rules::ALL);
            world.tell();
            let _ = world.run();
            panic!("seed {seed}: {wrong}");
        }
    }
}

/// Something goes wrong within so many seeds without these rules. Each number is several times that of the seeds
/// that it took: what decides is how seldom a rule is needed.
fn caught_within(seeds: u64, off: &'static [Rule]) {
    let wrong = (0..seeds).find_map(|seed| run(seed, Rules::without(off)).err().map(|wrong| (seed, wrong)));
    match wrong {
        Some((seed, wrong)) => println!("without {off:?} seed {seed} fails: {wrong}"),
        None => panic!("nothing went wrong without {off:?} in {seeds} seeds"),
    }
}

#[test]
fn without_settle_delete_a_late_row_takes_the_place_of_another() {
    caught_within(100, &[Rule::SettleDelete]);
}

#[test]
fn without_settle_rewrite_an_answered_message_is_lost() {
    caught_within(1_000, &[Rule::SettleRewrite]);
}

#[test]
fn without_settle_wait_an_answered_message_is_lost() {
    caught_within(300, &[Rule::SettleWait]);
}

#[test]
fn without_settle_guard_a_replaced_owner_answers() {
    caught_within(5_000, &[Rule::SettleGuard]);
}

#[test]
fn without_commit_guard_a_replaced_owner_answers() {
    caught_within(100, &[Rule::CommitGuard]);
}

#[test]
fn without_commit_first_what_was_seen_is_gone() {
    caught_within(20, &[Rule::CommitFirst]);
}

#[test]
fn without_dedupe_a_message_is_twice() {
    caught_within(10, &[Rule::Dedupe]);
}

#[test]
fn without_owner_stamps_a_slow_clock_loses_rows() {
    caught_within(50, &[Rule::OwnerStamps]);
}

#[test]
fn without_attach_guard_a_reader_misses_what_was_answered() {
    caught_within(1_000, &[Rule::AttachGuard]);
}

//! Any history of a group against simple models of it.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Post(usize, u8),
    Put(usize, usize, Option<Role>),
    Remove(usize, usize),
    Rename(usize, u8),
    Summary,
}

fn step() -> impl Strategy<Value = Step> {
    let role = prop_oneof![Just(None), Just(Some(Role::Owner)), Just(Some(Role::Member))];
    prop_oneof![
        4 => (0..5usize, any::<u8>()).prop_map(|(who, id)| Step::Post(who, id)),
        4 => (0..5usize, 0..5usize, role).prop_map(|(by, who, role)| Step::Put(by, who, role)),
        3 => (0..5usize, 0..5usize).prop_map(|(by, who)| Step::Remove(by, who)),
        1 => (0..5usize, 0..3u8).prop_map(|(by, title)| Step::Rename(by, title)),
        1 => Just(Step::Summary),
    ]
}

/// Carries the steps out one after the other; the rows that they make, and the summaries.
fn run(group: &mut Conversation, steps: &[Step]) -> (Vec<NewRow>, Vec<Bytes>) {
    let names = ["ann", "bob", "cat", "dan", "eve"].map(account);
    let (mut rows, mut summaries) = (Vec::new(), Vec::new());
    for (i, step) in steps.iter().enumerate() {
        let now = at(2_000 + i as u64);
        let decision = match step {
            Step::Post(who, id) => group.post(&names[*who], &message(&format!("m{id}")), now),
            Step::Put(by, who, role) => group.put_member(&names[*by], &names[*who], *role, now),
            Step::Remove(by, who) => group.remove_member(&names[*by], &names[*who], now),
            Step::Rename(by, title) => group.rename(&names[*by], Some(title.to_string()), now),
            Step::Summary => {
                if let Some((upto, summary)) = group.summary(1) {
                    group.summary_stored(upto);
                    summaries.push(summary);
                }
                continue;
            }
        };
        if let Decision::Append(row) = decision {
            group.confirm(row.place.position.n);
            rows.push(row);
        }
    }
    (rows, summaries)
}

proptest! {
    /// G1: whichever summary an activation finds, with the rows above it the conversation is what it was.
    #[test]
    fn a_summary_and_the_rows_above_it_are_the_conversation(steps in prop::collection::vec(step(), 1..60)) {
        let mut group = unopened();
        let first = row(group.open(&account("ann"), &request(Kind::Group, &["bob", "cat"]), at(1)));
        group.confirm(1);
        let (mut rows, summaries) = run(&mut group, &steps);
        rows.insert(0, first);
        for summary in std::iter::once(None).chain(summaries.iter().map(Some)) {
            let mut back = Conversation::load(group.id().clone(), summary.map(|s| &s[..])).unwrap();
            for row in rows.iter().filter(|row| row.place.position.n > back.summarised()).cloned().collect::<Vec<_>>() {
                let change = payload::decode::<ConversationRow>(&row.payload).unwrap().change;
                back.replay(row.place.position, row.at, row.key, &change);
            }
            prop_assert_eq!(back.state(), group.state());
            prop_assert_eq!(back.tail(), group.tail());
            for row in rows.iter().filter(|row| row.key != 0) {
                prop_assert_eq!(back.keys.find(row.key), group.keys.find(row.key));
            }
        }
    }

    /// Who gets a row is who was a member then, its last row included; a group that has members has an owner.
    #[test]
    fn a_row_is_for_who_was_a_member_then(steps in prop::collection::vec(step(), 1..60)) {
        let mut group = group();
        let (rows, _) = run(&mut group, &steps);
        let mut present: std::collections::BTreeSet<_> = ["ann", "bob", "cat"].map(account).into();
        for row in rows {
            let (mut expected, n) = (present.clone(), row.place.position.n);
            match payload::decode::<ConversationRow>(&row.payload).unwrap().change {
                Change::MemberPut { account, .. } => { expected.insert(account); present = expected.clone(); }
                Change::MemberRemoved { account, .. } => { present.remove(&account); }
                _ => {}
            }
            let members = &group.state().unwrap().members;
            let mut found: Vec<_> = members.at(n).map(|(account, _)| account.clone()).collect();
            found.sort();
            prop_assert_eq!(found, Vec::from_iter(expected), "row {}", n);
        }
        let members = &group.state().unwrap().members;
        let owners = members.page(0, 10).0.iter().filter(|member| member.role == Role::Owner).count();
        prop_assert_eq!(members.owners(), owners);
        prop_assert!(members.is_empty() || owners > 0);
    }
}

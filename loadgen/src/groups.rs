//! Who talks to whom.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::plan::{ConversationsPlan, Plan, SizeShare};

/// Members of a conversation, at most (the API's limit).
const MEMBERS_MAX: usize = 1000;

/// The conversations of a worker: the members of each.
pub fn of(plan: &Plan) -> Vec<Vec<u32>> {
    let seed = plan.seed ^ u64::from(plan.worker);
    plan.conversations.as_ref().map_or_else(Vec::new, |drawn| draw(drawn, plan.accounts.count, seed))
}

/// How many conversations of a worker are set up; a server that has none sets up none.
pub fn count(plan: &Plan) -> u64 {
    if plan.server.profile.is_some() { 0 } else { of(plan).len() as u64 }
}

/// The members of each conversation, as numbers below `accounts`; the first one creates it.
///
/// Every account is in `per_account` conversations. They are drawn in layers: in each, all accounts
/// stand in a row (the first in order, so that accounts 0 and 1 are a pair) and are cut into
/// conversations of drawn sizes. What is left at the end of a row is one more, or joins the last one
/// when it is alone.
pub fn draw(plan: &ConversationsPlan, accounts: u32, seed: u64) -> Vec<Vec<u32>> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut row: Vec<u32> = (0..accounts).collect();
    let mut conversations: Vec<Vec<u32>> = Vec::new();
    for layer in 0..plan.per_account {
        if layer > 0 {
            row.shuffle(&mut random);
        }
        let of_layer = conversations.len();
        let mut rest = row.as_slice();
        while !rest.is_empty() {
            let size = (size(&plan.sizes, &mut random) as usize).min(rest.len());
            let (members, after) = rest.split_at(size);
            match conversations[of_layer..].last_mut() {
                Some(last) if size == 1 && last.len() < MEMBERS_MAX => last.extend(members),
                _ => conversations.push(members.to_vec()),
            }
            rest = after;
        }
    }
    // One account alone has nobody to talk to.
    conversations.retain(|members| members.len() > 1);
    conversations
}

/// A size, by the shares.
fn size(sizes: &[SizeShare], random: &mut StdRng) -> u32 {
    let all: f64 = sizes.iter().map(|of| of.share).sum();
    let mut point = random.random::<f64>() * all;
    for of in sizes {
        point -= of.share;
        if point < 0.0 {
            return of.size;
        }
    }
    sizes.last().map_or(2, |of| of.size)
}

/// Reads `2:80,10:15,50:5`: sizes and their shares; a size alone has all.
///
/// # Errors
/// What is wrong with the text, and what would be right.
pub fn parse_sizes(text: &str) -> Result<Vec<SizeShare>, String> {
    let one = |part: &str| {
        let (size, share) = part.split_once(':').unwrap_or((part, "1"));
        let size = size.trim().parse().ok().filter(|size| (2..=MEMBERS_MAX as u32).contains(size));
        let share = share.trim().parse().ok().filter(|share: &f64| share.is_finite() && *share > 0.0);
        match (size, share) {
            (Some(size), Some(share)) => Ok(SizeShare { size, share }),
            _ => Err(format!(
                "{part:?} is no size of a conversation: write members (2 to 1000) and their share, such \
                 as 2:80,10:15,50:5"
            )),
        }
    };
    text.split(',').map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn plan(sizes: &str, per_account: u32) -> ConversationsPlan {
        ConversationsPlan { sizes: parse_sizes(sizes).unwrap(), per_account }
    }

    #[test]
    fn pairs_are_neighbours() {
        assert_eq!(draw(&plan("2", 1), 6, 1), [[0, 1], [2, 3], [4, 5]]);
        assert_eq!(draw(&plan("2", 1), 5, 1), [vec![0, 1], vec![2, 3, 4]]);
        assert_eq!(draw(&plan("2", 1), 1, 1), Vec::<Vec<u32>>::new());
    }

    #[test]
    fn every_account_is_in_as_many_conversations_as_asked_for() {
        let conversations = draw(&plan("2:3,5:1", 3), 1000, 7);
        let mut of = HashMap::new();
        for members in &conversations {
            members.iter().for_each(|account| *of.entry(account).or_insert(0) += 1);
            let mut once = members.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), members.len(), "{members:?}");
        }
        assert_eq!(of.len(), 1000);
        assert!(of.values().all(|&count| count == 3));
        let pairs = conversations.iter().filter(|members| members.len() == 2).count() as f64;
        assert!((0.7..0.8).contains(&(pairs / conversations.len() as f64)), "{pairs}");
    }

    #[test]
    fn sizes_are_read_or_refused() {
        assert_eq!(parse_sizes("10").unwrap(), [SizeShare { size: 10, share: 1.0 }]);
        for bad in ["", "1", "2:", "2:-1", "x", "2:1,1001:1", "2:0", "2:inf"] {
            assert!(parse_sizes(bad).unwrap_err().contains("2:80,10:15"), "{bad}");
        }
    }
}

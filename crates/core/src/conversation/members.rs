//! Who is in a conversation, and who was when.

use std::collections::{BTreeMap, HashMap};

use godwit_types::{AccountId, Timestamp};
use godwit_wire::api::{Kind, Member, Role};
use serde::{Deserialize, Serialize};

/// Members that a conversation may have. Bounds its state (about 100 bytes each) and its fan-out.
pub const MEMBERS_MAX: usize = 1_000;

/// The rows that a member gets: those from its joining to its leaving, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// The row by which it joined.
    pub joined_n: u64,
    /// The row by which it left.
    pub left_n: Option<u64>,
}

impl Period {
    /// Whether row `n` is one of them.
    pub fn has(&self, n: u64) -> bool {
        self.joined_n <= n && self.left_n.is_none_or(|left| n <= left)
    }
}

/// Members by account, and in the order in which they joined.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Members {
    present: HashMap<AccountId, Present>,
    /// By when they joined: (row, place among those of that row).
    order: BTreeMap<(u64, u32), AccountId>,
    owners: usize,
    /// Periods that are over, kept until everyone has every event.
    former: Vec<(AccountId, Period)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Present {
    role: Role,
    joined: (u64, u32),
    joined_at: Timestamp,
}

impl Members {
    /// The members of a new conversation: of a group its creator is owner, a direct one has none.
    pub(super) fn founded(kind: Kind, by: &AccountId, members: &[AccountId], n: u64, at: Timestamp) -> Self {
        let mut founded = Self::default();
        for (place, account) in members.iter().enumerate() {
            let role = if kind == Kind::Group && account == by { Role::Owner } else { Role::Member };
            founded.insert(account, role, (n, place as u32), at);
        }
        founded
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// Whether everybody has left.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// Whether it is one.
    pub fn contains(&self, account: &AccountId) -> bool {
        self.present.contains_key(account)
    }

    /// What it may do.
    pub fn role(&self, account: &AccountId) -> Option<Role> {
        self.present.get(account).map(|p| p.role)
    }

    /// By which row it joined.
    pub fn joined_n(&self, account: &AccountId) -> Option<u64> {
        self.present.get(account).map(|p| p.joined.0)
    }

    /// How many are owners.
    pub fn owners(&self) -> usize {
        self.owners
    }

    /// All that are members now.
    pub fn accounts(&self) -> impl Iterator<Item = &AccountId> {
        self.order.values()
    }

    /// Everyone who gets row `n`.
    pub fn at(&self, n: u64) -> impl Iterator<Item = (&AccountId, Period)> {
        let present =
            self.order.iter().map(|(&(joined_n, _), account)| (account, Period { joined_n, left_n: None }));
        let former = self.former.iter().map(|(account, period)| (account, *period));
        present.chain(former).filter(move |(_, period)| period.has(n))
    }

    /// The periods of one account that matter still, oldest first.
    pub fn periods(&self, account: &AccountId) -> Vec<Period> {
        let former = self.former.iter().filter(|(a, _)| a == account).map(|(_, period)| *period);
        let present = self.joined_n(account).map(|joined_n| Period { joined_n, left_n: None });
        former.chain(present).collect()
    }

    /// How many periods are over and not yet forgotten.
    pub fn former(&self) -> usize {
        self.former.len()
    }

    /// All accounts that may still have to get something, present and former.
    pub fn everyone(&self) -> impl Iterator<Item = &AccountId> {
        self.order.values().chain(self.former.iter().map(|(account, _)| account))
    }

    /// A page in the order in which they joined, and where the next one starts.
    pub fn page(&self, start: usize, limit: usize) -> (Vec<Member>, Option<usize>) {
        let page: Vec<_> = self.order.values().skip(start).take(limit).map(|a| self.member(a)).collect();
        let next = start + page.len();
        (page, (next < self.len()).then_some(next))
    }

    pub(super) fn put(&mut self, account: &AccountId, role: Role, n: u64, at: Timestamp) {
        match self.present.get_mut(account) {
            Some(present) => {
                self.owners -= usize::from(present.role == Role::Owner);
                self.owners += usize::from(role == Role::Owner);
                present.role = role;
            }
            None => self.insert(account, role, (n, 0), at),
        }
    }

    pub(super) fn remove(&mut self, account: &AccountId, n: u64) {
        let Some(gone) = self.present.remove(account) else { return };
        self.order.remove(&gone.joined);
        self.former.push((account.clone(), Period { joined_n: gone.joined.0, left_n: Some(n) }));
        self.owners -= usize::from(gone.role == Role::Owner);
        // Somebody has to be able to add and to name: the longest-standing member.
        if gone.role == Role::Owner && self.owners == 0 {
            let heir = self.order.values().next().cloned();
            if let Some(heir) = heir.and_then(|heir| self.present.get_mut(&heir)) {
                heir.role = Role::Owner;
                self.owners = 1;
            }
        }
    }

    pub(super) fn forget_former(&mut self) {
        self.former = Vec::new();
    }

    fn insert(&mut self, account: &AccountId, role: Role, joined: (u64, u32), joined_at: Timestamp) {
        self.owners += usize::from(role == Role::Owner);
        self.order.insert(joined, account.clone());
        self.present.insert(account.clone(), Present { role, joined, joined_at });
    }

    fn member(&self, account: &AccountId) -> Member {
        let present = self.present.get(account);
        Member {
            account: account.clone(),
            role: present.map_or(Role::Member, |p| p.role),
            joined_at: present.map_or(Timestamp::default(), |p| p.joined_at),
        }
    }
}

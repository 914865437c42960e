//! Presence on Redis. Other services may read it; the keys are in the crate's documentation.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use godwit_types::{AccountId, Timestamp};
use tokio::time::Instant;

use super::local::{Change, Local};
use super::{DeviceState, Seen, State};
use crate::keys::encoded;
use crate::link::Link;
use crate::metrics::Facility;
use crate::script::Script;

/// Commands that go out together: enough that the way there does not count, few enough that a request's
/// command does not wait behind them for a millisecond.
const BATCH: usize = 256;
/// For how long an account's last-seen is kept.
const LAST_SEEN: Duration = Duration::from_secs(30 * 24 * 3600);
/// Refreshes within the time for which an entry is valid.
const REFRESHES: u32 = 3;

pub(super) struct Shared {
    link: Arc<Link>,
    local: Arc<Local>,
    /// What tells this node's entries from those of others, drawn at random.
    node: String,
    announce: Script,
    read: Script,
}

impl Shared {
    pub(super) fn new(link: Arc<Link>, local: Arc<Local>) -> Self {
        Self {
            link,
            local,
            node: format!("{:08x}", rand::random::<u32>()),
            announce: Script::new(include_str!("../scripts/announce.lua")),
            read: Script::new(include_str!("../scripts/presence.lua")),
        }
    }

    /// Writes changes as they come, and everything three times within an entry's life, evenly spread. A
    /// Redis that comes back is told everything at once: it may have lost what it knew.
    pub(super) async fn write(self: Arc<Self>) {
        let every = self.link.options.presence / REFRESHES;
        let mut standing = self.link.standing();
        let mut walked: Option<Change> = None;
        let mut next = Instant::now() + every;
        let mut session = 0;
        loop {
            standing.mark_unchanged();
            let current = self.link.is_up().await;
            if current != session {
                session = current;
                self.tell_all().await;
            }
            tokio::select! {
                () = self.local.changed() => self.tell(self.local.changes(BATCH)).await,
                () = tokio::time::sleep_until(next) => {
                    let page = self.local.page(walked.as_ref(), BATCH);
                    let batches = self.local.devices().div_ceil(BATCH).max(1);
                    next = Instant::now() + every / u32::try_from(batches).unwrap_or(u32::MAX);
                    walked = page.last().filter(|_| page.len() == BATCH).cloned();
                    self.tell(page).await;
                }
                // Away, or already back.
                _ = standing.changed() => {}
            }
        }
    }

    async fn tell_all(&self) {
        let mut last = None;
        loop {
            let page = self.local.page(last.as_ref(), BATCH);
            last = page.last().cloned();
            if last.is_none() {
                return;
            }
            self.tell(page).await;
        }
    }

    async fn tell(&self, changes: Vec<Change>) {
        let told = changes.into_iter().map(|change| self.tell_one(change));
        stream::iter(told).buffer_unordered(BATCH).collect::<()>().await;
    }

    /// What cannot be told now comes with a refresh, or expires.
    async fn tell_one(&self, (account, device, state): Change) {
        let [here, seen] = self.keys(&account);
        let field = format!("{device}@{}", self.node);
        let state = match state {
            Some(DeviceState::Online) => "online",
            Some(DeviceState::Away) => "away",
            None => "",
        };
        let valid = self.link.options.presence.as_millis() as u64;
        let fill = |command: &mut redis::Cmd| {
            command.arg(&field).arg(state).arg(valid).arg(LAST_SEEN.as_millis() as u64);
        };
        let _ = self.link.script(Facility::Presence, &self.announce, &[&here, &seen], fill).await;
    }

    pub(super) async fn of(&self, accounts: &[AccountId]) -> Vec<Seen> {
        // Owned, since futures over borrowed items are not known to be `Send`.
        let read = accounts.iter().cloned().map(|account| self.one(account));
        stream::iter(read).buffered(BATCH).collect().await
    }

    async fn one(&self, account: AccountId) -> Seen {
        let [here, seen] = self.keys(&account);
        let answer = self.link.script(Facility::Presence, &self.read, &[&here, &seen], |_| {}).await;
        let Some((rank, at)) = answer.ok().and_then(|value| redis::from_redis_value::<(u8, u64)>(value).ok())
        else {
            return Seen::UNKNOWN;
        };
        let state = match rank {
            2 => State::Online,
            1 => State::Away,
            _ => State::Offline,
        };
        Seen { state, last_seen: (at > 0).then(|| Timestamp::from_ms(at)) }
    }

    fn keys(&self, account: &AccountId) -> [String; 2] {
        let (prefix, account) = (&self.link.options.prefix, encoded(account));
        [format!("{prefix}presence:{account}"), format!("{prefix}seen:{account}")]
    }
}

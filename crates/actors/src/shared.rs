//! Who shares a conversation with whom: what one account may know of another begins there.

use std::collections::HashSet;

use futures_util::stream::{self, StreamExt};
use godwit_types::{AccountId, ConversationId, conversation_id};
use godwit_wire::{Code, Problem};

use crate::conversation::ConversationCommand;
use crate::region::Region;
use crate::user::UserCommand;

/// Conversations of the caller that are looked at, the newest: as many as a list of conversations shows
/// on its largest page. Whoever is met only in older ones counts as a stranger.
const CONVERSATIONS_MAX: usize = 200;
/// Groups whose members are asked for at once.
const GROUPS_AT_ONCE: usize = 16;
/// The members of a conversation, all of them.
const MEMBERS_MAX: usize = 1_000;

impl Region {
    /// Which of `accounts` the caller shares a conversation with; the caller itself is one of them. Costs
    /// one question to the caller's actor, and one to each of its groups until all are found.
    ///
    /// # Errors
    /// As every call: not confirmed within its time, overloaded, draining.
    pub async fn shares(
        &self,
        caller: &AccountId,
        accounts: &[AccountId],
    ) -> Result<HashSet<AccountId>, Problem> {
        let ask = |reply| UserCommand::Conversations { before: u64::MAX, limit: CONVERSATIONS_MAX, reply };
        let listed = self.look_user(caller, ask).await?;
        let ids: HashSet<ConversationId> = listed.conversations.into_iter().map(|(id, _)| id).collect();
        let (mut shared, mut others) = (HashSet::new(), HashSet::new());
        for account in accounts {
            let known = account == caller || ids.contains(&conversation_id::direct(caller, account));
            if known { &mut shared } else { &mut others }.insert(account.clone());
        }
        if others.is_empty() {
            return Ok(shared);
        }
        // Ids of direct conversations begin with a `d`: their two were found above.
        let groups = ids.into_iter().filter(|id| !id.as_str().starts_with('d'));
        let mut members =
            stream::iter(groups.map(|id| self.all_members(caller, id))).buffered(GROUPS_AT_ONCE);
        while !others.is_empty()
            && let Some(members) = members.next().await
        {
            shared.extend(members?.into_iter().filter_map(|member| others.take(&member)));
        }
        Ok(shared)
    }

    async fn all_members(&self, caller: &AccountId, id: ConversationId) -> Result<Vec<AccountId>, Problem> {
        let caller = caller.clone();
        let ask = |reply| ConversationCommand::Members { caller, start: 0, limit: MEMBERS_MAX, reply };
        match self.look_conversation(&id, ask).await {
            Ok(members) => Ok(members.members.into_iter().map(|member| member.account).collect()),
            // The account has left it, and its inbox does not know yet.
            Err(problem) if problem.code == Code::NotFound => Ok(Vec::new()),
            Err(problem) => Err(problem),
        }
    }
}

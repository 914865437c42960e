//! What the edge can ask of a [`Region`], call by call of the client API.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use godwit_store::{Limit, Row};
use godwit_types::{
    AccountId, ConnectionId, ConversationId, Cursor, DeviceId, LogId, Position, ShardId, Timestamp,
    conversation_id,
};
use godwit_wire::api::{
    Conversation, Conversations, Devices, History, Kind, Members, Message, NewMessage, OpenConversation,
    Posted, PutDevice, PutMember, Rename, Sync, SyncEvent,
};
use godwit_wire::{Change, Code, ConversationRow, Problem, payload};
use serde_json::value::RawValue;

use crate::conversation::{ConversationCommand, Readable, View};
use crate::region::Region;
use crate::reply::Reply;
use crate::shard::ShardMessage;
use crate::stream::{Stream, StreamHandle, StreamRequest};
use crate::tenure::Owned;
use crate::user::{SyncGrant, Unread, UserCommand};

/// How long a call may take. What was begun goes on; the client's retry finds it.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// Conversations of a list that are asked for at once.
const VIEWS_AT_ONCE: usize = 16;
/// Bytes of a sync's events: `docs/api.md`.
const SYNC_BYTES: usize = 1024 * 1024;
/// Rows and bytes of one read of a history.
const HISTORY_PAGE: Limit = Limit { rows: 256, bytes: 4 * 1024 * 1024 };

/// Which part of a history.
#[derive(Debug, Clone, Copy)]
pub struct HistoryPage {
    /// Messages with a smaller `seq`, the newest of them; not together with `after`.
    pub before: Option<u64>,
    /// Messages with a greater `seq`, the oldest of them.
    pub after: Option<u64>,
    /// How many at most.
    pub limit: usize,
}

/// Every call answers within 8 s, or with [`Code::NotConfirmed`].
impl Region {
    /// `POST /v1/conversations`: whether it is new, and the conversation.
    pub async fn open(
        &self,
        caller: &AccountId,
        request: OpenConversation,
    ) -> Result<(bool, Conversation), Problem> {
        let id = &id_of(caller, &request)?;
        let (created, view) = self
            .ask_conversation(id, |reply| ConversationCommand::Open {
                caller: caller.clone(),
                request,
                reply,
            })
            .await?;
        Ok((created, self.seen_by(caller, id, view, None).await?))
    }

    /// `GET /v1/conversations/{c}`.
    pub async fn conversation(
        &self,
        caller: &AccountId,
        id: &ConversationId,
    ) -> Result<Conversation, Problem> {
        self.view(caller, id, None).await
    }

    /// `GET /v1/conversations`: newest activity first; `cursor` is the `next` of the page before.
    pub async fn conversations(
        &self,
        caller: &AccountId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Conversations, Problem> {
        let before = page_start(cursor)?.unwrap_or(u64::MAX);
        let listed =
            self.look_user(caller, |reply| UserCommand::Conversations { before, limit, reply }).await?;
        let views = listed.conversations.into_iter().map(|(id, unread)| async move {
            match self.view(caller, &id, Some(unread)).await {
                // The account has left it, and its inbox does not know yet.
                Err(problem) if problem.code == Code::NotFound => Ok(None),
                other => other.map(Some),
            }
        });
        let views: Vec<_> = stream::iter(views).buffered(VIEWS_AT_ONCE).try_collect().await?;
        Ok(Conversations {
            conversations: views.into_iter().flatten().collect(),
            next: listed.next.map(|next| next.to_string()),
            head: listed.head.to_string(),
        })
    }

    /// `PATCH /v1/conversations/{c}`.
    pub async fn rename(
        &self,
        caller: &AccountId,
        id: &ConversationId,
        request: Rename,
    ) -> Result<Conversation, Problem> {
        let view = self
            .ask_conversation(id, |reply| ConversationCommand::Rename {
                caller: caller.clone(),
                request,
                reply,
            })
            .await?;
        self.seen_by(caller, id, view, None).await
    }

    /// `GET …/members`; `cursor` is the `next` of the page before.
    pub async fn members(
        &self,
        caller: &AccountId,
        id: &ConversationId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Members, Problem> {
        let start = page_start(cursor)?.map_or(0, |start| usize::try_from(start).unwrap_or(usize::MAX));
        let caller = caller.clone();
        self.look_conversation(id, |reply| ConversationCommand::Members { caller, start, limit, reply }).await
    }

    /// `PUT …/members/{account}`.
    pub async fn put_member(
        &self,
        caller: &AccountId,
        id: &ConversationId,
        account: &AccountId,
        request: PutMember,
    ) -> Result<(), Problem> {
        let (caller, account) = (caller.clone(), account.clone());
        self.ask_conversation(id, |reply| ConversationCommand::PutMember { caller, account, request, reply })
            .await
    }

    /// `DELETE …/members/{account}`.
    pub async fn remove_member(
        &self,
        caller: &AccountId,
        id: &ConversationId,
        account: &AccountId,
    ) -> Result<(), Problem> {
        let (caller, account) = (caller.clone(), account.clone());
        self.ask_conversation(id, |reply| ConversationCommand::RemoveMember { caller, account, reply }).await
    }

    /// `POST …/messages`: whether it is new (201) or a repeat (200), and the answer. The body was checked by
    /// the caller: an object with a `type`, compact, within its size.
    pub async fn post(
        &self,
        caller: &AccountId,
        id: &ConversationId,
        message: NewMessage,
    ) -> Result<(bool, Posted), Problem> {
        let sender = caller.clone();
        self.ask_conversation(id, |reply| ConversationCommand::Post { sender, message, reply }).await
    }

    /// `GET …/messages`.
    pub async fn history(
        &self,
        caller: &AccountId,
        id: &ConversationId,
        page: HistoryPage,
    ) -> Result<History, Problem> {
        let readable = self.readable(caller, id).await?;
        let mut messages = Vec::new();
        // One more than is asked for says whether there are more.
        let enough = page.limit + 1;
        match page.after {
            Some(after) => {
                let mut after = after.max(readable.from.saturating_sub(1));
                while messages.len() < enough && after < readable.upto {
                    let rows = self.rows_after(id, after, readable.upto).await?;
                    let Some(last) = rows.last() else { break };
                    after = last.position.n;
                    messages.extend(rows.iter().filter_map(|row| message(id, row)));
                }
            }
            None => {
                let mut before = page.before.unwrap_or(u64::MAX).min(readable.upto.saturating_add(1));
                while messages.len() < enough && before > readable.from {
                    let rows = self.rows_before(id, before).await?;
                    let Some(last) = rows.last() else { break };
                    before = last.position.n;
                    let rows = rows.iter().filter(|row| row.position.n >= readable.from);
                    messages.extend(rows.filter_map(|row| message(id, row)));
                }
            }
        }
        let more = messages.len() > page.limit;
        messages.truncate(page.limit);
        if page.after.is_none() {
            messages.reverse();
        }
        Ok(History { messages, more })
    }

    /// `GET …/messages/{seq}`.
    pub async fn message(
        &self,
        caller: &AccountId,
        id: &ConversationId,
        seq: u64,
    ) -> Result<Message, Problem> {
        let readable = self.readable(caller, id).await?;
        if !(readable.from..=readable.upto).contains(&seq) {
            return Err(Problem::not_found());
        }
        let row = self.node.store.row(&LogId::Conversation(id.clone()), seq).await.map_err(unread_store)?;
        row.and_then(|row| message(id, &row)).ok_or_else(Problem::not_found)
    }

    /// `POST /v1/acks`, and the header `Godwit-Ack`.
    pub async fn acknowledge(
        &self,
        account: &AccountId,
        device: &DeviceId,
        cursor: Cursor,
    ) -> Result<(), Problem> {
        let device = device.clone();
        self.ask_user(account, |reply| UserCommand::Acknowledge { device, cursor, reply }).await
    }

    /// `GET /v1/sync`: after an event id, from a time on, or everything that is held.
    pub async fn sync(
        &self,
        account: &AccountId,
        since: Option<Cursor>,
        since_time: Option<Timestamp>,
        limit: usize,
    ) -> Result<Sync, Problem> {
        let SyncGrant { mut grant, held, head } =
            self.look_user(account, |reply| UserCommand::Sync { since, reply }).await?;
        let log = LogId::Inbox(account.clone());
        if since.is_none()
            && let Some(time) = since_time
        {
            grant.after = self.before_time(&log, held.from, held.to, time, grant.after).await?;
        }
        let limit = Limit { rows: limit, bytes: SYNC_BYTES };
        let rows = self
            .node
            .store
            .rows_after(&log, grant.after.n, grant.upto.n, limit)
            .await
            .map_err(unread_store)?;
        let last = rows.last().map_or(grant.after, |row| row.position);
        let events = rows.iter().map(|row| sync_event(account, row)).collect::<Result<_, _>>()?;
        Ok(Sync {
            events,
            gap: grant.gap,
            next: Cursor::new(account, last).to_string(),
            more: last.n < grant.upto.n,
            head: head.to_string(),
        })
    }

    /// `GET /v1/devices`.
    pub async fn devices(&self, account: &AccountId) -> Result<Devices, Problem> {
        self.look_user(account, |reply| UserCommand::Devices { reply }).await
    }

    /// `PUT /v1/devices/{d}`.
    pub async fn put_device(
        &self,
        account: &AccountId,
        device: &DeviceId,
        request: PutDevice,
    ) -> Result<(), Problem> {
        let device = device.clone();
        self.ask_user(account, |reply| UserCommand::PutDevice { device, request, reply }).await
    }

    /// `DELETE /v1/devices/{d}`: its streams end, and its tokens that were issued up to now are void.
    pub async fn delete_device(&self, account: &AccountId, device: &DeviceId) -> Result<(), Problem> {
        let device = device.clone();
        self.ask_user(account, |reply| UserCommand::DeleteDevice { device, reply }).await
    }

    /// Whether a token that was issued then no longer counts. Answers from memory.
    pub fn is_revoked(&self, account: &AccountId, device: &DeviceId, issued_at: Timestamp) -> bool {
        self.node.revocations.is_revoked(account, device, issued_at)
    }

    /// Opens a stream. Never fails: what speaks against it is said on the stream (`bye`).
    pub fn open_stream(&self, request: StreamRequest) -> StreamHandle {
        let id = ConnectionId(rand::random());
        let stream = Arc::new(Stream::new(id, request, &self.node.options));
        if self.node.hub.open(&stream, self.node.now()) {
            let shard = self.node.shard_of(stream.account.as_str());
            self.node.cast(shard, ShardMessage::Attach(Arc::clone(&stream)));
        }
        StreamHandle::new(stream, Arc::clone(&self.node))
    }

    async fn view(
        &self,
        caller: &AccountId,
        id: &ConversationId,
        unread: Option<Unread>,
    ) -> Result<Conversation, Problem> {
        let ask = |reply| ConversationCommand::View { caller: caller.clone(), reply };
        let view = self.look_conversation(id, ask).await?;
        self.seen_by(caller, id, view, unread).await
    }

    /// A conversation with what the caller's own inbox knows of it.
    async fn seen_by(
        &self,
        caller: &AccountId,
        id: &ConversationId,
        view: View,
        unread: Option<Unread>,
    ) -> Result<Conversation, Problem> {
        let unread = match unread {
            Some(unread) => unread,
            None => {
                let ask = |reply| UserCommand::Membership { conversation: id.clone(), reply };
                self.look_user(caller, ask).await?
            }
        };
        let last_message = match view.last_message {
            Some(n) => {
                let row = self.node.store.row(&LogId::Conversation(id.clone()), n).await;
                row.map_err(unread_store)?.and_then(|row| message(id, &row))
            }
            None => None,
        };
        Ok(Conversation {
            shared: view.shared,
            last_message,
            unread: unread.unread,
            read_seq: unread.read_seq,
            settings: Default::default(),
        })
    }

    async fn readable(&self, caller: &AccountId, id: &ConversationId) -> Result<Readable, Problem> {
        let caller = caller.clone();
        self.look_conversation(id, |reply| ConversationCommand::Readable { caller, reply }).await
    }

    async fn rows_after(&self, id: &ConversationId, after: u64, upto: u64) -> Result<Vec<Row>, Problem> {
        let log = LogId::Conversation(id.clone());
        self.node.store.rows_after(&log, after, upto, HISTORY_PAGE).await.map_err(unread_store)
    }

    async fn rows_before(&self, id: &ConversationId, before: u64) -> Result<Vec<Row>, Problem> {
        let log = LogId::Conversation(id.clone());
        self.node.store.rows_before(&log, before, HISTORY_PAGE).await.map_err(unread_store)
    }

    /// The place before the first of the rows `from..=to` that is not older than `time`. Times do not go back
    /// within an inbox, so a search by halves finds it with a handful of reads.
    async fn before_time(
        &self,
        log: &LogId,
        from: u64,
        to: u64,
        time: Timestamp,
        start: Position,
    ) -> Result<Position, Problem> {
        let (mut low, mut high, mut before) = (from, to + 1, start);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.node.store.row(log, middle).await.map_err(unread_store)? {
                Some(row) if row.at < time => (low, before) = (middle + 1, row.position),
                Some(_) => high = middle,
                None => low = middle + 1, // expired while we looked
            }
        }
        Ok(before)
    }

    /// For what is answered once it is committed, and so has passed the guard.
    pub(crate) async fn ask_conversation<T>(
        &self,
        id: &ConversationId,
        command: impl FnOnce(Reply<T>) -> ConversationCommand,
    ) -> Result<T, Problem> {
        let shard = self.node.shard_of(id.as_str());
        self.ask(shard, Proof::Commit, |reply| self.node.conversation(id, command(reply))).await
    }

    /// For what only looks.
    pub(crate) async fn look_conversation<T>(
        &self,
        id: &ConversationId,
        command: impl FnOnce(Reply<T>) -> ConversationCommand,
    ) -> Result<T, Problem> {
        let shard = self.node.shard_of(id.as_str());
        self.ask(shard, Proof::Guard, |reply| self.node.conversation(id, command(reply))).await
    }

    /// As [`ask_conversation`](Self::ask_conversation).
    async fn ask_user<T>(
        &self,
        account: &AccountId,
        command: impl FnOnce(Reply<T>) -> UserCommand,
    ) -> Result<T, Problem> {
        let shard = self.node.shard_of(account.as_str());
        self.ask(shard, Proof::Commit, |reply| self.node.user(account, command(reply))).await
    }

    /// As [`look_conversation`](Self::look_conversation).
    pub(crate) async fn look_user<T>(
        &self,
        account: &AccountId,
        command: impl FnOnce(Reply<T>) -> UserCommand,
    ) -> Result<T, Problem> {
        let shard = self.node.shard_of(account.as_str());
        self.ask(shard, Proof::Guard, |reply| self.node.user(account, command(reply))).await
    }

    fn ask<T>(
        &self,
        shard: ShardId,
        proof: Proof,
        send: impl FnOnce(Reply<T>),
    ) -> impl Future<Output = Result<T, Problem>> {
        let asked = self.owner(shard).and_then(|owned| {
            let (reply, answer) = Reply::new(Some(self.node.admission.enter()?));
            send(reply);
            Ok((owned, answer))
        });
        async move {
            let (owned, answer) = asked?;
            let answered = async {
                let answer = answer.await;
                // An owner that was cut off must not say how things stand.
                if proof == Proof::Guard && answer.is_ok() && !self.node.tenure.guard(&owned).await {
                    return Ok(Err(not_confirmed("another node serves this now; send the same again")));
                }
                answer
            };
            match tokio::time::timeout(CALL_TIMEOUT, answered).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(not_confirmed("it failed before it could answer; send the same again")),
                Err(_) => Err(not_confirmed("it is not confirmed within 8 s; send the same again")),
            }
        }
    }

    /// What this node owns the shard by, if it does and may begin something new.
    fn owner(&self, shard: ShardId) -> Result<Owned, Problem> {
        let not_now = |detail| Problem::new(Code::Overloaded, detail);
        if let Some(owned) = self.node.tenure.owned(shard).filter(|_| self.node.tenure.is_valid()) {
            return Ok(owned);
        }
        Err(not_now(match self.node.tenure.owned(shard) {
            Some(_) => "the database cannot be reached; come back in a moment",
            None => {
                "this node does not serve this account or conversation; another one does, or will in a moment"
            }
        }))
    }
}

/// What shows that an answer comes from the owner.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// It rests on a commit.
    Commit,
    /// The guard has to pass after it.
    Guard,
}

/// A direct conversation is its two accounts, a group what its creator called it.
fn id_of(caller: &AccountId, request: &OpenConversation) -> Result<ConversationId, Problem> {
    match request.kind {
        Kind::Direct => {
            let other = request.members.iter().find(|member| *member != caller);
            let other = other.ok_or_else(|| Problem::field("/members", "must name the other account"))?;
            Ok(conversation_id::direct(caller, other))
        }
        Kind::Group => {
            let client_id = request.client_id.as_ref();
            let client_id = client_id.ok_or_else(|| Problem::field("/client_id", "a group needs one"))?;
            Ok(conversation_id::group(caller, client_id))
        }
    }
}

fn not_confirmed(detail: &'static str) -> Problem {
    Problem::new(Code::NotConfirmed, detail)
}

fn unread_store(error: godwit_store::Error) -> Problem {
    tracing::warn!(%error, "a read of the store failed");
    Problem::new(Code::Overloaded, "the store cannot be read now")
}

fn page_start(cursor: Option<&str>) -> Result<Option<u64>, Problem> {
    let wrong = |_| Problem::field("?cursor", "must be the `next` of a page before");
    cursor.map(|text| text.parse().map_err(wrong)).transpose()
}

/// The message that a row holds, if it holds one.
fn message(conversation: &ConversationId, row: &Row) -> Option<Message> {
    match payload::decode(&row.payload) {
        Ok(ConversationRow {
            change: Change::Message { id, sender, client_id, body, reply_to, mentions },
            ..
        }) => Some(Message {
            id,
            conversation_id: conversation.clone(),
            seq: row.position.n,
            sender,
            client_id,
            body: RawValue::from_string(body).ok()?,
            reply_to,
            mentions,
            sent_at: row.at,
        }),
        Ok(_) => None,
        Err(error) => {
            tracing::error!(%conversation, seq = row.position.n, %error, "a row of a conversation cannot be read");
            None
        }
    }
}

fn sync_event(account: &AccountId, row: &Row) -> Result<SyncEvent, Problem> {
    let unreadable = || Problem::new(Code::Internal, "a stored event cannot be read");
    let (kind, data) = payload::inbox_event_frame(&row.payload).map_err(|_| unreadable())?;
    let data = String::from_utf8(data.to_vec()).ok().and_then(|text| RawValue::from_string(text).ok());
    Ok(SyncEvent {
        id: Cursor::new(account, row.position).to_string(),
        event: kind.as_str(),
        data: data.ok_or_else(unreadable)?,
    })
}

//! A whole node over the embedded store, as the edge sees it.
#![allow(clippy::unwrap_used)]

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use godwit_actors::{HistoryPage, Options, Region, StreamHandle, StreamRequest, Tenure};
use godwit_core::delivery::{Bounds, Overflow};
use godwit_core::inbox::Retention;
use godwit_store::{Embedded, Store};
use godwit_types::{AccountId, ClientId, ConversationId, Cursor, DeviceId, Timestamp};
use godwit_wire::Code;
use godwit_wire::api::{Kind, NewMessage, OpenConversation, PutDevice};
use serde_json::value::RawValue;
use tempfile::TempDir;

struct Node {
    region: Region,
    store: Arc<dyn Store>,
}

impl Node {
    async fn start(dir: &TempDir) -> Self {
        Self::start_with(dir, |_| {}).await
    }

    async fn start_with(dir: &TempDir, change: impl FnOnce(&mut Options)) -> Self {
        let store = Embedded::open(godwit_store::Options::new(dir.path().join("store"), 4096)).unwrap();
        let tenure = Tenure::alone(store.epoch());
        let store: Arc<dyn Store> = Arc::new(store);
        let mut options = Options {
            heartbeat_ms: 25_000,
            retry_ms: (1_000, 5_000),
            queue: Bounds { queue_bytes: 64 * 1024, overflow: Overflow::Replay },
            streams_per_account: 20,
            members_max: 1_000,
            retention: Retention { events: 200_000, age_ms: 30 * 24 * 3_600_000 },
            inbox_expires: false,
            commands_max: 10_000,
            idle: Duration::from_secs(30),
        };
        change(&mut options);
        let region = Region::start(Arc::clone(&store), tenure, options).await.unwrap();
        Self { region, store }
    }

    async fn stop(self) {
        assert!(self.region.drain(Duration::from_secs(10)).await);
        self.store.close().await.unwrap();
    }

    fn stream(&self, who: &AccountId, device: &str, after: Option<&str>) -> Reader {
        Reader::new(self.region.open_stream(StreamRequest {
            account: who.clone(),
            device: DeviceId::new(device).unwrap(),
            after: after.map(|text| Cursor::parse(text).unwrap()),
            heartbeat_ms: None,
            expires_at: Timestamp::from_ms(u64::MAX),
        }))
    }

    async fn direct(&self, a: &AccountId, b: &AccountId) -> ConversationId {
        let request =
            OpenConversation { kind: Kind::Direct, members: vec![b.clone()], title: None, client_id: None };
        self.region.open(a, request).await.unwrap().1.shared.id
    }

    async fn say(&self, who: &AccountId, to: &ConversationId, client_id: &str, text: &str) -> (bool, u64) {
        let (new, posted) = self.region.post(who, to, message(client_id, text)).await.unwrap();
        (new, posted.seq)
    }
}

fn message(client_id: &str, text: &str) -> NewMessage {
    let body = RawValue::from_string(serde_json::json!({"type": "text", "text": text}).to_string()).unwrap();
    NewMessage { client_id: ClientId::new(client_id).unwrap(), body, reply_to: None, mentions: vec![] }
}

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

/// What a stream has shown.
struct Reader {
    handle: StreamHandle,
    frames: std::collections::VecDeque<Bytes>,
    open: bool,
}

impl Reader {
    fn new(handle: StreamHandle) -> Self {
        Self { handle, frames: Default::default(), open: true }
    }

    async fn frame(&mut self) -> String {
        while self.frames.is_empty() {
            assert!(self.open, "the stream has ended");
            let mut frames = Vec::new();
            let next = poll_fn(|cx| self.handle.poll_frames(cx, &mut frames, 16 * 1024));
            self.open =
                tokio::time::timeout(Duration::from_secs(10), next).await.expect("a frame within 10 s");
            self.frames.extend(frames);
        }
        String::from_utf8(self.frames.pop_front().unwrap().to_vec()).unwrap()
    }

    /// The next event of this name: its id and its data.
    async fn event(&mut self, name: &str) -> (Option<String>, serde_json::Value) {
        loop {
            let frame = self.frame().await;
            let field =
                |field: &str| frame.lines().find_map(|line| line.strip_prefix(field)).map(str::to_owned);
            let Some(found) = field("event: ") else { continue };
            assert_eq!(found, name, "{frame}");
            return (field("id: "), serde_json::from_str(&field("data: ").unwrap()).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_from_phone_to_phone_and_a_repeat_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir).await;
    let (ann, bob) = (account("ann"), account("bob"));
    let mut phone = node.stream(&bob, "phone", None);
    let (id, ready) = phone.event("ready").await;
    assert_eq!(id.as_deref(), ready["head"].as_str());
    let c = node.direct(&ann, &bob).await;
    assert_eq!(phone.event("conversation").await.1["change"], "created");
    assert_eq!(node.say(&ann, &c, "k1", "hello").await, (true, 2));
    assert_eq!(node.say(&ann, &c, "k1", "hello").await, (false, 2));
    let other = node.region.post(&ann, &c, message("k1", "other")).await.unwrap_err();
    assert_eq!(other.code, Code::ClientIdReused);
    assert_eq!(node.say(&bob, &c, "k1", "hi").await, (true, 3));
    let (_, first) = phone.event("message").await;
    assert_eq!((&first["seq"], &first["body"]["text"]), (&2.into(), &"hello".into()));
    assert_eq!(phone.event("message").await.1["sender"], "bob");
    let stranger = node.region.conversation(&account("eve"), &c).await.unwrap_err();
    assert_eq!(stranger.code, Code::NotFound);
    let seen = node.region.conversation(&bob, &c).await.unwrap();
    assert_eq!((seen.unread, seen.last_message.unwrap().seq), (1, 3));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_resumes_where_it_was_cut_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir).await;
    let (ann, bob) = (account("ann"), account("bob"));
    let mut phone = node.stream(&bob, "phone", None);
    phone.event("ready").await;
    let c = node.direct(&ann, &bob).await;
    let mut last = phone.event("conversation").await.0;
    for i in 0..10 {
        node.say(&ann, &c, &format!("k{i}"), "x").await;
    }
    for _ in 0..4 {
        last = phone.event("message").await.0;
    }
    drop(phone);
    node.stop().await;

    let node = Node::start(&dir).await;
    for i in 10..600 {
        node.say(&ann, &c, &format!("k{i}"), "x").await;
    }
    let mut phone = node.stream(&bob, "phone", last.as_deref());
    assert_eq!(phone.event("ready").await.1["replaying"], true);
    for seq in 6..602 {
        assert_eq!(phone.event("message").await.1["seq"], seq);
    }
    phone.event("caught_up").await;
    node.say(&bob, &c, "z", "live").await;
    assert_eq!(phone.event("message").await.1["seq"], 602);
    let page = HistoryPage { before: Some(100), after: None, limit: 3 };
    let history = node.region.history(&ann, &c, page).await.unwrap();
    assert_eq!(history.messages.iter().map(|m| m.seq).collect::<Vec<_>>(), [97, 98, 99]);
    assert!(history.more);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actors_without_work_leave_and_come_back_with_everything() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start_with(&dir, |options| options.idle = Duration::ZERO).await;
    let (ann, bob) = (account("ann"), account("bob"));
    let mut phone = node.stream(&bob, "phone", None);
    phone.event("ready").await;
    let c = node.direct(&ann, &bob).await;
    phone.event("conversation").await;
    for i in 0..3 {
        tokio::time::sleep(Duration::from_millis(1_800)).await;
        let (new, seq) = node.say(&ann, &c, &format!("k{i}"), "x").await;
        assert!(new);
        assert_eq!(phone.event("message").await.1["seq"], seq);
        assert_eq!(node.say(&ann, &c, "k0", "x").await.1, 2);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_device_is_sent_away() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir).await;
    let (bob, phone) = (account("bob"), DeviceId::new("phone").unwrap());
    let device = PutDevice { platform: "ios".into(), push: None, name: None };
    node.region.put_device(&bob, &phone, device).await.unwrap();
    let mut stream = node.stream(&bob, "phone", None);
    let (head, _) = stream.event("ready").await;
    let cursor = Cursor::parse(&head.unwrap()).unwrap();
    node.region.acknowledge(&bob, &phone, cursor).await.unwrap();
    let devices = node.region.devices(&bob).await.unwrap().devices;
    assert_eq!((devices.len(), devices[0].streams), (1, 1));
    node.region.delete_device(&bob, &phone).await.unwrap();
    assert_eq!(stream.event("bye").await.1["reason"], "revoked");
    assert!(node.region.is_revoked(&bob, &phone, Timestamp::from_ms(1)));
    node.stop().await;
    let node = Node::start(&dir).await;
    assert!(node.region.is_revoked(&bob, &phone, Timestamp::from_ms(1)));
    assert!(node.region.devices(&bob).await.unwrap().devices.is_empty());
    node.stop().await;
}

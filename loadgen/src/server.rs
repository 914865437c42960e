//! What a server is asked, and what it says: godwit's own API, or a profile's.

mod godwit;

pub use godwit::get;

use bytes::Bytes;
use godwit_judge::Message;
use godwit_sse::Event;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::client_id::ClientId;
use crate::failure::Failure;
use crate::jobs::{Job, Post};
use crate::line::Answer;
use crate::measure::ErrorKind;
use crate::profile::{Profile, Ready, Values};
use crate::stream::Subscribe;
use crate::world::World;

/// A server, as a client knows it.
pub enum Server {
    /// Godwit, by `docs/api.md`.
    Godwit,
    /// Another one, by its profile.
    Profile(Box<Profile>),
}

/// A call, without the way it is brought.
#[derive(Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Besides `Host` and `Content-Length`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

/// What an event says to a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// The stream is there.
    Ready {
        /// Time between heartbeats, in milliseconds, if there are some.
        heartbeat_ms: Option<u64>,
    },
    /// The replay is over.
    CaughtUp,
    /// Events are missing.
    Gap,
    /// A message that this program sent.
    Message(ClientId),
    /// Anything else.
    Other,
}

/// What an answer to messages says.
#[derive(Debug)]
pub enum Answered {
    /// All are stored; what they became, where somebody judges.
    Stored(Vec<Message>),
    /// To be sent again.
    Again(Failure),
    /// Not to be sent again.
    Never(Failure),
}

impl Server {
    /// Whether it has what only godwit has: conversations, acknowledgements, states, tokens.
    pub fn is_godwit(&self) -> bool {
        matches!(self, Server::Godwit)
    }

    /// Its name in reports.
    pub fn name(&self) -> &str {
        match self {
            Server::Godwit => "godwit",
            Server::Profile(profile) => profile.name(),
        }
    }

    /// How an account's stream is asked for, after what it has seen.
    pub fn subscribe(&self, world: &World, account: u32) -> Result<Subscribe, Failure> {
        let last = world.devices[account as usize].last_event_id.borrow().clone();
        let last = Some(&*last).filter(|id| !id.is_empty());
        let mut subscribe = match self {
            Server::Godwit => godwit::subscribe(world, account, last),
            Server::Profile(profile) => {
                let values = values(world, account, None);
                let request = profile.subscribe(&values.borrowed(), last);
                let request = request.map_err(|error| Failure::new(ErrorKind::Refused, error))?;
                let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
                Subscribe {
                    path: path(request.uri()),
                    headers: request.headers().iter().map(|(n, v)| (n.to_string(), text(v))).collect(),
                    receive_bytes: None,
                }
            }
        };
        if world.devices[account as usize].slow.get() {
            subscribe.receive_bytes = Some(SLOW_RECEIVE_BYTES);
        }
        Ok(subscribe)
    }

    /// How a job is sent.
    pub fn call(&self, world: &World, job: &Job) -> Result<Call, Failure> {
        let profile = match self {
            Server::Godwit => return Ok(godwit::call(world, job)),
            Server::Profile(profile) => profile,
        };
        let Job::Post(post) = job else {
            return Err(Failure::said(ErrorKind::Refused, "a profile has messages only"));
        };
        let values = values(world, post.id.sender, Some(post));
        let request = profile.publish(&values.borrowed());
        let (head, body) = request.map_err(|error| Failure::new(ErrorKind::Refused, error))?.into_parts();
        let headers = head.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Ok(Call { method: head.method, path: path(&head.uri), headers, body })
    }

    /// What an answer to messages says.
    pub fn answered(&self, world: &World, post: &Post, answer: &Answer) -> Answered {
        match self {
            Server::Godwit => godwit::answered(world, post, answer),
            Server::Profile(profile) => match StatusCode::from_u16(answer.status) {
                Ok(status) if profile.accepts(status) => Answered::Stored(Vec::new()),
                _ => refused(answer.failure()),
            },
        }
    }

    /// What an event says.
    pub fn seen(&self, event: &Event<'_>) -> Seen {
        match self {
            Server::Godwit => godwit::seen(event),
            Server::Profile(profile) => match profile.message(event.data) {
                Some(message) => ClientId::parse(&message.id)
                    .map_or(Seen::Other, |id| Seen::Message(ClientId { due_us: message.sent_us, ..id })),
                None => Seen::Ready { heartbeat_ms: None },
            },
        }
    }

    /// Whether a stream is there as soon as its answer's head is.
    pub fn is_ready_at_head(&self) -> bool {
        match self {
            Server::Godwit => false,
            Server::Profile(profile) => profile.ready() == Ready::Head,
        }
    }
}

/// What the kernel keeps for a client that reads slowly: a phone on a bad network.
const SLOW_RECEIVE_BYTES: u32 = 4 * 1024;

/// An answer that is no success.
fn refused(failure: Failure) -> Answered {
    match failure.kind {
        ErrorKind::Busy => Answered::Again(failure),
        _ => Answered::Never(failure),
    }
}

fn path(uri: &http::Uri) -> String {
    uri.path_and_query().map_or("/", |path| path.as_str()).to_owned()
}

/// What goes into the templates of a profile.
struct Owned {
    target: String,
    account: String,
    channel: String,
    id: String,
    sent_us: u64,
    text: String,
    token: String,
}

fn values(world: &World, account: u32, post: Option<&Post>) -> Owned {
    let accounts = world.accounts.borrow();
    let conversations = world.conversations.borrow();
    let number = match post {
        Some(post) => Some(post.id.conversation),
        None => world.channels.borrow().get(account as usize).copied(),
    };
    // Who is in none, as everybody is in `idle`, has a channel of their own.
    let conversation = number.and_then(|number| conversations.get(number as usize));
    let name = accounts.name(account);
    Owned {
        target: world.plan.server.targets[0].clone(),
        channel: conversation.map_or_else(|| name.clone(), |conversation| conversation.id.to_string()),
        account: name,
        id: post.map(|post| post.id.to_string()).unwrap_or_default(),
        sent_us: post.map_or(0, |post| post.id.due_us),
        text: text(world),
        token: accounts.token(account),
    }
}

impl Owned {
    fn borrowed(&self) -> Values<'_> {
        Values {
            target: &self.target,
            account: &self.account,
            channel: &self.channel,
            id: &self.id,
            sent_us: self.sent_us,
            text: &self.text,
            token: &self.token,
        }
    }
}

/// The text of a message.
fn text(world: &World) -> String {
    "x".repeat(world.plan.messages.map_or(0, |messages| messages.text_bytes as usize))
}

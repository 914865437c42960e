//! What may be lost: presence, rate limits and the push queue, in the process or on Redis.
//!
//! [`Cache::open`] never fails because Redis is away, and nothing here ever waits for it for longer than
//! one command may take. While it is away presence is [`State::Unknown`], rate limits are this
//! node's own, and push jobs wait in a bounded buffer; when it is back all resumes by itself. What must
//! last does not belong here.
//!
//! # Keys
//!
//! All begin with the prefix, `godwit:` by default. `{account}` is the account id, percent-encoded as in
//! the API's paths, in braces: they are a hash tag, so that an account's keys are in one slot of a
//! cluster. Other services may read presence and last-seen; the rest is nobody else's.
//!
//! | key | type | what |
//! |---|---|---|
//! | `presence:{account}` | hash | field `device@node`, value `state until`: `online` or `away`, and until when that holds, in milliseconds since 1970 by the server's clock. Fields of the past do not count. Expires |
//! | `seen:{account}` | string | when a device was last known to be connected, milliseconds since 1970. Expires after 30 days |
//! | `rate:{account}:limit` | string | see `scripts/rate.lua`. Expires when the bucket is full |
//! | `{push}:jobs` | stream | group `relay`; fields `id`, `job` |
//! | `{push}:id:…` | string | that a job of this id was appended. Expires after 10 minutes |
//! | `{push}:dead` | stream | fields `id`, `job`, `attempts` |
//! | `probe` | string | what finds out whether the server takes writes. Expires |

mod keys;
mod limits;
mod link;
mod metrics;
mod options;
mod presence;
mod queue;
mod script;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

pub use limits::{Limit, Limits, Verdict};
pub use link::Standing;
pub use metrics::describe as describe_metrics;
pub use options::{Options, OptionsError, PushBounds, Settings};
pub use presence::{DeviceState, Presence, Seen, State};
pub use queue::{Entry, JOB_BYTES_MAX, Job, PushQueue, Pushed, TooLarge};

use link::Link;

/// The handle of all three. Cheap to clone; the last one ends its tasks.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    presence: Presence,
    limits: Limits,
    queue: PushQueue,
    link: Option<Arc<Link>>,
    tasks: Vec<AbortHandle>,
}

impl Cache {
    /// In the process, or on Redis, to which it connects in the background. Needs a tokio runtime.
    pub fn open(options: Option<Options>) -> Self {
        let push = options.as_ref().map(|options| options.push.clone()).unwrap_or_default();
        let link = options.map(Link::new);
        let presence = Presence::new(link.as_ref());
        let queue = PushQueue::new(link.as_ref(), push);
        let mut tasks = Vec::new();
        tasks.extend(link.clone().map(|link| tokio::spawn(link.keep()).abort_handle()));
        tasks.extend(presence.writer().map(|writer| tokio::spawn(writer).abort_handle()));
        tasks.extend(queue.writer().map(|writer| tokio::spawn(writer).abort_handle()));
        Self(Arc::new(Inner { limits: Limits::new(link.as_ref()), presence, queue, link, tasks }))
    }

    /// In the process, with these bounds of the push queue.
    pub fn in_process(push: PushBounds) -> Self {
        let (presence, limits) = (Presence::new(None), Limits::new(None));
        let queue = PushQueue::new(None, push);
        Self(Arc::new(Inner { presence, limits, queue, link: None, tasks: Vec::new() }))
    }

    /// Who is there.
    pub fn presence(&self) -> &Presence {
        &self.0.presence
    }

    /// Rate limits.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Notifications to be sent.
    pub fn queue(&self) -> &PushQueue {
        &self.0.queue
    }

    /// What is known of Redis now.
    pub fn standing(&self) -> Standing {
        self.0.link.as_ref().map_or(Standing::InProcess, |link| link.standing().borrow().clone())
    }

    /// Waits for the first answer, good or bad, but not longer than `within`: a program that finds
    /// itself [`Standing::Refused`] at its start should say so and end.
    pub async fn settled(&self, within: Duration) -> Standing {
        if let Some(link) = &self.0.link {
            let mut standing = link.standing();
            let known = standing.wait_for(|standing| *standing != Standing::Connecting);
            let _ = tokio::time::timeout(within, known).await;
        }
        self.standing()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

//! What is to be sent: a queue between those who want something sent and those who have connections.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Instant;

use godwit_judge::Moment;
use tokio::sync::Notify;

use crate::client_id::ClientId;

/// Jobs that wait, at most. A server that stalls for a minute at 5,000 messages a second fills it; what
/// finds it full is counted as not sent, and is never forgotten in silence.
pub const JOBS_MAX: usize = 300_000;

/// Something to send.
#[derive(Debug, Clone)]
pub enum Job {
    /// Messages.
    Post(Post),
    /// A device acknowledges what it has.
    Ack {
        /// Whose.
        account: u32,
    },
    /// An app went into the background or came back.
    State {
        /// Whose.
        account: u32,
        /// Where it is now.
        background: bool,
    },
    /// A conversation is opened.
    Open {
        /// Which.
        conversation: u32,
    },
}

/// One message, or several of one conversation.
#[derive(Debug, Clone)]
pub struct Post {
    /// The first message.
    pub id: ClientId,
    /// How many; their numbers follow one another.
    pub count: u16,
    /// When they are due.
    pub due: Instant,
    /// The judge's moment before the first attempt.
    pub sent: Option<Moment>,
}

impl Post {
    /// The numbers of its messages.
    pub fn numbers(&self) -> impl Iterator<Item = u64> + use<> {
        let first = self.id.number;
        (0..u64::from(self.count)).map(move |offset| first.wrapping_add(offset))
    }
}

/// The queue.
#[derive(Default)]
pub struct Jobs {
    waiting: RefCell<VecDeque<Job>>,
    /// Jobs that somebody took and has not finished.
    taken: Cell<usize>,
    more: Notify,
    /// One was finished.
    less: Notify,
}

impl Jobs {
    /// Adds one, unless there are too many.
    ///
    /// # Errors
    /// The job.
    pub fn push(&self, job: Job) -> Result<(), Job> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= JOBS_MAX {
            return Err(job);
        }
        waiting.push_back(job);
        self.more.notify_one();
        Ok(())
    }

    /// Takes the oldest, when there is one. It counts as under way until [`Jobs::finish`].
    pub async fn take(&self) -> Job {
        loop {
            // A notification may stand for several jobs, and be for one that another has taken.
            let job = self.waiting.borrow_mut().pop_front();
            if let Some(job) = job {
                self.taken.set(self.taken.get() + 1);
                if self.waiting() > 0 {
                    self.more.notify_one();
                }
                return job;
            }
            self.more.notified().await;
        }
    }

    /// A job that was taken is done, or given up.
    pub fn finish(&self) {
        self.taken.set(self.taken.get() - 1);
        self.less.notify_waiters();
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Until none waits and none is under way.
    pub async fn idle(&self) {
        loop {
            let less = self.less.notified();
            if self.waiting() == 0 && self.taken.get() == 0 {
                return;
            }
            less.await;
        }
    }

    /// Takes away what waits; how many messages that were.
    pub fn clear(&self) -> u64 {
        let jobs = std::mem::take(&mut *self.waiting.borrow_mut());
        self.less.notify_waiters();
        jobs.iter().map(|job| if let Job::Post(post) = job { u64::from(post.count) } else { 0 }).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn takers_get_jobs_in_order_and_idle_waits_for_the_last() {
        let jobs = Rc::new(Jobs::default());
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let taker = Rc::clone(&jobs);
                let taken = tokio::task::spawn_local(async move {
                    let mut taken = Vec::new();
                    for _ in 0..3 {
                        if let Job::Ack { account } = taker.take().await {
                            taken.push(account);
                        }
                        tokio::task::yield_now().await;
                        taker.finish();
                    }
                    taken
                });
                for account in 0..3 {
                    jobs.push(Job::Ack { account }).expect("there is room");
                }
                jobs.idle().await;
                assert!(taken.is_finished());
                assert_eq!(taken.await.ok(), Some(vec![0, 1, 2]));
            })
            .await;
    }
}

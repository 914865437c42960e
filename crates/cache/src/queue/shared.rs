//! The push queue on Redis: a stream and a consumer group.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use redis::Value;
use redis::streams::StreamReadReply;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::buffer::Buffer;
use super::{Entry, Job, Pushed, REMEMBERED};
use crate::link::{Connection, Link, Unserved};
use crate::metrics::{self, Facility};
use crate::options::PushBounds;
use crate::script::Script;

/// The group that all relays are in.
const GROUP: &str = "relay";
/// Jobs that go to Redis in one call: a script of a hundred appends holds others up for half a
/// millisecond.
const BATCH: usize = 64;
/// Pause before a full queue or a failed call is tried again.
const PAUSE: Duration = Duration::from_millis(250);
/// How long one blocking read lasts at most: after it, jobs that became free are looked for again.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct Shared {
    link: Arc<Link>,
    bounds: PushBounds,
    jobs: String,
    dead: String,
    ids: String,
    scripts: Scripts,
    buffer: Mutex<Buffer>,
    /// Finished jobs that Redis does not know of; as many as jobs may wait.
    finished: Mutex<VecDeque<String>>,
    pushed: Notify,
    reader: tokio::sync::Mutex<Reader>,
}

struct Scripts {
    push: Script,
    reclaim: Script,
    failed: Script,
    done: Script,
}

/// What reads for the consumers of this process: a blocking read would hold up every other command, so
/// it has a connection of its own.
struct Reader {
    connection: Option<Connection>,
    /// Where the search for jobs that were left behind goes on.
    search: String,
}

type Reclaimed = (String, Vec<(String, String, Vec<u8>, u32)>, usize);

impl Shared {
    pub(super) fn new(link: Arc<Link>, bounds: PushBounds) -> Self {
        let key = |name: &str| format!("{}{{push}}:{name}", link.options.prefix);
        Self {
            jobs: key("jobs"),
            dead: key("dead"),
            ids: key("id:"),
            buffer: Mutex::new(Buffer::new(&bounds)),
            finished: Mutex::default(),
            pushed: Notify::new(),
            reader: tokio::sync::Mutex::new(Reader { connection: None, search: "0-0".to_owned() }),
            scripts: Scripts {
                push: Script::new(include_str!("../scripts/push.lua")),
                reclaim: Script::new(include_str!("../scripts/reclaim.lua")),
                failed: Script::new(include_str!("../scripts/failed.lua")),
                done: Script::new(include_str!("../scripts/done.lua")),
            },
            bounds,
            link,
        }
    }

    pub(super) fn push(&self, id: &str, bytes: Bytes) -> Pushed {
        let pushed = self.buffer.lock().push(id, bytes);
        self.pushed.notify_one();
        pushed
    }

    /// Brings the buffer to Redis, in order, for as long as the task lives.
    pub(super) async fn write(self: Arc<Self>) {
        loop {
            self.link.is_up().await;
            let finished: Vec<String> = self.finished.lock().iter().take(BATCH).cloned().collect();
            let (first, batch) = self.buffer.lock().front(BATCH);
            if finished.is_empty() && batch.is_empty() {
                self.pushed.notified().await;
                continue;
            }
            if !(self.forget(finished).await && self.append(first, batch).await) {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Whether Redis took all of it.
    async fn append(&self, first: u64, batch: Vec<(String, Bytes)>) -> bool {
        if batch.is_empty() {
            return true;
        }
        let ids: Vec<String> = batch.iter().map(|(id, _)| format!("{}{id}", self.ids)).collect();
        let keys: Vec<&str> = std::iter::once(&*self.jobs).chain(ids.iter().map(String::as_str)).collect();
        let appended = self
            .link
            .script(Facility::Push, &self.scripts.push, &keys, |command| {
                command.arg(self.bounds.queue_jobs).arg(REMEMBERED.as_millis() as u64);
                for (id, bytes) in &batch {
                    command.arg(id).arg(&bytes[..]);
                }
            })
            .await;
        let count: u64 =
            appended.ok().and_then(|value| redis::from_redis_value(value).ok()).unwrap_or_default();
        self.buffer.lock().queued(first + count);
        count == batch.len() as u64
    }

    /// Removes finished jobs that are remembered. Whether Redis took it.
    async fn forget(&self, entries: Vec<String>) -> bool {
        if entries.is_empty() {
            return true;
        }
        let taken = self.remove(&entries).await;
        if taken {
            self.finished.lock().retain(|entry| !entries.contains(entry));
        }
        taken
    }

    async fn remove(&self, entries: &[String]) -> bool {
        let fill = |command: &mut redis::Cmd| _ = command.arg(GROUP).arg(entries);
        match self.link.script(Facility::Push, &self.scripts.done, &[&self.jobs], fill).await {
            Ok(_) => true,
            // A server that lost the group lost the job as well.
            Err(Unserved::Said(code)) => code == "NOGROUP",
            Err(Unserved::Away) => false,
        }
    }

    pub(super) async fn done(&self, entry: &Entry) {
        let entries = [entry.at.clone()];
        if self.remove(&entries).await {
            return;
        }
        let [at] = entries;
        let mut finished = self.finished.lock();
        if finished.len() >= self.bounds.buffer_jobs {
            finished.pop_front();
        }
        finished.push_back(at);
        drop(finished);
        self.pushed.notify_one();
    }

    pub(super) async fn failed(&self, entry: &Entry, retry_in: Duration) {
        let idle = self.bounds.idle.saturating_sub(retry_in).as_millis() as u64;
        let fill = |command: &mut redis::Cmd| {
            command.arg(GROUP).arg(&*entry.consumer).arg(&entry.at).arg(self.bounds.tries);
            command.arg(self.bounds.dead_jobs).arg(idle);
        };
        let keys: [&str; 2] = [&self.jobs, &self.dead];
        // What cannot be said now counts as left behind after the idle time.
        if let Ok(value) = self.link.script(Facility::Push, &self.scripts.failed, &keys, fill).await
            && let Ok(dead) = redis::from_redis_value(value)
        {
            metrics::dead_letters(dead);
        }
    }

    pub(super) async fn claim(&self, consumer: &str, max: usize, block: Duration) -> Vec<Job> {
        let until = Instant::now() + block;
        let consumer: Arc<str> = Arc::from(consumer);
        loop {
            let free = async {
                self.link.is_up().await;
                self.reader.lock().await
            };
            let Ok(mut reader) = tokio::time::timeout_at(until, free).await else { return Vec::new() };
            let look = LOOK.min(self.bounds.idle / 4);
            let left = until.saturating_duration_since(Instant::now()).min(look);
            let read = reader.read(self, &consumer, max, left).await;
            drop(reader);
            match read {
                Ok(jobs) if !jobs.is_empty() || Instant::now() >= until => return jobs,
                Ok(_) => {}
                Err(_) => tokio::time::sleep_until(until.min(Instant::now() + PAUSE)).await,
            }
        }
    }

    pub(super) async fn dead(&self, max: usize) -> Vec<(String, u32, Bytes)> {
        let range = Script::new("return redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[1])");
        let fill = |command: &mut redis::Cmd| _ = command.arg(max);
        let answer = self.link.script(Facility::Push, &range, &[&self.dead], fill).await;
        type Letter = (String, (String, String, String, Vec<u8>, String, u32));
        let letters: Vec<Letter> =
            answer.ok().and_then(|value| redis::from_redis_value(value).ok()).unwrap_or_default();
        letters.into_iter().map(|(_, (_, id, _, job, _, tries))| (id, tries, job.into())).collect()
    }
}

impl Reader {
    /// What was left behind, else what is new, for which it waits.
    async fn read(
        &mut self,
        queue: &Shared,
        consumer: &Arc<str>,
        max: usize,
        block: Duration,
    ) -> Result<Vec<Job>, Unserved> {
        // Taken out: a call that is given up in the middle leaves no connection with an answer under way.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => queue.link.another().await?,
        };
        let jobs = match self.attempt(&mut connection, queue, consumer, max, block).await {
            Err(Unserved::Said(code)) if code == "NOGROUP" => {
                create_group(&mut connection, queue).await?;
                self.attempt(&mut connection, queue, consumer, max, block).await
            }
            other => other,
        }?;
        self.connection = Some(connection);
        Ok(jobs)
    }

    async fn attempt(
        &mut self,
        connection: &mut Connection,
        queue: &Shared,
        consumer: &Arc<str>,
        max: usize,
        block: Duration,
    ) -> Result<Vec<Job>, Unserved> {
        let left_behind = self.reclaim(connection.clone(), queue, consumer, max).await?;
        if !left_behind.is_empty() {
            return Ok(left_behind);
        }
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(&**consumer).arg("COUNT").arg(max);
        let wait = u64::try_from(block.as_millis()).unwrap_or(u64::MAX);
        if wait > 0 {
            command.arg("BLOCK").arg(wait);
        }
        command.arg("STREAMS").arg(&queue.jobs).arg(">");
        let answer = queue.link.command_on(connection, Facility::Push, &command, block).await?;
        Ok(new_jobs(answer, consumer))
    }

    async fn reclaim(
        &mut self,
        connection: Connection,
        queue: &Shared,
        consumer: &Arc<str>,
        max: usize,
    ) -> Result<Vec<Job>, Unserved> {
        let bounds = &queue.bounds;
        let fill = |command: &mut redis::Cmd| {
            command.arg(GROUP).arg(&**consumer).arg(bounds.idle.as_millis() as u64).arg(max);
            command.arg(&self.search).arg(bounds.tries).arg(bounds.dead_jobs);
        };
        let keys: [&str; 2] = [&queue.jobs, &queue.dead];
        let answer =
            queue.link.script_on(connection, Facility::Push, &queue.scripts.reclaim, &keys, fill).await?;
        let Ok((next, jobs, dead)) = redis::from_redis_value::<Reclaimed>(answer) else {
            return Ok(Vec::new());
        };
        self.search = next;
        metrics::dead_letters(dead);
        let job = |(at, id, bytes, attempts): (String, String, Vec<u8>, u32)| Job {
            entry: Entry { at, consumer: Arc::clone(consumer) },
            id,
            attempts,
            bytes: bytes.into(),
        };
        Ok(jobs.into_iter().map(job).collect())
    }
}

/// Makes the group, from the first entry on. Another node may have done so in the meantime.
async fn create_group(connection: &mut Connection, queue: &Shared) -> Result<(), Unserved> {
    let mut command = redis::cmd("XGROUP");
    command.arg("CREATE").arg(&queue.jobs).arg(GROUP).arg("0").arg("MKSTREAM");
    match queue.link.command_on(connection, Facility::Push, &command, Duration::ZERO).await {
        Err(Unserved::Said(code)) if code != "BUSYGROUP" => Err(Unserved::Said(code)),
        Err(Unserved::Away) => Err(Unserved::Away),
        _ => Ok(()),
    }
}

fn new_jobs(answer: Value, consumer: &Arc<str>) -> Vec<Job> {
    let Ok(reply) = redis::from_redis_value::<Option<StreamReadReply>>(answer) else { return Vec::new() };
    let entries = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
    entries
        .filter_map(|entry| {
            let id = entry.get("id")?;
            let bytes: Vec<u8> = entry.get("job")?;
            let entry = Entry { at: entry.id, consumer: Arc::clone(consumer) };
            Some(Job { entry, id, attempts: 1, bytes: bytes.into() })
        })
        .collect()
}

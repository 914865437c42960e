//! Where writes wait: one lane for each partition that has any.
//!
//! Per partition one request is under way. What arrives meanwhile waits and goes together in the next: on
//! a database that syncs before it answers, that is several times the rows per second, and it costs a
//! write that finds its lane empty nothing.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;

use godwit_store::Error;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};

use crate::changes::{Change, Partition};

/// Statements in one batch of writes that waited: at 64 the cost of a request is spread thin, and a node
/// still applies the batch within a millisecond or so. One write's own part is never split.
const BATCH_STATEMENTS_MAX: usize = 64;

/// Bytes in one such batch: a fraction of the 16 MiB that one write may have in either database, and little
/// enough that a batch holds up nobody else on the same connection for long.
const BATCH_BYTES_MAX: usize = 512 * 1024;

/// Writing requests under way at once: several for each core of a small cluster, and below what makes a node
/// answer "overloaded". What is above waits here, where waiting makes batches larger.
const REQUESTS_MAX: usize = 256;

/// What brings changes of one partition to the database.
pub(crate) trait Carrier: Send + Sync + 'static {
    /// Makes the changes durable, together. An error is a text for people.
    fn carry(&self, changes: Vec<Change>) -> impl Future<Output = Result<(), String>> + Send;
}

/// The lanes. They have no bound of their own: a write takes its place when it is issued, so what waits
/// exists already. What bounds it is admission: the commands that a node has taken and not answered.
pub(crate) struct Lanes<C> {
    carrier: C,
    state: Mutex<State>,
    empty: Notify,
    permits: Semaphore,
    runtime: Handle,
}

#[derive(Default)]
struct State {
    closed: bool,
    /// A lane is there while it has a request under way.
    lanes: HashMap<Partition, VecDeque<Part>>,
}

/// What one write has for one partition.
struct Part {
    changes: Vec<Change>,
    bytes: usize,
    ticket: Arc<Ticket>,
}

/// One write, answered when its last part is.
struct Ticket(Mutex<Open>);

struct Open {
    parts: usize,
    failure: Option<String>,
    answer: Option<oneshot::Sender<Result<(), Error>>>,
}

impl Ticket {
    fn part_done(&self, result: &Result<(), String>) {
        let mut open = self.0.lock();
        open.parts -= 1;
        if let Err(text) = result {
            open.failure.get_or_insert_with(|| text.clone());
        }
        if open.parts == 0
            && let Some(answer) = open.answer.take()
        {
            // Nobody may be listening any more.
            let _ = answer.send(open.failure.take().map_or(Ok(()), |text| Err(Error::Failed(text))));
        }
    }
}

impl<C: Carrier> Lanes<C> {
    /// Lanes whose work runs on that runtime.
    pub(crate) fn new(carrier: C, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            carrier,
            state: Mutex::default(),
            empty: Notify::new(),
            permits: Semaphore::new(REQUESTS_MAX),
            runtime,
        })
    }

    /// What carries the changes.
    pub(crate) fn carrier(&self) -> &C {
        &self.carrier
    }

    /// Puts each part into its lane, all at one moment. The answer comes when all are durable.
    ///
    /// # Errors
    /// [`Error::Closed`], and nothing is written.
    pub(crate) fn push(
        self: &Arc<Self>,
        parts: Vec<(Partition, Vec<Change>)>,
    ) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        if parts.is_empty() {
            let _ = answer.send(Ok(()));
            return Ok(answered);
        }
        let open = Open { parts: parts.len(), failure: None, answer: Some(answer) };
        let ticket = Arc::new(Ticket(Mutex::new(open)));
        for (partition, changes) in parts {
            let bytes = changes.iter().map(Change::bytes).sum();
            let part = Part { changes, bytes, ticket: Arc::clone(&ticket) };
            if let Some(lane) = state.lanes.get_mut(&partition) {
                lane.push_back(part);
                continue;
            }
            state.lanes.insert(partition.clone(), VecDeque::from([part]));
            self.runtime.spawn(Arc::clone(self).run(partition));
        }
        Ok(answered)
    }

    /// Carries what is in a lane until nothing is left.
    async fn run(self: Arc<Self>, partition: Partition) {
        loop {
            let _permit = self.permits.acquire().await;
            // Taken only now: what arrived while this lane waited for its turn goes along.
            let Some(parts) = self.take(&partition) else { return };
            let mut changes = Vec::with_capacity(parts.iter().map(|part| part.changes.len()).sum());
            let mut tickets = Vec::with_capacity(parts.len());
            for part in parts {
                changes.extend(part.changes);
                tickets.push(part.ticket);
            }
            let result = self.carrier.carry(changes).await;
            for ticket in tickets {
                ticket.part_done(&result);
            }
        }
    }

    /// As much as one request may hold. `None`: there was nothing, and the lane is gone.
    fn take(&self, partition: &Partition) -> Option<Vec<Part>> {
        let mut state = self.state.lock();
        let lane = state.lanes.get_mut(partition)?;
        let mut taken = 0;
        let (mut statements, mut bytes) = (0, 0);
        for part in lane.iter() {
            statements += part.changes.len();
            bytes += part.bytes;
            if taken > 0 && (statements > BATCH_STATEMENTS_MAX || bytes > BATCH_BYTES_MAX) {
                break;
            }
            taken += 1;
        }
        if taken > 0 {
            return Some(lane.drain(..taken).collect());
        }
        state.lanes.remove(partition);
        if state.lanes.is_empty() {
            self.empty.notify_waiters();
        }
        None
    }

    /// Whether [`close`](Self::close) was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Lets nothing more in and waits until all that is there was carried.
    ///
    /// # Errors
    /// [`Error::Closed`] when it was called before.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        if std::mem::replace(&mut self.state.lock().closed, true) {
            return Err(Error::Closed);
        }
        loop {
            let emptied = self.empty.notified();
            if self.state.lock().lanes.is_empty() {
                return Ok(());
            }
            emptied.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Value;
    use crate::statements::Name;
    use godwit_types::ShardId;
    use std::time::Duration;

    /// Counts statements by request; each takes a second. A statement whose blob is `fail` fails.
    #[derive(Default)]
    struct Counting(Mutex<Vec<usize>>);

    impl Carrier for Counting {
        async fn carry(&self, changes: Vec<Change>) -> Result<(), String> {
            self.0.lock().push(changes.len());
            tokio::time::sleep(Duration::from_secs(1)).await;
            let fails = changes.iter().any(|change| change.values == [Value::Blob("fail".into())]);
            if fails { Err("on purpose".to_owned()) } else { Ok(()) }
        }
    }

    fn lanes() -> Arc<Lanes<Counting>> {
        Lanes::new(Counting::default(), Handle::current())
    }

    fn change(blob: impl Into<bytes::Bytes>) -> Change {
        Change { name: Name::PendingSet, values: vec![Value::Blob(blob.into())] }
    }

    fn part(shard: u16, changes: Vec<Change>) -> (Partition, Vec<Change>) {
        (Partition::Pending(ShardId(shard)), changes)
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_together_goes_together() {
        let lanes = lanes();
        let writes: Vec<_> = (0..101)
            .map(|i| {
                let lanes = Arc::clone(&lanes);
                async move {
                    // The first is under way when the others come.
                    tokio::time::sleep(Duration::from_millis(u64::from(i > 0))).await;
                    lanes.push(vec![part(0, vec![change("x")])]).unwrap().await.unwrap()
                }
            })
            .collect();
        for answer in futures_util::future::join_all(writes).await {
            answer.unwrap();
        }
        assert_eq!(*lanes.carrier().0.lock(), [1, BATCH_STATEMENTS_MAX, 100 - BATCH_STATEMENTS_MAX]);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_bound_a_batch_and_a_part_is_never_split() {
        let lanes = lanes();
        let large = || change(vec![0; BATCH_BYTES_MAX / 2]);
        let mut answers = Vec::new();
        for changes in
            [vec![change("x")], vec![large(), large(), large()], vec![large()], vec![change("y"); 100]]
        {
            answers.push(lanes.push(vec![part(0, changes)]).unwrap());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for answer in answers {
            answer.await.unwrap().unwrap();
        }
        assert_eq!(*lanes.carrier().0.lock(), [1, 3, 1, 100]);
    }

    #[tokio::test(start_paused = true)]
    async fn partitions_go_in_parallel_and_a_write_waits_for_all_of_its_parts() {
        let lanes = lanes();
        let began = tokio::time::Instant::now();
        let two = lanes.push(vec![part(0, vec![change("x")]), part(1, vec![change("fail")])]).unwrap();
        let one = lanes.push(vec![part(2, vec![change("x")])]).unwrap();
        one.await.unwrap().unwrap();
        assert!(matches!(two.await.unwrap(), Err(Error::Failed(text)) if text == "on purpose"));
        assert!(began.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_bound_are_under_way_and_closing_waits_for_all() {
        let lanes = lanes();
        let writes = REQUESTS_MAX as u16 + 1;
        for shard in 0..writes {
            // Nobody listens: they are carried all the same.
            drop(lanes.push(vec![part(shard, vec![change("x")])]).unwrap());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(lanes.carrier().0.lock().len(), REQUESTS_MAX);
        lanes.close().await.unwrap();
        assert_eq!(lanes.carrier().0.lock().len(), usize::from(writes));
        assert!(matches!(lanes.push(vec![part(0, vec![change("x")])]), Err(Error::Closed)));
        assert!(matches!(lanes.close().await, Err(Error::Closed)));
    }
}

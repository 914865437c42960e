//! Jobs that wait in this process until Redis has them.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Pushed;
use crate::metrics;
use crate::options::PushBounds;

/// Jobs in the order in which they were pushed.
pub(super) struct Buffer {
    jobs: VecDeque<Waiting>,
    bytes: usize,
    /// The number of the first job: jobs may be dropped while some are on their way.
    first: u64,
    jobs_max: usize,
    bytes_max: usize,
}

struct Waiting {
    id: String,
    bytes: Bytes,
    queued: oneshot::Sender<()>,
}

impl Buffer {
    pub(super) fn new(bounds: &PushBounds) -> Self {
        Self {
            jobs: VecDeque::new(),
            bytes: 0,
            first: 0,
            jobs_max: bounds.buffer_jobs.max(1),
            bytes_max: bounds.buffer_bytes.max(super::JOB_BYTES_MAX),
        }
    }

    /// Takes a job in; beyond the bounds the oldest go.
    pub(super) fn push(&mut self, id: &str, bytes: Bytes) -> Pushed {
        let (queued, pushed) = oneshot::channel();
        self.bytes += bytes.len();
        self.jobs.push_back(Waiting { id: id.to_owned(), bytes, queued });
        let mut dropped = 0;
        while self.jobs.len() > self.jobs_max || self.bytes > self.bytes_max {
            self.pop();
            dropped += 1;
        }
        if dropped > 0 {
            metrics::dropped(dropped);
        }
        metrics::buffered(self.jobs.len());
        Pushed(pushed)
    }

    /// The oldest, up to `max`, as id and bytes, and the number of the first.
    pub(super) fn front(&self, max: usize) -> (u64, Vec<(String, Bytes)>) {
        let jobs = self.jobs.iter().take(max).map(|job| (job.id.clone(), job.bytes.clone()));
        (self.first, jobs.collect())
    }

    /// All before the number `end` are in the queue.
    pub(super) fn queued(&mut self, end: u64) {
        while self.first < end
            && let Some(job) = self.pop()
        {
            // Whoever pushed it need not wait.
            let _ = job.queued.send(());
        }
        metrics::buffered(self.jobs.len());
    }

    fn pop(&mut self) -> Option<Waiting> {
        let job = self.jobs.pop_front()?;
        self.first += 1;
        self.bytes -= job.bytes.len();
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(jobs: usize) -> Buffer {
        Buffer::new(&PushBounds { buffer_jobs: jobs, ..PushBounds::default() })
    }

    #[tokio::test]
    async fn the_oldest_go_and_their_makers_are_told() {
        let mut buffer = buffer(2);
        let pushed: Vec<_> = (0..3).map(|n| buffer.push(&n.to_string(), Bytes::from_static(b"x"))).collect();
        let (first, jobs) = buffer.front(10);
        assert_eq!((first, jobs.len(), &*jobs[0].0), (1, 2, "1"));
        buffer.push("3", Bytes::new());
        // Job 1 was dropped while 1 and 2 were on their way.
        buffer.queued(first + 2);
        assert_eq!(buffer.front(10), (3, vec![("3".to_owned(), Bytes::new())]));
        let mut told = Vec::new();
        for pushed in pushed {
            told.push(pushed.is_queued().await);
        }
        assert_eq!(told, [false, false, true]);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let bounds = PushBounds { buffer_bytes: super::super::JOB_BYTES_MAX, ..PushBounds::default() };
        let mut buffer = Buffer::new(&bounds);
        for n in 0..5 {
            buffer.push(&n.to_string(), Bytes::from(vec![0; super::super::JOB_BYTES_MAX / 2]));
        }
        assert_eq!((buffer.front(10).0, buffer.bytes), (3, super::super::JOB_BYTES_MAX));
    }
}

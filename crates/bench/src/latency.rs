//! Messages at a given rate, whatever the server does, and how long each takes to its sender's answer
//! and to its receiver's stream.
//!
//! The load is open: when a message is sent was drawn before the run, and its time counts from that
//! moment, also when the client or the server was late. So a pause of the server shows in all the
//! messages that it held up, and not in one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use memchr::memmem;
use serde_json::{Value, json};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::JoinSet;

use crate::connection::{Answers, Connection};
use crate::request::{self, Posting};
use crate::stream::{self, Stream};
use crate::{Target, caller, pairs, schedule};

/// Between the drawing of the times and the first of them: for the threads to get ready.
const LEAD: Duration = Duration::from_millis(200);

/// A message that has not arrived so long after the last was sent will not.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How much.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Load {
    /// Pairs of accounts; one of each writes, the other has a stream open.
    #[arg(long, default_value_t = 100)]
    pairs: usize,
    /// Messages a second, of all pairs together.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Seconds before the part that counts.
    #[arg(long, default_value_t = 5)]
    warm_up_s: u64,
    /// Seconds that count.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// What is sent when. Message `n` belongs to pair `n` modulo the number of pairs.
#[derive(Debug)]
struct Plan {
    began: Instant,
    /// From `began`.
    times: Vec<Duration>,
    pairs: usize,
    /// Messages that are sent earlier do not count.
    warm_up: Duration,
}

/// A connection's sending half, and what is sent on it.
type Writer = (OwnedWriteHalf, Posting);

/// What one task saw.
struct Seen {
    latency_us: Histogram<u64>,
    messages: usize,
}

/// Sends at the planned times and waits until every message was answered and has arrived.
pub(crate) async fn run(target: &Target, load: &Load) -> Result<()> {
    let (mut writers, mut answers, mut streams) = (Vec::new(), Vec::new(), Vec::new());
    for pair in pairs::open(target, load.pairs).await? {
        let (writer, answered) = Connection::open(target.address).await?.into_halves();
        let posting = Posting::single(&pair.conversation, &pair.tokens[0]);
        writers.push((writer, posting));
        answers.push(answered);
        streams.push(Stream::open(target.address, &pair.tokens[1]).await?);
    }
    let warm_up = Duration::from_secs(load.warm_up_s);
    let times = schedule::poisson(load.rate, warm_up + Duration::from_secs(load.seconds));
    let plan = Arc::new(Plan { began: Instant::now() + LEAD, times, pairs: load.pairs, warm_up });

    let (mut answered, mut arrived) = (JoinSet::new(), JoinSet::new());
    for (pair, (answers, stream)) in answers.into_iter().zip(streams).enumerate() {
        answered.spawn(follow_answers(answers, Arc::clone(&plan), pair));
        arrived.spawn(follow_stream(stream, Arc::clone(&plan), pair));
    }
    let pacing = Arc::clone(&plan);
    let sending = tokio::task::spawn_blocking(move || send(&pacing, writers));
    tokio::time::sleep_until((plan.began + plan.warm_up).into()).await;
    caller::begin()?;
    // The connections stay open until their last answers have come.
    let (late_us, _writers) = sending.await.context("the sender failed")??;
    let [answered, arrived] = [total(answered).await?, total(arrived).await?];
    caller::end()?;
    for seen in [&answered, &arrived] {
        ensure!(seen.messages == plan.times.len(), "{} of {} messages", seen.messages, plan.times.len());
    }
    caller::result(json!({
        "messages": arrived.latency_us.len(),
        "answered_us": quantiles(&answered.latency_us),
        "arrived_us": quantiles(&arrived.latency_us),
        "sent_late_us": quantiles(&late_us),
    }))
}

/// Sends each message at its time, from a thread of its own: a timer of the runtime is good to a
/// millisecond only, and would wait for whatever task is running. Gives how late they went out.
fn send(plan: &Plan, mut writers: Vec<Writer>) -> Result<(Histogram<u64>, Vec<Writer>)> {
    let mut late_us = histogram();
    for (number, &time) in plan.times.iter().enumerate() {
        std::thread::sleep((plan.began + time).saturating_duration_since(Instant::now()));
        let (writer, posting) = &mut writers[number % plan.pairs];
        let bytes = posting.stamped(number as u64);
        // A request is a few hundred bytes. One that a socket does not take at once would have to wait
        // behind thousands of others that the server has not read.
        let sent = writer.try_write(bytes).context("the server does not read what it is sent")?;
        ensure!(sent == bytes.len(), "the server does not read what it is sent");
        if time >= plan.warm_up {
            late_us.saturating_record(plan.latency_us(number));
        }
    }
    Ok((late_us, writers))
}

/// A connection's answers come in the order of its messages: every one of its pair.
async fn follow_answers(mut answers: Answers, plan: Arc<Plan>, pair: usize) -> Result<Seen> {
    let mut seen = Seen { latency_us: histogram(), messages: 0 };
    for number in (pair..plan.times.len()).step_by(plan.pairs) {
        let answer = plan.in_time(answers.next()).await?;
        let shown = answer.body.escape_ascii();
        ensure!(answer.status == 201, "a message was answered {}: {shown}", answer.status);
        seen.record(&plan, number);
    }
    Ok(seen)
}

/// Every message of its pair arrives, once and in the order in which they were sent.
async fn follow_stream(mut stream: Stream, plan: Arc<Plan>, pair: usize) -> Result<Seen> {
    let mut seen = Seen { latency_us: histogram(), messages: 0 };
    for number in (pair..plan.times.len()).step_by(plan.pairs) {
        let event = loop {
            match stream.buffered() {
                Some(event) if stream::is(&event, "message") => break event,
                Some(_) => {}
                None => plan.in_time(stream.read()).await?,
            }
        };
        let is_next = client_id(&event).and_then(request::number) == Some(number as u64);
        ensure!(is_next, "not message {number} but {}", event.escape_ascii());
        seen.record(&plan, number);
    }
    Ok(seen)
}

fn client_id(event: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = br#""client_id":""#;
    memmem::find(event, NAME).map(|at| &event[at + NAME.len()..])
}

impl Plan {
    /// Time since the message was to be sent.
    fn latency_us(&self, number: usize) -> u64 {
        let meant = self.began + self.times[number];
        Instant::now().saturating_duration_since(meant).as_micros() as u64
    }

    /// What must come before the wait for the last message is over.
    async fn in_time<T>(&self, coming: impl Future<Output = Result<T>>) -> Result<T> {
        let last = self.began + self.times.last().copied().unwrap_or_default();
        let waited = tokio::time::timeout_at((last + WAIT_MAX).into(), coming).await;
        waited.context("a message did not arrive")?
    }
}

impl Seen {
    fn record(&mut self, plan: &Plan, number: usize) {
        let latency_us = plan.latency_us(number);
        self.messages += 1;
        if plan.times[number] >= plan.warm_up {
            self.latency_us.saturating_record(latency_us);
        }
    }
}

/// Microseconds up to a minute, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("these are valid bounds")
}

async fn total(mut tasks: JoinSet<Result<Seen>>) -> Result<Seen> {
    let mut total = Seen { latency_us: histogram(), messages: 0 };
    while let Some(seen) = tasks.join_next().await {
        let seen = seen??;
        total.latency_us.add(&seen.latency_us).context("histograms with different bounds")?;
        total.messages += seen.messages;
    }
    Ok(total)
}

fn quantiles(latency_us: &Histogram<u64>) -> Value {
    let at = |quantile| latency_us.value_at_quantile(quantile);
    json!({"p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": latency_us.max()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_from_when_a_message_was_to_be_sent() {
        let times = [0, 100].map(Duration::from_millis).to_vec();
        let began = Instant::now().checked_sub(Duration::from_millis(300)).unwrap();
        let plan = Plan { began, times, pairs: 1, warm_up: Duration::from_millis(50) };
        let mut seen = Seen { latency_us: histogram(), messages: 0 };
        (0..2).for_each(|number| seen.record(&plan, number));
        assert_eq!((seen.messages, seen.latency_us.len()), (2, 1), "the first was for the warm-up");
        assert!(seen.latency_us.max() >= 200_000, "{}", seen.latency_us.max());
    }

    #[test]
    fn an_event_is_known_by_its_client_id() {
        let event = b"id: 1-2-abcd\nevent: message\ndata: {\"client_id\":\"00000000000000ff\",\"seq\":1}\n\n";
        assert_eq!(client_id(event).and_then(request::number), Some(255));
        assert!(stream::is(event, "message") && !stream::is(event, "mess"));
        assert_eq!(client_id(b"event: ready\ndata: {}\n\n"), None);
    }
}

//! A device: opens its stream, holds it, and comes back when it is gone, for ever.
//!
//! What waits on an idle stream is `hold`; all that takes room and is over soon is boxed.

mod events;

pub use events::plan_end;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::arrivals::exponential;
use crate::failure::Failure;
use crate::jobs::Job;
use crate::line::ANSWER_MAX;
use crate::measure::{Count, ErrorKind};
use crate::plan::Http;
use crate::stream::{Stream, Subscribe, http1};
use crate::world::{Device, Order, World};

/// The first wait after a failure; doubled with each that follows. A wait is drawn between 0 and this.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest wait after a failure: a restarted server is found soon.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long a phone is gone that changes networks, on average.
const AWAY_CLOSE: Duration = Duration::from_secs(1);

/// How long an app is in the background, on average.
const AWAY_BACKGROUND: Duration = Duration::from_secs(5);

/// Streams that were left and are kept open, at most: each is a file descriptor.
pub const LEFT_MAX: usize = 1000;

/// How long a stream that was left is kept open, so that the server has to find out by itself.
pub const LEFT_FOR: Duration = Duration::from_secs(60);

/// An event's bytes that a slow reader takes at once.
const SLOW_BYTES: usize = 256;

/// Why a stream is no longer held.
#[derive(Debug)]
enum End {
    /// The server ended it.
    Ended,
    /// It broke.
    Broken(Failure),
    /// This side was told to.
    Told(Order),
}

/// The life of an account's device.
pub async fn run(world: Rc<World>, account: u32) {
    let mut failures = 0;
    let mut wish = Instant::now();
    loop {
        let opened = {
            // Thousands may wait here; what opens a stream takes room only then.
            let _permit = world.opening.acquire().await;
            Box::pin(try_open(&world, account, wish, failures)).await
        };
        let away = match opened {
            Ok(mut stream) => {
                failures = 0;
                let end = match world.devices[account as usize].slow.get() {
                    true => Box::pin(hold_slowly(&world, account, &mut stream, wish)).await,
                    false => hold(&world, account, &mut stream, wish).await,
                };
                ended(&world, account, *stream, *end)
            }
            Err(away) => {
                failures += 1;
                away
            }
        };
        if !away.is_zero() {
            Box::pin(stay_away(&world.devices[account as usize], away)).await;
        }
        if failures == 0 {
            wish = Instant::now();
        }
    }
}

/// Opens a stream after so many failures; if there is none, says how long to stay away.
async fn try_open(
    world: &World,
    account: u32,
    wish: Instant,
    failures: u32,
) -> Result<Box<Stream>, Duration> {
    open(world, account, wish).await.map(Box::new).map_err(|failure| {
        world.fail(&failure);
        gone(world, account);
        let pause = (PAUSE_MIN * (1 << failures.min(8))).min(PAUSE_MAX);
        failure.retry_after.unwrap_or(pause.mul_f64(rand::random()))
    })
}

/// Opens a stream from where the last one was.
async fn open(world: &World, account: u32, wish: Instant) -> Result<Stream, Failure> {
    let device = &world.devices[account as usize];
    let subscribe = world.server.subscribe(world, account)?;
    let (mut stream, rest) = connect(world, &subscribe).await?;
    let after = device.last_event_id.borrow().clone();
    device.opened.set(device.opened.get() + 1);
    device.caught_up.set(after.is_empty());
    world.count(Count::Opened);
    world.count_many(Count::Resumed, u64::from(!after.is_empty()));
    if let Some(history) = &world.history {
        let accounts = world.accounts.borrow();
        let after = Some(after.as_str()).filter(|id| !id.is_empty());
        device.stream.set(Some(history.opened(&accounts.name(account), accounts.device(account), after)));
    }
    if world.server.is_ready_at_head() {
        events::ready(world, account, wish, None);
    }
    stream.feed(&rest, |item| events::take(world, account, wish, item))?;
    Ok(stream)
}

/// Waits so long, or until the device is told that the load is over: then everybody comes back.
async fn stay_away(device: &Device, away: Duration) {
    let told = poll_fn(|cx| match device.order.replace(Order::Hold) {
        Order::Hold => {
            device.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        }
        _ => Poll::Ready(()),
    });
    // Either way it is time.
    let _ = tokio::time::timeout(away, told).await;
}

/// Opens a stream and closes it again.
///
/// # Errors
/// Why there is none.
pub async fn probe(world: &World, subscribe: &Subscribe) -> Result<(), Failure> {
    let opened = connect(world, subscribe).await?;
    drop(opened);
    Ok(())
}

async fn connect(world: &World, subscribe: &Subscribe) -> Result<(Stream, Vec<u8>), Failure> {
    let connected = async {
        match world.plan.server.http {
            Http::Http1 => http1::open(&world.dialer, subscribe).await,
            Http::Http2 => world.connections.open(&world.dialer, subscribe).await,
        }
    };
    let late = || Failure::said(ErrorKind::NoAnswer, format!("no stream in {ANSWER_MAX:?}"));
    tokio::time::timeout(ANSWER_MAX, connected).await.unwrap_or_else(|_| Err(late()))
}

/// Reads a stream as fast as it comes, until it ends or the device is told something else.
async fn hold(world: &World, account: u32, stream: &mut Stream, wish: Instant) -> Box<End> {
    poll_fn(|cx| {
        loop {
            let end = ready!(poll_once(world, account, stream, wish, usize::MAX, cx));
            if let Err(end) = end {
                return Poll::Ready(Box::new(end));
            }
        }
    })
    .await
}

/// Reads some bytes a second while the load lasts, then as fast as it comes.
async fn hold_slowly(world: &World, account: u32, stream: &mut Stream, wish: Instant) -> Box<End> {
    let bytes_per_s = world.plan.streams.slow_bytes_per_s.max(1);
    loop {
        // Before the load it reads what makes it a stream at all.
        let slowly = world.is_loaded();
        let max = if slowly { SLOW_BYTES.min(bytes_per_s as usize) } else { usize::MAX };
        match poll_fn(|cx| poll_once(world, account, stream, wish, max, cx)).await {
            Err(end) => return Box::new(end),
            Ok(read) if slowly => {
                let pause = Duration::from_secs_f64(read as f64 / f64::from(bytes_per_s));
                let device = &world.devices[account as usize];
                let told = poll_fn(|cx| poll_told(device, cx));
                if let Ok(order) = tokio::time::timeout(pause, told).await {
                    return Box::new(End::Told(order));
                }
            }
            Ok(_) => {}
        }
    }
}

/// One read of `max` bytes at most; ready with their number, or with the end.
fn poll_once(
    world: &World,
    account: u32,
    stream: &mut Stream,
    wish: Instant,
    max: usize,
    cx: &mut Context<'_>,
) -> Poll<Result<usize, End>> {
    if let Poll::Ready(order) = poll_told(&world.devices[account as usize], cx) {
        return Poll::Ready(Err(End::Told(order)));
    }
    let read = ready!(stream.poll_items(cx, max, |item| events::take(world, account, wish, item)));
    Poll::Ready(match read {
        Ok(0) => Err(End::Ended),
        Ok(read) => Ok(read),
        Err(failure) => Err(End::Broken(failure)),
    })
}

/// Ready when the device is to let go of its stream.
fn poll_told(device: &Device, cx: &mut Context<'_>) -> Poll<Order> {
    match device.order.replace(Order::Hold) {
        Order::Hold | Order::Look => {
            device.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        }
        order => Poll::Ready(order),
    }
}

/// What follows the end of a stream; how long the device stays away.
fn ended(world: &World, account: u32, stream: Stream, end: End) -> Duration {
    gone(world, account);
    let device = &world.devices[account as usize];
    let mut random = StdRng::seed_from_u64(world.seed_of(account, device.opened.get()));
    let retry = Duration::from_millis(device.retry_ms.get().into());
    match end {
        End::Ended => {
            world.count(Count::Ended);
            retry.mul_f64(random.random())
        }
        End::Broken(failure) => {
            world.fail(&failure);
            PAUSE_MIN.mul_f64(random.random())
        }
        End::Told(Order::Leave) => {
            world.count(Count::Left);
            leave(world, stream);
            exponential(&mut random, AWAY_CLOSE)
        }
        End::Told(Order::Background) => {
            world.count(Count::Cut);
            // If there is no room for it, it is as if the app had been killed.
            device.background.set(world.jobs.push(Job::State { account, background: true }).is_ok());
            exponential(&mut random, AWAY_BACKGROUND)
        }
        End::Told(Order::Close) => {
            world.count(Count::Cut);
            exponential(&mut random, AWAY_CLOSE)
        }
        End::Told(_) => {
            world.count(Count::Cut);
            stream.reset();
            Duration::ZERO
        }
    }
}

/// A device has no stream any more.
fn gone(world: &World, account: u32) {
    let device = &world.devices[account as usize];
    if device.ready.replace(false) {
        world.streams.set(world.streams.get() - 1);
    }
    device.stream.set(None);
    device.waker.set(None);
}

/// Keeps a stream open that nobody reads any more.
fn leave(world: &World, stream: Stream) {
    let mut left = world.left.borrow_mut();
    left.push_back((Instant::now(), stream));
    if left.len() > LEFT_MAX
        && let Some((_, oldest)) = left.pop_front()
    {
        oldest.reset();
    }
}

/// Counts a stream on which nothing came, and tells its device to give it up.
pub fn silent(world: &World, account: u32) {
    let device = &world.devices[account as usize];
    let name = || world.accounts.borrow().name(account);
    world.fail_with(ErrorKind::Silent, || format!("the stream of {}: not even a heartbeat", name()));
    device.tell(Order::Reset);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_output<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// Of the 1,000 bytes that an idle stream may cost. The runtime adds some 130 to the task, and the
    /// socket's registration is 380.
    #[test]
    fn what_waits_on_an_idle_stream_is_small() {
        let (task, stream, device) = (size_of_output(run), size_of::<Stream>(), size_of::<Device>());
        assert!(task + stream + device <= 384, "task {task}, stream {stream}, device {device}");
    }
}

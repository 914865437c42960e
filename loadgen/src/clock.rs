//! Waiting to the microsecond: the runtime's own timers are a millisecond coarse, which would be in
//! every time that is measured.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustix::time::{timerfd_create, timerfd_settime};
use tokio::io::unix::AsyncFd;

/// One timer of the kernel (`timerfd_create(2)`).
pub struct Clock(AsyncFd<OwnedFd>);

impl Clock {
    /// # Errors
    /// When the system has no more file descriptors.
    pub fn new() -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).context("no timer")?;
        #[expect(deprecated, reason = "its successor is unsafe; an OwnedFd keeps what it asks for")]
        let registered = AsyncFd::new(timer);
        Ok(Self(registered.context("no timer")?))
    }

    /// Waits until then; not at all when that is over.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn sleep_until(&mut self, at: Instant) -> Result<()> {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        // Setting it anew takes back an expiry that was not read.
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once(left))
            .context("the timer cannot be set")?;
        loop {
            let mut ready = self.0.readable().await.context("the timer")?;
            let mut expiries = [0; 8];
            match ready.try_io(|timer| Ok(rustix::io::read(timer, &mut expiries)?)) {
                Ok(read) => return read.map(|_| ()).context("the timer cannot be read"),
                Err(_not_yet) => {}
            }
        }
    }
}

fn once(left: Duration) -> Itimerspec {
    Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_and_waits_again_and_not_for_what_is_over() {
        let mut clock = Clock::new().unwrap_or_else(|error| panic!("{error}"));
        for wait in [Duration::from_micros(300), Duration::from_millis(2)] {
            let at = Instant::now() + wait;
            assert!(clock.sleep_until(at).await.is_ok());
            assert!(Instant::now() >= at);
            assert!(clock.sleep_until(at).await.is_ok());
        }
    }
}

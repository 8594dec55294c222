//! Waiting for many sockets at once, and for a moment to the microsecond.
//!
//! The generator and the upstream share the machine's few cores with what they measure. This is as
//! little as can stand between them and the kernel.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::os::fd::AsFd;
use std::time::Duration;

/// Sockets that are told of in one call of the kernel.
const BATCH: usize = 256;
/// What the timer is told as.
const TIMER: u64 = u64::MAX;

/// What is waited for.
#[derive(Debug)]
pub(super) struct Reactor {
    epoll: Epoll,
    timer: TimerFd,
    events: Vec<EpollEvent>,
}

impl Reactor {
    pub(super) fn new() -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("can't use epoll")?;
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).context("can't make a timer")?;
        let reactor = Self {
            epoll,
            timer,
            events: vec![EpollEvent::empty(); BATCH],
        };
        reactor.add(&reactor.timer, TIMER)?;
        Ok(reactor)
    }

    /// Waits from now on for something to read, too. It is told as `token`, below `u64::MAX`,
    /// until it is closed.
    pub(super) fn add(&self, source: impl AsFd, token: u64) -> Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, token);
        self.epoll
            .add(source, event)
            .context("can't wait for a file")
    }

    /// Waits until something can be read, or `longest` is over. `ready` becomes the tokens of what
    /// can be read; none after `longest`.
    pub(super) fn wait(&mut self, longest: Duration, ready: &mut Vec<u64>) -> Result<()> {
        ready.clear();
        self.wake_after(longest)?;
        let count = match self.epoll.wait(&mut self.events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => 0,
            count => count.context("can't wait")?,
        };
        let tokens = self.events[..count].iter().map(EpollEvent::data);
        ready.extend(tokens.filter(|token| *token != TIMER));
        Ok(())
    }

    /// Setting the timer anew also takes back that it has rung. A time of zero would switch it off.
    fn wake_after(&self, time: Duration) -> Result<()> {
        let time = time.max(Duration::from_nanos(1));
        let once = Expiration::OneShot(TimeSpec::from_duration(time));
        self.timer
            .set(once, TimerSetTimeFlags::empty())
            .context("can't set a timer")
    }
}

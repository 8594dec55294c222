//! The generator: short requests over kept-alive connections, as many as go or so many a second.

use super::callers::{Callers, Finished};
use super::question;
use crate::bench::row::middle;
use anyhow::{Result, bail};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Connections that a measurement uses.
pub(super) const CONNECTIONS: usize = 64;
/// What comes before a measurement, so that connections are open and code is warm.
const WARM_UP: Duration = Duration::from_millis(300);
/// Latencies are looked at by parts of this length: thousands of requests, and short beside what
/// else a machine may do for a moment.
const SLICE: Duration = Duration::from_millis(250);

/// What a measurement has seen.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// From when a request was due until its answer was whole, by the slice of time in which that
    /// was; sorted in each.
    slices: Vec<Vec<Duration>>,
    seconds: f64,
    /// Those of the warm-up included.
    all: u32,
}

impl Measured {
    /// Answers a second.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn rate(&self) -> f64 {
        let answers: usize = self.slices.iter().map(Vec::len).sum();
        answers as f64 / self.seconds
    }

    /// How many answers came, those of the warm-up included.
    pub(super) fn all_answers(&self) -> f64 {
        f64::from(self.all)
    }

    /// The latency that a share of the requests don't exceed, in microseconds: the median of the
    /// slices. A machine that is busy with something else for a moment spoils a slice or two, and
    /// would spoil the tail of the whole.
    pub(super) fn micros(&self, share: f64) -> f64 {
        let of_slice = self.slices.iter().map(|slice| seconds_at(slice, share));
        let known: Vec<f64> = of_slice.filter(|seconds| !seconds.is_nan()).collect();
        middle(&known) * 1e6
    }
}

/// What a share of sorted times doesn't exceed, in seconds; of none, no number.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
pub(super) fn seconds_at(sorted: &[Duration], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let index = (last as f64 * share).ceil() as usize;
    sorted.get(index).map_or(f64::NAN, Duration::as_secs_f64)
}

/// Each connection sends its next request once the last one is answered.
///
/// # Errors
/// When a request fails.
pub(super) fn closed(targets: &[SocketAddr], length: Duration) -> Result<Measured> {
    let mut callers = Callers::connect(targets, conversations())?;
    let mut window = Window::new(length);
    for index in 0..CONNECTIONS {
        callers.send(index, Instant::now())?;
    }
    while let Some(left) = window.left() {
        callers.turn(left, |_, _| {})?;
        let now = Instant::now();
        while let Some(finished) = callers.finished.pop() {
            window.count(&finished, now)?;
            callers.send(finished.index, now)?;
        }
    }
    Ok(window.close())
}

/// So many requests a second, evenly, whether the earlier ones are answered or not. One that finds
/// no connection free waits, and its latency counts from when it was due.
///
/// # Errors
/// When a request fails.
pub(super) fn open(targets: &[SocketAddr], rate: f64, length: Duration) -> Result<Measured> {
    let mut callers = Callers::connect(targets, conversations())?;
    let mut window = Window::new(length);
    let period = Duration::from_secs_f64(1.0 / rate);
    let mut free: VecDeque<usize> = (0..CONNECTIONS).collect();
    let mut waiting = VecDeque::new();
    let mut next = Instant::now();
    while let Some(left) = window.left() {
        let now = Instant::now();
        while next <= now {
            waiting.push_back(next);
            next += period;
        }
        while !waiting.is_empty()
            && let Some(index) = free.pop_front()
            && let Some(due) = waiting.pop_front()
        {
            callers.send(index, due)?;
        }
        let longest = left.min(next.saturating_duration_since(Instant::now()));
        callers.turn(longest, |_, _| {})?;
        let now = Instant::now();
        while let Some(finished) = callers.finished.pop() {
            window.count(&finished, now)?;
            free.push_back(finished.index);
        }
    }
    Ok(window.close())
}

/// A short request for each connection.
fn conversations() -> Vec<Vec<u8>> {
    (0..CONNECTIONS).map(question::short).collect()
}

/// Whether `target` answers a request well.
pub(super) fn answers(target: SocketAddr, request: &[u8]) -> bool {
    let one = || -> Result<bool> {
        let mut callers = Callers::connect(&[target], vec![request.to_vec()])?;
        callers.send(0, Instant::now())?;
        while callers.finished.is_empty() {
            callers.turn(Duration::from_secs(1), |_, _| {})?;
        }
        Ok(callers.finished[0].failure().is_none())
    };
    one().unwrap_or(false)
}

/// The time that counts.
struct Window {
    begin: Instant,
    end: Instant,
    measured: Measured,
}

impl Window {
    fn new(length: Duration) -> Self {
        let begin = Instant::now() + WARM_UP;
        let measured = Measured {
            seconds: length.as_secs_f64(),
            ..Measured::default()
        };
        Self {
            begin,
            end: begin + length,
            measured,
        }
    }

    fn left(&self) -> Option<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    fn count(&mut self, finished: &Finished, now: Instant) -> Result<()> {
        if let Some(failure) = finished.failure() {
            bail!(failure);
        }
        self.measured.all += 1;
        if now >= self.begin {
            let slice = (now - self.begin).as_millis() / SLICE.as_millis();
            let slice = usize::try_from(slice).unwrap_or(usize::MAX);
            let slices = &mut self.measured.slices;
            slices.resize_with(slices.len().max(slice + 1), Vec::new);
            slices[slice].push(now - finished.due);
        }
        Ok(())
    }

    fn close(mut self) -> Measured {
        for slice in &mut self.measured.slices {
            slice.sort_unstable();
        }
        self.measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_taken_of_each_slice_and_the_middle_one_counts() {
        let slice = |slow: u64| (1..=100).map(move |it| Duration::from_micros(it * slow));
        let measured = Measured {
            slices: [1, 90, 2].map(|slow| slice(slow).collect()).to_vec(),
            seconds: 2.0,
            all: 300,
        };
        assert_eq!(measured.rate(), 150.0);
        assert_eq!(measured.micros(0.5), 102.0);
        assert_eq!(measured.micros(0.99), 200.0);
        assert!(Measured::default().micros(0.5).is_nan());
    }
}

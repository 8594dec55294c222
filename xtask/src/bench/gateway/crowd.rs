//! The load of keys: greedy ones, whose every connection always has a request under way, and a light
//! one, with one request at a time.

use super::callers::{Callers, Finished};
use super::load::seconds_at;
use super::question::{self, Usage};
use anyhow::{Result, bail};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Between a light request's end and the next one's begin, one after another: of no period in which
/// answers end.
const PAUSES: [Duration; 4] = [
    Duration::from_micros(7_130),
    Duration::from_micros(31_770),
    Duration::from_micros(18_390),
    Duration::from_micros(25_010),
];
/// Until slots no longer end at one time as they began, and shares no longer tell of the begin.
const WARM_UP: Duration = Duration::from_secs(2);

/// Connections that always have a request under way, and behind them those of the light key.
pub(super) struct Crowd {
    callers: Callers,
    greedy: usize,
    light: usize,
    /// Light requests that were sent.
    sent: usize,
    /// When the next one is due; `None` while one is under way.
    next: Option<Instant>,
}

/// What has been seen after the warm-up.
#[derive(Debug)]
pub(super) struct Seen {
    /// By connection, whole answers together.
    pub(super) used: Vec<Usage>,
    /// Of the light requests; sorted.
    pub(super) latencies: Vec<Duration>,
}

impl Crowd {
    /// Connects; `greedy` and `light` are a request for each connection.
    pub(super) fn new(
        gateway: SocketAddr,
        greedy: Vec<Vec<u8>>,
        light: Vec<Vec<u8>>,
    ) -> Result<Self> {
        let counts = (greedy.len(), light.len());
        let callers = Callers::connect(&[gateway], [greedy, light].concat())?;
        Ok(Self {
            callers,
            greedy: counts.0,
            light: counts.1,
            sent: 0,
            next: (counts.1 > 0).then(Instant::now),
        })
    }

    /// Loads the gateway, and tells what came in `length` after the warm-up.
    ///
    /// # Errors
    /// When a request fails.
    pub(super) fn run(mut self, length: Duration) -> Result<Seen> {
        let mut seen = Seen {
            used: vec![Usage::default(); self.greedy + self.light],
            latencies: Vec::new(),
        };
        let begin = Instant::now() + WARM_UP;
        for index in 0..self.greedy {
            self.callers.send(index, Instant::now())?;
        }
        loop {
            let now = Instant::now();
            let left = (begin + length).saturating_duration_since(now);
            if left.is_zero() {
                break;
            }
            self.send_light(now)?;
            let next = self.next.map(|next| next.saturating_duration_since(now));
            let mut used = Vec::new();
            let longest = next.map_or(left, |next| next.min(left));
            self.callers.turn(longest, |index, body| {
                used.push((index, question::usage(body)));
            })?;
            let now = Instant::now();
            if now >= begin {
                seen.add(&used);
            }
            while let Some(finished) = self.callers.finished.pop() {
                let latency = self.end(&finished, now)?;
                seen.latencies.extend(latency.filter(|_| now >= begin));
            }
        }
        seen.latencies.sort_unstable();
        Ok(seen)
    }

    fn send_light(&mut self, now: Instant) -> Result<()> {
        if let Some(due) = self.next.take_if(|next| *next <= now) {
            let index = self.greedy + self.sent % self.light;
            self.callers.send(index, due)?;
            self.sent += 1;
        }
        Ok(())
    }

    /// Goes on behind a request that is over, and tells how long a light one took.
    fn end(&mut self, finished: &Finished, now: Instant) -> Result<Option<Duration>> {
        if let Some(failure) = finished.failure() {
            bail!("of a key: {failure}");
        }
        if finished.index < self.greedy {
            self.callers.send(finished.index, now)?;
            return Ok(None);
        }
        self.next = Some(now + PAUSES[self.sent % PAUSES.len()]);
        Ok(Some(now - finished.due))
    }
}

impl Seen {
    fn add(&mut self, used: &[(usize, Option<Usage>)]) {
        for (index, used) in used {
            // An answer that is none fails its request.
            let used = used.unwrap_or_default();
            self.used[*index].prompt += used.prompt;
            self.used[*index].answer += used.answer;
        }
    }

    /// The latency that a share of the light requests don't exceed.
    pub(super) fn light_millis(&self, share: f64) -> f64 {
        seconds_at(&self.latencies, share) * 1e3
    }

    /// Those of all connections.
    pub(super) fn answer_tokens(&self) -> u64 {
        self.used.iter().map(|used| used.answer).sum()
    }
}

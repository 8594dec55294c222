//! What a simulated replica measures, told as a real one tells it.

use chandler_core::load::{Histogram, Reading};
use chandler_crds::names::metrics;

use super::replica::{Ended, Engine, Nanos};

/// Counts from the start of a replica's process.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    ended: u64,
    ttft: Counted,
    latency: Counted,
    queue_time: Counted,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            ended: 0,
            ttft: Counted::new(metrics::FIRST_TOKEN_BUCKETS),
            latency: Counted::new(metrics::REQUEST_BUCKETS),
            queue_time: Counted::new(metrics::REQUEST_BUCKETS),
        }
    }
}

impl Counters {
    /// Counts what a run came to.
    pub(super) fn note(&mut self, ended: &Ended, now: Nanos) {
        for time in &ended.begun {
            self.queue_time.add(*time);
        }
        for job in &ended.first {
            self.ttft.add(now - job.sent);
        }
        for job in &ended.last {
            self.ended += 1;
            self.latency.add(now - job.sent);
        }
    }

    /// What the replica tells of itself now.
    pub(super) fn reading(&self, engine: &Engine, now: Nanos) -> Reading {
        Reading {
            running: engine.running() as f64,
            waiting: engine.waiting() as f64,
            most_running: Some(engine.most_running()),
            kv_cache: Some(engine.kv_usage()),
            prompt_tokens: engine.prompt_tokens as f64,
            generation_tokens: engine.generated(now) as f64,
            ended: self.ended as f64,
            ttft: self.ttft.told(),
            latency: self.latency.told(),
            queue_time: self.queue_time.told(),
        }
    }
}

/// Values by bucket.
#[derive(Clone, Debug)]
struct Counted {
    bounds: &'static [f64],
    /// One more than there are bounds.
    counts: Vec<u64>,
    sum: f64,
}

impl Counted {
    fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: vec![0; bounds.len() + 1],
            sum: 0.0,
        }
    }

    /// Adds a time in nanoseconds.
    fn add(&mut self, time: Nanos) {
        let seconds = time as f64 / 1e9;
        let at = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[at] += 1;
        self.sum += seconds;
    }

    fn told(&self) -> Histogram {
        let mut below = 0;
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let buckets = bounds.zip(&self.counts).map(|(bound, count)| {
            below += count;
            (bound, below as f64)
        });
        Histogram {
            buckets: buckets.collect(),
            sum: self.sum,
        }
    }
}

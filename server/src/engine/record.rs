//! The measurements of one request on its way through an engine.

use std::sync::Arc;
use std::time::Instant;

use super::FinishReason;
use crate::metrics::Metrics;

/// Writes one request's times and tokens into the metrics, each at its moment.
#[derive(Debug)]
pub struct Recorder {
    /// Absent for requests that metrics leave out.
    metrics: Option<Arc<Metrics>>,
    arrived: Instant,
    last_token: Option<Instant>,
    generated: usize,
}

impl Recorder {
    /// A request arrives now.
    #[must_use]
    pub fn arrive(metrics: Option<Arc<Metrics>>) -> Self {
        Self {
            metrics,
            arrived: Instant::now(),
            last_token: None,
            generated: 0,
        }
    }

    /// It leaves the queue.
    pub fn start(&self) {
        if let Some(metrics) = &self.metrics {
            let waited = self.arrived.elapsed();
            metrics.queue_time.observe(waited.as_secs_f64());
        }
    }

    /// So many of its prompt's tokens were processed.
    pub fn prompt(&self, tokens: usize) {
        if let Some(metrics) = &self.metrics {
            metrics.prompt_tokens.inc_by(tokens as u64);
        }
    }

    /// One more token was written.
    pub fn token(&mut self) {
        self.generated += 1;
        let now = Instant::now();
        let before = self.last_token.replace(now);
        let Some(metrics) = &self.metrics else {
            return;
        };
        metrics.generation_tokens.inc();
        match before {
            None => metrics.observe_first_token(now - self.arrived),
            Some(before) => metrics.observe_next_token(now - before),
        }
    }

    /// Tokens written so far.
    #[must_use]
    pub fn generated(&self) -> usize {
        self.generated
    }

    /// It ended well.
    pub fn finish(&self, reason: FinishReason) {
        self.end(reason.as_str());
    }

    /// Its client has gone.
    pub fn abort(&self) {
        self.end(Metrics::ABORTED);
    }

    /// Its time was up.
    pub fn time_out(&self) {
        self.end(Metrics::TIMED_OUT);
    }

    /// It failed.
    pub fn fail(&self) {
        self.end(Metrics::FAILED);
    }

    fn end(&self, reason: &str) {
        if let Some(metrics) = &self.metrics {
            metrics.observe_end(reason, self.arrived.elapsed());
        }
    }
}

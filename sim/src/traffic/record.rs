//! What is noted of a simulation: each request's times, and what there was from second to second.

use std::time::Duration;

use super::outcome::{Outcome, Quantiles, Sample};
use super::policy::Sight;
use super::replica::{Ended, Job, Nanos};
use super::tell::Counters;
use super::trace::Trace;

/// Of a request that has not come so far.
const NEVER: Nanos = Nanos::MAX;

#[derive(Debug)]
pub(super) struct Record {
    slo: Nanos,
    /// What a request takes beside the engine.
    beside: Nanos,
    /// By request.
    first: Vec<Nanos>,
    /// By request.
    last: Vec<Nanos>,
    in_flight: u64,
    failed: u64,
    arrived: u64,
    /// Requests in flight times nanoseconds, since the last look.
    area: u128,
    area_at: Nanos,
    looked_at: Nanos,
    scale_events: u32,
    direction_changes: u32,
    grew: Option<bool>,
    samples: Vec<Sample>,
}

/// What happened since the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Second {
    pub(super) arrived: f64,
    pub(super) concurrency: f64,
}

impl Record {
    pub(super) fn new(trace: &Trace, slo: Duration, beside: Duration) -> Self {
        let count = trace.requests.len();
        let nanos = |length: Duration| u64::try_from(length.as_nanos()).unwrap_or(NEVER);
        Self {
            slo: nanos(slo),
            beside: nanos(beside),
            first: vec![NEVER; count],
            last: vec![NEVER; count],
            in_flight: 0,
            failed: 0,
            arrived: 0,
            area: 0,
            area_at: 0,
            looked_at: 0,
            scale_events: 0,
            direction_changes: 0,
            grew: None,
            samples: Vec::new(),
        }
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub(super) fn is_answered(&self, id: u32) -> bool {
        self.first[id as usize] != NEVER
    }

    pub(super) fn came(&mut self, now: Nanos) {
        self.measure(now);
        self.in_flight += 1;
        self.arrived += 1;
    }

    /// These will have no answer, or no more of it.
    pub(super) fn lost(&mut self, jobs: &[Job], now: Nanos) {
        self.measure(now);
        self.in_flight -= jobs.len() as u64;
        self.failed += jobs.len() as u64;
        for job in jobs {
            self.first[job.id as usize] = NEVER;
        }
    }

    pub(super) fn note(&mut self, ended: &mut Ended, counters: &mut Counters, now: Nanos) {
        counters.note(ended, now);
        ended.begun.clear();
        for job in ended.first.drain(..) {
            self.first[job.id as usize] = self.waited(&job, now);
        }
        if !ended.last.is_empty() {
            self.measure(now);
        }
        for job in ended.last.drain(..) {
            self.ends(&job, now);
        }
    }

    fn ends(&mut self, job: &Job, now: Nanos) {
        self.last[job.id as usize] = self.waited(job, now);
        self.in_flight -= 1;
    }

    /// How long a caller waited for what the engine has now.
    fn waited(&self, job: &Job, now: Nanos) -> Nanos {
        (now - job.came).saturating_add(self.beside)
    }

    fn measure(&mut self, now: Nanos) {
        self.area += u128::from(self.in_flight) * u128::from(now - self.area_at);
        self.area_at = now;
    }

    pub(super) fn second(&mut self, now: Nanos) -> Second {
        self.measure(now);
        let length = (now - self.looked_at).max(1);
        let second = Second {
            arrived: self.arrived as f64,
            concurrency: self.area as f64 / length as f64,
        };
        (self.area, self.arrived, self.looked_at) = (0, 0, now);
        second
    }

    pub(super) fn sample(&mut self, sight: &Sight<'_>) {
        self.samples.push(Sample {
            at: sight.now,
            desired: sight.desired,
            ready: sight.ready,
            demand: sight.arrived,
            ttft_p95: sight.load.and_then(|load| load.recent.ttft_p95),
            waiting: sight.queued,
        });
    }

    pub(super) fn scaled(&mut self, from: u32, to: u32) {
        if from == to {
            return;
        }
        self.scale_events += 1;
        let grows = to > from;
        if self.grew.is_some_and(|grew| grew != grows) {
            self.direction_changes += 1;
        }
        self.grew = Some(grows);
    }

    pub(super) fn outcome(self, policy: String, replica_hours: f64, now: Nanos) -> Outcome {
        let within = self
            .first
            .iter()
            .filter(|first| **first <= self.slo)
            .count();
        let unanswered = self.in_flight;
        Outcome {
            policy,
            requests: self.first.len() as u64,
            within_slo: within as u64,
            failed: self.failed + unanswered,
            ttft: quantiles(self.first),
            latency: quantiles(self.last),
            replica_hours,
            scale_events: self.scale_events,
            direction_changes: self.direction_changes,
            length: Duration::from_nanos(now),
            samples: self.samples,
        }
    }
}

/// Of those that came.
fn quantiles(times: Vec<Nanos>) -> Quantiles {
    let came = times.into_iter().filter(|time| *time != NEVER);
    Quantiles::of(came.map(Duration::from_nanos))
}

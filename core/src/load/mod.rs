//! What replicas measure of their load: what one tells at a moment, and what a while of it comes to.
//!
//! ```text
//! Reading of each replica ──► Series ──► LoadSeen (now, and two windows)
//!                                   └──► Trail (the last half hour, in slots)
//! ```
//!
//! Whoever asks replicas brings the time, as a length since some moment of its own by a clock that
//! never jumps. Replicas may tell every second, or as seldom as every half a minute. A world that has
//! these numbers from elsewhere makes a [`LoadSeen`] itself.

mod histogram;
mod reading;
#[cfg(test)]
mod seldom_tests;
mod series;
mod slots;
#[cfg(test)]
mod tests;
mod track;

use std::sync::Arc;
use std::time::Duration;

pub use histogram::Histogram;
pub use series::Series;

/// The short window: a burst is seen in it, and a single long prompt too.
pub const RECENT: Duration = Duration::from_secs(10);
/// The long window: what holds for as long as that is no accident.
pub const STABLE: Duration = Duration::from_secs(60);
/// What a replica told is true for less than this, if it tells every second.
pub const FRESH: Duration = Duration::from_secs(4);
/// Length of a slot of the [`Trail`].
pub const SLOT: Duration = Duration::from_secs(10);
/// Most slots of the [`Trail`]: half an hour.
pub const SLOTS: usize = 180;

/// What one replica tells at one moment. Counters count from the start of its process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Requests being computed.
    pub running: f64,
    /// Requests in its queue.
    pub waiting: f64,
    /// Most requests that it computes at a time; `None` if it tells of no such bound.
    pub most_running: Option<f64>,
    /// Used share of the key-value cache, 0 to 1; `None` if it has none.
    pub kv_cache: Option<f64>,
    /// Counter: tokens of prompts, counted as their computation begins or ends.
    pub prompt_tokens: f64,
    /// Counter: tokens of answers.
    pub generation_tokens: f64,
    /// Counter: requests that ended, for whatever reason.
    pub ended: f64,
    /// Seconds from arrival to the first token.
    pub ttft: Histogram,
    /// Seconds from arrival to the end.
    pub latency: Histogram,
    /// Seconds in the queue.
    pub queue_time: Histogram,
}

/// The load of a revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadSeen {
    /// Ready replicas that told of themselves a moment ago. Those who did not are in no number.
    pub replicas: u32,
    /// Requests being computed now, in all of them.
    pub running: f64,
    /// Requests in their queues now.
    pub waiting: f64,
    /// Most requests that a replica computes at a time, the mean of those that have a bound.
    pub most_running: Option<f64>,
    /// Used share of the key-value cache now, 0 to 1, the mean of those that have one.
    pub kv_cache: Option<f64>,
    /// The last [`RECENT`].
    pub recent: Flow,
    /// The last [`STABLE`].
    pub stable: Flow,
}

/// What a revision did in a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flow {
    /// How much of the window was really seen.
    pub length: Duration,
    /// Mean count of replicas that were seen.
    pub replicas: f64,
    /// Mean of requests being computed, in all replicas.
    pub running: f64,
    /// Mean of requests in queues.
    pub waiting: f64,
    /// Requests that came.
    pub arrived: f64,
    /// Requests that ended.
    pub ended: f64,
    /// Tokens of prompts that were computed.
    pub prompt_tokens: f64,
    /// Tokens that were written.
    pub generation_tokens: f64,
    /// Seconds that prompts were computed for, their time in queues not counted, summed over
    /// requests.
    pub prefill_seconds: f64,
    /// Requests that had their first token.
    pub first_tokens: f64,
    /// 95th percentile of the time to the first token; `None` if no request had one.
    pub ttft_p95: Option<Duration>,
    /// 95th percentile of the whole request's time; `None` if none ended.
    pub latency_p95: Option<Duration>,
}

/// What was asked of a model for some time, all revisions together: slots of [`SLOT`], the oldest
/// first. Cloning it costs nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trail(pub Arc<[Slot]>);

/// One slot of a [`Trail`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slot {
    /// Requests that came.
    pub arrived: f64,
    /// Tokens of prompts that were computed.
    pub prompt_tokens: f64,
    /// Tokens that were written.
    pub generation_tokens: f64,
    /// Requests being computed, times the seconds that they were.
    pub running_seconds: f64,
    /// The same times how many there were in the replica: over the one above it is what a request
    /// saw being computed beside it and itself.
    pub beside_seconds: f64,
}

//! The port to whoever decides how many replicas there shall be, in a simulation of traffic.

use std::time::Duration;

use chandler_core::load::{LoadSeen, Trail};

/// How often a policy is shown what there is. Its own period may be a multiple of this.
pub const LOOK: Duration = Duration::from_secs(1);

/// What a policy sees at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// Time since the simulation began.
    pub now: Duration,
    /// Replicas that were asked for, starting ones among them.
    pub desired: u32,
    /// Replicas that are ready; those that drain are not.
    pub ready: u32,
    /// Requests that wait at the gateway for a first replica.
    pub held: f64,
    /// Requests in flight, mean over the last second: in replicas, in their queues and held.
    pub concurrency: f64,
    /// Requests in the replicas' queues and held, mean over the last second.
    pub queued: f64,
    /// Requests that came in the last second.
    pub arrived: f64,
    /// What the replicas told, as a world sees it; `None` while no scrape got through.
    pub load: Option<&'a LoadSeen>,
    /// What was asked lately.
    pub trail: &'a Trail,
}

/// Decides how many replicas there shall be.
pub trait Policy {
    /// What it is called in tables, with its main knob's value.
    fn name(&self) -> String;

    /// Looks, each [`LOOK`]; gives another count when it decides on one. The count is brought
    /// within the model's bounds by whoever asks.
    fn look(&mut self, sight: &Sight<'_>) -> Option<u32>;
}

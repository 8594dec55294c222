//! Chandler's own policy: the code that decides in a cluster, shown a simulated model.

use std::time::Duration;

use chandler_core::scale::{Case, Remembered, follow};
use chandler_core::validate::Scaling;
use jiff::Timestamp;

use super::engine::Bounds;
use super::policy::{Policy, Sight};
use crate::clock::{START, after};

/// Looks come as often as an operator's.
const PERIOD: Duration = Duration::from_secs(2);

/// The count follows the load.
#[derive(Clone, Debug)]
pub struct Chandler {
    name: String,
    scaling: Scaling,
    bounds: Bounds,
    /// How long a start takes, as the status of a model tells it.
    start: Duration,
    remembered: Remembered,
    moved_at: Option<Timestamp>,
}

impl Chandler {
    /// With these targets, for replicas that start in about `start`.
    #[must_use]
    pub fn new(name: String, scaling: Scaling, bounds: Bounds, start: Duration) -> Self {
        Self {
            name,
            scaling,
            bounds,
            start,
            remembered: Remembered::default(),
            moved_at: None,
        }
    }
}

impl Policy for Chandler {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn look(&mut self, sight: &Sight<'_>) -> Option<u32> {
        if !sight.now.as_secs().is_multiple_of(PERIOD.as_secs()) {
            return None;
        }
        let case = Case {
            scaling: &self.scaling,
            min: self.bounds.min,
            max: self.bounds.max,
            desired: sight.desired,
            ready: sight.ready,
            held: sight.held as u64,
            load: sight.load,
            trail: sight.trail,
            start: self.start,
            moved_at: self.moved_at,
            now: after(START, sight.now),
        };
        let followed = follow(&case, &self.remembered);
        if followed.replicas != sight.desired {
            self.moved_at = Some(case.now);
        }
        self.remembered = followed.remembered;
        Some(followed.replicas)
    }
}

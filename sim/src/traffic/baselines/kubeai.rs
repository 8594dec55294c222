use std::collections::VecDeque;
use std::time::Duration;

use super::{Ticks, ceil};
use crate::traffic::{Policy, Sight};

const INTERVAL: Duration = Duration::from_secs(10);
/// Intervals of the moving mean: ten minutes.
const WINDOW: usize = 60;
/// Ticks at which fewer were wanted before fewer are: `scaleDownDelaySeconds` of 30 over the
/// interval.
const LOW_VOTES: u32 = 3;

/// KubeAI's autoscaler of models.
///
/// Its rule is that of substratusai/kubeai, `internal/modelautoscaler/autoscaler.go` and
/// `internal/modelclient/scale.go`, with the defaults of `internal/config/system.go`:
///
/// - Every 10 s, ⌈mean / target⌉ replicas are wanted, over the requests in flight at its proxies at
///   the last 60 ticks. A model's history begins as ten minutes of nothing.
/// - More are there at once; fewer once three ticks in a row before have wanted fewer.
/// - A model without an endpoint, or without a metric, is passed over. A request to one at rest
///   wakes a replica at once.
///
/// The knob is `targetRequests` of one replica.
#[derive(Clone, Debug)]
pub struct KubeAi {
    target: f64,
    ticks: Ticks,
    history: VecDeque<f64>,
    low_votes: u32,
}

impl KubeAi {
    /// With a target of requests in flight for each replica.
    #[must_use]
    pub fn new(target: f64) -> Self {
        Self {
            target,
            ticks: Ticks::new(INTERVAL),
            history: [0.0; WINDOW].into(),
            low_votes: 0,
        }
    }

    fn wanted(&mut self, inflight: f64) -> u32 {
        self.history.pop_front();
        self.history.push_back(inflight);
        let mean = self.history.iter().sum::<f64>() / WINDOW as f64;
        ceil(mean / self.target)
    }
}

impl Policy for KubeAi {
    fn name(&self) -> String {
        format!("kubeai={}", self.target)
    }

    fn look(&mut self, sight: &Sight<'_>) -> Option<u32> {
        if sight.desired == 0 && sight.held > 0.0 {
            return Some(1);
        }
        if !self.ticks.due(sight.now) || sight.load.is_none() {
            return None;
        }
        let wanted = self.wanted(sight.concurrency);
        if wanted >= sight.desired {
            self.low_votes = 0;
        } else if self.low_votes < LOW_VOTES {
            self.low_votes += 1;
            return None;
        }
        (wanted != sight.desired).then_some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::play::Scene;
    use super::*;

    fn with(replicas: u32, running: f64) -> Scene {
        Scene {
            running,
            ..Scene::of(replicas)
        }
    }

    #[test]
    fn the_mean_of_ten_minutes_over_the_target_is_wanted() {
        // 60 in flight add one to the mean each tick: the 11th is the first above 10 = 1 · 10, the
        // 21st above 20.
        let mut scene = with(1, 60.0);
        let changes = scene.play(&mut KubeAi::new(10.0), 300);
        assert_eq!(changes, [(100, 2), (200, 3)]);
    }

    #[test]
    fn fewer_are_there_after_three_votes() {
        // Ticks at 0, 10 and 20 s want one of three, the fourth has it.
        let mut scene = with(3, 6.0);
        assert_eq!(scene.play(&mut KubeAi::new(10.0), 300), [(30, 1)]);
    }

    #[test]
    fn a_vote_for_as_many_begins_the_count_anew() {
        let mut policy = KubeAi::new(10.0);
        let mut scene = with(2, 6.0);
        assert_eq!(scene.play(&mut policy, 30), []);
        // Three low votes; the fourth tick wants ⌈(18 + 700)/60/10⌉ = 2, and so do all that follow
        // while the 700 are in the window.
        scene.running = 700.0;
        assert_eq!(scene.play(&mut policy, 10), []);
        scene.running = 0.0;
        let changes = scene.play(&mut policy, 700);
        // They leave it at 630 s. That tick and two more are the votes for none.
        assert_eq!(changes, [(660, 0)]);
    }

    #[test]
    fn a_request_wakes_one_and_who_tells_nothing_is_passed_over() {
        let mut policy = KubeAi::new(10.0);
        let asleep = Scene {
            now: 3,
            held: 1.0,
            ..Scene::default()
        };
        assert_eq!(asleep.look(&mut policy), Some(1));
        let starting = Scene {
            desired: 1,
            now: 10,
            ..asleep
        };
        assert_eq!(starting.look(&mut policy), None);
        let mut blind = Scene {
            silent: u32::MAX,
            ..with(4, 1.0)
        };
        assert_eq!(blind.play(&mut policy, 300), []);
    }
}

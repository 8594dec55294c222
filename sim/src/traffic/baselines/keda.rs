use std::time::Duration;

use super::hpa::{Behaviour, is_near};
use super::{Ticks, ceil};
use crate::traffic::{Policy, Sight};

const POLL: Duration = Duration::from_secs(30);
/// How long after it was last active the last replicas go.
const COOLDOWN: Duration = Duration::from_secs(300);

/// KEDA with its Prometheus scaler on the length of the queue, as served models are often scaled.
///
/// Its rule is that of kedacore/keda: `pkg/scaling/executor/scale_scaledobjects.go` between none
/// and one, and between one and many the HorizontalPodAutoscaler that KEDA makes, on an external
/// metric as `AverageValue`, which is that of kubernetes/kubernetes,
/// `pkg/controller/podautoscaler/replica_calculator.go`, with both projects' defaults:
///
/// - Every 15 s, ⌈queue / target⌉ are wanted, unless queue / (target · pods) lies within 10 % of 1.
///   Counts move as with the HorizontalPodAutoscaler, and not below one.
/// - Every 30 s it is looked whether anyone waits: then none becomes one, and when nobody has waited
///   for 300 s, or ever, all replicas go, however many there are and whatever they compute.
/// - A query that finds nothing counts as an empty queue, which is the scaler's default.
///
/// The knob is the target of one replica. The queue is that of all replicas, with the requests
/// that the gateway holds: without them nothing would wake the first replica.
#[derive(Clone, Debug)]
pub struct Keda {
    target: f64,
    polls: Ticks,
    behaviour: Behaviour,
    last_active: Option<Duration>,
}

impl Keda {
    /// With a target of waiting requests for each replica.
    #[must_use]
    pub fn new(target: f64) -> Self {
        Self {
            target,
            polls: Ticks::new(POLL),
            behaviour: Behaviour::new(),
            last_active: None,
        }
    }

    /// The operator's own part: none, one, or as it is.
    fn activate(&mut self, now: Duration, current: u32, queue: f64) -> u32 {
        if queue > 0.0 {
            self.last_active = Some(now);
            return current.max(1);
        }
        match self.last_active {
            Some(last) if last + COOLDOWN >= now => current,
            _ => 0,
        }
    }

    /// The part of the HorizontalPodAutoscaler, which rests where there is no replica.
    fn follow(&mut self, now: Duration, current: u32, queue: f64) -> u32 {
        if current == 0 {
            return 0;
        }
        let wanted = queue / self.target;
        let recommendation = if is_near(wanted / f64::from(current)) {
            current
        } else {
            ceil(wanted).max(1)
        };
        self.behaviour.apply(now, current, recommendation)
    }
}

impl Policy for Keda {
    fn name(&self) -> String {
        format!("keda={}", self.target)
    }

    fn look(&mut self, sight: &Sight<'_>) -> Option<u32> {
        let queue = match sight.load {
            Some(_) => sight.queued,
            None => sight.held,
        };
        let mut count = sight.desired;
        if self.polls.due(sight.now) {
            count = self.activate(sight.now, count, queue);
        }
        if self.behaviour.due(sight.now) {
            count = self.follow(sight.now, count, queue);
        }
        (count != sight.desired).then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::play::Scene;
    use super::*;

    fn with(replicas: u32, waiting: f64) -> Scene {
        Scene {
            running: 8.0,
            waiting,
            ..Scene::of(replicas)
        }
    }

    #[test]
    fn the_queue_over_the_target_is_wanted() {
        // ⌈12/5⌉ = 3.
        let mut scene = with(1, 12.0);
        assert_eq!(scene.play(&mut Keda::new(5.0), 300), [(0, 3)]);
        // 11 over 5 · 2 are 1.1: within the tolerance, where ⌈11/5⌉ would be 3.
        let mut scene = with(2, 11.0);
        assert_eq!(scene.play(&mut Keda::new(5.0), 300), []);
        // ⌈100/5⌉ = 20, by 4 or to twice as many each 15 s.
        let mut scene = with(1, 100.0);
        let changes = scene.play(&mut Keda::new(5.0), 60);
        assert_eq!(changes, [(0, 5), (15, 10), (30, 20)]);
    }

    #[test]
    fn shrinking_waits_five_minutes() {
        let mut policy = Keda::new(5.0);
        let mut scene = with(1, 12.0);
        assert_eq!(scene.play(&mut policy, 15), [(0, 3)]);
        scene.waiting = 4.0;
        assert_eq!(scene.play(&mut policy, 600), [(300, 1)]);
    }

    #[test]
    fn all_go_after_the_cooldown_though_some_compute() {
        let mut policy = Keda::new(5.0);
        let mut scene = with(2, 10.0);
        assert_eq!(scene.play(&mut policy, 30), []);
        // Nobody waits after the poll at 0 s. The HorizontalPodAutoscaler is at one once its
        // recommendation of 2 at 15 s is 300 s old; the poll at 330 s is the first after 300 s.
        scene.waiting = 0.0;
        assert_eq!(scene.play(&mut policy, 600), [(315, 1), (330, 0)]);
    }

    #[test]
    fn who_waits_at_the_gateway_wakes_one_at_the_next_poll() {
        let mut policy = Keda::new(5.0);
        let mut scene = Scene::of(0);
        assert_eq!(scene.play(&mut policy, 40), []);
        scene.held = 30.0;
        // At 60 s both look: one, and from one on ⌈30/5⌉ = 6, of which 5 are allowed.
        assert_eq!(scene.play(&mut policy, 30), [(60, 5)]);
    }

    #[test]
    fn what_was_never_active_goes_at_the_first_poll() {
        assert_eq!(with(3, 0.0).play(&mut Keda::new(5.0), 10), [(0, 0)]);
    }

    #[test]
    fn a_query_that_finds_nothing_is_an_empty_queue() {
        let mut policy = Keda::new(5.0);
        let mut scene = with(4, 20.0);
        assert_eq!(scene.play(&mut policy, 30), []);
        scene.silent = 4;
        assert_eq!(scene.play(&mut policy, 300), [(315, 1)]);
    }
}

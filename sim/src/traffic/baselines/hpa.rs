use std::collections::VecDeque;
use std::time::Duration;

use super::{Ticks, ceil};
use crate::traffic::{Policy, Sight};

const SYNC: Duration = Duration::from_secs(15);
const TOLERANCE: f64 = 0.1;
/// How long the highest recommendation holds against shrinking.
const STABILISATION: Duration = Duration::from_secs(300);
/// Growth within [`RATE_PERIOD`]: so many pods, or to so many times as many.
const UP_PODS: u32 = 4;
const UP_TIMES: u32 = 2;
const RATE_PERIOD: Duration = Duration::from_secs(15);

/// The default `behavior` of a HorizontalPodAutoscaler (`autoscaling/v2`): how a recommendation
/// becomes a count. As in kubernetes/kubernetes, `pkg/controller/podautoscaler/horizontal.go`:
/// growth at once, in 15 s by 4 pods or to twice as many, whichever is more; shrinking to the
/// highest recommendation of the last 300 s.
#[derive(Clone, Debug)]
pub(super) struct Behaviour {
    ticks: Ticks,
    recommended: VecDeque<(Duration, u32)>,
    /// Pods that were added, and when.
    added: VecDeque<(Duration, u32)>,
}

impl Behaviour {
    pub(super) fn new() -> Self {
        Self {
            ticks: Ticks::new(SYNC),
            recommended: VecDeque::new(),
            added: VecDeque::new(),
        }
    }

    /// Whether it is time to sync.
    pub(super) fn due(&mut self, now: Duration) -> bool {
        self.ticks.due(now)
    }

    /// The count that a recommendation comes to.
    pub(super) fn apply(&mut self, now: Duration, current: u32, recommendation: u32) -> u32 {
        if self.recommended.is_empty() {
            // A controller that begins takes what is there for the first recommendation.
            self.recommended.push_back((now, current));
        }
        while (self.recommended.front()).is_some_and(|(at, _)| *at + STABILISATION <= now) {
            self.recommended.pop_front();
        }
        self.recommended.push_back((now, recommendation));
        if recommendation > current {
            return self.grown(now, current, recommendation);
        }
        let highest = self.recommended.iter().map(|(_, count)| *count).max();
        current.min(highest.unwrap_or(recommendation))
    }

    fn grown(&mut self, now: Duration, current: u32, recommendation: u32) -> u32 {
        self.added.retain(|(at, _)| *at + RATE_PERIOD > now);
        let added: u32 = self.added.iter().map(|(_, count)| *count).sum();
        let begin = current.saturating_sub(added);
        let pods = begin.saturating_add(UP_PODS);
        let most = begin.saturating_mul(UP_TIMES).max(pods);
        let count = recommendation.min(most.max(current));
        self.added.push_back((now, count - current));
        count
    }
}

/// Whether a ratio of metric to target is so near to 1 that nothing is done.
pub(super) fn is_near(ratio: f64) -> bool {
    (1.0 - TOLERANCE..=1.0 + TOLERANCE).contains(&ratio)
}

/// Kubernetes' HorizontalPodAutoscaler on a pods' metric: requests in flight in each pod.
///
/// Its rule is that of kubernetes/kubernetes, `pkg/controller/podautoscaler`, with the controller
/// manager's defaults:
///
/// - Every 15 s, ⌈pods · mean / target⌉ are wanted, unless the ratio lies within 10 % of 1.
/// - Pods that aren't ready count as if they had nothing when it would grow, and not at all when
///   it would shrink. Ready pods without a metric count as nothing when it would grow, and as just
///   on target when it would shrink. If that turns the direction, nothing is done.
/// - Without any metric nothing is done. It never goes to zero, nor from it.
/// - Counts move as [`Behaviour`] tells.
///
/// The knob is the target of one pod. What the gateway holds is in no pod's metric.
#[derive(Clone, Debug)]
pub struct Hpa {
    target: f64,
    behaviour: Behaviour,
}

impl Hpa {
    /// With a target of requests in flight for each pod.
    #[must_use]
    pub fn new(target: f64) -> Self {
        Self {
            target,
            behaviour: Behaviour::new(),
        }
    }

    /// How many the metric asks for; `None` without one.
    fn recommend(&self, sight: &Sight<'_>) -> Option<u32> {
        let load = sight.load.filter(|load| load.replicas > 0)?;
        let told = f64::from(load.replicas);
        let inflight = load.running + load.waiting;
        let ratio = inflight / told / self.target;
        let starting = f64::from(sight.desired.saturating_sub(sight.ready));
        let silent = f64::from(sight.ready.saturating_sub(load.replicas));
        let grows = ratio > 1.0;
        if silent == 0.0 && !(grows && starting > 0.0) {
            return Some(if is_near(ratio) {
                sight.desired
            } else {
                ceil(ratio * told)
            });
        }
        let (pods, assumed) = if grows {
            (told + silent + starting, 0.0)
        } else {
            (told + silent, silent * self.target)
        };
        let again = (inflight + assumed) / pods / self.target;
        let count = ceil(again * pods);
        let turned = (count > sight.desired) != grows;
        Some(if is_near(again) || turned {
            sight.desired
        } else {
            count
        })
    }
}

impl Policy for Hpa {
    fn name(&self) -> String {
        format!("hpa={}", self.target)
    }

    fn look(&mut self, sight: &Sight<'_>) -> Option<u32> {
        if !self.behaviour.due(sight.now) {
            return None;
        }
        let count = match self.recommend(sight) {
            // Its `minReplicas` is at least one.
            _ if sight.desired == 0 => 1,
            None => return None,
            Some(recommendation) => {
                let recommendation = recommendation.max(1);
                self.behaviour
                    .apply(sight.now, sight.desired, recommendation)
            }
        };
        (count != sight.desired).then_some(count)
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
    fn the_mean_over_the_target_times_the_pods_is_wanted() {
        // Of 3 pods with 40 in flight and a target of 10: ⌈3 · 13.3/10⌉ = 4, in the same sync.
        let mut scene = with(3, 40.0);
        assert_eq!(scene.play(&mut Hpa::new(10.0), 300), [(0, 4)]);
        // 33 on 3 are 11 each: a ratio of 1.1 is within the tolerance.
        let mut scene = with(3, 33.0);
        assert_eq!(scene.play(&mut Hpa::new(10.0), 300), []);
    }

    #[test]
    fn growth_is_bounded_by_pods_and_by_times() {
        // 400 in flight want 40. From 1: 1 + 4, then 5 + 5, 10 + 10, 20 + 20, one each 15 s.
        let mut scene = with(1, 400.0);
        let changes = scene.play(&mut Hpa::new(10.0), 60);
        assert_eq!(changes, [(0, 5), (15, 10), (30, 20), (45, 40)]);
    }

    #[test]
    fn shrinking_waits_for_the_highest_of_five_minutes() {
        let mut policy = Hpa::new(10.0);
        let mut scene = with(4, 40.0);
        assert_eq!(scene.play(&mut policy, 15), []);
        // The recommendations: 4 (beginning, 0 s), 3 (15 s), then 1. That of 0 s holds to 300 s.
        scene.running = 22.0;
        assert_eq!(scene.play(&mut policy, 15), []);
        scene.running = 5.0;
        let changes = scene.play(&mut policy, 600);
        assert_eq!(changes, [(300, 3), (315, 1)]);
    }

    #[test]
    fn pods_that_start_count_as_empty_when_it_would_grow() {
        // 2 of 4 are ready, with 30 each: 60 over 4 pods is 15 each, ⌈1.5 · 4⌉ = 6.
        let starting = Scene {
            ready: 2,
            ..with(4, 60.0)
        };
        assert_eq!(starting.look(&mut Hpa::new(10.0)), Some(6));
        // With 12.5 each over 4 pods, ⌈0.625 · 4⌉ = 3 would turn the direction: nothing is done.
        let turned = Scene {
            running: 25.0,
            ..starting.clone()
        };
        let recommended = turned.see(|sight| Hpa::new(10.0).recommend(sight));
        assert_eq!(recommended, Some(4));
        // With 21.5 each over 4 pods it is 10.75 each, which is near enough.
        let near = Scene {
            running: 43.0,
            ..starting.clone()
        };
        assert_eq!(near.look(&mut Hpa::new(10.0)), None);
        // With 5 each they don't count: ⌈0.5 · 2⌉ = 1, which what is there holds back for a while.
        let calm = Scene {
            running: 10.0,
            ..starting
        };
        assert_eq!(calm.see(|sight| Hpa::new(10.0).recommend(sight)), Some(1));
        assert_eq!(calm.look(&mut Hpa::new(10.0)), None);
    }

    #[test]
    fn silent_pods_count_against_every_change() {
        let told = |silent: u32, running: f64| {
            let scene = Scene {
                silent,
                ..with(4, running)
            };
            scene.see(|sight| Hpa::new(10.0).recommend(sight))
        };
        // Two tell of 2 together; two others are taken to be on target: 22 over 4, ⌈0.55 · 4⌉ = 3.
        assert_eq!(told(2, 2.0), Some(3));
        // Two tell of 60; two others are taken to be empty: 15 each, ⌈1.5 · 4⌉ = 6.
        assert_eq!(told(2, 60.0), Some(6));
        assert_eq!(told(0, 60.0), Some(6));
    }

    #[test]
    fn without_a_metric_nothing_changes_and_none_is_never_enough() {
        let mut scene = Scene {
            silent: 3,
            ..with(3, 900.0)
        };
        assert_eq!(scene.play(&mut Hpa::new(10.0), 60), []);
        assert_eq!(Scene::of(0).look(&mut Hpa::new(10.0)), Some(1));
        let mut idle = Scene::of(1);
        assert_eq!(idle.play(&mut Hpa::new(10.0), 900), []);
    }
}

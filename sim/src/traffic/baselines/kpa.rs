use std::collections::VecDeque;
use std::time::Duration;

use super::{Ticks, ceil};
use crate::traffic::{Policy, Sight};

const TICK: Duration = Duration::from_secs(2);
const STABLE: Duration = Duration::from_secs(60);
const PANIC: Duration = Duration::from_secs(6);
/// Times the ready replicas that the panic window must ask for.
const PANIC_THRESHOLD: f64 = 2.0;
/// Most times the ready replicas in one tick, and the most it divides them by.
const UP_RATE: f64 = 1000.0;
const DOWN_RATE: f64 = 2.0;
/// How long the last replica stays once nothing is wanted.
const GRACE: Duration = Duration::from_secs(30);

/// Knative's own autoscaler, on concurrency, with the defaults of `config-autoscaler`.
///
/// Its rule is that of knative/serving, `pkg/autoscaler/scaling/autoscaler.go`, on windows of
/// one-second buckets as in `pkg/autoscaler/aggregation/bucketing.go`; the way to zero is that of
/// `pkg/reconciler/autoscaling/kpa/scaler.go`:
///
/// - Every 2 s, ⌈mean concurrency / target⌉ replicas are wanted, over the last 60 s and over the
///   last 6 s. Concurrency is that of all replicas and of the activator, which holds requests.
/// - Both are brought between half and a thousand times the ready ones.
/// - Where the short window asks for twice the ready ones or more, it panics: the larger of both
///   counts, and never fewer, until it has not asked so for 60 s.
/// - Without data there is no change. A restart beside several ready replicas begins in panic.
/// - The last replica goes 30 s after none was wanted. A request to none wakes one at once.
///
/// The knob is the target of one replica, Knative's utilisation of 70 % already taken off.
#[derive(Clone, Debug)]
pub struct Kpa {
    target: f64,
    ticks: Ticks,
    /// Concurrency by its second, where something was told.
    buckets: VecDeque<(Duration, f64)>,
    /// When the short window last asked for so much, and the most replicas since.
    panic: Option<(Duration, u32)>,
    started: bool,
    /// Since when no replica is wanted.
    idle_since: Option<Duration>,
}

impl Kpa {
    /// With a target of requests in flight for each replica.
    #[must_use]
    pub fn new(target: f64) -> Self {
        Self {
            target,
            ticks: Ticks::new(TICK),
            buckets: VecDeque::new(),
            panic: None,
            started: false,
            idle_since: None,
        }
    }

    fn record(&mut self, sight: &Sight<'_>) {
        // The activator tells of what it holds, even where no replica tells anything.
        if sight.load.is_some() || sight.held > 0.0 {
            self.buckets.push_back((sight.now, sight.concurrency));
        }
        let old = |at: Duration| at + STABLE <= sight.now;
        while self.buckets.front().is_some_and(|(at, _)| old(*at)) {
            self.buckets.pop_front();
        }
    }

    /// Mean of the buckets that were filled within a window; 0 if none was.
    fn mean(&self, now: Duration, window: Duration) -> f64 {
        let within = self.buckets.iter().rev();
        let within = within.take_while(|(at, _)| *at + window > now);
        let (count, sum) = within.fold((0.0, 0.0), |(count, sum), (_, value)| {
            (count + 1.0, sum + value)
        });
        if count > 0.0 { sum / count } else { 0.0 }
    }

    fn wanted(&mut self, now: Duration, ready: u32) -> u32 {
        let base = f64::from(ready.max(1));
        let (most, fewest) = (ceil(UP_RATE * base), (base / DOWN_RATE).floor() as u32);
        let bounded = |count: f64| ceil(count).max(fewest).min(most);
        let stable = self.mean(now, STABLE) / self.target;
        let short = self.mean(now, PANIC) / self.target;
        self.panic = match self.panic {
            panic if short.ceil() / base >= PANIC_THRESHOLD => {
                Some((now, panic.map_or(0, |(_, most)| most)))
            }
            Some((since, _)) if since + STABLE < now => None,
            panic => panic,
        };
        match &mut self.panic {
            None => bounded(stable),
            Some((_, most)) => {
                *most = bounded(stable).max(bounded(short)).max(*most);
                *most
            }
        }
    }

    /// Keeps the last replica for a while after nothing is wanted.
    fn with_grace(&mut self, now: Duration, wanted: u32) -> u32 {
        if wanted > 0 {
            self.idle_since = None;
            return wanted;
        }
        let since = *self.idle_since.get_or_insert(now);
        u32::from(now < since + GRACE)
    }
}

impl Policy for Kpa {
    fn name(&self) -> String {
        format!("kpa={}", self.target)
    }

    fn look(&mut self, sight: &Sight<'_>) -> Option<u32> {
        self.record(sight);
        if !std::mem::replace(&mut self.started, true) && sight.ready > 1 {
            self.panic = Some((sight.now, sight.ready));
        }
        let woken = sight.desired == 0 && sight.held > 0.0;
        if !self.ticks.due(sight.now) && !woken {
            return None;
        }
        if self.buckets.is_empty() {
            return None;
        }
        let wanted = self.wanted(sight.now, sight.ready);
        let wanted = match sight.desired {
            // What sleeps is not woken by what was asked before it slept.
            0 if !woken => 0,
            _ => self.with_grace(sight.now, wanted),
        };
        (wanted != sight.desired).then_some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::play::Scene;
    use super::*;

    /// A policy that has seen a steady load on its replicas for long.
    fn settled(target: f64, replicas: u32, running: f64) -> (Kpa, Scene) {
        let mut policy = Kpa::new(target);
        let mut scene = Scene {
            running,
            ..Scene::of(replicas)
        };
        for _ in 0..130 {
            let _ = scene.look(&mut policy);
            scene.now += 1;
        }
        (policy, scene)
    }

    #[test]
    fn a_steady_load_gets_its_mean_over_the_target() {
        let (mut policy, mut scene) = settled(7.0, 3, 20.0);
        assert_eq!(scene.play(&mut policy, 60), []);
        // ⌈25/7⌉ = 4 is wanted once the mean of 60 s is above 21: with k seconds at 25 and the rest
        // at 20, 20 + 5k/60 > 21 at k = 13. The 13th second is at an even one, a tick.
        scene.running = 25.0;
        let begin = scene.now;
        assert_eq!(scene.play(&mut policy, 60), [(begin + 12, 4)]);
    }

    #[test]
    fn twice_the_ready_ones_in_the_short_window_is_panic() {
        let (mut policy, mut scene) = settled(10.0, 2, 20.0);
        // Panic is where ⌈mean of 6 s / 10⌉ ≥ 4, a mean above 30. With 5 s at 20 and one at 100 it
        // is 33.3, so it panics at the first tick and wants 4; the mean of 60 s is far below.
        scene.running = 100.0;
        let begin = scene.now;
        // At the next tick three seconds of six are at 100: ⌈60/10⌉ = 6; then ⌈86.7/10⌉ = 9; then 10.
        let changes = scene.play(&mut policy, 8);
        let wanted = [(begin, 4), (begin + 2, 6), (begin + 4, 9), (begin + 6, 10)];
        assert_eq!(changes, wanted);
    }

    #[test]
    fn panic_never_shrinks_and_ends_a_stable_window_after() {
        let (mut policy, mut scene) = settled(10.0, 1, 5.0);
        scene.running = 40.0;
        let begin = scene.now;
        // Means of 6 s: 10.8, 22.5, 34.2. Only the first asks for twice the ready ones.
        let changes = scene.play(&mut policy, 10);
        assert_eq!(changes, [(begin, 2), (begin + 2, 3), (begin + 4, 4)]);
        // The mean of 60 s wants one long before; panic is over when more than 60 s have passed.
        scene.running = 5.0;
        let changes = scene.play(&mut policy, 120);
        assert_eq!(changes, [(begin + 62, 2), (begin + 64, 1)]);
    }

    #[test]
    fn at_most_half_go_in_a_tick() {
        let (mut policy, mut scene) = settled(10.0, 9, 85.0);
        scene.running = 0.0;
        scene.now += 100;
        // All that is older than 60 s is forgotten: none is wanted, ⌊9/2⌋ = 4 must stay.
        let begin = scene.now;
        let changes = scene.play(&mut policy, 6);
        assert_eq!(changes, [(begin, 4), (begin + 2, 2), (begin + 4, 1)]);
    }

    #[test]
    fn the_last_one_stays_for_the_grace_and_a_request_wakes_at_once() {
        let (mut policy, mut scene) = settled(10.0, 1, 5.0);
        scene.running = 0.0;
        let begin = scene.now;
        // The last second at 5 leaves the window 59 s later. The tick after that, at 60, wants none.
        assert_eq!(scene.play(&mut policy, 120), [(begin + 60 + 30, 0)]);
        scene.held = 3.0;
        assert_eq!(scene.look(&mut policy), Some(1));
    }

    #[test]
    fn without_data_nothing_changes() {
        let mut policy = Kpa::new(10.0);
        let mut scene = Scene {
            silent: u32::MAX,
            running: 500.0,
            ..Scene::of(3)
        };
        assert_eq!(scene.play(&mut policy, 300), []);
    }

    #[test]
    fn a_restart_beside_several_begins_in_panic() {
        let mut policy = Kpa::new(10.0);
        let mut scene = Scene {
            running: 1.0,
            ..Scene::of(4)
        };
        // One is enough, yet four stay until 60 s have passed; then ⌊4/2⌋.
        let changes = scene.play(&mut policy, 70);
        assert_eq!(changes, [(62, 2), (64, 1)]);
    }
}

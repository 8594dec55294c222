//! What a policy could do at best that knows all requests beforehand: a bound for all others.
//!
//! The fleet is thought of in layers: the first replica, the second, and so on. In a slot in which
//! 2.4 replicas are needed, the first two layers have a whole slot of work each and the third 0.4
//! of one. When each layer is there is decided alone, exactly: a layer that stays costs its time,
//! one that comes anew costs the time of a start on top, and one that is away lets go of the requests
//! that it would have served. A price of a request, the same for all layers, is searched for such
//! that no more are let go than may be. Since a higher layer has less work in every slot, it is never
//! there where a lower one isn't.

use std::time::Duration;

use super::trace::{Request, Trace};
use super::{Policy, Sight};

/// Length of a slot of a plan.
pub const PLAN_SLOT: Duration = Duration::from_secs(10);
/// Halvings of the price's range: after these its ends can't be told apart.
const HALVINGS: u32 = 60;

/// What is needed in one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Need {
    /// Requests that come.
    pub requests: f64,
    /// Replicas that have just enough time for them.
    pub replicas: f64,
}

/// What each slot of a trace needs. `work` gives the seconds of a replica that a request takes;
/// it is spread evenly over `patience` from its arrival on.
#[must_use]
pub fn needs(trace: &Trace, work: impl Fn(&Request) -> f64, patience: Duration) -> Vec<Need> {
    let slot = PLAN_SLOT.as_secs_f64();
    let last = (trace.length + patience).as_secs_f64() / slot;
    let mut needs = vec![Need::default(); last as usize + 1];
    for request in &trace.requests {
        let begin = request.at.as_secs_f64() / slot;
        let end = begin + (patience.as_secs_f64() / slot).max(f64::MIN_POSITIVE);
        let replicas = work(request) / slot;
        needs[begin as usize].requests += 1.0;
        if end as usize == begin as usize {
            needs[begin as usize].replicas += replicas;
            continue;
        }
        for (index, need) in needs.iter_mut().enumerate().skip(begin as usize) {
            let (from, to) = (index as f64, index as f64 + 1.0);
            let within = end.min(to) - begin.max(from);
            if within <= 0.0 {
                break;
            }
            need.replicas += replicas * within / (end - begin);
        }
    }
    needs
}

/// Counts of replicas that were decided on beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// From when on how many, in the order of time.
    steps: Vec<(Duration, u32)>,
}

impl Planned {
    /// How many there shall be at a moment.
    #[must_use]
    pub fn at(&self, now: Duration) -> u32 {
        let after = self.steps.partition_point(|(from, _)| *from <= now);
        after.checked_sub(1).map_or(0, |index| self.steps[index].1)
    }

    /// Each change: from when on how many.
    #[must_use]
    pub fn steps(&self) -> &[(Duration, u32)] {
        &self.steps
    }

    /// From the spans in which one replica each is there.
    fn of(spans: &[(Duration, Duration)]) -> Self {
        let begins = spans.iter().map(|(from, _)| (*from, 1));
        let ends = spans.iter().map(|(_, to)| (*to, -1));
        let mut changes: Vec<(Duration, i64)> = begins.chain(ends).collect();
        changes.sort_unstable();
        let mut steps: Vec<(Duration, u32)> = Vec::new();
        let mut count = 0;
        for (at, change) in changes {
            count += change;
            let known = u32::try_from(count).unwrap_or(0);
            match steps.last_mut() {
                Some((last, count)) if *last == at => *count = known,
                _ => steps.push((at, known)),
            }
        }
        Self { steps }
    }
}

impl Policy for Planned {
    fn name(&self) -> String {
        "clairvoyant".to_owned()
    }

    fn look(&mut self, sight: &Sight<'_>) -> Option<u32> {
        Some(self.at(sight.now)).filter(|count| *count != sight.desired)
    }
}

/// The fewest hours of replicas that serve all but a share `let_go` of the requests, 0 to 1. Each
/// replica is ordered `start_delay` before it is needed, and kept where that is cheaper than to
/// start it again.
#[must_use]
pub fn plan(needs: &[Need], start_delay: Duration, let_go: f64) -> Planned {
    let layers = layers(needs);
    let start = start_delay.as_secs_f64() / PLAN_SLOT.as_secs_f64();
    let asked: f64 = needs.iter().map(|need| need.requests).sum();
    let may_go = asked * let_go;
    let least = layers.iter().flatten().copied();
    let least = least.filter(|served| *served > 0.0).fold(1.0, f64::min);
    // At the one end no request is worth a slot, at the other each is worth a start.
    let mut low = 1e-9;
    let mut high = 2.0 * (start + 1.0) / least;
    let (mut best, mut less) = (all(&layers, high, start), all(&layers, low, start));
    if may_go > 0.0 {
        for _ in 0..HALVINGS {
            let price = (low * high).sqrt();
            let tried = all(&layers, price, start);
            if lost(&layers, &tried) <= may_go {
                (high, best) = (price, tried);
            } else {
                (low, less) = (price, tried);
            }
        }
        use_up(may_go, &layers, &mut best, &less);
    }
    let spans = best.iter().flat_map(|there| spans(there, start_delay));
    Planned::of(&spans.collect::<Vec<_>>())
}

/// Requests that each layer would serve in each slot.
fn layers(needs: &[Need]) -> Vec<Vec<f64>> {
    let most = needs.iter().map(|need| need.replicas).fold(0.0, f64::max);
    let layer = |index: u32| {
        let below = f64::from(index);
        let served = needs.iter().map(move |need| {
            let share = (need.replicas - below).clamp(0.0, 1.0);
            if share > 0.0 {
                need.requests * share / need.replicas
            } else {
                0.0
            }
        });
        served.collect()
    };
    (0..most.ceil() as u32).map(layer).collect()
}

fn all(layers: &[Vec<f64>], price: f64, start: f64) -> Vec<Vec<bool>> {
    let layers = layers.iter();
    layers
        .map(|served| cheapest(served, price, start))
        .collect()
}

/// In which slots a layer is there, such that its slots and starts and the price of the requests that
/// it lets go are least together. Both costs are in slots.
fn cheapest(served: &[f64], price: f64, start: f64) -> Vec<bool> {
    // The least cost up to a slot of a layer that is away or there in it, and whether it was there
    // in the slot before.
    let (mut away, mut there) = (0.0, f64::INFINITY);
    let mut came_from = Vec::with_capacity(served.len());
    for served in served {
        let (goes, comes) = (there < away, away + start < there);
        came_from.push((goes, !comes));
        let before = (away, there);
        away = if goes { before.1 } else { before.0 } + price * served;
        there = if comes { before.0 + start } else { before.1 } + 1.0;
    }
    let mut is_there = there < away;
    let mut slots: Vec<bool> = came_from
        .iter()
        .rev()
        .map(|(away_from, there_from)| {
            let now = is_there;
            is_there = if now { *there_from } else { *away_from };
            now
        })
        .collect();
    slots.reverse();
    slots
}

/// At the price where too many are let go at once, all stretches that it would do without are worth
/// the same: does without as many as may be, the highest layers' first.
fn use_up(may_go: f64, layers: &[Vec<f64>], best: &mut [Vec<bool>], less: &[Vec<bool>]) {
    let mut left = may_go - lost(layers, best);
    for ((served, there), less) in layers.iter().zip(best).zip(less).rev() {
        let mut from = 0;
        while let Some(more) = (from..there.len()).find(|slot| there[*slot] && !less[*slot]) {
            let ends = |slot: &usize| !there[*slot] || less[*slot];
            from = (more..there.len()).find(ends).unwrap_or(there.len());
            let goes: f64 = served[more..from].iter().sum();
            if goes <= left {
                left -= goes;
                there[more..from].fill(false);
            }
        }
    }
}

/// Requests that are let go.
fn lost(layers: &[Vec<f64>], there: &[Vec<bool>]) -> f64 {
    let slots = layers.iter().flatten().zip(there.iter().flatten());
    slots
        .filter(|(_, there)| !**there)
        .map(|(served, _)| *served)
        .sum()
}

/// From when to when a layer's replica is there, its start among it.
fn spans(there: &[bool], start_delay: Duration) -> Vec<(Duration, Duration)> {
    let at = |slot: usize| PLAN_SLOT.mul_f64(slot as f64);
    let mut spans = Vec::new();
    let mut since = None;
    for (slot, is_there) in there.iter().chain([&false]).enumerate() {
        match (since, is_there) {
            (None, true) => since = Some(slot),
            (Some(begin), false) => {
                spans.push((at(begin).saturating_sub(start_delay), at(slot)));
                since = None;
            }
            _ => {}
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Needs of these replicas, with ten requests for each.
    fn of(replicas: &[f64]) -> Vec<Need> {
        let need = |replicas: &f64| Need {
            requests: replicas * 10.0,
            replicas: *replicas,
        };
        replicas.iter().map(need).collect()
    }

    fn steps(planned: &Planned) -> Vec<(u64, u32)> {
        let steps = planned.steps().iter();
        steps.map(|(at, count)| (at.as_secs(), *count)).collect()
    }

    fn slots(runs: &[(usize, f64)]) -> Vec<Need> {
        let runs = runs.iter().flat_map(|(count, value)| vec![*value; *count]);
        of(&runs.collect::<Vec<_>>())
    }

    #[test]
    fn replicas_are_ordered_a_start_ahead() {
        // A minute of nothing, a minute of 2, a minute of one, then nothing.
        let needs = slots(&[(12, 0.0), (6, 2.0), (6, 1.0), (6, 0.0)]);
        let planned = plan(&needs, MINUTE, 0.0);
        assert_eq!(steps(&planned), [(60, 2), (180, 1), (240, 0)]);
        assert_eq!(planned.at(Duration::ZERO), 0);
        assert_eq!(planned.at(Duration::from_secs(60)), 2);
        assert_eq!(planned.at(Duration::from_secs(239)), 1);
    }

    #[test]
    fn what_is_needed_at_once_is_there_from_the_begin() {
        assert_eq!(
            steps(&plan(&slots(&[(2, 1.5)]), MINUTE, 0.0)),
            [(0, 2), (20, 0)]
        );
        assert_eq!(steps(&plan(&[], MINUTE, 0.0)), []);
    }

    #[test]
    fn a_valley_shorter_than_a_start_is_kept_through() {
        let short = slots(&[(6, 2.0), (5, 1.0), (6, 2.0)]);
        assert_eq!(steps(&plan(&short, MINUTE, 0.0)), [(0, 2), (170, 0)]);
        let long = slots(&[(6, 2.0), (7, 1.0), (6, 2.0)]);
        let wanted = [(0, 2), (60, 1), (70, 2), (190, 0)];
        assert_eq!(steps(&plan(&long, MINUTE, 0.0)), wanted);
    }

    #[test]
    fn the_requests_that_cost_most_are_let_go() {
        // The third replica is for ten requests of 2030 and takes a start; the second for ten
        // minutes.
        let needs = slots(&[(30, 1.0), (60, 2.0), (1, 3.0), (50, 1.0)]);
        let all = plan(&needs, MINUTE, 0.0);
        assert_eq!(
            steps(&all),
            [(0, 1), (240, 2), (840, 3), (910, 1), (1410, 0)]
        );
        let most = plan(&needs, MINUTE, 0.01);
        assert_eq!(steps(&most), [(0, 1), (240, 2), (910, 1), (1410, 0)]);
    }

    #[test]
    fn of_two_like_peaks_one_is_let_go() {
        let layers = [vec![1.0, 5.0, 5.0, 1.0, 5.0, 5.0, 1.0]];
        let mut best = [vec![true; 7]];
        let less = [vec![true, false, false, true, false, false, true]];
        use_up(12.0, &layers, &mut best, &less);
        assert_eq!(best, [[true, false, false, true, true, true, true]]);
        use_up(20.0, &layers, &mut best, &less);
        assert_eq!(best, less);
    }

    #[test]
    fn no_more_are_let_go_than_may_be() {
        let wave = |slot: u32| 3.0 + 2.5 * (f64::from(slot) / 40.0).sin();
        let needs = of(&(0..2000).map(wave).collect::<Vec<_>>());
        let asked: f64 = needs.iter().map(|need| need.requests).sum();
        let mut hours = f64::INFINITY;
        for let_go in [0.0, 0.01, 0.05, 0.2] {
            let planned = plan(&needs, MINUTE, let_go);
            let served = (0..).zip(&needs).map(|(slot, need)| {
                let count = f64::from(planned.at(PLAN_SLOT * slot));
                need.requests * (count / need.replicas).min(1.0)
            });
            let lost = 1.0 - served.sum::<f64>() / asked;
            assert!(lost <= let_go + 1e-9, "{let_go}: {lost}");
            // Those that start are counted here as if they served, so fewer seem to be let go.
            assert!(lost >= let_go * 0.4, "{let_go}: {lost}");
            let ends = planned.steps().iter().skip(1).map(|(at, _)| *at);
            let spans = planned.steps().iter().zip(ends);
            let spans =
                spans.map(|((from, count), to)| (to - *from).as_secs_f64() * f64::from(*count));
            let sum = spans.sum::<f64>();
            assert!(sum < hours, "{let_go}");
            hours = sum;
        }
    }

    #[test]
    fn work_is_spread_over_the_patience() {
        let at = |millis| Request {
            at: Duration::from_millis(millis),
            prompt_tokens: 100,
            generated_tokens: 10,
        };
        let trace = Trace {
            requests: vec![at(1000), at(9000)],
            length: Duration::from_secs(9),
        };
        let work = |request: &Request| f64::from(request.prompt_tokens) / 20.0;
        let found = needs(&trace, work, Duration::from_secs(2));
        // Five seconds each; half of the second request's lies beyond the first slot.
        let replicas: Vec<_> = found.iter().map(|need| need.replicas).collect();
        assert_eq!(found.len(), 2);
        assert!((replicas[0] - 0.75).abs() < 1e-9 && (replicas[1] - 0.25).abs() < 1e-9);
        assert_eq!((found[0].requests, found[1].requests), (2.0, 0.0));
        let at_once = needs(&trace, work, Duration::ZERO);
        assert_eq!(at_once[0].replicas, 1.0);
    }

    #[test]
    fn it_is_played_as_planned() {
        use chandler_core::load::Trail;
        let mut planned = plan(&slots(&[(12, 0.0), (6, 2.0)]), MINUTE, 0.0);
        let trail = Trail::default();
        let mut look = |now, desired| {
            planned.look(&Sight {
                now: Duration::from_secs(now),
                desired,
                ready: desired,
                held: 0.0,
                concurrency: 0.0,
                queued: 0.0,
                arrived: 0.0,
                load: None,
                trail: &trail,
            })
        };
        let looks = [look(59, 0), look(60, 0), look(61, 2), look(180, 2)];
        assert_eq!(looks, [None, Some(2), None, Some(0)]);
    }
}

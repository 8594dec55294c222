//! Other traces made of one: denser or thinner, over days, with bursts; and one made of nothing.

use std::f64::consts::TAU;
use std::time::Duration;

use super::{Request, Trace};
use crate::traffic::Dice;

/// How far a copy of a request may lie from it, each way, in seconds.
const JITTER: f64 = 1.0;
const DAY: Duration = Duration::from_secs(86_400);
/// Demand at night as a share of the day's peak.
const NIGHT: f64 = 0.2;
/// The hour at which least is asked; most is asked half a day later.
const QUIETEST_HOUR: f64 = 3.0;
/// Demand of Saturdays and Sundays, as a share of other days'.
const WEEKEND: f64 = 0.6;
/// Tokens of made requests lie within this share of their mean, each way.
const SPREAD: f64 = 0.2;

/// Bursts that are put on top of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// How many.
    pub count: u32,
    /// How many times the trace's mean rate is asked within one, what came anyway left out.
    pub factor: f64,
    /// How long one lasts.
    pub length: Duration,
}

impl Trace {
    /// What came before `length` was over.
    #[must_use]
    pub fn first(mut self, length: Duration) -> Self {
        if length < self.length {
            self.requests.retain(|request| request.at < length);
            self.length = length;
        }
        self
    }

    /// As many times the requests a second as `factor` says, in the same shape: each request stands
    /// there `factor` times, a fraction by chance. Copies lie within a second of it.
    #[must_use]
    pub fn scaled(&self, factor: f64, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut requests = Vec::new();
        for request in &self.requests {
            let extra = u32::from(dice.share() < factor.fract());
            for copy in 0..factor.trunc() as u32 + extra {
                requests.push(match copy {
                    0 => *request,
                    _ => self.beside(request, &mut dice),
                });
            }
        }
        Self::ordered(requests, self.length)
    }

    /// A copy of a request at another time near it, within the trace.
    fn beside(&self, request: &Request, dice: &mut Dice) -> Request {
        let moved = request.at.as_secs_f64() + JITTER * (2.0 * dice.share() - 1.0);
        let at = Duration::from_secs_f64(moved.max(0.0)).min(self.length);
        Request { at, ..*request }
    }

    /// The trace again and again for whole days, from a Monday's midnight on. It is thinned by a
    /// daily curve whose afternoons are as dense as the trace, nights a fifth of that and weekends
    /// lower. Each time it begins at another place of itself, and goes on at its begin where it
    /// ends: what repeats exactly, no real demand does.
    #[must_use]
    pub fn over_days(&self, days: u32, seed: u64) -> Self {
        let length = DAY * days;
        let mut dice = Dice::new(seed);
        let mut requests = Vec::new();
        let mut begin = Duration::ZERO;
        // A trace of one moment would never fill a day.
        let round = self.length.max(Duration::from_secs(1));
        while begin < length && !self.requests.is_empty() {
            let turned = round.mul_f64(dice.share());
            let turned = self.requests.iter().map(|request| {
                let ahead = request.at.checked_sub(turned);
                let at = begin + ahead.unwrap_or_else(|| request.at + round - turned);
                Request { at, ..*request }
            });
            requests
                .extend(turned.filter(|it| it.at < length && dice.share() < level_of_day(it.at)));
            begin += round;
        }
        Self::ordered(requests, length)
    }

    /// The same with bursts on top, at random times. What they ask is like what the trace asks.
    #[must_use]
    pub fn bursty(&self, bursts: Bursts, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut requests = self.requests.clone();
        let rate = self.rate() * bursts.factor;
        let latest = self.length.saturating_sub(bursts.length);
        for _ in 0..bursts.count {
            if rate <= 0.0 {
                break;
            }
            let begin = latest.mul_f64(dice.share());
            let end = (begin + bursts.length).min(self.length);
            for at in arrivals(begin, end, rate, &mut dice) {
                let like = self.requests[dice.below(self.requests.len())];
                requests.push(Request { at, ..like });
            }
        }
        Self::ordered(requests, self.length)
    }

    /// Requests that come independently of each other, `rate` a second in the mean, for `length`.
    /// Their tokens lie evenly within a fifth of the given ones.
    #[must_use]
    pub fn constant(rate: f64, length: Duration, prompt: u32, generated: u32, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut requests = Vec::new();
        if rate > 0.0 {
            for at in arrivals(Duration::ZERO, length, rate, &mut dice) {
                requests.push(Request {
                    at,
                    prompt_tokens: spread(prompt, &mut dice),
                    generated_tokens: spread(generated, &mut dice),
                });
            }
        }
        Self { requests, length }
    }
}

/// Moments of a Poisson process between two moments.
fn arrivals(begin: Duration, end: Duration, rate: f64, dice: &mut Dice) -> Vec<Duration> {
    let mut at = begin.as_secs_f64();
    let end = end.as_secs_f64();
    let next = || {
        at += dice.wait(rate);
        (at < end).then(|| Duration::from_secs_f64(at))
    };
    std::iter::from_fn(next).collect()
}

fn spread(mean: u32, dice: &mut Dice) -> u32 {
    let share = 1.0 + SPREAD * (2.0 * dice.share() - 1.0);
    ((f64::from(mean) * share).round() as u32).max(1)
}

/// Demand at a moment as a share of the most, 0 to 1. Time begins on a Monday at midnight.
fn level_of_day(at: Duration) -> f64 {
    let days = at.as_secs_f64() / DAY.as_secs_f64();
    let angle = TAU * (days.fract() - QUIETEST_HOUR / 24.0);
    let level = NIGHT + (1.0 - NIGHT) * (1.0 - angle.cos()) / 2.0;
    let is_weekend = days % 7.0 >= 5.0;
    if is_weekend { level * WEEKEND } else { level }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn even(count: u64, apart: Duration) -> Trace {
        let requests = (0..count).map(|index| Request {
            at: apart * u32::try_from(index).expect("few"),
            prompt_tokens: 100 + u32::try_from(index % 7).expect("few"),
            generated_tokens: 10,
        });
        Trace {
            requests: requests.collect(),
            length: apart * u32::try_from(count).expect("few"),
        }
    }

    fn is_well(trace: &Trace) -> bool {
        trace.requests.is_sorted_by_key(|request| request.at)
            && trace.requests.iter().all(|it| it.at <= trace.length)
    }

    fn between(trace: &Trace, from: Duration, to: Duration) -> usize {
        let within = trace
            .requests
            .iter()
            .filter(|it| (from..to).contains(&it.at));
        within.count()
    }

    /// Whether a count of independent events fits its mean: within four standard deviations.
    fn fits(count: usize, mean: f64) -> bool {
        (count as f64 - mean).abs() <= 4.0 * mean.sqrt()
    }

    #[test]
    fn a_trace_can_be_cut_and_not_lengthened() {
        let trace = even(10, Duration::from_secs(1));
        let cut = trace.clone().first(Duration::from_secs(4));
        assert_eq!((cut.requests.len(), cut.length.as_secs()), (4, 4));
        assert_eq!(trace.clone().first(HOUR), trace);
    }

    #[test]
    fn scaling_keeps_the_shape() {
        let trace = even(10_000, Duration::from_millis(200));
        for factor in [0.25, 1.0, 2.5] {
            let scaled = trace.scaled(factor, 7);
            assert!(is_well(&scaled), "{factor}");
            assert_eq!(scaled.length, trace.length);
            let half = trace.length / 2;
            for (from, to) in [(Duration::ZERO, half), (half, trace.length)] {
                let count = between(&scaled, from, to);
                assert!(fits(count, 5000.0 * factor), "{factor}: {count}");
            }
        }
        assert_eq!(trace.scaled(1.0, 7), trace);
        assert_eq!(trace.scaled(0.0, 7).requests, []);
    }

    #[test]
    fn copies_lie_near_and_do_not_coincide() {
        let apart = Duration::from_secs(10);
        let scaled = even(1000, apart).scaled(3.0, 1);
        assert_eq!(scaled.requests.len(), 3000);
        let same = scaled.requests.windows(2).filter(|it| it[0].at == it[1].at);
        // The copies of the very first request can't lie before the trace.
        assert!(same.count() <= 1);
        let near = |request: &Request| {
            let beyond = request.at.as_secs_f64() % 10.0;
            beyond <= 1.0 || beyond >= 9.0
        };
        assert!(scaled.requests.iter().all(near));
    }

    #[test]
    fn days_have_nights_and_weekends() {
        let trace = even(3600, Duration::from_secs(1));
        let week = trace.over_days(7, 3);
        assert!(is_well(&week));
        assert_eq!(week.length, DAY * 7);
        let hour = |day: u32, hour: u32| {
            let from = DAY * day + HOUR * hour;
            between(&week, from, from + HOUR)
        };
        for day in 0..5 {
            // The curve's mean over the hour that begins at its end.
            assert!(fits(hour(day, 15), 3600.0 * 0.9954), "{}", hour(day, 15));
            assert!(fits(hour(day, 3), 3600.0 * 0.2046), "{}", hour(day, 3));
        }
        for day in [5, 6] {
            let wanted = 3600.0 * 0.9954 * WEEKEND;
            assert!(fits(hour(day, 15), wanted), "{}", hour(day, 15));
        }
    }

    #[test]
    fn days_do_not_repeat_the_trace_exactly() {
        let mut trace = even(3600, Duration::from_secs(1));
        trace.requests[1800].prompt_tokens = 9999;
        let day = trace.over_days(1, 3);
        let marked = day.requests.iter().filter(|it| it.prompt_tokens == 9999);
        let places: Vec<_> = marked.map(|it| it.at.as_secs() % 3600).collect();
        assert!(places.len() > 3);
        assert!(places.iter().any(|place| *place != places[0]), "{places:?}");
    }

    #[test]
    fn bursts_are_added_within_the_trace() {
        let trace = even(36_000, Duration::from_millis(100));
        let bursts = Bursts {
            count: 4,
            factor: 20.0,
            length: Duration::from_secs(30),
        };
        let bursty = trace.bursty(bursts, 5);
        assert!(is_well(&bursty));
        let added = bursty.requests.len() - trace.requests.len();
        assert!(fits(added, 4.0 * 30.0 * 20.0 * 10.0), "{added}");
        let seconds: Vec<_> = (0..3600)
            .map(Duration::from_secs)
            .map(|from| between(&bursty, from, from + Duration::from_secs(1)))
            .collect();
        let hit = seconds.iter().filter(|count| **count > 100).count();
        assert!((100..=124).contains(&hit), "{hit} seconds of bursts");
        assert_eq!(Trace::default().bursty(bursts, 5), Trace::default());
    }

    #[test]
    fn constant_demand_is_poisson() {
        let trace = Trace::constant(10.0, HOUR, 500, 100, 9);
        assert!(is_well(&trace));
        assert!(fits(trace.requests.len(), 36_000.0));
        let per_second: Vec<_> = (0..3600)
            .map(Duration::from_secs)
            .map(|from| between(&trace, from, from + Duration::from_secs(1)) as f64)
            .collect();
        let mean = per_second.iter().sum::<f64>() / 3600.0;
        let squares = per_second.iter().map(|it| (it - mean).powi(2));
        // Of a Poisson process the variance is the mean.
        let ratio = squares.sum::<f64>() / 3600.0 / mean;
        assert!((0.9..1.1).contains(&ratio), "{ratio}");
        let prompts = || trace.requests.iter().map(|it| it.prompt_tokens);
        assert!(prompts().all(|tokens| (400..=600).contains(&tokens)));
        assert_eq!(Trace::constant(0.0, HOUR, 1, 1, 9).requests, []);
    }

    #[test]
    fn the_same_seed_gives_the_same_trace() {
        let trace = even(2000, Duration::from_secs(1));
        let bursts = Bursts {
            count: 2,
            factor: 5.0,
            length: Duration::from_secs(20),
        };
        let all = |seed| {
            [
                trace.scaled(1.5, seed),
                trace.over_days(1, seed),
                trace.bursty(bursts, seed),
                Trace::constant(1.0, HOUR, 100, 10, seed),
            ]
        };
        assert_eq!(all(1), all(1));
        for (one, other) in all(1).iter().zip(&all(2)) {
            assert_ne!(one, other);
        }
    }
}

//! How well the load is spread, and how much stays where it was, over 1,000 replicas.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::testing::{Dice, route};
use super::{Ask, Load, ModelRoute, Place, pick};

const REPLICAS: usize = 1000;

/// Replicas of one revision with requests in flight.
struct Fleet {
    route: ModelRoute,
    load: Vec<Load>,
    /// Where each request in flight is.
    requests: Vec<usize>,
}

impl Fleet {
    fn new(replicas: usize) -> Self {
        Self {
            route: route(&[("a", 100, replicas)]),
            load: vec![Load::default(); replicas],
            requests: Vec::new(),
        }
    }

    fn begin(&mut self, ask: &Ask<'_>) -> usize {
        let place = pick(&self.route, ask, |place| self.load[place.endpoint]).unwrap();
        self.load[place.endpoint].in_flight += 1;
        self.requests.push(place.endpoint);
        place.endpoint
    }

    /// Ends one of the requests in flight.
    fn end(&mut self, dice: &mut Dice) {
        if !self.requests.is_empty() {
            let at = self.requests.swap_remove(dice.below(self.requests.len()));
            self.load[at].in_flight -= 1;
        }
    }

    fn highest(&self) -> usize {
        self.load.iter().map(|l| l.in_flight).max().unwrap_or(0) as usize
    }

    /// `⌈1.25 · mean⌉` with the mean at least 1.
    fn bound(&self) -> usize {
        let replicas = self.load.len();
        (self.requests.len().max(replicas) * 5).div_ceil(replicas * 4)
    }
}

/// Two choices keep the highest load within log₂ ln n + O(1) of the mean, whatever the mean; one
/// choice would be 37 above a mean of 100 here.
#[test]
fn two_choices_keep_the_highest_load_near_the_mean() {
    let gap = (REPLICAS as f64).ln().log2().ceil() as usize + 1;
    for per_replica in [1, 10, 100] {
        let (mut fleet, mut dice) = (Fleet::new(REPLICAS), Dice(per_replica as u64));
        for _ in 0..REPLICAS * per_replica {
            fleet.begin(&dice.ask());
        }
        let highest = fleet.highest();
        assert!(
            highest <= per_replica + gap,
            "{highest} at a mean of {per_replica}"
        );
    }
}

#[test]
fn the_load_stays_near_the_mean_while_requests_come_and_go() {
    let (mut fleet, mut dice) = (Fleet::new(REPLICAS), Dice(9));
    for step in 0..50 * REPLICAS {
        fleet.begin(&dice.ask());
        if step >= 5 * REPLICAS {
            fleet.end(&mut dice);
        }
    }
    assert!(fleet.highest() <= 5 + 6, "{}", fleet.highest());
}

/// Those that are out are passed over without the load falling on some of the others.
#[test]
fn two_choices_among_those_that_are_left() {
    let (mut fleet, mut dice) = (Fleet::new(REPLICAS), Dice(3));
    fleet
        .load
        .iter_mut()
        .step_by(3)
        .for_each(|l| l.ejected = true);
    let left = fleet.load.iter().filter(|l| !l.ejected).count();
    for _ in 0..left * 20 {
        fleet.begin(&dice.ask());
    }
    assert!(fleet.highest() <= 20 + 4, "{}", fleet.highest());
    assert!(fleet.load.iter().step_by(3).all(|l| l.in_flight == 0));
}

fn with_key(key: u64) -> Ask<'static> {
    Ask {
        prefix: Some(key),
        ..Ask::default()
    }
}

/// Where each key is at home in an idle fleet.
fn homes(route: &ModelRoute, keys: u64) -> Vec<Place> {
    let home = |key| pick(route, &with_key(key), |_| Load::default()).unwrap();
    (0..keys).map(home).collect()
}

#[test]
fn keys_are_spread_evenly() {
    let mut held = vec![0i32; REPLICAS];
    for place in homes(&route(&[("a", 1, REPLICAS)]), 50_000) {
        held[place.endpoint] += 1;
    }
    // Six standard deviations of 50 ± 7.
    assert!(held.iter().all(|keys| (8..=92).contains(keys)), "{held:?}");
}

#[test]
fn only_the_keys_of_a_replica_that_comes_or_goes_move() {
    const KEYS: u64 = 50_000;
    let few = homes(&route(&[("a", 1, REPLICAS)]), KEYS);
    let more = homes(&route(&[("a", 1, REPLICAS + 1)]), KEYS);
    let moved: Vec<_> = few.iter().zip(&more).filter(|(a, b)| a != b).collect();
    assert!(
        moved.iter().all(|(_, to)| to.endpoint == REPLICAS),
        "only to the one that came"
    );
    // 1/1001 of them, and six standard deviations.
    assert!((8..=92).contains(&moved.len()), "{}", moved.len());
}

/// Under load too: what has to move is the share of the one that went, and what its keys push
/// aside.
#[test]
fn most_requests_stay_when_a_replica_goes_under_load() {
    let keys = 4 * REPLICAS as u64;
    let place_all = |replicas| {
        let mut fleet = Fleet::new(replicas);
        let places = (0..keys).map(|key| fleet.begin(&with_key(key)));
        places.collect::<Vec<_>>()
    };
    let (before, after) = (place_all(REPLICAS), place_all(REPLICAS - 1));
    let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert!((1..4 * REPLICAS / 20).contains(&moved), "{moved} of {keys}");
}

#[test]
fn a_prefix_that_all_share_fills_no_replica_over_the_bound() {
    let mut fleet = Fleet::new(REPLICAS);
    for _ in 0..20 * REPLICAS {
        fleet.begin(&with_key(1));
        assert!(fleet.highest() <= fleet.bound());
    }
    let used = fleet.load.iter().filter(|l| l.in_flight > 0).count();
    // As few replicas as the bound allows: 1/1.25 of them.
    assert_eq!(used, REPLICAS * 4 / 5);
}

/// Nothing is over the bound, but where a mean that fell since put it.
#[test]
fn a_request_never_lifts_a_replica_over_the_bound() {
    let (mut fleet, mut dice) = (Fleet::new(REPLICAS), Dice(5));
    for step in 0..8 * REPLICAS {
        // The lower a key, the more requests have it.
        let key = (1.0 / (dice.unit() + 1e-3)) as u64;
        let at = fleet.begin(&with_key(key));
        let load = fleet.load[at].in_flight as usize;
        assert!(
            load <= fleet.bound(),
            "{load} of {} at {step}",
            fleet.bound()
        );
        if dice.below(5) < 3 {
            fleet.end(&mut dice);
        }
    }
    assert!(
        fleet.requests.len() > 2 * REPLICAS,
        "the bound was put to the test"
    );
}

#[test]
fn what_cannot_be_below_the_bound_goes_to_the_least_loaded() {
    let mut fleet = Fleet::new(3);
    for (load, queued_tokens) in fleet.load.iter_mut().zip([600, 590, 610]) {
        load.queued_tokens = queued_tokens;
    }
    for key in 0..50 {
        let place = pick(&fleet.route, &with_key(key), |p| fleet.load[p.endpoint]).unwrap();
        assert_eq!(place.endpoint, 1);
    }
}

fn revisions_of_sessions(weights: [u32; 3], sessions: u64) -> Vec<usize> {
    let route = route(&[
        ("old", weights[0], 2),
        ("new", weights[1], 1),
        ("x", weights[2], 1),
    ]);
    let of = |session| {
        let session = Some(session);
        let ask = Ask {
            session,
            ..Ask::default()
        };
        pick(&route, &ask, |_| Load::default()).unwrap().revision
    };
    (0..sessions).map(of).collect()
}

#[test]
fn sessions_follow_the_weights_and_only_the_share_that_moves_moves() {
    const SESSIONS: u64 = 20_000;
    let steps = [
        [100, 0, 0],
        [90, 10, 0],
        [75, 25, 0],
        [50, 50, 0],
        [10, 90, 0],
        [0, 100, 0],
    ];
    let mut before = revisions_of_sessions(steps[0], SESSIONS);
    assert!(before.iter().all(|revision| *revision == 0));
    for weights in &steps[1..] {
        let after = revisions_of_sessions(*weights, SESSIONS);
        let new = after.iter().filter(|revision| **revision == 1).count() as f64;
        let share = new / SESSIONS as f64 * 100.0;
        assert!(
            (share - f64::from(weights[1])).abs() < 2.0,
            "{share} at {weights:?}"
        );
        let back = before
            .iter()
            .zip(&after)
            .filter(|(a, b)| **a == 1 && **b == 0)
            .count();
        assert_eq!(back, 0, "none goes back while the weight moves on");
        before = after;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// When one weight grows, sessions move to that revision and nowhere else.
    #[test]
    fn a_weight_that_grows_takes_sessions_and_moves_no_other(
        weights in prop::array::uniform3(1..100u32), grown in 0..3usize, by in 1..100u32,
    ) {
        let before = revisions_of_sessions(weights, 500);
        let mut more = weights;
        more[grown] += by;
        let after = revisions_of_sessions(more, 500);
        for (from, to) in before.iter().zip(&after) {
            prop_assert!(from == to || *to == grown, "{from} to {to}");
        }
    }

    /// Of any size, with any mix of keys, ends and what the replicas report.
    #[test]
    fn affinity_never_lifts_a_replica_over_the_bound(
        replicas in 1..40usize, keys in 1..50usize, ends in 0..6usize, seed in any::<u64>(),
    ) {
        let (mut fleet, mut dice) = (Fleet::new(replicas), Dice(seed));
        for _ in 0..400 {
            let key = dice.below(keys) as u64;
            let at = fleet.begin(&with_key(key));
            prop_assert!(fleet.load[at].in_flight as usize <= fleet.bound());
            if dice.below(6) < ends {
                fleet.end(&mut dice);
            }
        }
    }

    #[test]
    fn a_key_stays_as_long_as_its_replica_has_room(key in any::<u64>(), load in 0..1000u32) {
        let route = route(&[("a", 1, 50)]);
        let of = |in_flight| Load { in_flight, ..Load::default() };
        let home = pick(&route, &with_key(key), |_| of(0)).unwrap();
        let alike = pick(&route, &with_key(key), |_| of(load)).unwrap();
        prop_assert_eq!(home, alike, "all are as busy");
        let full = |place| if place == home { of(load * 2 + 2) } else { of(load) };
        prop_assert_ne!(home, pick(&route, &with_key(key), full).unwrap());
    }

    #[test]
    fn revisions_are_as_many_as_their_weights(weights in prop::array::uniform3(0..100u32)) {
        prop_assume!(weights.iter().sum::<u32>() > 0);
        let mut got: BTreeMap<usize, f64> = BTreeMap::new();
        for revision in revisions_of_sessions(weights, 4000) {
            *got.entry(revision).or_default() += 1.0 / 4000.0;
        }
        let total = f64::from(weights.iter().sum::<u32>());
        for (index, weight) in weights.iter().enumerate() {
            let share = got.get(&index).copied().unwrap_or(0.0);
            // Five standard deviations.
            prop_assert!((share - f64::from(*weight) / total).abs() < 0.04, "{weights:?} {got:?}");
        }
    }
}

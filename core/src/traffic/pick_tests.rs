#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::testing::{Dice, busy, id, names, route};
use super::{Ask, Draws, Load, ModelRoute, NoRoute, Place, pick};

fn ejected() -> Load {
    Load {
        ejected: true,
        ..Load::default()
    }
}

fn idle(_: Place) -> Load {
    Load::default()
}

/// Draws that choose the first or the last of what there is.
const FIRST: u64 = 0;
const LAST: u64 = u64::MAX;

/// Revisions (hash, weight, ready replicas), ids tried, requests in flight by id, draws; id wanted.
type Row<'a> = (
    &'a [(&'a str, u32, usize)],
    &'a [&'a str],
    &'a [(&'a str, u32)],
    f64,
    u64,
    Result<&'a str, NoRoute>,
);

#[test]
fn chooses_by_weight_load_and_draw() {
    let two = [("a", 90, 2), ("b", 10, 1)];
    #[rustfmt::skip]
    let cases: &[Row<'_>] = &[
        // The draw falls in the revision's slice.
        (&two, &[], &[], 0.0, FIRST, Ok("a-0")),
        (&two, &[], &[], 0.899, FIRST, Ok("a-0")),
        (&two, &[], &[], 0.9, FIRST, Ok("b-0")),
        (&two, &[], &[], 0.999, FIRST, Ok("b-0")),
        // Draws that no caller should make.
        (&two, &[], &[], 1.0, FIRST, Ok("b-0")),
        (&two, &[], &[], 7.0, FIRST, Ok("b-0")),
        (&two, &[], &[], -1.0, FIRST, Ok("a-0")),
        (&two, &[], &[], f64::NAN, FIRST, Ok("a-0")),
        (&two, &[], &[], f64::INFINITY, FIRST, Ok("b-0")),
        // Of idle replicas the draw decides; a loaded one is passed over whatever the draw.
        (&two, &[], &[], 0.0, LAST, Ok("a-1")),
        (&two, &[], &[("a-0", 3), ("a-1", 2)], 0.0, FIRST, Ok("a-1")),
        (&two, &[], &[("a-0", 2), ("a-1", 3)], 0.0, LAST, Ok("a-0")),
        // Load never moves a request to another revision.
        (&two, &[], &[("a-0", 99), ("a-1", 98)], 0.0, FIRST, Ok("a-1")),
        // What was tried is out; a revision with nothing left gives its share away.
        (&two, &["a-0"], &[("a-1", 9)], 0.0, FIRST, Ok("a-1")),
        (&two, &["a-0", "a-1"], &[], 0.0, FIRST, Ok("b-0")),
        (&two, &["a-0", "a-1", "b-0"], &[], 0.0, FIRST, Err(NoRoute::AllTried)),
        // A revision without replicas gives its share away, weight 0 takes nothing.
        (&[("a", 90, 0), ("b", 10, 1)], &[], &[], 0.0, FIRST, Ok("b-0")),
        (&[("a", 0, 1), ("b", 100, 1)], &[], &[], 0.0, FIRST, Ok("b-0")),
        (&[("a", 0, 1)], &[], &[], 0.0, FIRST, Err(NoRoute::NoReadyReplica)),
        (&[("a", 0, 1), ("b", 100, 1)], &["b-0"], &[], 0.0, FIRST, Err(NoRoute::AllTried)),
        (&[("a", 100, 0)], &[], &[], 0.0, FIRST, Err(NoRoute::NoReadyReplica)),
        (&[], &[], &[], 0.0, FIRST, Err(NoRoute::NoReadyReplica)),
        // Weights are relative and may be huge.
        (&[("a", u32::MAX, 1), ("b", u32::MAX, 1)], &[], &[], 0.49, FIRST, Ok("a-0")),
        (&[("a", u32::MAX, 1), ("b", u32::MAX, 1)], &[], &[], 0.51, FIRST, Ok("b-0")),
    ];
    for (revisions, tried, loads, revision, replica, wanted) in cases {
        let route = route(revisions);
        let loads: BTreeMap<&str, u32> = loads.iter().copied().collect();
        let load = |place| busy(loads.get(id(&route, place)).copied().unwrap_or(0));
        let ask = Ask {
            tried: &names(tried),
            draws: Draws {
                revision: *revision,
                replica: *replica,
            },
            ..Ask::default()
        };
        let got = pick(&route, &ask, load).map(|place| id(&route, place));
        assert_eq!(got, *wanted, "{revisions:?} {tried:?} draw {revision}");
    }
}

#[test]
fn a_revision_asked_for_is_had_or_refused() {
    let route = route(&[("a", 99, 1), ("b", 1, 2), ("c", 0, 1), ("d", 5, 0)]);
    let none = NoRoute::RevisionNotAvailable;
    for (revision, tried, wanted) in [
        ("b", &["b-0"][..], Ok("b-1")),
        ("b", &["b-0", "b-1"], Err(NoRoute::AllTried)),
        ("c", &[], Err(none)),
        ("d", &[], Err(none)),
        ("nope", &[], Err(none)),
        ("", &[], Err(none)),
    ] {
        for session in [None, Some(7)] {
            let ask = Ask {
                revision: Some(revision),
                session,
                tried: &names(tried),
                ..Ask::default()
            };
            let got = pick(&route, &ask, idle).map(|place| id(&route, place));
            assert_eq!(got, wanted, "{revision} {tried:?}");
        }
    }
    assert_eq!(none.reason(), "RevisionNotAvailable");
}

/// Every replica that some draw leads to.
fn reached(route: &ModelRoute, ask: &Ask<'_>, load: impl Fn(Place) -> Load) -> Vec<String> {
    let mut dice = Dice(1);
    let places = (0..200).map(|_| {
        let draws = dice.ask().draws;
        pick(route, &Ask { draws, ..*ask }, &load).unwrap()
    });
    let ids: BTreeSet<_> = places.map(|place| id(route, place).to_owned()).collect();
    ids.into_iter().collect()
}

/// Ids ejected, ids tried; ids that requests go to.
type Ejected<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str]);

#[test]
fn the_ejected_are_passed_over_until_they_are_the_most() {
    let route = route(&[("a", 100, 4)]);
    #[rustfmt::skip]
    let cases: &[Ejected<'_>] = &[
        (&["a-0"], &[], &["a-1", "a-2", "a-3"]),
        (&["a-0", "a-3"], &[], &["a-1", "a-2"]),
        (&["a-0", "a-1", "a-2"], &[], &["a-0", "a-1", "a-2", "a-3"]),
        (&["a-0", "a-1", "a-2", "a-3"], &[], &["a-0", "a-1", "a-2", "a-3"]),
        // What was tried before goes where it is likely to be answered, if there is such a place.
        (&["a-0", "a-1", "a-2"], &["a-0"], &["a-3"]),
        (&["a-0", "a-1", "a-2"], &["a-3"], &["a-0", "a-1", "a-2"]),
        (&["a-0"], &["a-1", "a-2", "a-3"], &["a-0"]),
    ];
    for (out, tried, wanted) in cases {
        let load = |place| {
            if out.contains(&id(&route, place)) {
                ejected()
            } else {
                busy(50)
            }
        };
        let tried = names(tried);
        let ask = Ask {
            tried: &tried,
            ..Ask::default()
        };
        let got = reached(&route, &ask, load);
        // Where all count, one that is not ejected may still be too busy to be chosen.
        let missing = wanted.iter().filter(|id| !got.contains(&(**id).into()));
        assert!(
            missing
                .clone()
                .all(|id| wanted.len() == 4 && !out.contains(id)),
            "{out:?}: {got:?}"
        );
        assert!(
            got.iter().all(|id| wanted.contains(&id.as_str())),
            "{out:?}: {got:?}"
        );
        for key in 0..50 {
            let ask = Ask {
                session: Some(key),
                ..ask
            };
            let place = pick(&route, &ask, load).unwrap();
            assert!(wanted.contains(&id(&route, place)), "{out:?} key {key}");
        }
    }
}

#[test]
fn queued_tokens_weigh_like_requests() {
    let route = route(&[("a", 100, 2)]);
    for (queued, wanted) in [(0, "a-0"), (511, "a-0"), (513, "a-1"), (u64::MAX, "a-1")] {
        let load = |place: Place| match place.endpoint {
            0 => Load {
                queued_tokens: queued,
                ..Load::default()
            },
            _ => busy(1),
        };
        assert_eq!(
            reached(&route, &Ask::default(), load),
            [wanted],
            "{queued} tokens"
        );
    }
    let full = |_| Load {
        in_flight: u32::MAX,
        queued_tokens: u64::MAX,
        ejected: false,
    };
    let ask = Ask {
        prefix: Some(1),
        ..Ask::default()
    };
    assert!(
        pick(&route, &ask, full).is_ok(),
        "no load is too high to be compared"
    );
}

#[test]
fn a_session_goes_before_a_prefix_and_both_before_chance() {
    let route = route(&[("a", 100, 16)]);
    let at = |session, prefix, draw| {
        let draws = Draws {
            revision: 0.5,
            replica: draw,
        };
        let ask = Ask {
            session,
            prefix,
            draws,
            ..Ask::default()
        };
        pick(&route, &ask, idle).unwrap()
    };
    let places = |at: &dyn Fn(u64) -> Place| (0..64).map(at).collect::<BTreeSet<_>>().len();
    assert_eq!(places(&|n| at(Some(1), Some(n), n << 58)), 1);
    assert_eq!(places(&|n| at(None, Some(1), n << 58)), 1);
    assert!(places(&|n| at(Some(n), Some(1), 0)) > 8);
    assert_eq!(places(&|n| at(None, None, n << 58)), 16);
}

#[test]
fn two_distinct_replicas_are_compared_each_pair_as_often() {
    for count in 2..8 {
        let route = route(&[("a", 1, count)]);
        let mut pairs: BTreeMap<Vec<usize>, u32> = BTreeMap::new();
        let mut dice = Dice(count as u64);
        for _ in 0..10_000 {
            let seen = RefCell::new(Vec::new());
            let load = |place: Place| {
                seen.borrow_mut().push(place.endpoint);
                Load::default()
            };
            pick(&route, &dice.ask(), load).unwrap();
            let mut pair = seen.into_inner();
            pair.sort_unstable();
            *pairs.entry(pair).or_default() += 1;
        }
        let wanted = count * (count - 1) / 2;
        assert_eq!(pairs.len(), wanted, "{pairs:?}");
        assert!(
            pairs
                .keys()
                .all(|pair| pair.len() == 2 && pair[0] != pair[1])
        );
        let share = 10_000 / u32::try_from(wanted).unwrap();
        assert!(
            pairs.values().all(|n| n.abs_diff(share) < share / 2),
            "{pairs:?}"
        );
    }
}

#[derive(Debug, Clone)]
struct Case {
    revisions: Vec<(u32, usize)>,
    tried: Vec<(usize, usize)>,
    session: Option<u64>,
    prefix: Option<u64>,
    draws: (f64, u64),
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let weight = prop_oneof![Just(0), 0..=100u32, Just(u32::MAX)];
    (
        prop::collection::vec((weight, 0..6usize), 0..5),
        prop::collection::vec((0..5usize, 0..6usize), 0..12),
        (any::<Option<u64>>(), any::<Option<u64>>()),
        (
            prop_oneof![4 => 0.0..1.0f64, 1 => any::<f64>()],
            any::<u64>(),
        ),
        any::<u64>(),
    )
        .prop_map(|(revisions, tried, (session, prefix), draws, seed)| Case {
            revisions,
            tried,
            session,
            prefix,
            draws,
            seed,
        })
}

const HASHES: [&str; 5] = ["r0", "r1", "r2", "r3", "r4"];

impl Case {
    fn route(&self) -> ModelRoute {
        let revisions = HASHES.into_iter().zip(&self.revisions);
        let revisions: Vec<_> = revisions
            .map(|(hash, &(w, count))| (hash, w, count))
            .collect();
        route(&revisions)
    }

    fn tried(&self) -> Vec<String> {
        let tried = self.tried.iter();
        tried.map(|(r, i)| format!("r{r}-{i}")).collect()
    }

    fn load(&self, place: Place) -> Load {
        let which = (place.revision * 8 + place.endpoint) as u64;
        let dice = Dice(self.seed.wrapping_add(which)).number();
        Load {
            in_flight: (dice % 4) as u32,
            queued_tokens: dice >> 8 & 0xfff,
            ejected: dice >> 4 & 3 == 0,
        }
    }
}

proptest! {
    #[test]
    fn a_choice_is_ready_untried_and_weighted_and_there_is_one_if_there_can_be(case in case()) {
        let (route, tried) = (case.route(), case.tried());
        let ask = Ask {
            revision: None,
            session: case.session,
            prefix: case.prefix,
            tried: &tried,
            draws: Draws { revision: case.draws.0, replica: case.draws.1 },
        };
        let ready = || route.revisions.iter().filter(|r| r.weight > 0).flat_map(|r| &r.endpoints);
        match pick(&route, &ask, |place| case.load(place)) {
            Ok(place) => {
                let revision = &route.revisions[place.revision];
                prop_assert!(revision.weight > 0);
                prop_assert!(!tried.contains(&revision.endpoints[place.endpoint].id));
                let of = |endpoint| case.load(Place { endpoint, ..place });
                let fit = (0..revision.endpoints.len()).filter(|i| {
                    !tried.contains(&revision.endpoints[*i].id) && !of(*i).ejected
                });
                let out = (0..revision.endpoints.len()).filter(|i| of(*i).ejected).count();
                if fit.count() > 0 && (out * 2 <= revision.endpoints.len() || !tried.is_empty()) {
                    prop_assert!(!of(place.endpoint).ejected);
                }
            }
            Err(NoRoute::AllTried) => {
                prop_assert!(ready().count() > 0 && ready().all(|e| tried.contains(&e.id)));
            }
            Err(NoRoute::NoReadyReplica) => prop_assert_eq!(ready().count(), 0),
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn shares_follow_the_weights(weights in prop::collection::vec(0..=100u32, 1..5)) {
        const DRAWS: u32 = 4000;
        let revisions: Vec<_> = HASHES.into_iter().zip(&weights).map(|(h, &w)| (h, w, 1)).collect();
        let route = route(&revisions);
        let total: u32 = weights.iter().sum();
        let mut got = vec![0; weights.len()];
        for draw in 0..DRAWS {
            let draws = Draws { revision: f64::from(draw) / f64::from(DRAWS), replica: 0 };
            if let Ok(place) = pick(&route, &Ask { draws, ..Ask::default() }, idle) {
                got[place.revision] += 1;
            }
        }
        for (weight, got) in weights.iter().zip(got) {
            let wanted = f64::from(*weight) / f64::from(total.max(1)) * f64::from(DRAWS);
            prop_assert!((f64::from(got) - wanted).abs() <= 1.0, "{got} of {wanted}");
        }
    }

    /// Both of two are always compared, so they never differ by more than one.
    #[test]
    fn of_two_replicas_neither_falls_behind(requests in 0..200usize, seed in any::<u64>()) {
        let (route, mut dice, mut held) = (route(&[("a", 100, 2)]), Dice(seed), [0u32; 2]);
        for _ in 0..requests {
            let place = pick(&route, &dice.ask(), |place| busy(held[place.endpoint])).unwrap();
            held[place.endpoint] += 1;
        }
        prop_assert!(held[0].abs_diff(held[1]) <= 1);
    }
}

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Endpoint, ModelRoute, NoRoute, RevisionRoute, RouteTable, pick};

fn endpoints(revision: &str, count: usize) -> Vec<Endpoint> {
    (0..count)
        .map(|i| Endpoint {
            id: format!("{revision}-{i}"),
            addr: ([127, 0, 0, 1], 9000 + u16::try_from(i).unwrap()).into(),
        })
        .collect()
}

/// A table of one model `chat`, from (revision, weight, ready replicas).
fn table(revisions: &[(&str, u32, usize)]) -> RouteTable {
    let revisions = revisions
        .iter()
        .map(|&(revision, weight, count)| RevisionRoute {
            revision: revision.into(),
            weight,
            endpoints: endpoints(revision, count),
        })
        .collect();
    let route = ModelRoute {
        key: "default/chat".into(),
        served_name: "chat".into(),
        created: 0,
        revisions,
    };
    RouteTable {
        models: BTreeMap::from([("chat".into(), route)]),
    }
}

fn names(ids: &[&str]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// Revisions (hash, weight, ready replicas), ids tried, loads by id, draw, turn; id wanted.
type Row<'a> = (
    &'a [(&'a str, u32, usize)],
    &'a [&'a str],
    &'a [(&'a str, u64)],
    f64,
    u64,
    Result<&'a str, NoRoute>,
);

#[test]
fn chooses_by_weight_load_and_turn() {
    let two = [("a", 90, 2), ("b", 10, 1)];
    #[rustfmt::skip]
    let cases: &[Row<'_>] = &[
        // The draw falls in the revision's slice.
        (&two, &[], &[], 0.0, 0, Ok("a-0")),
        (&two, &[], &[], 0.899, 0, Ok("a-0")),
        (&two, &[], &[], 0.9, 0, Ok("b-0")),
        (&two, &[], &[], 0.999, 0, Ok("b-0")),
        // Draws that no caller should make.
        (&two, &[], &[], 1.0, 0, Ok("b-0")),
        (&two, &[], &[], 7.0, 0, Ok("b-0")),
        (&two, &[], &[], -1.0, 0, Ok("a-0")),
        (&two, &[], &[], f64::NAN, 0, Ok("a-0")),
        (&two, &[], &[], f64::INFINITY, 0, Ok("b-0")),
        // Idle replicas take turns; a loaded one is passed over whatever the turn.
        (&two, &[], &[], 0.0, 1, Ok("a-1")),
        (&two, &[], &[], 0.0, u64::MAX, Ok("a-1")),
        (&two, &[], &[("a-0", 3), ("a-1", 2)], 0.0, 0, Ok("a-1")),
        // Load never moves a request to another revision.
        (&two, &[], &[("a-0", 99), ("a-1", 98)], 0.0, 0, Ok("a-1")),
        // What was tried is out; a revision with nothing left gives its share away.
        (&two, &["a-0"], &[("a-1", 9)], 0.0, 0, Ok("a-1")),
        (&two, &["a-0", "a-1"], &[], 0.0, 0, Ok("b-0")),
        (&two, &["a-0", "a-1", "b-0"], &[], 0.0, 0, Err(NoRoute::AllTried)),
        // A revision without replicas gives its share away, weight 0 takes nothing.
        (&[("a", 90, 0), ("b", 10, 1)], &[], &[], 0.0, 0, Ok("b-0")),
        (&[("a", 0, 1), ("b", 100, 1)], &[], &[], 0.0, 0, Ok("b-0")),
        (&[("a", 0, 1)], &[], &[], 0.0, 0, Err(NoRoute::NoReadyReplica)),
        (&[("a", 0, 1), ("b", 100, 1)], &["b-0"], &[], 0.0, 0, Err(NoRoute::AllTried)),
        (&[("a", 100, 0)], &[], &[], 0.0, 0, Err(NoRoute::NoReadyReplica)),
        (&[], &[], &[], 0.0, 0, Err(NoRoute::NoReadyReplica)),
        // Weights are relative and may be huge.
        (&[("a", u32::MAX, 1), ("b", u32::MAX, 1)], &[], &[], 0.49, 0, Ok("a-0")),
        (&[("a", u32::MAX, 1), ("b", u32::MAX, 1)], &[], &[], 0.51, 0, Ok("b-0")),
    ];
    for (revisions, tried, loads, draw, turn, wanted) in cases {
        let table = table(revisions);
        let loads: BTreeMap<&str, u64> = loads.iter().copied().collect();
        let load = |id: &str| loads.get(id).copied().unwrap_or(0);
        let got = pick(&table, "chat", &names(tried), load, *draw, *turn);
        let got = got.map(|choice| choice.endpoint.id.as_str());
        assert_eq!(got, *wanted, "{revisions:?} {tried:?} draw {draw}");
    }
}

#[test]
fn tells_an_unknown_model_from_one_that_is_away() {
    let table = table(&[("a", 100, 0)]);
    let of = |model| pick(&table, model, &[], |_| 0, 0.5, 0).map(|_| ());
    assert_eq!(of("nope"), Err(NoRoute::UnknownModel));
    assert_eq!(of("chat"), Err(NoRoute::NoReadyReplica));
    assert_eq!(NoRoute::AllTried.reason(), "AllTried");
}

#[test]
fn names_the_revision_it_chose() {
    let table = table(&[("a", 50, 1), ("b", 50, 1)]);
    let choice = pick(&table, "chat", &[], |_| 0, 0.7, 0).unwrap();
    assert_eq!((choice.revision, choice.endpoint.id.as_str()), ("b", "b-0"));
}

#[derive(Debug, Clone)]
struct Case {
    revisions: Vec<(u32, usize)>,
    tried: Vec<(usize, usize)>,
    draw: f64,
    turn: u64,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let weight = prop_oneof![Just(0), 0..=100u32, Just(u32::MAX)];
    (
        prop::collection::vec((weight, 0..6usize), 0..5),
        prop::collection::vec((0..5usize, 0..6usize), 0..12),
        prop_oneof![4 => 0.0..1.0f64, 1 => any::<f64>()],
        any::<u64>(),
        any::<u64>(),
    )
        .prop_map(|(revisions, tried, draw, turn, seed)| Case {
            revisions,
            tried,
            draw,
            turn,
            seed,
        })
}

const HASHES: [&str; 5] = ["r0", "r1", "r2", "r3", "r4"];

impl Case {
    fn table(&self) -> RouteTable {
        let revisions: Vec<_> = HASHES
            .into_iter()
            .zip(&self.revisions)
            .map(|(hash, &(weight, count))| (hash, weight, count))
            .collect();
        table(&revisions)
    }

    fn tried(&self) -> Vec<String> {
        self.tried
            .iter()
            .map(|(r, i)| format!("r{r}-{i}"))
            .collect()
    }

    fn load(&self, id: &str) -> u64 {
        id.bytes()
            .fold(self.seed, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            })
            .rotate_left(17)
            % 4
    }
}

proptest! {
    #[test]
    fn a_choice_is_ready_untried_weighted_and_least_loaded(case in case()) {
        let (table, tried) = (case.table(), case.tried());
        let route = &table.models["chat"];
        let open = |r: &RevisionRoute| r.weight > 0 && r.endpoints.iter().any(|e| !tried.contains(&e.id));
        match pick(&table, "chat", &tried, |id| case.load(id), case.draw, case.turn) {
            Ok(choice) => {
                prop_assert!(!tried.contains(&choice.endpoint.id));
                let revision = route.revisions.iter().find(|r| r.revision == choice.revision).unwrap();
                prop_assert!(revision.weight > 0);
                prop_assert!(revision.endpoints.contains(choice.endpoint));
                let least = revision.endpoints.iter().filter(|e| !tried.contains(&e.id))
                    .map(|e| case.load(&e.id)).min();
                prop_assert_eq!(Some(case.load(&choice.endpoint.id)), least);
            }
            Err(NoRoute::UnknownModel) => prop_assert!(false, "chat is in the table"),
            Err(NoRoute::AllTried) => {
                prop_assert!(!route.revisions.iter().any(open));
                prop_assert!(route.revisions.iter().any(|r| r.weight > 0 && !r.endpoints.is_empty()));
            }
            Err(NoRoute::NoReadyReplica) => prop_assert!(
                !route.revisions.iter().any(|r| r.weight > 0 && !r.endpoints.is_empty())
            ),
        }
    }

    #[test]
    fn shares_follow_the_weights(weights in prop::collection::vec(0..=100u32, 1..5)) {
        const DRAWS: u32 = 4000;
        let revisions: Vec<_> = HASHES.into_iter().zip(&weights).map(|(h, &w)| (h, w, 1)).collect();
        let table = table(&revisions);
        let total: u32 = weights.iter().sum();
        let mut got: BTreeMap<&str, u32> = BTreeMap::new();
        for draw in 0..DRAWS {
            let draw = f64::from(draw) / f64::from(DRAWS);
            if let Ok(choice) = pick(&table, "chat", &[], |_| 0, draw, 0) {
                *got.entry(choice.revision).or_default() += 1;
            }
        }
        for (hash, weight, _) in revisions {
            let wanted = f64::from(weight) / f64::from(total.max(1)) * f64::from(DRAWS);
            let got = f64::from(got.get(hash).copied().unwrap_or(0));
            prop_assert!((got - wanted).abs() <= 1.0, "{hash}: {got} of {wanted}");
        }
    }

    #[test]
    fn held_requests_spread_within_one(replicas in 1..40usize, requests in 0..200usize, start in any::<u64>()) {
        let table = table(&[("a", 100, replicas)]);
        let mut held: BTreeMap<String, u64> = BTreeMap::new();
        for request in 0..requests {
            let turn = start.wrapping_add(u64::try_from(request).unwrap());
            let load = |id: &str| held.get(id).copied().unwrap_or(0);
            let id = pick(&table, "chat", &[], load, 0.5, turn).unwrap().endpoint.id.clone();
            *held.entry(id).or_default() += 1;
        }
        let low = requests / replicas;
        for load in held.values() {
            prop_assert!([low, low + 1].contains(&usize::try_from(*load).unwrap()));
        }
    }

    #[test]
    fn idle_replicas_take_turns(replicas in 1..20usize, start in 0..u64::MAX / 2) {
        let table = table(&[("a", 100, replicas)]);
        let chosen: std::collections::BTreeSet<_> = (0..replicas)
            .map(|i| start + u64::try_from(i).unwrap())
            .map(|turn| pick(&table, "chat", &[], |_| 0, 0.5, turn).unwrap().endpoint.id.clone())
            .collect();
        prop_assert_eq!(chosen.len(), replicas);
    }
}

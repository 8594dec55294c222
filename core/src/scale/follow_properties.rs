//! What holds of every decision on a count, whatever is measured and remembered.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::capacity::Capacity;
use super::{Case, Followed, Remembered, Wished, follow};
use crate::load::{Flow, LoadSeen, RECENT, STABLE, Slot, Trail};
use crate::validate::{Limit, Scaling, Targets};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("in range")
}

fn any_flow(length: Duration) -> impl Strategy<Value = Flow> {
    let counts = (0f64..500.0, 0f64..500.0, 0f64..500.0, 0f64..500.0);
    let tokens = (0f64..500_000.0, 0f64..100_000.0, 0f64..500.0);
    let rest = (0f64..40.0, 0u64..20_000, 0u64..60_000, 0.2f64..=1.0);
    (counts, tokens, rest).prop_map(move |(counts, tokens, rest)| {
        let (running, waiting, arrived, ended) = counts;
        let (prompt_tokens, generation_tokens, prefill_seconds) = tokens;
        let (replicas, ttft, latency, seen) = rest;
        Flow {
            length: length.mul_f64(seen),
            replicas,
            running,
            waiting,
            arrived,
            ended,
            prompt_tokens,
            generation_tokens,
            prefill_seconds,
            first_tokens: ended,
            ttft_p95: (ttft > 0).then(|| Duration::from_millis(ttft)),
            latency_p95: (latency > 0).then(|| Duration::from_millis(latency)),
        }
    })
}

prop_compose! {
    fn any_load()(
        replicas in 0u32..40,
        now in (0f64..500.0, 0f64..500.0),
        kv_cache in prop::option::of(0f64..=1.0),
        most_running in prop::option::of(0f64..300.0),
        recent in any_flow(RECENT),
        stable in any_flow(STABLE),
    ) -> LoadSeen {
        LoadSeen { replicas, running: now.0, waiting: now.1, most_running, kv_cache, recent, stable }
    }
}

fn any_targets() -> impl Strategy<Value = Targets> {
    let times = (
        prop::option::of(1u64..10_000),
        prop::option::of(1u64..60_000),
    );
    let counts = (
        prop::option::of(1u32..20),
        prop::option::of(1u32..=100),
        prop::option::of(1u32..64),
    );
    (times, counts).prop_map(|((ttft, latency), (queue, kv, concurrency))| Targets {
        queue_waiting: queue,
        ttft_p95: ttft.map(Duration::from_millis),
        latency_p95: latency.map(Duration::from_millis),
        kv_cache_usage: kv,
        concurrency,
    })
}

fn any_limit() -> impl Strategy<Value = Limit> {
    let all = (prop::option::of(0u64..600), prop::option::of(1u32..5));
    all.prop_map(|(hold, max_step)| Limit {
        stabilization: hold.map(Duration::from_secs),
        max_step,
    })
}

fn any_wishes() -> impl Strategy<Value = Vec<Wished>> {
    let wish = (0i64..4_000, 0u32..40);
    let wish = wish.prop_map(|(since, replicas)| Wished {
        since: at(since),
        replicas,
    });
    prop::collection::vec(wish, 0..6).prop_map(|mut wishes| {
        wishes.sort_by_key(|wish| wish.since);
        wishes
    })
}

prop_compose! {
    fn any_scaling()(
        targets in any_targets(),
        up in any_limit(),
        down in any_limit(),
    ) -> Scaling {
        Scaling {
            targets,
            up,
            down,
        }
    }
}

prop_compose! {
    fn any_remembered()(
        capacity in prop::option::of((1f64..50_000.0, 1f64..5_000.0, 0.01f64..100.0, 0i64..4_000, prop::option::of(0i64..4_000))),
        lows in any_wishes(),
        highs in any_wishes(),
    ) -> Remembered {
        Remembered {
            capacity: capacity.map(|(prefill, decode, requests, known, strained)| Capacity {
                prefill, decode, requests, at: at(known), strained_at: strained.map(at),
            }),
            lows,
            highs,
        }
    }
}

fn any_trail() -> impl Strategy<Value = Trail> {
    let tokens = (0f64..500.0, 0f64..50_000.0, 0f64..10_000.0);
    let slot = (tokens, 0f64..500.0, 0f64..100.0).prop_map(|(tokens, running, beside)| {
        let (arrived, prompt_tokens, generation_tokens) = tokens;
        Slot {
            arrived,
            prompt_tokens,
            generation_tokens,
            running_seconds: running,
            beside_seconds: running * beside,
        }
    });
    prop::collection::vec(slot, 0..80).prop_map(|slots| Trail(slots.into()))
}

#[derive(Clone, Debug)]
struct Moment {
    scaling: Scaling,
    min: u32,
    more: u32,
    desired: u32,
    missing: u32,
    held: u64,
    load: Option<LoadSeen>,
    trail: Trail,
    start: u64,
    now: i64,
    moved_at: Option<i64>,
    before: Remembered,
}

impl Moment {
    fn follow(&self, load: Option<&LoadSeen>, held: u64) -> Followed {
        let case = Case {
            scaling: &self.scaling,
            min: self.min,
            max: self.min + self.more,
            desired: self.desired,
            ready: self.desired.saturating_sub(self.missing),
            held,
            load,
            trail: &self.trail,
            start: Duration::from_secs(self.start),
            moved_at: self.moved_at.map(at),
            now: at(self.now),
        };
        follow(&case, &self.before)
    }

    fn held_count(&self) -> u32 {
        self.desired.clamp(self.min, self.min + self.more)
    }
}

prop_compose! {
    fn moment()(
        scaling in any_scaling(),
        bounds in (1u32..5, 0u32..40),
        there in (0u32..40, 0u32..4, 0u64..1_000),
        load in prop::option::weighted(0.9, any_load()),
        trail in any_trail(),
        times in (0u64..600, 0i64..4_000, prop::option::of(0i64..4_000)),
        before in any_remembered(),
    ) -> Moment {
        Moment {
            scaling, min: bounds.0, more: bounds.1, desired: there.0, missing: there.1, held: there.2,
            load, trail, start: times.0, now: times.1, moved_at: times.2, before,
        }
    }
}

/// All of it, so many times as much.
fn times(load: &LoadSeen, factor: f64) -> LoadSeen {
    let flow = |flow: &Flow| Flow {
        running: flow.running * factor,
        waiting: flow.waiting * factor,
        arrived: flow.arrived * factor,
        ended: flow.ended * factor,
        prompt_tokens: flow.prompt_tokens * factor,
        generation_tokens: flow.generation_tokens * factor,
        prefill_seconds: flow.prefill_seconds * factor,
        first_tokens: flow.first_tokens * factor,
        ttft_p95: flow.ttft_p95.map(|time| time.mul_f64(factor)),
        latency_p95: flow.latency_p95.map(|time| time.mul_f64(factor)),
        ..flow.clone()
    };
    LoadSeen {
        most_running: load.most_running,
        replicas: load.replicas,
        running: load.running * factor,
        waiting: load.waiting * factor,
        kv_cache: load.kv_cache.map(|share| (share * factor).min(1.0)),
        recent: flow(&load.recent),
        stable: flow(&load.stable),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn bounds_are_kept_and_a_decision_is_the_same_again(moment in moment()) {
        let load = moment.load.as_ref();
        let wanted = moment.follow(load, moment.held);
        prop_assert!((moment.min..=moment.min + moment.more).contains(&wanted.replicas));
        let Remembered { lows, highs, .. } = &wanted.remembered;
        prop_assert!(lows.len() <= 8 && highs.len() <= 8);
        prop_assert!(lows.is_empty() || highs.is_empty(), "both ways at once");
        if let Some(capacity) = wanted.remembered.capacity {
            let rates = [capacity.prefill, capacity.decode, capacity.requests];
            prop_assert!(rates.iter().all(|rate| rate.is_finite() && *rate > 0.0), "{rates:?}");
        }
        prop_assert_eq!(moment.follow(load, moment.held), wanted);
    }

    #[test]
    fn more_load_never_gives_fewer_replicas(
        moment in moment(), load in any_load(), factor in 1f64..4.0, more_held in 0u64..500, waiting in 0f64..100.0,
    ) {
        let wanted = moment.follow(Some(&load), moment.held).replicas;
        let all = moment.follow(Some(&times(&load, factor)), moment.held).replicas;
        prop_assert!(all >= wanted, "{all} of {factor} times the load of {wanted}");
        let held = moment.follow(Some(&load), moment.held + more_held).replicas;
        prop_assert!(held >= wanted, "{held} with more held than {wanted}");
        let mut queued = load.clone();
        queued.waiting += waiting;
        queued.recent.waiting += waiting;
        queued.stable.waiting += waiting;
        let queued = moment.follow(Some(&queued), moment.held).replicas;
        prop_assert!(queued >= wanted, "{queued} with more waiting than {wanted}");
    }

    #[test]
    fn more_come_no_sooner_for_a_while_that_is_asked_for(moment in moment(), load in any_load()) {
        let waits = moment.follow(Some(&load), moment.held);
        let mut at_once = moment.clone();
        at_once.scaling.up.stabilization = None;
        let at_once = at_once.follow(Some(&load), moment.held);
        prop_assert!(waits.replicas <= at_once.replicas);
        prop_assert!(waits.replicas >= at_once.replicas.min(moment.held_count()));
        prop_assert!(at_once.remembered.highs.is_empty());
        // It is never waited for without a look to come.
        let held_up = waits.replicas < at_once.replicas;
        prop_assert!(!held_up || waits.look_after.is_some());
    }

    #[test]
    fn without_what_all_tell_no_replica_goes(moment in moment(), load in any_load()) {
        let blind = moment.follow(None, moment.held).replicas;
        prop_assert_eq!(blind, moment.held_count());
        let ready = moment.desired.saturating_sub(moment.missing);
        if load.replicas < ready {
            let partly = moment.follow(Some(&load), moment.held).replicas;
            prop_assert!(partly >= moment.held_count());
        }
    }
}

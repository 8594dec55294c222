//! What `chandler simulate` says of the very requests that were sent.

use std::time::Duration;

use chandler_sim::traffic::baselines::Fixed;
use chandler_sim::traffic::trace::Trace;
use chandler_sim::traffic::{Bounds, Options, Quantiles, ReplicaModel, simulate};

/// Whose turn it is among several replicas is chance: the middle of so many simulations counts.
const SEEDS: u64 = 5;

/// How many replicas there are all the time, and whose chance it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene {
    pub(super) replicas: u32,
    pub(super) seed: u64,
}

/// Times to the first token of a trace.
pub(super) fn predict(trace: &Trace, model: &ReplicaModel, scene: Scene) -> Quantiles {
    let Scene { replicas, seed } = scene;
    let bounds = Bounds {
        min: replicas,
        max: replicas,
        first: replicas,
    };
    let all: Vec<Quantiles> = (0..SEEDS)
        .map(|turn| {
            let options = Options {
                seed: seed.wrapping_add(turn),
                ..Options::default()
            };
            simulate(trace, model, bounds, &mut Fixed(replicas), &options).ttft
        })
        .collect();
    let middle = |of: fn(&Quantiles) -> Duration| {
        let mut times: Vec<_> = all.iter().map(of).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    };
    Quantiles {
        p50: middle(|it| it.p50),
        p95: middle(|it| it.p95),
        p99: middle(|it| it.p99),
    }
}

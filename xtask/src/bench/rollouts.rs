//! Rollouts, simulated: how often the traffic analysis lets a bad canary go on, and how often it takes
//! a good one back. What decides is the operator's own cycle; requests are drawn.

use std::thread;

use anyhow::{Result, anyhow};
use chandler_crds::ModelDeployment;
use chandler_crds::status::RolloutPhase;
use chandler_sim::rollouts::{Requests, Verdict, roll_out};
use chandler_sim::simulation::model;
use chandler_sim::traffic::Manner;
use clap::Args;
use serde_json::{Value, json};

use super::row::{self, Pair, Row};
use super::{THREADS, write};

/// A bad canary is caught in time if it has had no more than this share of the requests that the
/// rollout takes as planned.
const IN_TIME: f64 = 0.05;
/// Parts of the rollouts, over which the spread is told.
const BATCHES: u64 = 10;
/// Weights of the steps, percent.
const WEIGHTS: [u32; 3] = [5, 25, 50];
/// Minutes that each is held.
const HOLD: u32 = 10;
/// A model that is asked by many, as a chat model answers.
const REQUESTS: Requests = Requests {
    per_second: 50.0,
    first_token: (0.3, 0.5),
    token_time: (0.02, 0.2),
    tokens: (120.0, 0.8),
    errors: 0.001,
};

/// What is simulated.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rollouts of each kind of canary: a good one, a slower one, one with errors.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(BATCHES..))]
    rollouts: u64,
    /// How much longer the slower one takes, as a ratio.
    #[arg(long, value_name = "X", default_value_t = 1.2)]
    slower: f64,
    /// Share of the requests that fail of the one with errors.
    #[arg(long, value_name = "X", default_value_t = 0.02)]
    errors: f64,
}

/// One kind of canary, and how its rollouts went.
struct Kind {
    name: &'static str,
    verdicts: Vec<Verdict>,
}

/// Simulates, and tells what came of it.
///
/// # Errors
/// The result can't be written.
pub(super) fn run(options: &Options) -> Result<()> {
    let like_others = Manner::default();
    let slower = Manner {
        slowness: options.slower,
        ..like_others
    };
    let erring = Manner {
        errors: options.errors,
        ..like_others
    };
    let good = kind("good", like_others, options)?;
    let slow = kind("slower", slower, options)?;
    let errs = kind("with errors", erring, options)?;
    let is_caught = |it: &Verdict| is_failed(it) && it.canary as f64 <= IN_TIME * planned();
    let bad = || slow.verdicts.iter().zip(&errs.verdicts);
    let bad = bad().flat_map(|(one, other)| [one.clone(), other.clone()]);
    let bad: Vec<Verdict> = bad.collect();
    let rows = [
        share("bad-caught", &bad, is_caught),
        share("good-rejected", &good.verdicts, is_failed),
        share("slow-caught", &slow.verdicts, is_caught),
        share("errors-caught", &errs.verdicts, is_caught),
        share("bad-promoted", &bad, |it| {
            it.phase == RolloutPhase::Completed
        }),
        share("good-inconclusive", &good.verdicts, |it| {
            it.reason == "ProgressDeadlineExceeded"
        }),
    ];
    for kind in [&good, &slow, &errs] {
        tell(kind);
    }
    write("rollouts", &rows)?;
    print!("{}", row::table(&rows));
    Ok(())
}

/// Requests of a rollout that is held as long as it is told to.
fn planned() -> f64 {
    f64::from(HOLD * 60) * WEIGHTS.len() as f64 * REQUESTS.per_second
}

fn is_failed(verdict: &Verdict) -> bool {
    verdict.phase == RolloutPhase::RolledBack
}

fn kind(name: &'static str, manner: Manner, options: &Options) -> Result<Kind> {
    let (before, after) = (object("a")?, object("b")?);
    let part = |first: u64| {
        let seeds = (first..options.rollouts).step_by(THREADS);
        let verdicts = seeds.map(|seed| roll_out(&before, &after, &REQUESTS, manner, seed));
        verdicts.collect::<Vec<_>>()
    };
    let verdicts = thread::scope(|scope| {
        let part = &part;
        let parts = (0..THREADS as u64).map(|first| scope.spawn(move || part(first)));
        let parts: Vec<_> = parts.collect();
        let ended = parts.into_iter().map(thread::ScopedJoinHandle::join);
        ended.collect::<Result<Vec<_>, _>>()
    });
    let verdicts = verdicts.map_err(|_| anyhow!("a simulation panicked"))?;
    Ok(Kind {
        name,
        verdicts: verdicts.into_iter().flatten().collect(),
    })
}

fn object(source: &str) -> Result<ModelDeployment> {
    let steps: Vec<Value> = WEIGHTS
        .iter()
        .map(|weight| json!({"weight": weight, "hold": format!("{HOLD}m")}))
        .collect();
    let spec = json!({
        "model": {"source": format!("file:///models/{source}")},
        "replicas": 20,
        "rollout": {
            "steps": steps,
            "progressDeadline": "30m",
            "analysis": {
                "maxErrorRate": 0.005,
                "maxTtftP95Ratio": 1.25,
                "maxLatencyP95Ratio": 1.25,
                "minTokensPerSecondRatio": 0.9,
                "minRequests": 100,
            },
        },
    });
    model(&spec).map_err(|refusals| anyhow!("{refusals:?}"))
}

/// The share of rollouts that are so, over batches of them.
fn share(name: &str, verdicts: &[Verdict], is_so: impl Fn(&Verdict) -> bool) -> Row {
    let size = verdicts.len().div_ceil(BATCHES as usize).max(1);
    let pairs: Vec<Pair> = verdicts
        .chunks(size)
        .map(|batch| Pair {
            ours: batch.iter().filter(|it| is_so(it)).count() as f64,
            peer: batch.len() as f64,
        })
        .collect();
    Row {
        // Counts differ by chance, and by nothing else.
        noisy: false,
        ..Row::new(name, "all of them", "rollouts", &pairs)
    }
}

/// What the rollouts of a kind came to in all, and how many requests the canaries had.
fn tell(kind: &Kind) {
    let mut requests: Vec<u64> = kind.verdicts.iter().map(|it| it.canary).collect();
    requests.sort_unstable();
    let at = |share: f64| requests[((requests.len() - 1) as f64 * share) as usize];
    let failed = kind.verdicts.iter().filter(|it| is_failed(it)).count();
    println!(
        "{}: {failed} of {} taken back; the canary had {} requests (median), {} at 95 %, {} at most, {} of {:.0} being in time",
        kind.name,
        requests.len(),
        at(0.5),
        at(0.95),
        at(1.0),
        (IN_TIME * planned()) as u64,
        planned(),
    );
}

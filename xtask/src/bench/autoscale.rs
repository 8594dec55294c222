//! Autoscaling, simulated: replica-hours that policies need to serve 99 % of a trace's requests within
//! an objective, each policy tuned over its own main knob, at several scales and start delays.
//!
//! One more setting is a load that is constant but for chance, on which a count that goes up and down
//! serves nobody.
//!
//! What is simulated is exact and the same on every machine; the spread is over seeds, which differ in
//! how the trace is made denser and in whose turn it is.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, thread};

use anyhow::{Context, Result, bail};
use chandler_core::validate::{Scaling, Targets};
use chandler_sim::traffic::baselines::{Baseline, Fixed};
use chandler_sim::traffic::trace::{Request, Trace};
use chandler_sim::traffic::{
    Bounds, Chandler, Options as Chance, Outcome, Policy, ReplicaModel, needs, plan, simulate,
};
use clap::Args;

use super::row::{self, Pair, Row};
use super::write;

/// Where traces are, unless one is named.
pub(super) const TRACES: &str = "CHANDLER_TRACES";
/// Share of requests that must have their first token in time.
const ATTAINED: f64 = 0.99;
/// Longest time to the first token.
const SLO: Duration = Duration::from_secs(2);
/// Values of a knob that are tried.
const TRIES: u32 = 14;
/// Seconds to the first token that ours is told to keep to.
const OUR_KNOB: (f64, f64) = (0.5, 8.0);
/// How long the constant load lasts.
const CONSTANT: Duration = Duration::from_secs(3 * 3600);
/// Shares of requests that a plan lets go, of the one in a hundred that may be late.
const LET_GO: [f64; 3] = [0.0, 0.004, 0.008];

/// What is simulated.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// CSV with the columns TIMESTAMP, ContextTokens and GeneratedTokens. Default: the first of the
    /// folder that `CHANDLER_TRACES` names.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Times the trace's requests a second.
    #[arg(long, value_name = "X", value_delimiter = ',', default_values_t = [4.0, 16.0])]
    scales: Vec<f64>,
    /// Seconds that a replica takes to start.
    #[arg(long, value_name = "SECONDS", value_delimiter = ',', default_values_t = [10.0, 60.0, 300.0])]
    delays: Vec<f64>,
    /// Repeat the trace for so many days, with nights and weekends; 0 leaves it as long as it is.
    #[arg(long, value_name = "N", default_value_t = 0)]
    days: u32,
    /// How many seeds.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
}

/// Simulates, and tells what came of it.
///
/// # Errors
/// There is no trace, or no policy serves it well.
pub(super) fn run(options: &Options) -> Result<()> {
    let path = options.trace.clone().map_or_else(first_trace, Ok)?;
    let trace = read(&path)?;
    let mut measured = Vec::new();
    for scale in &options.scales {
        for delay in &options.delays {
            measured.push(setting(&trace, options, *scale, *delay)?);
        }
    }
    let mut rows = vec![
        worst(
            "replica-hours-vs-best-baseline",
            measured.iter().map(|it| &it.baseline),
        )?,
        worst(
            "replica-hours-vs-clairvoyant",
            measured.iter().map(|it| &it.bound),
        )?,
    ];
    for setting in measured {
        rows.extend([setting.baseline.row(), setting.bound.row()]);
    }
    let constant = constant(&trace, options.scales[0]);
    for delay in &options.delays {
        rows.push(oscillation(&constant, options, *delay)?);
    }
    write("autoscale", &rows)?;
    print!("{}", row::table(&rows));
    Ok(())
}

pub(super) fn first_trace() -> Result<PathBuf> {
    let folder = env::var_os(TRACES)
        .with_context(|| format!("no trace: give --trace FILE, or a folder of them in {TRACES}"))?;
    let folder = Path::new(&folder);
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut traces: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == "csv"))
        .collect();
    traces.sort();
    let first = traces.into_iter().next();
    first.with_context(|| format!("{} has no .csv", folder.display()))
}

pub(super) fn read(path: &Path) -> Result<Trace> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Trace::parse(&text).with_context(|| path.display().to_string())
}

/// As much as the trace asks, `scale` times, but evenly.
fn constant(trace: &Trace, scale: f64) -> Trace {
    let (prompt, generated) = trace.mean_tokens();
    let (prompt, generated) = (prompt.round() as u32, generated.round() as u32);
    let rate = trace.rate() * scale;
    Trace::constant(rate, CONSTANT, prompt, generated, 1)
}

/// How often an hour the count turns on a constant load, ours and that of the best baseline.
fn oscillation(constant: &Trace, options: &Options, delay: f64) -> Result<Row> {
    let mut pairs = Vec::new();
    let mut names = Vec::new();
    for seed in 1..=options.seeds {
        let case = Case::new(constant.clone(), delay, seed)?;
        let (ours, best) = (case.best_of_ours()?, case.best_baseline()?);
        println!(
            "constant {delay}s seed {seed}: {} turns {:.2} times an hour in {:.2} h, {} {:.2} times in {:.2} h",
            ours.policy,
            ours.oscillation(),
            ours.replica_hours,
            best.policy,
            best.oscillation(),
            best.replica_hours,
        );
        pairs.push(Pair {
            ours: ours.oscillation(),
            peer: best.oscillation(),
        });
        names.push(best.policy);
    }
    let name = format!("oscillation-{delay}s");
    Ok(Row::new(&name, &names.join(" "), "turns/h", &pairs))
}

/// Ours beside one peer, at one setting.
struct Compared {
    name: String,
    peer: String,
    pairs: Vec<Pair>,
}

impl Compared {
    fn row(&self) -> Row {
        Row::new(&self.name, &self.peer, "replica-hours", &self.pairs)
    }
}

struct Setting {
    baseline: Compared,
    bound: Compared,
}

/// The setting whose ratio is the greatest.
fn worst<'a>(name: &str, all: impl Iterator<Item = &'a Compared>) -> Result<Row> {
    let rows = all.map(|it| (it.row().ratio, it));
    let worst = rows.max_by(|(a, _), (b, _)| a.total_cmp(b));
    let (_, it) = worst.context("no setting was simulated")?;
    Ok(Row::new(name, &it.peer, "replica-hours", &it.pairs))
}

fn setting(trace: &Trace, options: &Options, scale: f64, delay: f64) -> Result<Setting> {
    let (mut baselines, mut bounds) = (Vec::new(), Vec::new());
    let mut names = Vec::new();
    for seed in 1..=options.seeds {
        let mut trace = trace.scaled(scale, seed);
        if options.days > 0 {
            trace = trace.over_days(options.days, seed);
        }
        let case = Case::new(trace, delay, seed)?;
        let ours = case.best_of_ours()?;
        let best = case.best_baseline()?;
        let bound = case.clairvoyant()?;
        println!(
            "×{scale} {delay}s seed {seed}: {} {:.2} h, {} {:.2} h, clairvoyant {:.2} h",
            ours.policy, ours.replica_hours, best.policy, best.replica_hours, bound
        );
        let pair = |peer| Pair {
            ours: ours.replica_hours,
            peer,
        };
        baselines.push(pair(best.replica_hours));
        bounds.push(pair(bound));
        names.push(best.policy);
    }
    let of = |what: &str| format!("{what}-x{scale}-{delay}s");
    Ok(Setting {
        baseline: Compared {
            name: of("vs-best"),
            peer: names.join(" "),
            pairs: baselines,
        },
        bound: Compared {
            name: of("vs-bound"),
            peer: "clairvoyant".to_owned(),
            pairs: bounds,
        },
    })
}

/// One trace, the replicas that serve it, and how many there may be.
struct Case {
    trace: Trace,
    model: ReplicaModel,
    bounds: Bounds,
    chance: Chance,
    fixed: Outcome,
}

impl Case {
    fn new(trace: Trace, delay: f64, seed: u64) -> Result<Self> {
        let model = ReplicaModel {
            start_seconds: vec![delay],
            ..ReplicaModel::default()
        };
        let chance = Chance {
            slo: SLO,
            seed,
            ..Chance::default()
        };
        let (count, fixed) = fewest(&trace, &model, &chance)?;
        // Whoever sets a most leaves room for twice what was ever needed.
        let bounds = Bounds {
            min: 1,
            max: 2 * count,
            first: count,
        };
        Ok(Self {
            trace,
            model,
            bounds,
            chance,
            fixed,
        })
    }

    fn simulate(&self, policy: &mut dyn Policy) -> Outcome {
        simulate(&self.trace, &self.model, self.bounds, policy, &self.chance)
    }

    fn best_of_ours(&self) -> Result<Outcome> {
        self.tuned("chandler", OUR_KNOB, |knob| self.ours(knob))
    }

    fn ours(&self, ttft: f64) -> Box<dyn Policy> {
        let targets = Targets {
            ttft_p95: Some(Duration::from_secs_f64(ttft)),
            ..Targets::default()
        };
        let scaling = Scaling {
            targets,
            ..Scaling::default()
        };
        let start = Duration::from_secs_f64(self.model.start_seconds[0]);
        let name = format!("chandler={ttft:.2}s");
        Box::new(Chandler::new(name, scaling, self.bounds, start))
    }

    /// The one with the fewest hours that serves well, of those that a knob makes.
    fn tuned(
        &self,
        name: &str,
        (least, most): (f64, f64),
        make: impl Fn(f64) -> Box<dyn Policy> + Sync,
    ) -> Result<Outcome> {
        let knob = |at: u32| {
            let exact = least * (most / least).powf(f64::from(at) / f64::from(TRIES - 1));
            // As someone would write it.
            (exact * 100.0).round() / 100.0
        };
        let outcomes = side_by_side(TRIES, |at| self.simulate(&mut *make(knob(at))));
        let best = fewest_hours(outcomes);
        best.with_context(|| format!("no {name} serves {ATTAINED} of the requests in time"))
    }

    /// Of all baselines, each tuned; those that serve well at no value of their knob are left out.
    fn best_baseline(&self) -> Result<Outcome> {
        let batch = f64::from(self.model.max_batch);
        let of = |make: fn(Option<f64>) -> Baseline, range| {
            self.tuned("baseline", range, |knob| {
                make(Some(knob)).policy(self.model.max_batch)
            })
        };
        let tuned = [
            of(Baseline::Kpa, (0.05 * batch, 2.0 * batch)),
            of(Baseline::Hpa, (0.05 * batch, 2.0 * batch)),
            of(Baseline::Keda, (0.1, 64.0)),
            of(Baseline::KubeAi, (0.05 * batch, 2.0 * batch)),
        ];
        let served = tuned.into_iter().flatten().chain([self.fixed.clone()]);
        fewest_hours(served.collect()).context("no baseline serves the trace")
    }

    /// Hours of the best plan that was made with knowledge of all requests, and that the simulation
    /// confirms: the work of a request is weighed more until enough of them are served in time.
    fn clairvoyant(&self) -> Result<f64> {
        let best = LET_GO.iter().filter_map(|let_go| {
            let planned = |at: u32| {
                let weight = 0.8 + 0.02 * f64::from(at);
                let needs = needs(&self.trace, |it| weight * self.work(it), SLO);
                let delay = Duration::from_secs_f64(self.model.start_seconds[0]);
                self.simulate(&mut plan(&needs, delay, *let_go))
            };
            fewest_hours(side_by_side(2 * TRIES, planned))
        });
        let hours = best.map(|outcome| outcome.replica_hours).reduce(f64::min);
        hours.context("no plan serves the trace")
    }

    /// Seconds of a replica, with as many sequences beside it as it can have.
    fn work(&self, request: &Request) -> f64 {
        let ReplicaModel {
            prefill_tokens_per_second,
            step_seconds,
            sequence_seconds,
            max_batch,
            ..
        } = self.model;
        let token = step_seconds / f64::from(max_batch) + sequence_seconds;
        f64::from(request.prompt_tokens) / prefill_tokens_per_second
            + f64::from(request.generated_tokens) * token
    }
}

fn serves(outcome: &Outcome) -> bool {
    outcome.attainment() >= ATTAINED
}

fn fewest_hours(outcomes: Vec<Outcome>) -> Option<Outcome> {
    let served = outcomes.into_iter().filter(serves);
    served.min_by(|a, b| a.replica_hours.total_cmp(&b.replica_hours))
}

/// The fewest replicas that serve well all the time, and what comes of them.
fn fewest(trace: &Trace, model: &ReplicaModel, chance: &Chance) -> Result<(u32, Outcome)> {
    let with = |count| {
        let bounds = Bounds {
            min: count,
            max: count,
            first: count,
        };
        simulate(trace, model, bounds, &mut Fixed(count), chance)
    };
    let (mut few, mut enough) = (0, 1);
    while !serves(&with(enough)) {
        (few, enough) = (enough, 2 * enough);
        if enough > 1 << 14 {
            bail!(
                "no count of replicas serves the trace: some requests take longer than {SLO:?} alone"
            );
        }
    }
    while enough - few > 1 {
        let middle = few.midpoint(enough);
        if serves(&with(middle)) {
            enough = middle;
        } else {
            few = middle;
        }
    }
    Ok((enough, with(enough)))
}

/// What each of `0..count` gives, on as many threads as there are processors.
fn side_by_side<T: Send>(count: u32, make: impl Fn(u32) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = u32::try_from(threads).unwrap_or(1);
    thread::scope(|scope| {
        let make = &make;
        let part = |first: u32| {
            scope.spawn(move || {
                (first..count)
                    .step_by(threads as usize)
                    .map(make)
                    .collect::<Vec<_>>()
            })
        };
        let parts: Vec<_> = (0..threads).map(part).collect();
        let done = parts.into_iter().filter_map(|part| part.join().ok());
        done.flatten().collect()
    })
}

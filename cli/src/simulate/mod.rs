//! `chandler simulate`: a trace, replicas as a model describes them, and what each policy makes of it.

mod inputs;
mod policy;

use std::fs;
use std::num::NonZero;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, bail};
use chandler_sim::traffic::report::{Page, html, table};
use chandler_sim::traffic::{Options, Outcome, simulate};

use crate::args::SimulateArgs;
use inputs::Inputs;
pub(crate) use policy::PolicyName;

/// Exit code for what the user can mend, as clap's own.
const USAGE: u8 = 2;

pub(crate) fn run(args: &SimulateArgs) -> ExitCode {
    let inputs = match Inputs::read(args) {
        Ok(inputs) => inputs,
        Err(faults) => {
            for fault in faults {
                eprintln!("error: {fault}");
            }
            return ExitCode::from(USAGE);
        }
    };
    match perform(args, &inputs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(args: &SimulateArgs, inputs: &Inputs) -> Result<()> {
    let options = Options {
        slo: args.slo,
        seed: args.seed,
        ..Options::default()
    };
    let outcomes = play(&args.policies, inputs, &options)?;
    print!("{}", table(&outcomes));
    if let Some(path) = &args.out {
        let page = html(&page(args, inputs), &outcomes);
        fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Plays all policies, as many at a time as there are cores. Each has the whole trace for itself, so
/// the order makes no difference.
fn play(policies: &[PolicyName], inputs: &Inputs, options: &Options) -> Result<Vec<Outcome>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let mut outcomes = Vec::new();
    for some in policies.chunks(cores) {
        let played: Vec<_> = thread::scope(|scope| {
            let threads = some.iter().map(|name| {
                scope.spawn(|| {
                    let bounds = inputs.bounds(*name);
                    let mut policy = inputs.policy(*name);
                    let (trace, model) = (&inputs.trace, &inputs.model);
                    simulate(trace, model, bounds, policy.as_mut(), options)
                })
            });
            let threads: Vec<_> = threads.collect();
            threads
                .into_iter()
                .map(std::thread::ScopedJoinHandle::join)
                .collect()
        });
        for outcome in played {
            let Ok(outcome) = outcome else {
                bail!("a simulation broke off");
            };
            outcomes.push(outcome);
        }
    }
    Ok(outcomes)
}

fn page(args: &SimulateArgs, inputs: &Inputs) -> Page {
    let trace = &inputs.trace;
    let hours = trace.length.as_secs_f64() / 3600.0;
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let start = inputs.start().as_secs();
    Page {
        title: format!("How {} scales", inputs.spec.served_name),
        facts: vec![
            fact("Trace", args.trace.display().to_string()),
            fact(
                "Requests",
                format!(
                    "{} in {hours:.1} h, {:.1} a second",
                    trace.requests.len(),
                    trace.rate()
                ),
            ),
            fact("Objective", format!("first token within {:?}", args.slo)),
            fact("Start of a replica", format!("{start} s in the mean")),
            fact("Seed", args.seed.to_string()),
        ],
        slo: Some(args.slo),
    }
}

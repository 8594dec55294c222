//! `chandler bench`: what a replica can do, measured through its API and its metrics; and a trace that
//! is asked for in earnest, beside what the simulation says of it.
//!
//! ```text
//! Target ──drive──► Step … ──► table, knee
//!    └── alone, beside ──fit──► ReplicaModel ──predict──► beside what was measured
//! ```

mod args;
mod client;
mod drive;
mod fault;
mod fit;
mod least_squares;
mod measure;
mod model;
mod predict;
mod replay;
mod report;
mod sse;
mod step;
mod target;
mod words;

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;

use chandler_sim::traffic::trace::{Request, Trace};

pub(crate) use args::BenchArgs;
use client::Task;
use fault::Fault;
use measure::{Measured, measure};
use replay::{Replayed, replay};
use target::Target;

pub(crate) fn run(args: &BenchArgs) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(bench(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("error: {fault} ({})", fault.reason());
            ExitCode::FAILURE
        }
    }
}

async fn bench(args: &BenchArgs) -> Result<(), Fault> {
    // What the files say is known before anything is measured.
    let trace = replay::trace(&args.replay, args.seed)?;
    let given = replay::model(&args.replay)?;
    let mut target = Target::find(args).await?;
    target
        .bound(longest(args, trace.as_ref(), &target), args.seed)
        .await?;
    let target = Arc::new(target);
    let measured = match &given {
        Some(_) => None,
        None => Some(measure(args, &target).await?),
    };
    let fitted = measured.as_ref().map(|it| &it.replica.model);
    let replayed = match (&trace, given.as_ref().or(fitted)) {
        (Some(trace), Some(model)) => Some(replay(args, &target, trace, model).await?),
        _ => None,
    };
    tell(args, &target, measured.as_ref(), replayed.as_ref())
}

/// The longest prompt that will be sent.
fn longest(args: &BenchArgs, trace: Option<&Trace>, target: &Target) -> u32 {
    let prompts = trace.iter().flat_map(|trace| &trace.requests);
    let prompts = prompts.map(|request: &Request| match target.task {
        Task::Vectors => request.prompt_tokens,
        Task::Text => request
            .prompt_tokens
            .saturating_add(request.generated_tokens),
    });
    prompts.max().unwrap_or(0).max(2 * args.prompt_tokens)
}

fn tell(
    args: &BenchArgs,
    target: &Target,
    measured: Option<&Measured>,
    replayed: Option<&Replayed>,
) -> Result<(), Fault> {
    if args.json {
        println!("{}", report::json(target, measured, replayed));
    } else {
        if let Some(measured) = measured {
            print!("{}", report::steps(measured));
        }
        if let Some(replayed) = replayed {
            print!("{}", report::replayed(replayed));
        }
    }
    match measured {
        Some(measured) => keep(args, measured),
        None => Ok(()),
    }
}

/// Writes the replica model, or prints it.
fn keep(args: &BenchArgs, measured: &Measured) -> Result<(), Fault> {
    let yaml = measured.replica.yaml();
    match &args.out {
        Some(path) => fs::write(path, yaml).map_err(|error| Fault::Unwritable {
            path: path.clone(),
            error,
        }),
        None if args.json => Ok(()),
        None => {
            print!("\n{yaml}");
            Ok(())
        }
    }
}

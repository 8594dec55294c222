//! `chandler judge`: what a Job of the operator and the local world run. It asks both revisions all that a rollout's
//! `evaluation` asks, and reports what came of it as workers do.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use chandler_crds::names::suites;
use chandler_crds::report::Report;
use chandler_crds::spec::{Evaluation, EvaluationMetric};
use chandler_crds::status::{CheckVerdict, EvaluationStatus};
use chandler_evaluation::report::Summary;
use chandler_evaluation::verdict::Outcome;
use clap::Args;
use reqwest::Url;

use super::args::{EvalArgs, Format, OutputArgs, ServerArgs};
use super::fault::Fault;
use super::gather::Answers;
use super::{FAULT, check, evaluate, read};
use crate::args::address;

/// Most tokens of an answer.
const ANSWER: u32 = 256;
/// Requests at one time, to each revision: the stable one has callers to serve meanwhile.
const PARALLEL: u16 = 2;
const RESAMPLES: u64 = 2000;
/// Longest time of a request.
const TIMEOUT: Duration = Duration::from_secs(600);

#[derive(Debug, Args)]
pub(crate) struct JudgeArgs {
    /// Base address of the revision that is judged
    #[arg(long, value_name = "URL", value_parser = address)]
    canary: Url,

    /// Base address of the revision that it is compared with
    #[arg(long, value_name = "URL", value_parser = address)]
    stable: Url,

    /// What is asked, as the spec has it, in JSON
    #[arg(long, value_name = "JSON", value_parser = evaluations)]
    evaluations: Evaluations,

    /// A folder that has a folder for each of these, by its number from 0, with the keys of the suite's ConfigMap
    #[arg(long, value_name = "FOLDER")]
    suites: PathBuf,

    /// Base address of a model that makes vectors, by its name. May be written more than once
    #[arg(long, value_name = "NAME=URL", value_parser = vectors)]
    embeddings: Vec<(String, Url)>,

    /// Write what came of it there as well
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// One argument that is a list.
#[derive(Clone, Debug)]
struct Evaluations(Vec<Evaluation>);

fn evaluations(text: &str) -> Result<Evaluations, String> {
    let read = serde_json::from_str(text).map(Evaluations);
    read.map_err(|error| error.to_string())
}

fn vectors(text: &str) -> Result<(String, Url), String> {
    let (name, url) = text.split_once('=').ok_or("write NAME=URL")?;
    Ok((name.to_owned(), address(url)?))
}

pub(crate) fn run(args: &JudgeArgs) -> ExitCode {
    let (report, status) = match judge(args) {
        Ok(evaluations) => (Report::Evaluated { evaluations }, ExitCode::SUCCESS),
        Err(fault) => {
            let report = Report::Failed {
                reason: fault.reason().to_owned(),
                message: fault.to_string(),
                transient: fault.is_transient(),
            };
            (report, ExitCode::from(FAULT))
        }
    };
    // What it is made of always serialises.
    let line = report.to_line().unwrap_or_default();
    println!("{line}");
    if let Some(path) = &args.report
        && let Err(error) = fs::write(path, &line)
    {
        eprintln!("error: cannot write {}: {error}", path.display());
    }
    status
}

fn judge(args: &JudgeArgs) -> Result<Vec<EvaluationStatus>, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Fault::Runtime)?;
    let asked = args.evaluations.0.iter().enumerate();
    // At temperature 0 the same questions have the same answers, however they are scored.
    let mut known: HashMap<(&str, &str), Option<Answers>> = HashMap::new();
    let judged = asked.map(|(number, asked)| {
        let args = of_one(args, number, asked);
        check(&args)?;
        let suite = read(&args.suite, std::io::empty(), args.metric)?;
        let known = known
            .entry((&asked.suite_ref.name, key(asked)))
            .or_default();
        let judged = runtime.block_on(evaluate(&args, &suite, known))?;
        eprint!("{}", judged.table);
        let summary = judged.summary.as_ref().ok_or(Fault::NoStable)?;
        Ok(status(asked.metric, summary))
    });
    judged.collect()
}

/// As if `chandler eval` was asked for one of them.
fn of_one(args: &JudgeArgs, number: usize, asked: &Evaluation) -> EvalArgs {
    let mut vectors = args.embeddings.iter();
    let vectors = vectors.find(|(name, _)| asked.embedding_model() == Some(name));
    EvalArgs {
        suite: file(&args.suites, number, asked),
        metric: asked.metric,
        name: Some(asked.name.clone()),
        servers: ServerArgs {
            canary: args.canary.clone(),
            stable: Some(args.stable.clone()),
            model: None,
            canary_model: None,
            stable_model: None,
            embeddings: vectors.map(|(_, url)| url.clone()),
            embeddings_model: None,
            api_key: None,
        },
        min: asked.min,
        max_regression: asked.max_regression,
        max_tokens: ANSWER,
        parallel: PARALLEL,
        seed: 0,
        resamples: RESAMPLES,
        timeout: TIMEOUT,
        output: OutputArgs {
            format: Format::Table,
            html: None,
            report: None,
        },
    }
}

fn file(folder: &Path, number: usize, asked: &Evaluation) -> PathBuf {
    folder.join(number.to_string()).join(key(asked))
}

fn key(asked: &Evaluation) -> &str {
    asked.suite_ref.key.as_deref().unwrap_or(suites::KEY)
}

fn status(metric: EvaluationMetric, found: &Summary) -> EvaluationStatus {
    EvaluationStatus {
        name: found.name.clone(),
        metric,
        verdict: match found.outcome {
            Outcome::Pass => CheckVerdict::Passed,
            Outcome::Fail => CheckVerdict::Failed,
            Outcome::Inconclusive => CheckVerdict::Inconclusive,
        },
        items: i32::try_from(found.items).unwrap_or(i32::MAX),
        canary: found.canary,
        stable: found.stable,
        low: found.low,
        high: found.high,
        digest: found.digest.clone(),
    }
}

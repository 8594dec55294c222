//! Evaluations against servers on loopback.

mod asking;
mod outcomes;
mod probabilities;
mod references;
mod vectors;

use chandler_crds::spec::EvaluationMetric as Metric;
use chandler_evaluation::Suite;
use clap::Parser;
use reqwest::Url;
use serde_json::{Value, json};

use super::args::EvalArgs;
use super::fault::Fault;
use super::gather::{Gathered, Servers};
use super::judge::{Judged, judge};
use crate::args::{Cli, Command};
use crate::openai::testing::{Asked, reply, serve};

/// The arguments of `chandler eval --suite suite.jsonl` with more of them, between spaces.
pub(super) fn parse(more: &str) -> Result<EvalArgs, String> {
    let all = ["chandler", "eval", "--suite", "suite.jsonl"].into_iter();
    match Cli::try_parse_from(all.chain(more.split(' '))) {
        Ok(cli) => match cli.command {
            Command::Eval(args) => Ok(*args),
            other => panic!("{other:?}"),
        },
        Err(error) => Err(error.to_string()),
    }
}

/// A suite of texts that go on, each with a reference.
fn suite(metric: Metric, items: &[(&str, &str)]) -> Suite {
    let lines = items
        .iter()
        .map(|(input, reference)| json!({"id": input, "input": input, "references": reference}));
    let lines = lines.map(|line| line.to_string()).collect::<Vec<_>>();
    Suite::parse(&lines.join("\n"), metric).expect("a suite")
}

/// A server of one model, `m`, which goes on from a text as `answer` says.
async fn model(answer: fn(&str) -> &'static str) -> Url {
    let told = move |asked: Asked| async move {
        let text = answer(asked.json["prompt"].as_str().unwrap_or_default());
        reply(200, &completion(text).to_string())
    };
    serve(told).await
}

fn completion(text: &str) -> Value {
    json!({"choices": [{"index": 0, "text": text, "finish_reason": "stop"}]})
}

/// What is gathered with these arguments.
async fn gathered(args: &EvalArgs, suite: &Suite) -> Result<Gathered, Fault> {
    let servers = Servers::find(args).await?;
    servers.gather(args, suite, &mut None).await
}

/// What comes of it.
async fn judged(args: &EvalArgs, suite: &Suite) -> Result<Judged, Fault> {
    judge(args, suite, &gathered(args, suite).await?, "facts")
}

//! What `chandler eval` is told.

use std::path::PathBuf;
use std::time::Duration;

use chandler_crds::names::env;
use chandler_crds::spec::EvaluationMetric;
use clap::{Args, ValueEnum};
use reqwest::Url;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;

use crate::args::{address, some_length};

/// Fewest resamples from which an interval can be told, and the most that end soon.
const RESAMPLES: std::ops::RangeInclusive<u64> = 100..=1_000_000;

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// The suite of questions, JSON Lines as docs/evaluation.md tells; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) suite: PathBuf,

    /// How answers are scored, such as contains, chrf or klDivergence.
    #[arg(long, value_name = "NAME", value_parser = metric)]
    pub(super) metric: EvaluationMetric,

    /// Name of the evaluation in its report. Default: that of the suite's file.
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,

    #[command(flatten)]
    pub(super) servers: ServerArgs,

    /// The worst score of the canary that passes: the lowest one, or the highest one where lower is
    /// better.
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = finite)]
    pub(super) min: Option<f64>,

    /// How much worse than the stable revision's the canary's score may be.
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = finite, requires = "stable")]
    pub(super) max_regression: Option<f64>,

    /// Most tokens of an answer.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) max_tokens: u32,

    /// Requests at one time, to each revision.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) parallel: u16,

    /// Seed of the answers and of the interval.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=i64::MAX.unsigned_abs()))]
    pub(super) seed: u64,

    /// Suites that are drawn to find the interval.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(RESAMPLES))]
    pub(super) resamples: u64,

    /// Longest time of a request, with the times that a busy server asks to wait.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = some_length)]
    pub(super) timeout: Duration,

    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// Who is asked.
#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    /// Base address of the revision that is judged, such as http://127.0.0.1:8000.
    #[arg(long, value_name = "URL", value_parser = address)]
    pub(super) canary: Url,

    /// Base address of the revision that it is compared with. Default: the canary is scored alone.
    #[arg(long, value_name = "URL", value_parser = address)]
    pub(super) stable: Option<Url>,

    /// Name of the model on both, as callers use it. Default: the only one that is served.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["canary_model", "stable_model"])]
    pub(super) model: Option<String>,

    /// Name of the model on the canary.
    #[arg(long, value_name = "NAME")]
    pub(super) canary_model: Option<String>,

    /// Name of the model on the stable revision.
    #[arg(long, value_name = "NAME", requires = "stable")]
    pub(super) stable_model: Option<String>,

    /// Base address of a server that makes vectors, for embeddingSimilarity.
    #[arg(long, value_name = "URL", value_parser = address)]
    pub(super) embeddings: Option<Url>,

    /// Name of its model. Default: the only one that is served.
    #[arg(long, value_name = "NAME", requires = "embeddings")]
    pub(super) embeddings_model: Option<String>,

    /// API key, sent to all of them.
    #[arg(long, value_name = "KEY", env = env::API_KEY, hide_env_values = true)]
    pub(super) api_key: Option<String>,
}

/// Where the result goes.
#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// What is printed on stdout.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(super) format: Format,

    /// Write a page with all answers there.
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,

    /// Write the report there, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The result, and the items with the worst scores.
    Table,
    /// The report as one line.
    Json,
}

impl ServerArgs {
    /// Name of the canary's model, if one was given.
    pub(super) fn canary_model(&self) -> Option<&str> {
        self.canary_model.as_deref().or(self.model.as_deref())
    }

    /// Name of the stable revision's model, if one was given.
    pub(super) fn stable_model(&self) -> Option<&str> {
        self.stable_model.as_deref().or(self.model.as_deref())
    }
}

fn metric(text: &str) -> Result<EvaluationMetric, String> {
    let read: Result<_, Error> = EvaluationMetric::deserialize(text.into_deserializer());
    read.map_err(|error| error.to_string())
}

fn finite(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    let number = number.filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| "write a number, such as 0.6".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use super::*;

    #[test]
    fn arguments_are_read() {
        let args = parse("--metric rougeL --canary http://c:1 --stable http://s:2/v1 --model m");
        let args = args.expect("arguments");
        assert_eq!(args.metric, EvaluationMetric::RougeL);
        assert_eq!(args.servers.canary_model(), Some("m"));
        assert_eq!(args.servers.stable_model(), Some("m"));
        assert_eq!((args.max_tokens, args.parallel), (256, 4));
        let args = parse("--metric embeddingSimilarity --canary http://c:1 --min -0.5");
        assert_eq!(args.expect("arguments").min, Some(-0.5));
    }

    #[test]
    fn wrong_arguments_say_what_to_write() {
        for (more, words) in [
            ("--canary http://c:1", "--metric"),
            ("--metric contains", "--canary"),
            (
                "--metric rouge --canary http://c:1",
                "expected one of `exactMatch`, `contains`",
            ),
            ("--metric bleu --canary c", "write the base address"),
            (
                "--metric bleu --canary http://c:1 --max-regression 0.1",
                "--stable",
            ),
            (
                "--metric bleu --canary http://c:1 --stable-model m",
                "--stable",
            ),
            (
                "--metric bleu --canary http://c:1 --model m --canary-model n",
                "cannot be used with",
            ),
            (
                "--metric bleu --canary http://c:1 --min NaN",
                "write a number, such as 0.6",
            ),
            ("--metric bleu --canary http://c:1 --resamples 99", "100..="),
        ] {
            let told = parse(more).expect_err(words);
            assert!(told.contains(words), "{told}");
        }
    }
}

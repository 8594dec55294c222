use std::{fmt, str::FromStr};

use kube::KubeSchema;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::wire_text;

/// How a new revision takes over.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.promote) && has(self.abort)) || self.promote != self.abort").message(
    "promote and abort name the same revision: remove one of the two"
))]
pub struct Rollout {
    /// Order of the moves. Default: `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,

    /// Weights of a canary and how long each is held, in rising order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub steps: Option<Vec<RolloutStep>>,

    /// What a canary's traffic must look like beside the stable revision's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,

    /// What the canary's answers must be worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub evaluation: Option<Vec<Evaluation>>,

    /// Live prompts that both revisions are asked, aside, before the new one has any traffic. Off unless written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,

    /// What to do with a revision that fails. Default: `rollback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,

    /// How long a step may take beyond its hold before the rollout counts as failed. Default: `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("progressDeadline must be at least 1s: write such as 10m"))]
    pub progress_deadline: Option<Duration>,

    /// Stay at the step that is reached, while true; counts of replicas go on following the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,

    /// Name of a revision, as status tells it, that takes all the traffic as soon as it is ready,
    /// without further steps and checks. Of no meaning for any other revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promote: Option<String>,

    /// Name of a revision, as status tells it, that is taken back as one that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<String>,

    /// Raise it to try a revision again that failed; any other change of `rollout` but of
    /// `paused`, `promote` and `abort` does the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0").message("attempt is a count: write 0 or more"))]
    pub attempt: Option<i32>,
}

/// Order of the moves of a rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Strategy {
    /// Chosen from what the rollout needs and what there is room for.
    #[default]
    Auto,
    /// Traffic by weight in steps, checked at each.
    Canary,
    /// All replicas of the new revision beside the old ones, then all traffic at once.
    BlueGreen,
    /// One old replica makes room for one new one at a time.
    OneOutFirst,
    /// The old revision goes before the new one comes.
    Recreate,
}

wire_text!(Strategy: Auto = "auto", Canary = "canary", BlueGreen = "blueGreen",
    OneOutFirst = "oneOutFirst", Recreate = "recreate");

/// One step of a canary.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStep {
    /// Percent of the traffic that the canary gets.
    #[x_kube(validation = Rule::new("self >= 1 && self <= 100").message("a step's weight is in percent: write 1 to 100"))]
    pub weight: i32,
    /// How long to stay, such as `2m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Duration>,
}

/// Limits of the canary's traffic at each step. Each must be shown to be kept, by the requests of that
/// step, before the next one begins.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "has(self.maxErrorRate) || has(self.maxTtftP95Ratio) || has(self.maxLatencyP95Ratio) || has(self.minTokensPerSecondRatio)"
).message("analysis needs a limit: write such as maxErrorRate: 0.01 and maxLatencyP95Ratio: 1.2"))]
pub struct Analysis {
    /// Highest share of failed requests, above 0 and below 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self > 0.0 && self < 1.0").message("maxErrorRate is a share above 0 and below 1: write such as 0.01"))]
    pub max_error_rate: Option<f64>,
    /// Highest ratio of the canary's p95 time to first token to the stable revision's over the same
    /// time. An answer that is not streamed has its first token at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1.05").message("maxTtftP95Ratio must be at least 1.05, such as 1.2: less can't be told from chance"))]
    pub max_ttft_p95_ratio: Option<f64>,
    /// Highest ratio of the canary's p95 latency to the stable revision's over the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1.05").message("maxLatencyP95Ratio must be at least 1.05, such as 1.2: less can't be told from chance"))]
    pub max_latency_p95_ratio: Option<f64>,
    /// Lowest ratio of the tokens a second that the canary's slowest twentieth of streamed answers
    /// come with to the stable revision's over the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self > 0.0 && self <= 0.95").message("minTokensPerSecondRatio must be above 0 and at most 0.95, such as 0.8: more can't be told from chance"))]
    pub min_tokens_per_second_ratio: Option<f64>,
    /// Fewest requests on the canary before a verdict. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1").message("minRequests must be at least 1"))]
    pub min_requests: Option<i32>,
}

/// A share of live prompts is asked of both revisions, aside. Callers wait for none of it and get none of it, and of
/// the answers nothing is kept but how many of them differ.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shadow {
    /// Percent of the prompts, as far as the gateways have time for them.
    #[x_kube(validation = Rule::new("self >= 1 && self <= 100").message("percent is a share of the prompts: write 1 to 100"))]
    pub percent: i32,
    /// Highest share of answers that differ, above 0 and below 1.
    #[x_kube(validation = Rule::new("self > 0.0 && self < 1.0").message("maxDifferent is a share above 0 and below 1: write such as 0.2"))]
    pub max_different: f64,
    /// Two answers differ whose chrF is below 100 times this, above 0 and at most 1. Default: 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self > 0.0 && self <= 1.0").message("similarity is above 0 and at most 1: write such as 0.5"))]
    pub similarity: Option<f64>,
    /// Fewest prompts before a verdict. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1").message("minPrompts must be at least 1"))]
    pub min_prompts: Option<i32>,
}

/// A suite of questions and what the answers must reach.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// Name of this check in status.
    pub name: String,
    /// Where the suite is.
    pub suite_ref: SuiteReference,
    /// How answers are scored.
    pub metric: EvaluationMetric,
    /// The model that makes vectors of answers and references, for `embeddingSimilarity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_model_ref: Option<ModelReference>,
    /// Lowest score that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// How far the score may fall below the stable revision's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_regression: Option<f64>,
}

impl Evaluation {
    /// The model that makes vectors for it.
    #[must_use]
    pub fn embedding_model(&self) -> Option<&str> {
        let model = self.embedding_model_ref.as_ref()?;
        Some(model.name.as_str())
    }
}

/// A suite in a ConfigMap of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuiteReference {
    /// Name of the ConfigMap.
    pub name: String,
    /// Key in the ConfigMap. Default: `suite.jsonl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A ModelDeployment of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelReference {
    /// Its name.
    pub name: String,
}

/// How answers are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EvaluationMetric {
    /// The answer equals a reference.
    #[default]
    ExactMatch,
    /// The answer contains a reference.
    Contains,
    /// The answer matches a regular expression.
    Regex,
    /// BLEU against the references.
    Bleu,
    /// chrF against the references.
    Chrf,
    /// ROUGE-L against the references.
    RougeL,
    /// Cosine of embeddings of answer and reference.
    EmbeddingSimilarity,
    /// Perplexity of the references under the model.
    Perplexity,
    /// KL divergence of next-token distributions from the stable revision.
    KlDivergence,
    /// Share of distinct n-grams.
    DistinctN,
    /// BLEU of answers against each other.
    SelfBleu,
}

/// What to do with a revision that fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// Give the traffic back to the stable revision and retire the new one.
    #[default]
    Rollback,
    /// Stop where it is and wait for a person.
    Hold,
}

wire_text!(EvaluationMetric: ExactMatch = "exactMatch", Contains = "contains", Regex = "regex", Bleu = "bleu",
    Chrf = "chrf", RougeL = "rougeL", EmbeddingSimilarity = "embeddingSimilarity", Perplexity = "perplexity",
    KlDivergence = "klDivergence", DistinctN = "distinctN", SelfBleu = "selfBleu");

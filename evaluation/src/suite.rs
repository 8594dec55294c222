//! A suite of questions, read from JSON Lines: one item a line.
//!
//! ```json
//! {"id": "capital", "input": "The capital of France is", "references": ["Paris"], "weight": 2}
//! {"messages": [{"role": "user", "content": "Say hello."}], "references": "Hello!"}
//! ```

mod error;
mod parse;

use chandler_crds::spec::EvaluationMetric;
use regex::Regex;
use serde::{Deserialize, Serialize};

pub use error::{Problem, SuiteError};

/// Least weight of an item. Far smaller ones would vanish in the sums.
pub const LEAST_WEIGHT: f64 = 1e-6;
/// Greatest weight of an item. Far greater ones would leave nothing of the others.
pub const GREATEST_WEIGHT: f64 = 1e6;

/// Items for one metric: at least one, each id once, each with what the metric needs.
#[derive(Clone, Debug)]
pub struct Suite {
    metric: EvaluationMetric,
    items: Vec<Item>,
    /// The references of each item, compiled; empty unless the metric is `regex`.
    patterns: Vec<Vec<Regex>>,
}

/// One question.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Tells it from the others. Where none is written, the number of its line, from 1.
    pub id: String,
    /// What the model is asked.
    pub prompt: Prompt,
    /// Good answers; patterns if the metric is `regex`. May be empty for metrics without references.
    pub references: Vec<String>,
    /// How much the item counts beside the others, above 0. 1 unless written.
    pub weight: f64,
}

/// What a model is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// A conversation, for `/v1/chat/completions`.
    Messages(Vec<Message>),
    /// A text that goes on, for `/v1/completions`.
    Input(String),
}

/// One message of a conversation, as `/v1/chat/completions` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `system`, `developer`, `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}

impl Suite {
    /// Reads a suite for a metric. Lines of nothing but white space are skipped.
    ///
    /// # Errors
    /// When a line is no item, or not one that the metric can score; the first such line is told.
    pub fn parse(text: &str, metric: EvaluationMetric) -> Result<Self, SuiteError> {
        parse::suite(text, metric)
    }

    /// How its answers are scored.
    #[must_use]
    pub fn metric(&self) -> EvaluationMetric {
        self.metric
    }

    /// The questions, in the order of the lines.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The compiled references of each item.
    pub(crate) fn patterns(&self) -> &[Vec<Regex>] {
        &self.patterns
    }
}

impl Prompt {
    /// For a reader: the input, or each message after its role.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Input(input) => input.clone(),
            Self::Messages(messages) => {
                let lines = messages
                    .iter()
                    .map(|message| format!("{}: {}", message.role, message.content));
                lines.collect::<Vec<_>>().join("\n")
            }
        }
    }
}

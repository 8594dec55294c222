//! The tensors that models answer with.

use schemars::JsonSchema;
use serde::Serialize;

use super::{BYTES, FP32, Tensor};
use crate::tasks::{ClassificationTask, EmbeddingTask, Served};

/// Vectors.
const EMBEDDING: &str = "embedding";
/// How likely each label is.
const PROBABILITIES: &str = "probabilities";
/// The likeliest label.
const LABEL: &str = "label";

/// A model that answers with tensors.
pub(in crate::http) enum Outputs<'a> {
    Vectors(&'a EmbeddingTask),
    Labels(&'a ClassificationTask),
}

/// An output.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "InferenceOutput")]
#[serde(untagged)]
pub(super) enum Output {
    Numbers(NumberTensor),
    Labels(LabelTensor),
}

/// Vectors of texts, or how likely each label is for them.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct NumberTensor {
    #[schemars(extend("enum" = ["embedding", "probabilities"]))]
    name: &'static str,
    #[schemars(extend("const" = "FP32"))]
    datatype: &'static str,
    /// Texts, and numbers of each.
    shape: [usize; 2],
    /// The numbers of all texts, one after the other.
    data: Vec<f32>,
}

/// The likeliest label of each text.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LabelTensor {
    #[schemars(extend("const" = "label"))]
    name: &'static str,
    #[schemars(extend("const" = "BYTES"))]
    datatype: &'static str,
    /// Texts.
    shape: [usize; 1],
    data: Vec<String>,
}

impl<'a> Outputs<'a> {
    /// Those of a model; none where it writes text.
    pub(in crate::http) fn of(served: &'a Served) -> Option<Self> {
        match served {
            Served::Text(_) => None,
            Served::Embedding(task) => Some(Self::Vectors(task)),
            Served::Classification(task) => Some(Self::Labels(task)),
        }
    }

    /// What computes them.
    pub(super) fn encoder(&self) -> &'a EmbeddingTask {
        match self {
            Self::Vectors(task) => task,
            Self::Labels(task) => task.encoder(),
        }
    }

    /// Their names, in the order in which they are answered unless another one is asked for.
    pub(in crate::http) fn names(&self) -> &'static [&'static str] {
        match self {
            Self::Vectors(_) => &[EMBEDDING],
            Self::Labels(_) => &[PROBABILITIES, LABEL],
        }
    }

    /// What each is.
    pub(super) fn described(&self) -> Vec<Tensor> {
        let length = i64::try_from(self.encoder().dimensions()).unwrap_or(i64::MAX);
        let described = self.names().iter().map(|&name| {
            let (datatype, shape) = match name {
                LABEL => (BYTES, vec![-1]),
                _ => (FP32, vec![-1, length]),
            };
            Tensor {
                name,
                datatype,
                shape,
            }
        });
        described.collect()
    }

    /// The one called `name`, for the numbers of each text.
    pub(super) fn filled(&self, name: &'static str, texts: &[Vec<f32>]) -> Output {
        match self {
            Self::Labels(task) if name == LABEL => Output::Labels(LabelTensor {
                name,
                datatype: BYTES,
                shape: [texts.len()],
                data: texts
                    .iter()
                    .map(|numbers| task.likeliest(numbers).to_owned())
                    .collect(),
            }),
            _ => Output::Numbers(NumberTensor {
                name,
                datatype: FP32,
                shape: [texts.len(), self.encoder().dimensions()],
                data: texts.concat(),
            }),
        }
    }
}

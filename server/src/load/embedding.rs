//! Loads encoders: `config.json`, safetensors, `tokenizer.json`, and the modules around them or the classifier in them.

use candle_core::{Device, Tensor};
use serde::Deserialize;

use super::files::Files;
use super::labels::Labels;
use super::safetensors::{self, Weights};
use super::sentence::{MODULES, SentenceConfig};
use super::{
    ClassificationModel, EmbeddingModel, LoadError, LoadOptions, LoadedModel, Task,
    activation_named, tokenizer,
};
use crate::models::Backend;
use crate::models::activation::Activation;
use crate::models::bert::{Bert, BertLayer, Head};
use crate::models::classifier::Classifier;
use crate::models::linear::Linear;
use crate::models::matrix::{Arithmetic, Matrix, Stored};
use crate::models::norm::Norm;
use crate::models::registry::Encoder;

/// A text has at least the two special tokens and one of its own.
const LEAST_CONTEXT: usize = 3;

#[derive(Deserialize)]
struct BertConfig {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f32,
    hidden_act: String,
    position_embedding_type: Option<String>,
}

/// Loads the encoder among `files`, of this family.
///
/// # Errors
/// [`LoadError`].
pub(super) fn load(
    files: &Files,
    sentence: &SentenceConfig,
    encoder: Encoder,
    options: &LoadOptions,
    progress: &dyn Fn(u64, u64),
) -> Result<LoadedModel, LoadError> {
    let name = sentence.file("config.json");
    // Modules take the vectors of tokens, whatever else the model was trained for.
    let labels = match files.has(MODULES) {
        true => None,
        false => Labels::read(files, &name, encoder)?,
    };
    check_task(options.task, labels.is_some())?;
    options.dtype.check_floats()?;
    let device = options.device.open()?;
    let tokenizer_name = sentence.file("tokenizer.json");
    let tokenizer_json = files
        .read(&tokenizer_name)?
        .ok_or_else(|| LoadError::tokenizer(&tokenizer_name, "it is absent"))?;
    let tokenizer = tokenizer::from_json(&tokenizer_name, &tokenizer_json)?;
    let embedder = match encoder {
        Encoder::Bert => {
            let labels = labels.as_ref();
            bert(files, &name, sentence, labels, options, device, progress)?
        }
    };
    let encoder = EmbeddingModel {
        embedder: Box::new(embedder),
        tokenizer,
    };
    Ok(labelled(encoder, labels))
}

fn labelled(encoder: EmbeddingModel, labels: Option<Labels>) -> LoadedModel {
    match labels {
        None => LoadedModel::Embedding(encoder),
        Some(labels) => LoadedModel::Classification(ClassificationModel {
            encoder,
            labels: labels.names(),
        }),
    }
}

fn check_task(task: Task, classifies: bool) -> Result<(), LoadError> {
    let (problem, can) = match (task, classifies) {
        (Task::Auto, _) | (Task::Embedding, false) | (Task::Classification, true) => return Ok(()),
        (Task::Classification, false) => ("it has no classifier", Task::Embedding),
        (Task::Embedding, true) => ("it ends in a classifier", Task::Classification),
        (Task::Chat | Task::Completion, false) => ("it is an encoder", Task::Embedding),
        (Task::Chat | Task::Completion, true) => ("it is a classifier", Task::Classification),
    };
    Err(LoadError::TaskMismatch {
        asked: task,
        problem,
        can: vec![can],
    })
}

fn bert(
    files: &Files,
    name: &str,
    sentence: &SentenceConfig,
    labels: Option<&Labels>,
    options: &LoadOptions,
    device: Device,
    progress: &dyn Fn(u64, u64),
) -> Result<Bert, LoadError> {
    let config: BertConfig = files
        .json(name)?
        .ok_or_else(|| LoadError::config(name, "it is absent"))?;
    let activation = config.check(name)?;
    let limit = sentence.max_tokens.unwrap_or(usize::MAX);
    let limit = limit.min(config.max_position_embeddings);
    let max_tokens = options.context(limit, LEAST_CONTEXT)?;
    let maps = safetensors::map_all(files, &sentence.folder)?;
    let mut weights = BertWeights {
        prefix: "",
        config: &config,
        weights: Weights::open(&maps, device.clone(), progress)?,
        backend: options.backend(&device),
    };
    if weights
        .weights
        .has("bert.embeddings.word_embeddings.weight")
    {
        weights.prefix = "bert.";
    }
    let hidden = config.hidden_size;
    let segments = weights.embedding("token_type_embeddings", config.type_vocab_size)?;
    let segment = segments
        .get(0)
        .map_err(|e| LoadError::weights(name, e.to_string()))?;
    Ok(Bert {
        words: weights.embedding("word_embeddings", config.vocab_size)?,
        positions: weights.embedding("position_embeddings", config.max_position_embeddings)?,
        segment,
        norm: weights.norm("embeddings")?,
        layers: (0..config.num_hidden_layers)
            .map(|i| weights.layer(i))
            .collect::<Result<_, _>>()?,
        heads: config.num_attention_heads,
        hidden,
        activation,
        head: weights.head(sentence, labels)?,
        max_tokens,
        device,
        backend: weights.backend,
    })
}

impl BertConfig {
    fn check(&self, name: &str) -> Result<Activation, LoadError> {
        let sizes = [
            self.vocab_size,
            self.hidden_size,
            self.num_hidden_layers,
            self.num_attention_heads,
            self.intermediate_size,
            self.max_position_embeddings,
            self.type_vocab_size,
        ];
        if sizes.contains(&0) || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let problem =
                "sizes must be above 0, and hidden_size a multiple of num_attention_heads";
            return Err(LoadError::config(name, problem));
        }
        match self.position_embedding_type.as_deref() {
            None | Some("absolute") => {}
            Some(other) => {
                let problem = format!("position_embedding_type `{other}` is not supported");
                return Err(LoadError::config(name, problem));
            }
        }
        activation_named(name, &self.hidden_act)
    }
}

/// BERT's tensors under the names of its checkpoints.
struct BertWeights<'a> {
    prefix: &'static str,
    config: &'a BertConfig,
    weights: Weights<'a>,
    backend: Backend,
}

impl BertWeights<'_> {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, LoadError> {
        let name = format!("{}{name}", self.prefix);
        self.weights.tensor(&name, shape)
    }

    fn embedding(&mut self, name: &str, rows: usize) -> Result<Tensor, LoadError> {
        let shape = [rows, self.config.hidden_size];
        self.tensor(&format!("embeddings.{name}.weight"), &shape)
    }

    fn norm(&mut self, name: &str) -> Result<Norm, LoadError> {
        let shape = [self.config.hidden_size];
        Ok(Norm {
            weight: self.tensor(&format!("{name}.LayerNorm.weight"), &shape)?,
            bias: Some(self.tensor(&format!("{name}.LayerNorm.bias"), &shape)?),
            eps: self.config.layer_norm_eps,
        })
    }

    /// The layer called `name`, from `inputs` to `outputs` values.
    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Linear, LoadError> {
        self.linear_beside(&format!("{}{name}", self.prefix), inputs, outputs)
    }

    /// [`BertWeights::linear`] of a layer that is no part of the encoder: its name has no prefix.
    fn linear_beside(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Linear, LoadError> {
        let weights = &mut self.weights;
        let weight = weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = weights.tensor(&format!("{name}.bias"), &[outputs])?;
        let weight = Matrix::new(Stored::Floats(weight), Arithmetic::AsStored, self.backend);
        Ok(Linear {
            weight: weight.map_err(|e| LoadError::weights(name, e.to_string()))?,
            bias: Some(bias),
        })
    }

    fn head(
        &mut self,
        sentence: &SentenceConfig,
        labels: Option<&Labels>,
    ) -> Result<Head, LoadError> {
        let Some(labels) = labels else {
            return Ok(Head::Sentence {
                pooling: sentence.pooling,
                normalize: sentence.normalize,
            });
        };
        let (hidden, count) = (self.config.hidden_size, labels.count);
        Ok(Head::Classifier(Classifier {
            pooler: self.linear("pooler.dense", hidden, hidden)?,
            labels: self.linear_beside("classifier", hidden, count)?,
            count,
            scores: labels.scores,
        }))
    }

    fn layer(&mut self, index: usize) -> Result<BertLayer, LoadError> {
        let at = format!("encoder.layer.{index}");
        let (hidden, inner) = (self.config.hidden_size, self.config.intermediate_size);
        let mut square = |part: &str| self.linear(&format!("{at}.{part}"), hidden, hidden);
        Ok(BertLayer {
            query_key_value: [
                square("attention.self.query")?,
                square("attention.self.key")?,
                square("attention.self.value")?,
            ],
            attention_output: square("attention.output.dense")?,
            attention_norm: self.norm(&format!("{at}.attention.output"))?,
            intermediate: self.linear(&format!("{at}.intermediate.dense"), hidden, inner)?,
            output: self.linear(&format!("{at}.output.dense"), inner, hidden)?,
            output_norm: self.norm(&format!("{at}.output"))?,
        })
    }
}

//! Turns the files of a model into something that computes.

mod bytes;
mod decoder;
mod device;
mod embedding;
mod error;
mod files;
mod fingerprint;
mod gguf;
mod labels;
mod map;
mod metadata;
mod options;
mod safetensors;
mod sentence;
mod template;
mod text;
mod tokenizer;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokenizers::Tokenizer;

pub use error::LoadError;
pub(crate) use fingerprint::of_tokenizer as tokenizer_fingerprint;
pub(crate) use options::sequences;
pub use options::{DeviceChoice, DtypeChoice, LoadOptions, Task, UnknownChoice};
pub(crate) use sentence::Pooling;
pub use template::{ChatMessage, ChatTemplate, TemplateError};

use self::files::Files;
use self::sentence::SentenceConfig;
use crate::models::activation::{self, Activation};
use crate::models::registry::Family;
use crate::models::{CausalLm, Embedder};

/// A model that is ready to compute.
// A process has one of these, and moves it once.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum LoadedModel {
    /// It turns texts into vectors.
    Embedding(EmbeddingModel),
    /// It tells labels of texts.
    Classification(ClassificationModel),
    /// It writes text.
    Text(TextModel),
}

/// An embedding model.
pub struct EmbeddingModel {
    /// The network.
    pub embedder: Box<dyn Embedder>,
    /// Gives ids with the special tokens around them; neither truncates nor pads.
    pub tokenizer: Tokenizer,
}

/// A model that tells labels of texts.
#[derive(Debug)]
pub struct ClassificationModel {
    /// Its vectors have a number for each label.
    pub encoder: EmbeddingModel,
    /// Names of the labels, as many as the vectors are long.
    pub labels: Vec<String>,
}

/// A model that writes text.
pub struct TextModel {
    /// The network.
    pub lm: Box<dyn CausalLm>,
    /// Gives ids without a beginning-of-sequence token; [`TextModel::encode`] adds it.
    pub tokenizer: Tokenizer,
    /// How a conversation becomes a prompt, where the model says so.
    pub template: Option<ChatTemplate>,
    /// Any of these ends an answer.
    pub end_tokens: Vec<u32>,
    /// The token that begins a sequence, where there is one.
    pub bos: Option<u32>,
    /// Whether a prompt has to begin with `bos`.
    pub add_bos: bool,
    /// Length of the logits.
    pub vocab_size: usize,
}

impl TextModel {
    /// The ids of a prompt, with exactly one beginning-of-sequence token where the model wants
    /// one, whether or not the text has it already.
    ///
    /// # Errors
    /// What the tokenizer reports.
    pub fn encode(&self, text: &str) -> tokenizers::Result<Vec<u32>> {
        encode_prompt(&self.tokenizer, self.bos.filter(|_| self.add_bos), text)
    }
}

/// Token ids of a prompt, with `bos` before them unless the text has it already: a chat template
/// may have written it.
pub(crate) fn encode_prompt(
    tokenizer: &Tokenizer,
    bos: Option<u32>,
    text: &str,
) -> tokenizers::Result<Vec<u32>> {
    let encoding = tokenizer.encode_fast(text, false)?;
    let ids = encoding.get_ids();
    match bos {
        Some(bos) if ids.first() != Some(&bos) => {
            Ok(std::iter::once(bos).chain(ids.iter().copied()).collect())
        }
        _ => Ok(ids.to_vec()),
    }
}

impl fmt::Debug for EmbeddingModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddingModel")
            .field("max_tokens", &self.embedder.max_tokens())
            .field("dimensions", &self.embedder.dimensions())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TextModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextModel")
            .field("context", &self.lm.context())
            .field("vocab_size", &self.vocab_size)
            .field("end_tokens", &self.end_tokens)
            .field("add_bos", &self.add_bos)
            .finish_non_exhaustive()
    }
}

/// Loads the model that `files` below `root` hold. `files` are paths below `root`, relative to it
/// or whole. Blocks; `progress` is told the bytes of weights loaded and their total.
///
/// # Errors
/// [`LoadError`], which says what to write or fetch instead.
pub fn load(
    root: &Path,
    files: &[PathBuf],
    options: &LoadOptions,
    progress: &dyn Fn(u64, u64),
) -> Result<LoadedModel, LoadError> {
    let files = Files::new(root, files);
    match files.ending("", ".gguf").as_slice() {
        [] => load_folder(&files, options, progress),
        [name] => text::from_gguf(&files, name, options, progress).map(LoadedModel::Text),
        [first, ..] => Err(LoadError::config(
            first,
            "there are several GGUF files; name one of them in the source",
        )),
    }
}

#[derive(Deserialize)]
struct ModelType {
    model_type: Option<String>,
}

/// Loads a model whose `config.json` tells what it is.
fn load_folder(
    files: &Files,
    options: &LoadOptions,
    progress: &dyn Fn(u64, u64),
) -> Result<LoadedModel, LoadError> {
    let sentence = SentenceConfig::read(files)?;
    let name = sentence.file("config.json");
    let kind: Option<ModelType> = files.json(&name)?;
    let kind = kind.ok_or_else(|| LoadError::config(&name, "it is absent"))?;
    match Family::of(kind.model_type.as_deref().unwrap_or("without a name"))? {
        Family::Encoder(encoder) => embedding::load(files, &sentence, encoder, options, progress),
        Family::Decoder(_) if files.has(sentence::MODULES) => Err(LoadError::config(
            sentence::MODULES,
            "modules around a decoder are not supported; they are around encoders",
        )),
        Family::Decoder(decoder) => {
            text::from_folder(files, decoder, options, progress).map(LoadedModel::Text)
        }
    }
}

/// The activation of this name.
///
/// # Errors
/// [`LoadError::ConfigInvalid`].
fn activation_named(file: &str, name: &str) -> Result<Activation, LoadError> {
    activation::named(name).ok_or_else(|| {
        let problem = format!(
            "hidden_act `{name}` is not supported; known are gelu, gelu_new, gelu_pytorch_tanh, relu, silu"
        );
        LoadError::config(file, problem)
    })
}

//! The configuration of sentence-transformers models: which modules follow the encoder.

use serde::Deserialize;

use super::LoadError;
use super::files::Files;

pub(super) const MODULES: &str = "modules.json";
const SENTENCE: &str = "sentence_bert_config.json";

/// How the vectors of a text's tokens become the text's one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// The mean over all tokens.
    Mean,
    /// The vector of the first token.
    Cls,
    /// The greatest value over all tokens, in each dimension.
    Max,
}

/// What stands around the encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SentenceConfig {
    /// Folder of the encoder below the root, empty for the root.
    pub(crate) folder: String,
    pub(crate) pooling: Pooling,
    /// Whether vectors are scaled to length 1.
    pub(crate) normalize: bool,
    /// Longest text in tokens that the model was made for.
    pub(crate) max_tokens: Option<usize>,
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    path: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PoolingFile {
    // Newer files name one mode, older ones have a flag for each.
    pooling_mode: Option<String>,
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SentenceFile {
    max_seq_length: Option<usize>,
}

impl SentenceConfig {
    /// Reads the modules of a model; a plain encoder without any is mean-pooled and not
    /// normalised, as sentence-transformers does it.
    ///
    /// # Errors
    /// [`LoadError::ConfigInvalid`] for modules or poolings that this server does not have.
    pub(crate) fn read(files: &Files) -> Result<Self, LoadError> {
        let mut config = Self {
            folder: String::new(),
            pooling: Pooling::Mean,
            normalize: false,
            max_tokens: None,
        };
        let modules: Vec<Module> = files.json(MODULES)?.unwrap_or_default();
        for module in modules {
            match module.kind.rsplit('.').next() {
                Some("Transformer") => config.folder = module.path,
                Some("Pooling") => config.pooling = read_pooling(files, &module.path)?,
                Some("Normalize") => config.normalize = true,
                _ => {
                    let problem = format!(
                        "module `{}` is not supported; this server has Transformer, Pooling and \
                         Normalize",
                        module.kind
                    );
                    return Err(LoadError::config(MODULES, problem));
                }
            }
        }
        let sentence: Option<SentenceFile> = files.json(&config.file(SENTENCE))?;
        config.max_tokens = sentence.and_then(|file| file.max_seq_length);
        Ok(config)
    }

    /// The name of one of the encoder's files below the root.
    pub(crate) fn file(&self, name: &str) -> String {
        match self.folder.as_str() {
            "" => name.to_owned(),
            folder => format!("{folder}/{name}"),
        }
    }
}

fn read_pooling(files: &Files, folder: &str) -> Result<Pooling, LoadError> {
    let name = format!("{folder}/config.json");
    let file: PoolingFile = files
        .json(&name)?
        .ok_or_else(|| LoadError::config(&name, "it is absent, so the pooling is unknown"))?;
    let flags = [
        (file.pooling_mode_cls_token, "cls"),
        (file.pooling_mode_mean_tokens, "mean"),
        (file.pooling_mode_max_tokens, "max"),
        (file.pooling_mode_mean_sqrt_len_tokens, "mean_sqrt_len"),
        (file.pooling_mode_weightedmean_tokens, "weightedmean"),
        (file.pooling_mode_lasttoken, "lasttoken"),
    ];
    let named = file.pooling_mode.as_deref();
    let chosen: Vec<&str> = match named {
        Some(mode) => vec![mode],
        None => flags.iter().filter(|f| f.0).map(|f| f.1).collect(),
    };
    match chosen.as_slice() {
        ["cls"] => Ok(Pooling::Cls),
        ["mean"] => Ok(Pooling::Mean),
        ["max"] => Ok(Pooling::Max),
        other => Err(LoadError::config(
            &name,
            format!(
                "pooling `{}` is not supported; this server pools by exactly one of cls, mean, max",
                other.join(" and ")
            ),
        )),
    }
}

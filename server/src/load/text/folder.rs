//! Models as a folder: `config.json`, safetensors, and the files of their tokenizer.

use std::collections::BTreeSet;

use serde::Deserialize;
use tokenizers::Tokenizer;

use super::{END_TEXTS, check_task};
use crate::load::decoder::{self, Request};
use crate::load::files::Files;
use crate::load::{ChatTemplate, LoadError, LoadOptions, TextModel, tokenizer};
use crate::models::registry::Decoder;

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const TEMPLATE: &str = "chat_template.jinja";
/// The one of several templates that conversations without tools or documents take.
const DEFAULT_TEMPLATE: &str = "default";

/// Ids in `config.json` and `generation_config.json`.
#[derive(Default, Deserialize)]
struct Ids {
    bos_token_id: Option<u32>,
    eos_token_id: Option<OneOrMany>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

/// What of `tokenizer_config.json` is not in the tokenizer.
#[derive(Default, Deserialize)]
struct TokenizerConfig {
    bos_token: Option<Token>,
    eos_token: Option<Token>,
    add_bos_token: Option<bool>,
    chat_template: Option<Templates>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Added { content: String },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Added { content: text } => text,
        }
    }
}

/// Loads the decoder among `files`.
///
/// # Errors
/// [`LoadError`].
pub(crate) fn load(
    files: &Files,
    family: Decoder,
    options: &LoadOptions,
    progress: &dyn Fn(u64, u64),
) -> Result<TextModel, LoadError> {
    let config: TokenizerConfig = files.json(TOKENIZER_CONFIG)?.unwrap_or_default();
    let template = chat_template(files, &config)?;
    check_task(options.task, template.is_some())?;
    options.dtype.check_floats()?;
    let tokenizer = tokenizer(files)?;
    let request = Request {
        options,
        device: options.device.open()?,
        progress,
    };
    let loaded = decoder::from_folder(family, files, CONFIG, &request)?;
    let vocab_size = loaded.vocab;
    let last = tokenizer.get_vocab(true).into_values().max();
    if last.is_some_and(|id| id as usize >= vocab_size) {
        let problem = format!("it has ids up to {last:?}, the weights {vocab_size} tokens");
        return Err(LoadError::tokenizer(TOKENIZER, problem));
    }
    let ids: Ids = files.json(CONFIG)?.unwrap_or_default();
    let generation: Ids = files.json(GENERATION)?.unwrap_or_default();
    let bos = bos(&tokenizer, &config, &ids);
    let adds = config.add_bos_token;
    let adds = adds.unwrap_or_else(|| begins_with(&tokenizer, bos));
    Ok(TextModel {
        lm: loaded.lm,
        template,
        end_tokens: end_tokens(&tokenizer, &config, [ids, generation], vocab_size),
        add_bos: bos.is_some() && adds,
        bos,
        vocab_size,
        tokenizer,
    })
}

/// The one in `tokenizer.json`; older models have its vocabulary and its merges as files, all of them of
/// byte-level pairs.
fn tokenizer(files: &Files) -> Result<Tokenizer, LoadError> {
    if let Some(json) = files.read(TOKENIZER)? {
        return tokenizer::from_json(TOKENIZER, &json);
    }
    match (files.json("vocab.json")?, files.read("merges.txt")?) {
        (Some(vocabulary), Some(merges)) => tokenizer::from_vocabulary(vocabulary, &merges),
        _ => Err(LoadError::tokenizer(TOKENIZER, "it is absent")),
    }
}

fn chat_template(
    files: &Files,
    config: &TokenizerConfig,
) -> Result<Option<ChatTemplate>, LoadError> {
    let (file, source) = match (files.read(TEMPLATE)?, &config.chat_template) {
        (Some(bytes), _) => (TEMPLATE, String::from_utf8_lossy(&bytes).into_owned()),
        (None, Some(Templates::One(source))) => (TOKENIZER_CONFIG, source.clone()),
        (None, Some(Templates::Named(all))) => {
            match all.iter().find(|it| it.name == DEFAULT_TEMPLATE) {
                Some(named) => (TOKENIZER_CONFIG, named.template.clone()),
                None => return Ok(None),
            }
        }
        (None, None) => return Ok(None),
    };
    let text = |token: &Option<Token>| token.as_ref().map_or("", Token::text).to_owned();
    ChatTemplate::new(source, text(&config.bos_token), text(&config.eos_token))
        .map(Some)
        .map_err(|error| LoadError::TemplateInvalid {
            file: file.to_owned(),
            error,
        })
}

/// The id of a token that the tokenizer's configuration names.
fn id_of(tokenizer: &Tokenizer, token: Option<&Token>) -> Option<u32> {
    tokenizer.token_to_id(token?.text())
}

/// The token that begins a sequence. A tokenizer's configuration that names none has none.
fn bos(tokenizer: &Tokenizer, config: &TokenizerConfig, ids: &Ids) -> Option<u32> {
    match &config.bos_token {
        Some(_) => id_of(tokenizer, config.bos_token.as_ref()),
        None => ids
            .bos_token_id
            .filter(|_| begins_with(tokenizer, ids.bos_token_id)),
    }
}

/// Whether the tokenizer itself puts this token before a text.
fn begins_with(tokenizer: &Tokenizer, token: Option<u32>) -> bool {
    let encoding = tokenizer.encode("", true);
    token.is_some() && encoding.is_ok_and(|it| it.get_ids().first() == token.as_ref())
}

fn end_tokens(
    tokenizer: &Tokenizer,
    config: &TokenizerConfig,
    ids: [Ids; 2],
    vocab_size: usize,
) -> Vec<u32> {
    let mut ends = BTreeSet::new();
    for ids in ids {
        match ids.eos_token_id {
            Some(OneOrMany::One(id)) => ends.extend([id]),
            Some(OneOrMany::Many(many)) => ends.extend(many),
            None => {}
        }
    }
    ends.extend(id_of(tokenizer, config.eos_token.as_ref()));
    ends.extend(
        END_TEXTS
            .iter()
            .filter_map(|text| tokenizer.token_to_id(text)),
    );
    ends.into_iter()
        .filter(|&id| (id as usize) < vocab_size)
        .collect()
}

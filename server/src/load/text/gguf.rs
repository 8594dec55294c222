//! Loads decoders from GGUF files: tokenizer, chat template and quantised weights in one file.

use std::collections::BTreeSet;

use super::{END_TEXTS, check_task};
use crate::load::decoder::{self, Request};
use crate::load::files::Files;
use crate::load::gguf::Header;
use crate::load::{ChatTemplate, LoadError, LoadOptions, TextModel, tokenizer};
use crate::models::registry::Decoder;

/// Loads the decoder in the GGUF file called `name` among `files`.
///
/// # Errors
/// [`LoadError`].
pub(crate) fn load(
    files: &Files,
    name: &str,
    options: &LoadOptions,
    progress: &dyn Fn(u64, u64),
) -> Result<TextModel, LoadError> {
    let bytes = files.map(name)?;
    let header = Header::parse(name, &bytes)?;
    if header.number("split.count")?.is_some_and(|n| n > 1) {
        return Err(header.wrong("split.count", "is above 1; merge the parts into one file"));
    }
    let architecture = header.text("general.architecture")?.unwrap_or("missing");
    let family = Decoder::of(architecture)?;
    let template = chat_template(&header)?;
    check_task(options.task, template.is_some())?;
    options.dtype.check_quantized()?;
    let request = Request {
        options,
        device: options.device.open()?,
        progress: &|loaded, total| {
            bytes.release();
            progress(loaded, total);
        },
    };
    let tokens = header.texts(tokenizer::TOKENS)?;
    let loaded = decoder::from_gguf(family, &header, &bytes, &request)?;
    let vocab_size = loaded.vocab;
    if tokens.len() > vocab_size {
        return Err(LoadError::tokenizer(
            name,
            format!("it has {} tokens, the weights {vocab_size}", tokens.len()),
        ));
    }
    let bos = header.token("tokenizer.ggml.bos_token_id", tokens.len())?;
    Ok(TextModel {
        lm: loaded.lm,
        tokenizer: tokenizer::from_gguf(&header)?,
        template,
        end_tokens: end_tokens(&header, tokens)?,
        bos,
        add_bos: bos.is_some() && adds_bos(&header)?,
        vocab_size,
    })
}

fn chat_template(header: &Header) -> Result<Option<ChatTemplate>, LoadError> {
    let Some(source) = header.text("tokenizer.chat_template")? else {
        return Ok(None);
    };
    let tokens = header.texts(tokenizer::TOKENS)?;
    let text = |key: &str| -> Result<String, LoadError> {
        let id = header.token(key, tokens.len())?;
        Ok(id
            .and_then(|id| tokens.get(id as usize))
            .cloned()
            .unwrap_or_default())
    };
    let bos = text("tokenizer.ggml.bos_token_id")?;
    let eos = text("tokenizer.ggml.eos_token_id")?;
    ChatTemplate::new(source.to_owned(), bos, eos)
        .map(Some)
        .map_err(|error| LoadError::TemplateInvalid {
            file: header.file().to_owned(),
            error,
        })
}

fn end_tokens(header: &Header, tokens: &[String]) -> Result<Vec<u32>, LoadError> {
    let mut ends = BTreeSet::new();
    for key in ["eos", "eot", "eom"] {
        let key = format!("tokenizer.ggml.{key}_token_id");
        ends.extend(header.token(&key, tokens.len())?);
    }
    let known = tokens
        .iter()
        .zip(0u32..)
        .filter(|(text, _)| END_TEXTS.contains(&text.as_str()));
    ends.extend(known.map(|(_, id)| id));
    Ok(ends.into_iter().collect())
}

/// Older files of the Llama 3 family and those with SentencePiece leave the flag out and want the token.
fn adds_bos(header: &Header) -> Result<bool, LoadError> {
    let by_kind = header.text("tokenizer.ggml.pre")? == Some("llama-bpe")
        || header.text(tokenizer::MODEL)? == Some(tokenizer::SENTENCEPIECE);
    Ok(header
        .flag("tokenizer.ggml.add_bos_token")?
        .unwrap_or(by_kind))
}

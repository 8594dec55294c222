//! Tokenizers, from `tokenizer.json` or from the metadata of a GGUF file.

use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use super::LoadError;
use super::gguf::Header;

mod sentencepiece;

pub(crate) const TOKENS: &str = "tokenizer.ggml.tokens";
/// Which kind of tokenizer a GGUF file has.
pub(crate) const MODEL: &str = "tokenizer.ggml.model";
/// What GGUF files call SentencePiece's pairs.
pub(crate) const SENTENCEPIECE: &str = "llama";
/// The one special token of GPT-2's vocabulary.
const GPT2_END: &str = "<|endoftext|>";
const KNOWN_SPLITS: &str = "gpt-2, smollm, llama-bpe, qwen2";

// Codes of `tokenizer.ggml.token_type`.
const NORMAL: i64 = 1;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

const LLAMA_BPE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Reads a `tokenizer.json`. Truncation and padding that it asks for are taken out: the server
/// refuses what is too long rather than answer for a part of it, and pads nothing.
///
/// # Errors
/// [`LoadError::TokenizerInvalid`].
pub(crate) fn from_json(file: &str, bytes: &[u8]) -> Result<Tokenizer, LoadError> {
    // The parser unwraps within some malformed parts.
    let parsed = std::panic::catch_unwind(|| Tokenizer::from_bytes(bytes));
    let mut tokenizer = parsed
        .map_err(|_| LoadError::tokenizer(file, "one of its parts is malformed"))?
        .map_err(|e| LoadError::tokenizer(file, e.to_string()))?;
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(None)
        .map_err(|e| LoadError::tokenizer(file, e.to_string()))?;
    Ok(tokenizer)
}

/// Builds the byte-level BPE tokenizer of GPT-2's files: `vocab.json`, and the text of `merges.txt`.
///
/// # Errors
/// [`LoadError::TokenizerInvalid`].
pub(crate) fn from_vocabulary(vocabulary: Vocab, merges: &[u8]) -> Result<Tokenizer, LoadError> {
    const FILE: &str = "merges.txt";
    let text = String::from_utf8_lossy(merges);
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("#version"));
    let pair = |line: &str| match line.split_once(' ') {
        Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
        None => Err(LoadError::tokenizer(
            FILE,
            format!("merge `{line}` is no pair"),
        )),
    };
    let merges: Merges = lines.map(pair).collect::<Result<_, _>>()?;
    let special = vocabulary.contains_key(GPT2_END);
    let model = BPE::builder().vocab_and_merges(vocabulary, merges).build();
    let model = model.map_err(|e| LoadError::tokenizer(FILE, e.to_string()))?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, false, true)));
    tokenizer.with_decoder(Some(ByteLevelDecoder::new(false, false, false)));
    if special {
        let end = AddedToken::from(GPT2_END, true).normalized(false);
        let added = tokenizer.add_special_tokens([end]);
        added.map_err(|e| LoadError::tokenizer(FILE, e.to_string()))?;
    }
    Ok(tokenizer)
}

/// Builds the tokenizer that a GGUF file describes.
///
/// # Errors
/// [`LoadError::TokenizerInvalid`] for other kinds of tokenizer and for parts that do not fit
/// each other.
pub(crate) fn from_gguf(header: &Header) -> Result<Tokenizer, LoadError> {
    match header.text(MODEL)? {
        Some("gpt2") => byte_level(header),
        Some(SENTENCEPIECE) => sentencepiece::build(header),
        other => Err(LoadError::tokenizer(
            header.file(),
            format!(
                "`{MODEL}` is `{}`; this server reads `gpt2` (byte-level BPE) and \
                 `{SENTENCEPIECE}` (SentencePiece)",
                other.unwrap_or("missing")
            ),
        )),
    }
}

fn byte_level(header: &Header) -> Result<Tokenizer, LoadError> {
    let refuse = |problem: String| LoadError::tokenizer(header.file(), problem);
    let split = header.text("tokenizer.ggml.pre")?.unwrap_or("missing");
    let pre_tokenizer = pre_tokenizer(split).ok_or_else(|| {
        refuse(format!(
            "`tokenizer.ggml.pre` is `{split}`; this server reads {KNOWN_SPLITS}"
        ))
    })?;
    let tokens = header.texts(TOKENS)?;
    let model = BPE::builder()
        .vocab_and_merges(vocabulary(header, tokens)?, merges(header)?)
        .ignore_merges(split == "llama-bpe")
        .build()
        .map_err(|e| refuse(e.to_string()))?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer));
    tokenizer.with_decoder(Some(ByteLevelDecoder::new(false, false, false)));
    tokenizer
        .add_tokens(added_tokens(header, tokens)?)
        .map_err(|e| refuse(e.to_string()))?;
    Ok(tokenizer)
}

fn vocabulary(header: &Header, tokens: &[String]) -> Result<Vocab, LoadError> {
    let mut vocabulary = Vocab::with_capacity(tokens.len());
    for (token, id) in tokens.iter().zip(0u32..) {
        if let Some(first) = vocabulary.insert(token.clone(), id) {
            return Err(LoadError::tokenizer(
                header.file(),
                format!("tokens {first} and {id} are both `{token}`"),
            ));
        }
    }
    Ok(vocabulary)
}

fn merges(header: &Header) -> Result<Merges, LoadError> {
    let pair = |line: &String| match line.split_once(' ') {
        Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
        None => Err(LoadError::tokenizer(
            header.file(),
            format!("merge `{line}` is no pair"),
        )),
    };
    header
        .texts("tokenizer.ggml.merges")?
        .iter()
        .map(pair)
        .collect()
}

/// The types of tokens; none where the file does not tell them.
fn kinds<'a>(header: &'a Header, tokens: &[String]) -> Result<&'a [i64], LoadError> {
    let kinds = header.ints("tokenizer.ggml.token_type")?;
    let kinds = kinds.unwrap_or_default();
    if !kinds.is_empty() && kinds.len() != tokens.len() {
        return Err(LoadError::tokenizer(
            header.file(),
            format!("{} tokens have {} types", tokens.len(), kinds.len()),
        ));
    }
    Ok(kinds)
}

/// The tokens that stand for themselves in a text, before it is split.
fn added_tokens(header: &Header, tokens: &[String]) -> Result<Vec<AddedToken>, LoadError> {
    let kinds = kinds(header, tokens)?;
    let added = tokens.iter().zip(kinds).filter_map(|(token, &kind)| {
        let stands_alone = matches!(kind, CONTROL | USER_DEFINED) && !token.is_empty();
        stands_alone.then(|| AddedToken::from(token.clone(), kind == CONTROL).normalized(false))
    });
    Ok(added.collect())
}

/// How a text is cut before merges apply, by its name in GGUF files.
fn pre_tokenizer(name: &str) -> Option<PreTokenizerWrapper> {
    match name {
        "gpt-2" => Some(ByteLevel::new(false, false, true).into()),
        "smollm" => Some(
            Sequence::new(vec![
                Digits::new(true).into(),
                ByteLevel::new(false, false, true).into(),
            ])
            .into(),
        ),
        "llama-bpe" => by_regex(LLAMA_BPE),
        "qwen2" => by_regex(QWEN2),
        _ => None,
    }
}

fn by_regex(regex: &str) -> Option<PreTokenizerWrapper> {
    let pattern = SplitPattern::Regex(regex.to_owned());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).ok()?;
    let bytes = ByteLevel::new(false, false, false);
    Some(Sequence::new(vec![split.into(), bytes.into()]).into())
}

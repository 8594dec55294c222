//! SentencePiece's pairs, as GGUF files hold them: tokens with scores, and bytes for what is no token.

use tokenizers::Tokenizer;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::normalizers::prepend::Prepend;
use tokenizers::normalizers::replace::Replace;
use tokenizers::normalizers::utils::Sequence as Normalizers;

use super::{NORMAL, TOKENS, added_tokens, kinds, vocabulary};
use crate::load::LoadError;
use crate::load::gguf::Header;

/// How a space is written within tokens.
const SPACE: &str = "\u{2581}";
const SCORES: &str = "tokenizer.ggml.scores";

/// Builds the tokenizer.
///
/// # Errors
/// [`LoadError::TokenizerInvalid`] for parts that do not fit each other.
pub(super) fn build(header: &Header) -> Result<Tokenizer, LoadError> {
    let refuse = |error: tokenizers::Error| LoadError::tokenizer(header.file(), error.to_string());
    let tokens = header.texts(TOKENS)?;
    let vocabulary = vocabulary(header, tokens)?;
    let merges = merges(header, tokens, &vocabulary)?;
    let mut model = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .byte_fallback(true)
        .fuse_unk(true);
    let unknown = header.token("tokenizer.ggml.unknown_token_id", tokens.len())?;
    if let Some(text) = unknown.and_then(|id| tokens.get(id as usize)) {
        model = model.unk_token(text.clone());
    }
    let mut tokenizer = Tokenizer::new(model.build().map_err(refuse)?);
    // Older files leave the flag out and want the space.
    let prefixed = header
        .flag("tokenizer.ggml.add_space_prefix")?
        .unwrap_or(true);
    let normalizer = normalizer(prefixed).map_err(refuse)?;
    tokenizer
        .with_normalizer(Some(normalizer))
        .map_err(refuse)?;
    tokenizer.with_decoder(Some(decoder(prefixed).map_err(refuse)?));
    let added = added_tokens(header, tokens)?;
    tokenizer.add_tokens(added).map_err(refuse)?;
    Ok(tokenizer)
}

/// A text begins with a space where `prefixed`, and spaces are written as tokens have them.
fn normalizer(prefixed: bool) -> tokenizers::Result<Normalizers> {
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if prefixed {
        steps.push(Prepend::new(SPACE.to_owned()).into());
    }
    steps.push(Replace::new(" ", SPACE)?.into());
    Ok(Normalizers::new(steps))
}

/// The reverse of it.
fn decoder(prefixed: bool) -> tokenizers::Result<Decoders> {
    let mut steps: Vec<DecoderWrapper> = vec![
        Replace::new(SPACE, " ")?.into(),
        ByteFallback::new().into(),
        Fuse::new().into(),
    ];
    if prefixed {
        steps.push(Strip::new(' ', 1, 0).into());
    }
    Ok(Decoders::new(steps))
}

/// Two tokens become one where that is a token too; those of the highest score first.
fn merges(header: &Header, tokens: &[String], vocabulary: &Vocab) -> Result<Merges, LoadError> {
    let scores = header.floats(SCORES)?;
    if scores.len() != tokens.len() {
        let problem = format!("{} tokens have {} scores", tokens.len(), scores.len());
        return Err(LoadError::tokenizer(header.file(), problem));
    }
    let kinds = kinds(header, tokens)?;
    let mut merges = Vec::new();
    for (id, (token, score)) in tokens.iter().zip(scores).enumerate() {
        if kinds.get(id).is_some_and(|kind| *kind != NORMAL) {
            continue;
        }
        let cuts = token.char_indices().skip(1);
        let pairs = cuts.map(|(at, _)| token.split_at(at));
        let known = pairs.filter(|(left, right)| {
            vocabulary.contains_key(*left) && vocabulary.contains_key(*right)
        });
        merges.extend(known.map(|pair| (*score, pair)));
    }
    merges.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let owned = merges
        .iter()
        .map(|(_, (left, right))| ((*left).to_owned(), (*right).to_owned()));
    Ok(owned.collect())
}

//! Small models whose answers are known in advance.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

use candle_core::{Device, Error, Result, Tensor};
use serde_json::{Map, json};
use tokenizers::Tokenizer;

use crate::models::{CacheSize, CausalLm, Chunk, Embedder};

/// Begins a sequence in [`byte_tokenizer`].
pub(crate) const BOS: u32 = 256;
/// Ends a sequence in [`byte_tokenizer`].
pub(crate) const EOS: u32 = 257;
/// Tokens of [`byte_tokenizer`].
pub(crate) const VOCAB: usize = 258;

/// A tokenizer in which every byte is its own token, with two special tokens after them.
pub(crate) fn byte_tokenizer() -> Tokenizer {
    let mut vocab = Map::new();
    let mut spare = 256u32;
    for byte in 0..=255u8 {
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let code = if printable {
            u32::from(byte)
        } else {
            spare += 1;
            spare - 1
        };
        let symbol = char::from_u32(code).unwrap();
        vocab.insert(symbol.to_string(), json!(byte));
    }
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true})
    };
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false,
        "trim_offsets": false, "use_regex": false});
    let definition = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [special(BOS, "<s>"), special(EOS, "</s>")],
        "pre_tokenizer": byte_level, "post_processor": null, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []},
    });
    Tokenizer::from_bytes(definition.to_string()).unwrap()
}

/// Holds a model up until the test lets it take a step.
pub(crate) struct Gate(Option<Mutex<Receiver<()>>>);

impl Gate {
    /// A gate that is never shut.
    pub(crate) fn open() -> Self {
        Self(None)
    }

    /// A shut gate, and what lets one step through for each message; all when it is dropped.
    pub(crate) fn shut() -> (Sender<()>, Self) {
        let (sender, receiver) = mpsc::channel();
        (sender, Self(Some(Mutex::new(receiver))))
    }

    fn pass(&self) {
        if let Some(steps) = &self.0 {
            let _ = steps.lock().unwrap().recv();
        }
    }
}

/// Every call of a model: position and number of tokens of each chunk.
pub(crate) type Calls = Arc<Mutex<Vec<Vec<(usize, usize)>>>>;

/// Answers every prompt with the same text, then ends: what the sequence ends with tells how much of the
/// text is there. Where it is sampled, any lower-case letter may come instead of the text's next byte.
///
/// Like any model it knows of a sequence what its blocks hold, and nothing else.
pub(crate) struct ToyLm {
    pub(crate) answer: Vec<u32>,
    pub(crate) gate: Gate,
    pub(crate) context: usize,
    pub(crate) blocks: u32,
    pub(crate) calls: Calls,
    pub(crate) step_tokens: usize,
    /// The logit of tokens that are neither letters nor the text's next byte.
    pub(crate) others: f32,
    /// By block: its tokens.
    held: BTreeMap<u32, Vec<u32>>,
}

/// Tokens of a block of the toy's cache.
pub(crate) const BLOCK: usize = 8;

impl ToyLm {
    pub(crate) fn new(answer: &str) -> Self {
        Self {
            answer: answer.bytes().map(u32::from).chain([EOS]).collect(),
            gate: Gate::open(),
            context: 512,
            blocks: 256,
            calls: Arc::default(),
            step_tokens: 512,
            others: f32::NEG_INFINITY,
            held: BTreeMap::new(),
        }
    }

    fn write(&mut self, chunk: &Chunk<'_>) -> Result<()> {
        for (at, token) in (chunk.position..).zip(chunk.tokens) {
            assert_ne!(*token, u32::from(b'!'), "the toy panics at `!`");
            if *token == u32::from(b'#') {
                return Err(Error::Msg("the toy fails at `#`".to_owned()));
            }
            let block = self.held.entry(chunk.blocks[at / BLOCK]).or_default();
            block.resize(at % BLOCK, u32::MAX);
            block.push(*token);
        }
        Ok(())
    }

    fn logits(&self, chunk: &Chunk<'_>) -> Vec<f32> {
        let held = chunk.blocks.iter().filter_map(|block| self.held.get(block));
        let mut sequence: Vec<u32> = held.flatten().copied().collect();
        sequence.truncate(chunk.position + chunk.tokens.len());
        let is_there = |length: &usize| sequence.ends_with(&self.answer[..*length]);
        let there = (0..self.answer.len()).rev().find(is_there).unwrap_or(0);
        let mut logits = vec![self.others; VOCAB];
        logits[usize::from(b'a')..=usize::from(b'z')].fill(0.0);
        logits[self.answer[there] as usize] = 3.0;
        logits
    }
}

impl CausalLm for ToyLm {
    fn context(&self) -> usize {
        self.context
    }

    fn cache(&self) -> CacheSize {
        CacheSize {
            blocks: self.blocks,
            block_tokens: BLOCK,
        }
    }

    fn step_tokens(&self) -> usize {
        self.step_tokens
    }

    fn forward(&mut self, chunks: &[Chunk<'_>]) -> Result<Tensor> {
        self.gate.pass();
        let sizes = chunks
            .iter()
            .map(|chunk| (chunk.position, chunk.tokens.len()));
        self.calls.lock().unwrap().push(sizes.collect());
        for chunk in chunks {
            self.write(chunk)?;
        }
        let wanted = chunks.iter().filter(|chunk| chunk.writes);
        let logits: Vec<Vec<f32>> = wanted.map(|chunk| self.logits(chunk)).collect();
        let count = logits.len();
        Tensor::from_vec(logits.concat(), (count, VOCAB), &Device::Cpu)
    }
}

/// Gives the vector (tokens, sum of ids, 1) for a text.
pub(crate) struct ToyEmbedder {
    pub(crate) gate: Gate,
    /// Texts in each batch so far.
    pub(crate) batches: Arc<Mutex<Vec<usize>>>,
}

impl ToyEmbedder {
    pub(crate) fn new() -> Self {
        Self {
            gate: Gate::open(),
            batches: Arc::default(),
        }
    }
}

impl Embedder for ToyEmbedder {
    fn max_tokens(&self) -> usize {
        64
    }

    fn dimensions(&self) -> usize {
        3
    }

    fn embed(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        self.gate.pass();
        self.batches.lock().unwrap().push(batch.len());
        let vector = |ids: &&[u32]| vec![ids.len() as f32, ids.iter().sum::<u32>() as f32, 1.0];
        if batch.iter().any(|ids| ids.contains(&u32::from(b'#'))) {
            return Err(Error::Msg("the toy fails at `#`".to_owned()));
        }
        Ok(batch.iter().map(vector).collect())
    }
}

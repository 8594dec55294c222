//! GGUF files with SentencePiece's vocabulary against SentencePiece itself.

use serde::Deserialize;

use crate::fixture::model;
use crate::tiny;

#[derive(Deserialize)]
struct Learned {
    vocabularies: Vec<Vocabulary>,
}

#[derive(Deserialize)]
struct Vocabulary {
    prefix: bool,
    tokens: Vec<String>,
    scores: Vec<f32>,
    kinds: Vec<i32>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
}

impl Vocabulary {
    /// A model with this vocabulary, whose flags stand as files have them.
    fn gguf(&self) -> tiny::Gguf {
        let tokens: Vec<_> = self.tokens.iter().map(|it| tiny::text(it)).collect();
        let numbers = self.scores.iter().map(|it| it.to_le_bytes().to_vec());
        let scores: Vec<_> = numbers.collect();
        let kinds: Vec<_> = self
            .kinds
            .iter()
            .map(|it| it.to_le_bytes().to_vec())
            .collect();
        let mut gguf = tiny::llama()
            .without("tokenizer.ggml.add_bos_token")
            .without("tokenizer.ggml.merges")
            .with("tokenizer.ggml.model", tiny::text_value("llama"))
            .with("tokenizer.ggml.tokens", tiny::array(8, &tokens))
            .with("tokenizer.ggml.scores", tiny::array(6, &scores))
            .with("tokenizer.ggml.token_type", tiny::array(5, &kinds))
            .with("tokenizer.ggml.unknown_token_id", tiny::u32_value(0))
            .with("tokenizer.ggml.bos_token_id", tiny::u32_value(1))
            .with("tokenizer.ggml.eos_token_id", tiny::u32_value(2));
        if !self.prefix {
            let flag = tiny::bool_value(false);
            gguf = gguf.with("tokenizer.ggml.add_space_prefix", flag);
        }
        let rows = self.tokens.len();
        let table = gguf
            .tensors
            .iter_mut()
            .find(|it| it.0 == "token_embd.weight");
        let table = table.expect("an embedding table");
        *table = (
            table.0.clone(),
            vec![32, rows as u64],
            0,
            vec![0; 32 * rows * 4],
        );
        gguf
    }
}

#[test]
fn ids_equal_those_of_sentencepiece_and_become_the_text_again() {
    let learned: Learned =
        serde_json::from_str(include_str!("../fixtures/sentencepiece_tokens.json"))
            .expect("a fixture");
    assert_eq!(learned.vocabularies.len(), 2);
    for vocabulary in learned.vocabularies {
        let model = model(&[(tiny::GGUF, vocabulary.gguf().bytes())]);
        for Case { text, ids } in &vocabulary.cases {
            let with_bos = [&[1], ids.as_slice()].concat();
            assert_eq!(model.encode(text).expect("ids"), with_bos, "{text}");
            let again = model.tokenizer.decode(&with_bos, true).expect("a text");
            assert_eq!(&again, text);
        }
    }
}

//! The JSON of answers, whole and in chunks.

use std::sync::Arc;

use serde_json::{Value, json};

use super::logprobs;
use crate::engine::{TokenLogprobs, Usage, Written};
use crate::tasks::Vocabulary;

/// Which endpoint's objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Chat,
    Completion,
}

/// What all objects of one answer have in common.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    kind: Kind,
    id: String,
    created: u64,
    model: String,
    /// There where it is told how likely tokens were.
    vocabulary: Option<Arc<Vocabulary>>,
}

/// One complete choice.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) written: Written,
    /// Calls of tools, in the API's form.
    pub(super) calls: Vec<Value>,
    /// The word of the API for why it ended.
    pub(super) reason: &'static str,
}

/// The call of a function in the API's form.
pub(super) fn call(id: &str, name: &str, arguments: &str) -> Value {
    let function = json!({"name": name, "arguments": arguments});
    json!({"id": id, "type": "function", "function": function})
}

impl Shape {
    pub(super) fn new(kind: Kind, created: u64, model: String) -> Self {
        let prefix = match kind {
            Kind::Chat => "chatcmpl",
            Kind::Completion => "cmpl",
        };
        Self {
            kind,
            id: format!("{prefix}-{:032x}", rand::random::<u128>()),
            created,
            model,
            vocabulary: None,
        }
    }

    /// The same that tells how likely tokens were, with a vocabulary to name them by.
    pub(super) fn with_logprobs(self, vocabulary: Option<Arc<Vocabulary>>) -> Self {
        Self { vocabulary, ..self }
    }

    /// The one object of an answer that is not streamed.
    pub(super) fn whole(&self, choices: Vec<Choice>, used: Usage) -> Value {
        let object = match self.kind {
            Kind::Chat => "chat.completion",
            Kind::Completion => "text_completion",
        };
        let choices = choices.into_iter().enumerate();
        let choices: Vec<Value> = choices.map(|(i, choice)| self.choice(i, choice)).collect();
        let mut whole = self.envelope(object, &choices.into());
        whole["usage"] = usage(used);
        whole
    }

    fn choice(&self, index: usize, choice: Choice) -> Value {
        let Choice {
            written,
            calls,
            reason,
        } = choice;
        let text = written.text;
        let mut value = match self.kind {
            Kind::Chat => json!({
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": null},
            }),
            Kind::Completion => json!({"index": index, "text": text}),
        };
        value["logprobs"] = self.logprobs(&written.logprobs);
        value["finish_reason"] = json!(reason);
        if !calls.is_empty() {
            let message = &mut value["message"];
            if message["content"] == "" {
                message["content"] = Value::Null;
            }
            message["tool_calls"] = calls.into();
        }
        value
    }

    fn logprobs(&self, tokens: &[TokenLogprobs]) -> Value {
        match (&self.vocabulary, self.kind) {
            (None, _) => Value::Null,
            (Some(vocabulary), Kind::Chat) => logprobs::of_chat(vocabulary, tokens),
            (Some(vocabulary), Kind::Completion) => logprobs::of_completion(vocabulary, tokens),
        }
    }

    /// The chunk that opens a choice of a chat.
    pub(super) fn opening(&self, index: usize) -> Option<Value> {
        let delta = json!({"role": "assistant", "content": "", "refusal": null});
        (self.kind == Kind::Chat).then(|| self.chunk(index, "delta", &delta, None))
    }

    /// A chunk with more text of a choice.
    pub(super) fn more(&self, index: usize, written: &Written) -> Value {
        let text = &written.text;
        let mut chunk = match self.kind {
            Kind::Chat => self.chunk(index, "delta", &json!({"content": text}), None),
            Kind::Completion => self.chunk(index, "text", &json!(text), None),
        };
        if !written.logprobs.is_empty() {
            chunk["choices"][0]["logprobs"] = self.logprobs(&written.logprobs);
        }
        chunk
    }

    /// A chunk with a piece of the call of that number.
    pub(super) fn call(&self, index: usize, number: usize, mut piece: Value) -> Value {
        piece["index"] = json!(number);
        self.chunk(index, "delta", &json!({"tool_calls": [piece]}), None)
    }

    /// The last chunk of a choice, with the API's word for why it ended.
    pub(super) fn end(&self, index: usize, reason: &str) -> Value {
        match self.kind {
            Kind::Chat => self.chunk(index, "delta", &json!({}), Some(reason)),
            Kind::Completion => self.chunk(index, "text", &json!(""), Some(reason)),
        }
    }

    /// The chunk after all choices.
    pub(super) fn usage(&self, used: Usage) -> Value {
        let mut chunk = self.envelope(self.chunk_object(), &json!([]));
        chunk["usage"] = usage(used);
        chunk
    }

    fn chunk(&self, index: usize, key: &str, value: &Value, reason: Option<&str>) -> Value {
        let choice = json!({"index": index, key: value, "logprobs": null, "finish_reason": reason});
        self.envelope(self.chunk_object(), &json!([choice]))
    }

    fn chunk_object(&self) -> &'static str {
        match self.kind {
            Kind::Chat => "chat.completion.chunk",
            Kind::Completion => "text_completion",
        }
    }

    fn envelope(&self, object: &str, choices: &Value) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        })
    }
}

fn usage(used: Usage) -> Value {
    let Usage {
        prompt_tokens,
        completion_tokens,
    } = used;
    json!({
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    })
}

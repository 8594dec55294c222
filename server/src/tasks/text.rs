//! Prompts: from messages or text to token ids that fit the model.

use std::io;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tokenizers::Tokenizer;

use super::codec::{Codec, Special};
use super::{Form, GrammarError, Grammars, Input, PromptError, ToolFormat, Vocabulary};
use crate::engine::{
    Constraint, Deadline, Engine, EngineError, Event, GenerateRequest, Refused, Sampling, Standing,
    TextEngine,
};
use crate::load::{ChatMessage, ChatTemplate, encode_prompt, tokenizer_fingerprint};

/// The tokens of a model.
#[derive(Debug)]
pub struct Tokens {
    /// From text and to text.
    pub tokenizer: Arc<Tokenizer>,
    /// Begins every prompt, where the model wants that.
    pub bos: Option<u32>,
    /// Any of them ends an answer.
    pub ends: Vec<u32>,
    /// Ids go up to this.
    pub size: usize,
}

/// A model that writes text.
#[derive(Clone)]
pub struct TextTask {
    engine: Arc<dyn TextEngine>,
    template: Option<Arc<ChatTemplate>>,
    tokens: Arc<Tokens>,
    vocabulary: Arc<OnceLock<Arc<Vocabulary>>>,
    grammars: Arc<OnceLock<Result<Grammars, GrammarError>>>,
    tokenizer_fingerprint: Arc<str>,
}

impl std::fmt::Debug for TextTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextTask")
            .field("chat", &self.has_chat())
            .field("context", &self.context())
            .finish_non_exhaustive()
    }
}

impl TextTask {
    /// A task on a running engine.
    ///
    /// # Errors
    /// When the tokenizer can't be written, and so has no fingerprint.
    pub fn new(
        engine: Arc<dyn TextEngine>,
        tokens: Tokens,
        template: Option<ChatTemplate>,
    ) -> io::Result<Self> {
        Ok(Self {
            engine,
            tokenizer_fingerprint: tokenizer_fingerprint(&tokens.tokenizer)?.into(),
            template: template.map(Arc::new),
            tokens: Arc::new(tokens),
            vocabulary: Arc::default(),
            grammars: Arc::default(),
        })
    }

    /// The tokenizer's fingerprint.
    #[must_use]
    pub fn tokenizer_fingerprint(&self) -> &str {
        &self.tokenizer_fingerprint
    }

    /// The chat template's fingerprint, where it takes chat messages.
    #[must_use]
    pub fn template_fingerprint(&self) -> Option<&str> {
        self.template.as_deref().map(ChatTemplate::fingerprint)
    }

    /// Whether it takes chat messages.
    #[must_use]
    pub fn has_chat(&self) -> bool {
        self.template.is_some()
    }

    /// How the model writes calls of tools; `None` where its chat template knows of none.
    #[must_use]
    pub fn tool_format(&self) -> Option<ToolFormat> {
        let template = self.template.as_ref()?;
        template.source_with_tools().and_then(ToolFormat::of)
    }

    /// The token that is this text and is special.
    #[must_use]
    pub fn special_token(&self, text: &str) -> Option<u32> {
        let id = self.tokens.tokenizer.token_to_id(text)?;
        self.vocabulary().bytes(id).is_none().then_some(id)
    }

    /// Ids of tokens go up to this.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.tokens.size
    }

    /// What each token stands for. Blocks the first time, while it is found out.
    #[must_use]
    pub fn vocabulary(&self) -> Arc<Vocabulary> {
        let Tokens {
            tokenizer,
            ends,
            size,
            ..
        } = &*self.tokens;
        let vocabulary = || Arc::new(Vocabulary::new(tokenizer, *size, ends));
        Arc::clone(self.vocabulary.get_or_init(vocabulary))
    }

    /// A constraint to `form`. Blocks, longest the first time.
    ///
    /// # Errors
    /// When the form is none that an answer of this model can be held to.
    pub fn constraint(&self, form: &Form) -> Result<Constraint, GrammarError> {
        let grammars = || Grammars::new(&self.vocabulary(), &self.tokens.ends);
        match self.grammars.get_or_init(grammars) {
            Ok(grammars) => grammars.compile(form),
            Err(error) => Err(error.clone()),
        }
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &dyn Engine {
        self.engine.engine()
    }

    /// Longest sequence in tokens, prompt and answer together.
    #[must_use]
    pub fn context(&self) -> usize {
        self.engine.context()
    }

    /// Queues a request.
    ///
    /// # Errors
    /// When the engine takes no more.
    pub fn submit(&self, request: GenerateRequest) -> Result<crate::engine::EventStream, Refused> {
        self.engine.submit(request)
    }

    /// The token ids of a conversation with `tools` to call, ready for the assistant's answer. Blocks.
    ///
    /// # Errors
    /// [`PromptError`], all of them the request's fault.
    pub fn chat_prompt(
        &self,
        messages: &[ChatMessage],
        tools: &[Value],
    ) -> Result<Vec<u32>, PromptError> {
        self.check_length(self.chat_tokens(messages, tools, true)?)
    }

    /// The token ids of a conversation of any length; `answered` whether it is ready for the assistant's answer. Blocks.
    ///
    /// # Errors
    /// [`PromptError`], all of them the request's fault.
    pub fn chat_tokens(
        &self,
        messages: &[ChatMessage],
        tools: &[Value],
        answered: bool,
    ) -> Result<Vec<u32>, PromptError> {
        let template = self.template.as_ref().ok_or(PromptError::NoChat)?;
        let text = template.render_with_tools(messages, tools, answered)?;
        let Tokens { tokenizer, bos, .. } = &*self.tokens;
        let bos = bos.filter(|_| !template.has_begun(&text));
        encode_prompt(tokenizer, bos, &text).map_err(PromptError::Tokenizer)
    }

    /// How texts become tokens.
    #[must_use]
    pub fn codec(&self) -> Codec {
        let Tokens {
            tokenizer,
            bos,
            size,
            ..
        } = &*self.tokens;
        Codec::new(Arc::clone(tokenizer), Special::Before(*bos), *size)
    }

    /// The token ids of a prompt. Blocks. Ids that the client sends are taken as they are.
    ///
    /// # Errors
    /// [`PromptError`], all of them the request's fault.
    pub fn prompt(&self, input: &Input) -> Result<Vec<u32>, PromptError> {
        let codec = self.codec();
        let ids = match input {
            Input::Text(text) => codec.encode(text, true)?,
            Input::Tokens(ids) => ids.clone(),
        };
        codec.check(&ids)?;
        self.check_length(ids)
    }

    /// Tokens that an answer to a prompt of `prompt` tokens may have: `asked`, or the rest of
    /// the context where that is less.
    #[must_use]
    pub fn budget(&self, prompt: usize, asked: Option<usize>) -> usize {
        let rest = self.context().saturating_sub(prompt);
        asked.map_or(rest, |asked| asked.min(rest))
    }

    /// Writes one token.
    ///
    /// # Errors
    /// What the engine reports.
    pub async fn warm(&self) -> Result<(), EngineError> {
        let failed = |error: PromptError| EngineError::Model(error.to_string());
        let prompt = self.codec().encode("Hello", true).map_err(failed)?;
        let request = GenerateRequest {
            prompt,
            max_tokens: 1,
            stop: Vec::new(),
            sampling: Sampling::greedy(),
            constraint: None,
            shows_special: false,
            logprobs: None,
            echo: false,
            standing: Standing::default(),
            deadline: Deadline::NEVER,
            measured: false,
        };
        let mut events = self.submit(request).map_err(|_| EngineError::Gone)?;
        loop {
            match events.next().await {
                Event::Text(_) => {}
                Event::Finished { .. } => return Ok(()),
                Event::Failed(error) => return Err(error),
            }
        }
    }

    fn check_length(&self, ids: Vec<u32>) -> Result<Vec<u32>, PromptError> {
        let context = self.context();
        if ids.is_empty() {
            Err(PromptError::Empty)
        } else if ids.len() >= context {
            Err(PromptError::TooLong {
                prompt: ids.len(),
                context,
            })
        } else {
            Ok(ids)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{BOS, EOS, ToyLm, VOCAB, byte_tokenizer};
    use crate::engine::{BatchLimits, BatchingEngine, QueueBounds};
    use crate::metrics::Metrics;

    fn task(template: Option<&str>, bos: Option<u32>) -> TextTask {
        measured_task(template, bos, Arc::new(Metrics::new("m").unwrap()))
    }

    fn measured_task(template: Option<&str>, bos: Option<u32>, metrics: Arc<Metrics>) -> TextTask {
        let tokenizer = Arc::new(byte_tokenizer());
        let mut toy = ToyLm::new("ok");
        toy.context = 16;
        let limits = BatchLimits {
            sequences: 1,
            queue: QueueBounds::of_requests(4),
        };
        let engine = BatchingEngine::start(
            Box::new(toy),
            Arc::clone(&tokenizer),
            vec![EOS],
            limits,
            metrics,
        );
        let template = template.map(|source| {
            ChatTemplate::new(source.to_owned(), "<s>".to_owned(), "</s>".to_owned()).unwrap()
        });
        let tokens = Tokens {
            tokenizer,
            bos,
            ends: vec![EOS],
            size: VOCAB,
        };
        TextTask::new(Arc::new(engine.unwrap()), tokens, template).unwrap()
    }

    fn message(content: &str) -> ChatMessage {
        ChatMessage {
            role: "user".to_owned(),
            content: content.to_owned(),
            ..ChatMessage::default()
        }
    }

    #[test]
    fn one_bos_whoever_writes_it() {
        let text = Input::Text("a".to_owned());
        assert_eq!(task(None, Some(BOS)).prompt(&text).unwrap(), [BOS, 97]);
        assert_eq!(task(None, None).prompt(&text).unwrap(), [97]);
        let written = Input::Text("<s>a".to_owned());
        assert_eq!(task(None, Some(BOS)).prompt(&written).unwrap(), [BOS, 97]);
        let tokens = Input::Tokens(vec![97]);
        assert_eq!(task(None, Some(BOS)).prompt(&tokens).unwrap(), [97]);
        let chat = task(Some("{{ bos_token }}{{ messages[0].content }}"), Some(BOS));
        assert_eq!(chat.chat_prompt(&[message("b")], &[]).unwrap(), [BOS, 98]);
        let silent = task(Some("{{ messages[0].content }}"), Some(BOS));
        assert_eq!(silent.chat_prompt(&[message("b")], &[]).unwrap(), [BOS, 98]);
        let spaced = task(Some(" {{ bos_token }}{{ messages[0].content }}"), Some(BOS));
        assert_eq!(
            spaced.chat_prompt(&[message("b")], &[]).unwrap(),
            [32, BOS, 98]
        );
        let without = task(Some("{{ messages[0].content }}"), None);
        assert_eq!(without.chat_prompt(&[message("b")], &[]).unwrap(), [98]);
    }

    #[test]
    fn prompts_that_do_not_fit_are_refused_with_the_numbers() {
        let task = task(None, None);
        let long = task.prompt(&Input::Text("x".repeat(16))).unwrap_err();
        assert_eq!(
            long.to_string(),
            "the prompt has 16 tokens, but this model's context is 16 tokens, answer included; \
             shorten the prompt to at most 15 tokens"
        );
        let empty = task.prompt(&Input::Text(String::new())).unwrap_err();
        assert_eq!(empty.reason(), "PromptEmpty");
        let unknown = task.prompt(&Input::Tokens(vec![1, 258])).unwrap_err();
        assert!(unknown.to_string().contains("from 0 to 257"));
        let chat = task.chat_prompt(&[message("x")], &[]).unwrap_err();
        assert_eq!(chat.reason(), "NoChat");
    }

    #[test]
    fn the_budget_never_passes_the_context() {
        let task = task(None, None);
        assert_eq!(task.budget(10, None), 6);
        assert_eq!(task.budget(10, Some(4)), 4);
        assert_eq!(task.budget(10, Some(40)), 6);
    }

    #[tokio::test]
    async fn warming_is_not_measured() {
        let metrics = Arc::new(Metrics::new("m").unwrap());
        let task = measured_task(None, None, Arc::clone(&metrics));
        task.warm().await.unwrap();
        assert_eq!(metrics.prompt_tokens.get(), 0);
        assert_eq!(metrics.generation_tokens.get(), 0);
    }
}

//! Chat templates: Jinja as Hugging Face's models carry it, rendered without Python.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, context};
use serde::{Deserialize, Serialize};

use super::fingerprint;

const NAME: &str = "chat";

/// Why a chat template did not compile or render.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template is not valid Jinja.
    #[error("it is not valid Jinja: {0}")]
    Syntax(String),
    /// The template itself refuses the messages, in its own words.
    #[error("the model's chat template refuses these messages: {0}")]
    Refused(String),
    /// The template fails on the messages.
    #[error("the model's chat template fails on these messages: {0}")]
    Failed(String),
}

impl TemplateError {
    /// The error as one CamelCase word, stable for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "TemplateSyntax",
            Self::Refused(_) => "TemplateRefused",
            Self::Failed(_) => "TemplateFailed",
        }
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Who speaks: `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// A compiled chat template with the model's own special tokens.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
    fingerprint: String,
}

/// What `raise_exception` was called with, carried through the template engine's own error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

impl ChatTemplate {
    /// Compiles `source`. `bos` and `eos` are the texts of the tokens that begin and end a
    /// sequence, empty where the model has none.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`].
    pub fn new(source: String, bos: String, eos: String) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(|e| TemplateError::Syntax(e.to_string()))?);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        let fingerprint = fingerprint::of_text(&source);
        environment
            .add_template_owned(NAME, source)
            .map_err(|e| TemplateError::Syntax(e.to_string()))?;
        Ok(Self {
            environment,
            bos,
            eos,
            fingerprint,
        })
    }

    /// The first digits of its source's SHA-256.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether a prompt has the token that begins a sequence, by the template's hand: it may be after spaces
    /// that the template has around its statements.
    #[must_use]
    pub fn has_begun(&self, prompt: &str) -> bool {
        !self.bos.is_empty() && prompt.trim_start().starts_with(&self.bos)
    }

    /// The prompt for `messages`; with `add_generation_prompt` it ends where the assistant is to
    /// speak. Special tokens stand in it as their texts.
    ///
    /// # Errors
    /// [`TemplateError::Refused`] when the template raises an exception of its own,
    /// [`TemplateError::Failed`] for any other error. Both are the request's fault.
    pub fn render(
        &self,
        messages: &[ChatMessage],
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|e| TemplateError::Failed(e.to_string()))?;
        let messages: Vec<Value> = messages
            .iter()
            .map(|m| context! { role => &m.role, content => &m.content })
            .collect();
        template
            .render(context! {
                messages,
                add_generation_prompt,
                bos_token => &self.bos,
                eos_token => &self.eos,
                tools => Value::from(()),
                documents => Value::from(()),
            })
            .map_err(|e| explain(&e))
    }
}

fn explain(error: &Error) -> TemplateError {
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        if let Some(Refusal(message)) = source.downcast_ref::<Refusal>() {
            return TemplateError::Refused(message.clone());
        }
        cause = source.source();
    }
    TemplateError::Failed(error.to_string())
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::from(ErrorKind::InvalidOperation).with_source(Refusal(message)))
}

fn strftime_now(format: String) -> Result<String, Error> {
    jiff::fmt::strtime::format(format, &jiff::Zoned::now())
        .map_err(|e| Error::new(ErrorKind::InvalidOperation, e.to_string()))
}

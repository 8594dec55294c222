//! Chat templates: Jinja as Hugging Face's models carry it, rendered without Python.

use std::io::{self, Write};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error, ErrorKind, context};
use serde::{Deserialize, Serialize};
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Who speaks: `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
    /// Calls of tools that an assistant made, as OpenAI's API has them, but with arguments as JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<serde_json::Value>,
    /// Which of them a tool answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// The tool that answers, where it is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A compiled chat template with the model's own special tokens.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
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
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        let fingerprint = fingerprint::of_text(&source);
        environment
            .add_template_owned(NAME, source.clone())
            .map_err(|e| TemplateError::Syntax(e.to_string()))?;
        Ok(Self {
            environment,
            source,
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

    /// What it was compiled from, if it reads tools.
    #[must_use]
    pub fn source_with_tools(&self) -> Option<&str> {
        let template = self.environment.get_template(NAME).ok()?;
        let reads_tools = template.undeclared_variables(false).contains("tools");
        reads_tools.then_some(&*self.source)
    }

    /// The prompt for `messages` without tools; see [`ChatTemplate::render_with_tools`].
    ///
    /// # Errors
    /// The same.
    pub fn render(
        &self,
        messages: &[ChatMessage],
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        self.render_with_tools(messages, &[], add_generation_prompt)
    }

    /// The prompt for `messages`, with `tools` as OpenAI's API describes them; with `add_generation_prompt` it ends where the assistant is to
    /// speak. Special tokens stand in it as their texts.
    ///
    /// # Errors
    /// [`TemplateError::Refused`] when the template raises an exception of its own,
    /// [`TemplateError::Failed`] for any other error. Both are the request's fault.
    pub fn render_with_tools(
        &self,
        messages: &[ChatMessage],
        tools: &[serde_json::Value],
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|e| TemplateError::Failed(e.to_string()))?;
        let tools = (!tools.is_empty()).then_some(tools);
        template
            .render(context! {
                messages => Value::from(Serde(messages)),
                add_generation_prompt,
                bos_token => &self.bos,
                eos_token => &self.eos,
                tools => Value::from(Serde(tools)),
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

/// JSON as Python writes it, which is what models have seen: a space after each comma and colon, and no
/// character written as an escape that needs none.
fn to_json(value: Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // What else Python can be asked for leaves the text as it is here.
    for other in ["ensure_ascii", "separators", "sort_keys"] {
        let _: Option<Value> = options.get(other)?;
    }
    options.assert_all_used()?;
    let indent = indent.map(|indent| " ".repeat(indent.min(16)));
    let written = match &indent {
        None => write_json(&value, Spaced),
        Some(indent) => write_json(&value, PrettyFormatter::with_indent(indent.as_bytes())),
    };
    written.map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))
}

fn write_json(value: &Value, formatter: impl Formatter) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One line, with spaces.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        to.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        to.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(b": ")
    }
}

fn strftime_now(format: String) -> Result<String, Error> {
    jiff::fmt::strtime::format(format, &jiff::Zoned::now())
        .map_err(|e| Error::new(ErrorKind::InvalidOperation, e.to_string()))
}

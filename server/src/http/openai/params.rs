//! The parameters that chat and completions share.

use std::sync::Arc;

use serde_json::{Value, json};

use super::form::Wanted;
use super::shape::Kind;
use super::{form, logprobs, sampling, standing};
use crate::engine::{Constraint, Sampling, Standing};
use crate::http::ApiError;
use crate::http::fields::{Fields, Unsupported, wrong};
use crate::tasks::{TextTask, Vocabulary};

/// Most stop strings of a request.
pub(in crate::http) const MAX_STOPS: usize = 4;

/// How an answer is to be written and told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Params {
    pub(super) sampling: Sampling,
    pub(super) standing: Standing,
    pub(super) max_tokens: Option<usize>,
    /// Answers to each prompt.
    pub(super) n: usize,
    pub(super) stop: Vec<String>,
    /// Whether it is told how likely each token was, and of how many in its place.
    pub(super) logprobs: Option<usize>,
    /// Whether the prompt comes before the answer.
    pub(super) echo: bool,
    /// What the answers are held to.
    pub(super) form: Option<Wanted>,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
}

/// Parameters that concern bookkeeping only.
pub(super) const IGNORED: &[&str] = &[
    "metadata",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "store",
];

const TEXT_ONLY: &str = "leave it out: answers are plain text";

const UNSUPPORTED: &[Unsupported] = &[
    unsupported(
        "best_of",
        |value| value.as_f64() == Some(1.0),
        "leave it out: `n` answers are written, and all of them given",
    ),
    unsupported("functions", is_nothing, "write them as `tools`"),
    unsupported(
        "function_call",
        |value| value == "none" || value == "auto",
        "write it as `tool_choice`",
    ),
    unsupported("modalities", |value| *value == json!(["text"]), TEXT_ONLY),
    unsupported("audio", is_nothing, TEXT_ONLY),
    unsupported(
        "suffix",
        is_nothing,
        "leave it out: answers only go on from the prompt",
    ),
];

/// What a completion alone has.
const OF_COMPLETIONS: &[Unsupported] = &[unsupported(
    "echo",
    |value| *value == false,
    "ask /v1/completions, or put the conversation before the answer yourself",
)];

const fn unsupported(
    name: &'static str,
    is_harmless: fn(&Value) -> bool,
    advice: &'static str,
) -> Unsupported {
    Unsupported {
        name,
        is_harmless,
        advice,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

impl Params {
    /// Takes the parameters out of the `fields` of an endpoint, for the caller that was named, if one was; ids of tokens go up to `vocab`, and a request has at most
    /// `most` answers.
    ///
    /// # Errors
    /// 400 for the first that cannot be taken.
    pub(super) fn take(
        fields: &mut Fields,
        kind: Kind,
        named: Option<u64>,
        vocab: usize,
        most: usize,
    ) -> Result<Self, ApiError> {
        fields.refuse(UNSUPPORTED)?;
        let echo = match kind {
            Kind::Chat => fields.refuse(OF_COMPLETIONS).map(|()| false)?,
            Kind::Completion => fields.boolean("echo")?.unwrap_or(false),
        };
        Ok(Self {
            sampling: sampling::take(fields, vocab)?,
            standing: standing::take(fields, named)?,
            max_tokens: max_tokens(fields, kind)?,
            n: answers(fields, most)?,
            stop: stop(fields)?,
            logprobs: match kind {
                Kind::Chat => logprobs::take_for_chat(fields)?,
                Kind::Completion => logprobs::take_for_completion(fields)?,
            },
            echo,
            form: form::take(fields)?,
            stream: fields.boolean("stream")?.unwrap_or(false),
            include_usage: include_usage(fields)?,
        })
    }
}

/// What answers take beside their prompt.
#[derive(Debug, Default)]
pub(super) struct Aids {
    pub(super) constraint: Option<Constraint>,
    /// Where it is told how likely tokens were.
    pub(super) vocabulary: Option<Arc<Vocabulary>>,
}

impl Aids {
    /// What answers held to a form, if any, and told with the likelihoods of tokens, if asked for, take.
    /// Blocks.
    ///
    /// # Errors
    /// 400 for a form that is none.
    pub(super) fn prepare(
        task: &TextTask,
        form: Option<&Wanted>,
        logprobs: bool,
    ) -> Result<Self, ApiError> {
        let constraint = form.map(|form| form.compile(task));
        Ok(Self {
            constraint: constraint.transpose()?,
            vocabulary: logprobs.then(|| task.vocabulary()),
        })
    }
}

/// More answers than may wait could never be taken.
fn answers(fields: &mut Fields, most: usize) -> Result<usize, ApiError> {
    let asked = fields.integer("n", 1)?.unwrap_or(1);
    match usize::try_from(asked) {
        Ok(asked) if asked <= most => Ok(asked),
        _ => Err(ApiError::invalid(
            "n",
            format!(
                "`n` must be at most {most}, as many as may wait here for each prompt, not {asked}"
            ),
        )),
    }
}

/// The newer name wins where both are given. A completion may have none, for those who ask of the prompt alone.
fn max_tokens(fields: &mut Fields, kind: Kind) -> Result<Option<usize>, ApiError> {
    let least = match kind {
        Kind::Chat => 1,
        Kind::Completion => 0,
    };
    let older = fields.integer("max_tokens", least)?;
    let newer = fields.integer("max_completion_tokens", least)?;
    let most = newer.or(older);
    Ok(most.map(|most| usize::try_from(most).unwrap_or(usize::MAX)))
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let wanted = format!("a string that is not empty, or an array of at most {MAX_STOPS} of them");
    let Some(value) = fields.take("stop") else {
        return Ok(Vec::new());
    };
    let items = match &value {
        Value::Array(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    let texts = items
        .iter()
        .map(|item| item.as_str().filter(|text| !text.is_empty()));
    let texts: Option<Vec<String>> = texts.map(|text| text.map(str::to_owned)).collect();
    match texts {
        Some(texts) if texts.len() <= MAX_STOPS => Ok(texts),
        _ => Err(ApiError::invalid(
            "stop",
            format!("`stop` must be {wanted}"),
        )),
    }
}

fn include_usage(fields: &mut Fields) -> Result<bool, ApiError> {
    let Some(value) = fields.take("stream_options") else {
        return Ok(false);
    };
    let Value::Object(options) = &value else {
        return Err(wrong("stream_options", "an object", &value));
    };
    match options.get("include_usage") {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(wrong(
            "stream_options.include_usage",
            "true or false",
            other,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(json: &Value) -> Result<Params, ApiError> {
        let mut fields = Fields::parse(json.to_string().as_bytes()).unwrap();
        let params = Params::take(&mut fields, Kind::Chat, None, 100, 8)?;
        fields.finish(IGNORED)?;
        Ok(params)
    }

    #[test]
    fn absent_parameters_have_the_defaults_of_the_api() {
        let params = take(&json!({})).unwrap();
        assert_eq!(params.sampling, Sampling::default());
        assert_eq!((params.n, params.max_tokens), (1, None));
        assert!(params.stop.is_empty() && !params.stream && !params.include_usage);
    }

    #[test]
    fn all_parameters_are_read() {
        let params = take(&json!({
            "temperature": 0, "max_tokens": 5, "n": 3,
            "max_completion_tokens": 7, "stop": ["a", "b"], "stream": true,
            "logprobs": true, "top_logprobs": 2,
            "stream_options": {"include_usage": true},
        }));
        let expected = Params {
            sampling: Sampling::greedy(),
            standing: Standing::default(),
            max_tokens: Some(7),
            n: 3,
            stop: vec!["a".to_owned(), "b".to_owned()],
            logprobs: Some(2),
            echo: false,
            form: None,
            stream: true,
            include_usage: true,
        };
        assert_eq!(params, Ok(expected));
        let single = take(&json!({"stop": "x"})).unwrap();
        assert_eq!(single.stop, ["x"]);
    }

    #[test]
    fn values_out_of_range_name_the_parameter() {
        for (name, value) in [
            ("max_tokens", json!(0)),
            ("max_completion_tokens", json!(-4)),
            ("stop", json!(["a", "b", "c", "d", "e"])),
            ("stop", json!("")),
            ("stop", json!([1])),
            ("stream", json!("yes")),
            ("stream_options", json!(true)),
            ("n", json!(0)),
            ("n", json!(9)),
            ("best_of", json!(2)),
            ("functions", json!([{"name": "f"}])),
            ("logprobs", json!(1)),
            ("top_logprobs", json!(3)),
            ("echo", json!(true)),
        ] {
            let error = take(&json!({name: value})).unwrap_err().body();
            assert_eq!(error["error"]["param"], name, "{error}");
            assert_eq!(error["error"]["type"], "invalid_request_error");
        }
    }

    #[test]
    fn parameters_that_ask_for_nothing_are_taken() {
        let harmless = json!({
            "user": "u", "metadata": {"a": "b"}, "store": false, "n": 1, "best_of": 1,
            "functions": [], "logprobs": false,
            "response_format": {"type": "text"}, "function_call": "none", "stop": null,
            "stream_options": {}, "suffix": null,
        });
        assert!(take(&harmless).is_ok());
    }
}

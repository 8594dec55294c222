//! The parameters that chat and completions share.

use serde_json::{Value, json};

use crate::engine::Sampling;
use crate::http::ApiError;
use crate::http::fields::{Fields, Unsupported, wrong};

/// Most stop strings of a request.
const MAX_STOPS: usize = 4;

/// How an answer is to be written and told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Params {
    pub(super) sampling: Sampling,
    pub(super) max_tokens: Option<usize>,
    pub(super) stop: Vec<String>,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
}

/// Parameters that concern bookkeeping only.
pub(super) const IGNORED: &[&str] = &[
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
];

const NO_TOOLS: &str = "leave it out: this server calls no tools";
const NO_LOGPROBS: &str = "leave it out: no log probabilities are given";
const ONE_ANSWER: &str = "write 1, or send the request several times";
const NO_PENALTY: &str = "write 0 or leave it out; `temperature` and `top_p` work";
const TEXT_ONLY: &str = "leave it out: answers are plain text";

const UNSUPPORTED: &[Unsupported] = &[
    unsupported("n", is_one, ONE_ANSWER),
    unsupported("best_of", is_one, ONE_ANSWER),
    unsupported("tools", is_nothing, NO_TOOLS),
    unsupported(
        "tool_choice",
        |value| value == "none" || value == "auto",
        NO_TOOLS,
    ),
    unsupported("functions", is_nothing, NO_TOOLS),
    unsupported(
        "function_call",
        |value| value == "none" || value == "auto",
        NO_TOOLS,
    ),
    unsupported("logprobs", |value| *value == false, NO_LOGPROBS),
    unsupported("top_logprobs", is_zero, NO_LOGPROBS),
    unsupported("logit_bias", is_nothing, "leave it out"),
    unsupported("presence_penalty", is_zero, NO_PENALTY),
    unsupported("frequency_penalty", is_zero, NO_PENALTY),
    unsupported(
        "response_format",
        |value| value["type"] == "text",
        TEXT_ONLY,
    ),
    unsupported("modalities", |value| *value == json!(["text"]), TEXT_ONLY),
    unsupported("audio", is_nothing, TEXT_ONLY),
    unsupported(
        "echo",
        |value| *value == false,
        "put the prompt before the answer yourself",
    ),
    unsupported(
        "suffix",
        is_nothing,
        "leave it out: answers only go on from the prompt",
    ),
];

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

fn is_one(value: &Value) -> bool {
    value.as_f64() == Some(1.0)
}

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
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
    /// Takes the parameters out of `fields`.
    ///
    /// # Errors
    /// 400 for the first that cannot be taken.
    pub(super) fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        fields.refuse(UNSUPPORTED)?;
        Ok(Self {
            sampling: Sampling {
                temperature: fields.number("temperature", 0.0..=2.0)?.unwrap_or(1.0) as f32,
                top_p: top_p(fields)?,
                seed: seed(fields)?,
            },
            max_tokens: max_tokens(fields)?,
            stop: stop(fields)?,
            stream: fields.boolean("stream")?.unwrap_or(false),
            include_usage: include_usage(fields)?,
        })
    }
}

fn top_p(fields: &mut Fields) -> Result<f32, ApiError> {
    match fields.number("top_p", 0.0..=1.0)? {
        None => Ok(1.0),
        Some(share) if share > 0.0 => Ok(share as f32),
        Some(_) => Err(ApiError::invalid(
            "top_p",
            "`top_p` must be above 0 and at most 1; for the likeliest token write `temperature` 0",
        )),
    }
}

fn seed(fields: &mut Fields) -> Result<Option<u64>, ApiError> {
    let Some(value) = fields.take("seed") else {
        return Ok(None);
    };
    let seed = value
        .as_u64()
        .or_else(|| value.as_i64().map(i64::cast_unsigned));
    seed.ok_or_else(|| wrong("seed", "a whole number of at most 64 bits", &value))
        .map(Some)
}

/// The newer name wins where both are given.
fn max_tokens(fields: &mut Fields) -> Result<Option<usize>, ApiError> {
    let older = fields.integer("max_tokens", 1)?;
    let newer = fields.integer("max_completion_tokens", 1)?;
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
        let params = Params::take(&mut fields)?;
        fields.finish(IGNORED)?;
        Ok(params)
    }

    #[test]
    fn absent_parameters_have_the_defaults_of_the_api() {
        let params = take(&json!({})).unwrap();
        assert_eq!(params.sampling.temperature, 1.0);
        assert_eq!(params.sampling.top_p, 1.0);
        assert_eq!((params.sampling.seed, params.max_tokens), (None, None));
        assert!(params.stop.is_empty() && !params.stream && !params.include_usage);
    }

    #[test]
    fn all_parameters_are_read() {
        let params = take(&json!({
            "temperature": 0, "top_p": 0.5, "seed": -1, "max_tokens": 5,
            "max_completion_tokens": 7, "stop": ["a", "b"], "stream": true,
            "stream_options": {"include_usage": true},
        }));
        let expected = Params {
            sampling: Sampling {
                temperature: 0.0,
                top_p: 0.5,
                seed: Some(u64::MAX),
            },
            max_tokens: Some(7),
            stop: vec!["a".to_owned(), "b".to_owned()],
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
            ("temperature", json!(2.1)),
            ("temperature", json!("hot")),
            ("top_p", json!(0)),
            ("top_p", json!(1.5)),
            ("seed", json!(0.5)),
            ("max_tokens", json!(0)),
            ("max_completion_tokens", json!(-4)),
            ("stop", json!(["a", "b", "c", "d", "e"])),
            ("stop", json!("")),
            ("stop", json!([1])),
            ("stream", json!("yes")),
            ("stream_options", json!(true)),
            ("n", json!(2)),
            ("tools", json!([{"type": "function"}])),
            ("logprobs", json!(true)),
            ("logprobs", json!(0)),
            ("response_format", json!({"type": "json_object"})),
            ("presence_penalty", json!(0.5)),
            ("frequency_penalty", json!(-1)),
            ("logit_bias", json!({"5": 1})),
            ("echo", json!(true)),
            ("top_k", json!(5)),
        ] {
            let error = take(&json!({name: value})).unwrap_err().body();
            assert_eq!(error["error"]["param"], name, "{error}");
            assert_eq!(error["error"]["type"], "invalid_request_error");
        }
    }

    #[test]
    fn parameters_that_ask_for_nothing_are_taken() {
        let harmless = json!({
            "user": "u", "metadata": {"a": "b"}, "store": false, "presence_penalty": 0,
            "frequency_penalty": 0.0, "n": 1, "tools": [], "logprobs": false, "logit_bias": {},
            "response_format": {"type": "text"}, "tool_choice": "none", "stop": null,
            "stream_options": {}, "parallel_tool_calls": true, "suffix": null,
        });
        assert!(take(&harmless).is_ok());
    }
}

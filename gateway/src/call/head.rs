//! What of a request's JSON the gateway itself reads. The rest is the replica's to judge.

use chandler_core::traffic::affinity::key_of;
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::from_str;
use serde_json::value::RawValue;

use super::messages::Beginning;
use super::values::{Flag, Text};
use crate::errors::GatewayError;

/// Bytes of a prompt that count as its beginning. Enough to tell one system prompt from another.
pub(super) const PREFIX: usize = 1024;

/// The fields of a request that decide where it goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// As the caller wrote it.
    pub(super) model: String,
    /// Whether the answer is wanted as server-sent events.
    pub(super) stream: bool,
    /// Equal for prompts that begin alike, `None` where there is no prompt to speak of. Replicas
    /// keep what they computed for the beginning of a prompt, and answer one that begins like an
    /// earlier one sooner.
    pub(super) prefix: Option<u64>,
}

/// The fields. A value of the wrong type is no error before it is known that the whole is JSON, and
/// a wrong prompt is the replica's to refuse.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    model: Text<'a>,
    #[serde(default)]
    stream: Flag,
    #[serde(default)]
    messages: Beginning,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
}

impl Head {
    /// Of a request that names its model elsewhere than in its body.
    pub(super) fn named(model: String) -> Self {
        Self {
            model,
            stream: false,
            prefix: None,
        }
    }

    /// # Errors
    /// It is no JSON object, or names no model.
    pub(super) fn parse(body: &[u8]) -> Result<Self, GatewayError> {
        // Checked as a whole: the parser would check each value of it by itself.
        let text =
            str::from_utf8(body).map_err(|error| GatewayError::InvalidJson(error.to_string()))?;
        let fields: Fields<'_> = match from_str(text) {
            Ok(fields) => fields,
            Err(error) if error.classify() == Category::Data && !is_object(body) => {
                return Err(GatewayError::NotAnObject);
            }
            Err(error) => return Err(GatewayError::InvalidJson(error.to_string())),
        };
        // serde takes an array for a struct too.
        if !is_object(body) {
            return Err(GatewayError::NotAnObject);
        }
        Ok(Self {
            model: model(fields.model)?,
            stream: fields.stream.0,
            prefix: fields
                .messages
                .0
                .or_else(|| fields.prompt.and_then(of_prompt)),
        })
    }
}

fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'{')
}

fn model(text: Text<'_>) -> Result<String, GatewayError> {
    match text {
        Text::Is(model) => Ok(model.into_owned()),
        Text::None => Err(GatewayError::ModelMissing),
        Text::Other(what) => Err(GatewayError::ModelNotString(what)),
    }
}

/// Of a text, or of the first of several.
fn of_prompt(prompt: &RawValue) -> Option<u64> {
    let text = prompt.get();
    let is_text = text.starts_with('"') && text.len() > r#""""#.len();
    is_text.then(|| key_of(beginning(text.as_bytes())))
}

pub(super) fn beginning(text: &[u8]) -> &[u8] {
    &text[..text.len().min(PREFIX)]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn head(body: &str) -> Head {
        Head::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn reads_the_model_and_whether_to_stream() {
        let body = r#" {"messages":[{"model":"inner"}],"model":"ch\u0061t","x":{"a":[1,2,null]}}"#;
        let got = head(body);
        assert_eq!((got.model.as_str(), got.stream), ("chat", false));
        assert!(head(r#"{"model":"m","stream":true}"#).stream);
        for other in ["false", "null", "1", "\"true\"", "[true]", "{\"a\":true}"] {
            assert!(!head(&format!(r#"{{"model":"m","stream":{other}}}"#)).stream);
        }
    }

    #[test]
    fn a_conversation_keeps_its_prefix_as_it_grows() {
        let of = |messages: &str| {
            let body = format!(r#"{{"model":"m","messages":[{messages}]}}"#);
            head(&body).prefix
        };
        let system = r#"{"role":"system","content":"Be brief."}"#;
        let hello = r#"{"role":"user","content":"Hello"}"#;
        let first = of(&format!("{system},{hello}"));
        let later = r#"{"role":"assistant","content":"Hi!"},{"role":"user","content":"Bye"}"#;
        assert!(first.is_some());
        assert_eq!(of(&format!("{system}, {hello},{later}")), first);
        let other = r#"{"role":"user","content":"Hullo"}"#;
        assert_ne!(of(&format!("{system},{other}")), first);
        assert_ne!(of(hello), first);
        for none in ["", "7", system, "[]", "{}", r#"{"role":["user"]}"#] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn a_prompt_has_a_prefix_too_and_garbage_has_none() {
        let long = "a".repeat(5000);
        let of = |prompt: &str| head(&format!(r#"{{"model":"m","prompt":{prompt}}}"#)).prefix;
        assert_eq!(of(&format!("\"{long}b\"")), of(&format!("\"{long}c\"")));
        assert_ne!(of("\"a\""), of("\"b\""));
        assert!(of("\"a\"").is_some());
        for none in ["null", "\"\"", "[]", "[1,2]", "{}", "7", "true"] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn bad_bodies_are_told_apart() {
        let json = |message: &str| GatewayError::InvalidJson(message.into());
        #[rustfmt::skip]
        let cases: &[(&str, GatewayError)] = &[
            ("", json("EOF while parsing a value at line 1 column 0")),
            ("{\"model\": \"chat\",\n \"a\": nope}", json("expected ident at line 2 column 8")),
            ("{\"model\": \"chat\"", json("EOF while parsing an object at line 1 column 16")),
            ("{\"model\": \"a\"} trailing", json("trailing characters at line 1 column 16")),
            ("{\"model\":\"a\",\"model\":\"b\"}", json("duplicate field `model` at line 1 column 20")),
            ("[\"chat\"]", GatewayError::NotAnObject),
            ("[]", GatewayError::NotAnObject),
            ("\"chat\"", GatewayError::NotAnObject),
            ("12", GatewayError::NotAnObject),
            ("null", GatewayError::NotAnObject),
            ("{}", GatewayError::ModelMissing),
            ("{\"model\": null}", GatewayError::ModelMissing),
            ("{\"model\": 7}", GatewayError::ModelNotString("a number")),
            ("{\"model\": -7}", GatewayError::ModelNotString("a number")),
            ("{\"model\": 0.7}", GatewayError::ModelNotString("a number")),
            ("{\"model\": [\"chat\"]}", GatewayError::ModelNotString("an array")),
            ("{\"model\": {\"a\": 1}}", GatewayError::ModelNotString("an object")),
            ("{\"model\": true}", GatewayError::ModelNotString("a boolean")),
        ];
        for (body, wanted) in cases {
            assert_eq!(Head::parse(body.as_bytes()).as_ref(), Err(wanted), "{body}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        for field in ["model", "x", "messages", "prompt", "stream"] {
            let deep = format!("{{\"{field}\":{}", "[".repeat(1 << 20));
            let error = Head::parse(deep.as_bytes());
            assert!(
                matches!(error, Err(GatewayError::InvalidJson(_))),
                "{field}"
            );
        }
        assert!(Head::parse(b"\xff\xfe").is_err());
    }
}

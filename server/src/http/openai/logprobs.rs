//! How likely the tokens of an answer were, in the two forms of OpenAI's API.

use serde_json::{Map, Value, json};

use crate::engine::TokenLogprobs;
use crate::http::ApiError;
use crate::http::fields::{Fields, wrong};
use crate::tasks::Vocabulary;

/// Most tokens that are told beside each one of a chat.
const MAX_CHAT: u64 = 20;
/// The same of a completion.
const MAX_COMPLETION: u64 = 5;

/// Takes a chat's `logprobs` and `top_logprobs`: how many tokens are told beside each one, if any are.
///
/// # Errors
/// 400 that names the parameter.
pub(super) fn take_for_chat(fields: &mut Fields) -> Result<Option<usize>, ApiError> {
    let asked = fields.boolean("logprobs")?.unwrap_or(false);
    let top = at_most(fields, "top_logprobs", MAX_CHAT)?;
    match (asked, top) {
        (true, top) => Ok(Some(top.unwrap_or(0))),
        (false, None | Some(0)) => Ok(None),
        (false, Some(_)) => Err(ApiError::invalid(
            "top_logprobs",
            "`top_logprobs` is told with `logprobs` alone; write `logprobs`: true too",
        )),
    }
}

/// Takes a completion's `logprobs`, which is the number itself.
///
/// # Errors
/// 400 that names the parameter.
pub(super) fn take_for_completion(fields: &mut Fields) -> Result<Option<usize>, ApiError> {
    at_most(fields, "logprobs", MAX_COMPLETION)
}

fn at_most(fields: &mut Fields, name: &'static str, most: u64) -> Result<Option<usize>, ApiError> {
    let Some(value) = fields.take(name) else {
        return Ok(None);
    };
    let number = value.as_u64().filter(|number| *number <= most);
    let number = number.and_then(|number| usize::try_from(number).ok());
    let wanted = format!("a whole number from 0 to {most}");
    number.ok_or_else(|| wrong(name, &wanted, &value)).map(Some)
}

/// The `logprobs` of a chat's choice.
pub(super) fn of_chat(vocabulary: &Vocabulary, tokens: &[TokenLogprobs]) -> Value {
    let one = |token: u32, logprob: Option<f32>| {
        json!({
            "token": vocabulary.text(token),
            "logprob": logprob,
            "bytes": vocabulary.bytes(token),
        })
    };
    let content = tokens.iter().map(|told| {
        let mut entry = one(told.token, told.logprob);
        let top = told
            .top
            .iter()
            .map(|(token, logprob)| one(*token, Some(*logprob)));
        entry["top_logprobs"] = top.collect();
        entry
    });
    json!({"content": content.collect::<Value>(), "refusal": null})
}

/// The `logprobs` of a completion's choice. The written token is among the likeliest, whether it is one of
/// them or not; of tokens with equal texts the likelier one is told. A prompt's first token has neither.
pub(super) fn of_completion(vocabulary: &Vocabulary, tokens: &[TokenLogprobs]) -> Value {
    let likeliest = tokens.iter().map(|told| {
        let Some(own) = told.logprob else {
            return Value::Null;
        };
        let mut all = Map::new();
        for (token, logprob) in told.top.iter().chain([&(told.token, own)]) {
            all.entry(vocabulary.text(*token)).or_insert(json!(logprob));
        }
        Value::Object(all)
    });
    let text = tokens.iter().map(|told| vocabulary.text(told.token));
    json!({
        "tokens": text.collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(|told| told.logprob).collect::<Vec<_>>(),
        "top_logprobs": likeliest.collect::<Value>(),
        "text_offset": tokens.iter().map(|told| told.offset).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{EOS, VOCAB, byte_tokenizer};

    fn fields(json: &Value) -> Fields {
        Fields::parse(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn both_endpoints_have_their_own_numbers() {
        let chat = |json: Value| take_for_chat(&mut fields(&json));
        assert_eq!(chat(json!({})), Ok(None));
        assert_eq!(
            chat(json!({"logprobs": false, "top_logprobs": 0})),
            Ok(None)
        );
        assert_eq!(chat(json!({"logprobs": true})), Ok(Some(0)));
        assert_eq!(
            chat(json!({"logprobs": true, "top_logprobs": 20})),
            Ok(Some(20))
        );
        for wrong in [
            json!({"top_logprobs": 2}),
            json!({"logprobs": true, "top_logprobs": 21}),
            json!({"logprobs": true, "top_logprobs": -1}),
        ] {
            let error = chat(wrong).unwrap_err().body();
            assert_eq!(error["error"]["param"], "top_logprobs");
        }
        let completion = |json: Value| take_for_completion(&mut fields(&json));
        assert_eq!(completion(json!({"logprobs": 0})), Ok(Some(0)));
        for wrong in [json!({"logprobs": 6}), json!({"logprobs": true})] {
            assert_eq!(
                completion(wrong).unwrap_err().body()["error"]["param"],
                "logprobs"
            );
        }
    }

    #[test]
    fn the_written_token_is_told_once_among_the_likeliest() {
        let vocabulary = Vocabulary::new(&byte_tokenizer(), VOCAB, &[EOS]);
        let told = |token: u8, top: &[(u8, f32)]| TokenLogprobs {
            token: u32::from(token),
            logprob: Some(-2.0),
            top: top.iter().map(|(t, l)| (u32::from(*t), *l)).collect(),
            offset: 3,
        };
        let tokens = [
            told(b'c', &[(b'a', -0.5), (b'b', -1.0)]),
            told(b'a', &[(b'a', -2.0)]),
            // Two halves of characters have one text.
            told(0xC3, &[(0xC4, -0.5)]),
        ];
        let json = of_completion(&vocabulary, &tokens);
        let top = json!([{"a": -0.5, "b": -1.0, "c": -2.0}, {"a": -2.0}, {"\u{FFFD}": -0.5}]);
        assert_eq!(json["top_logprobs"], top);
        assert_eq!(json["tokens"], json!(["c", "a", "\u{FFFD}"]));
        assert_eq!(json["text_offset"], json!([3, 3, 3]));
        let chat = of_chat(&vocabulary, &tokens[2..]);
        let half = json!({"token": "\u{FFFD}", "logprob": -2.0, "bytes": [0xC3], "top_logprobs": [
            {"token": "\u{FFFD}", "logprob": -0.5, "bytes": [0xC4]}]});
        assert_eq!(chat["content"], json!([half]));
    }
}

//! Questions of a suite as OpenAI's API takes them, and what its answers say.

use chandler_crds::names::api;
use chandler_evaluation::metrics::Likely;
use chandler_evaluation::suite::Prompt;
use serde_json::{Value, json};

/// Likeliest tokens that a chat tells at most, in OpenAI's API.
const CHAT_TOKENS: usize = 20;
/// The same of a completion.
const COMPLETION_TOKENS: usize = 5;
/// Stands in a token's text for bytes that are no whole character.
const NO_CHARACTER: char = '\u{fffd}';

/// What a question asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// An answer of so many tokens at most.
    Text { max_tokens: u32 },
    /// What the answer's first token may be.
    FirstToken,
}

/// The path and the body of a request. The likeliest token is written, so that an answer depends on
/// the question alone; servers that choose otherwise have a seed.
pub(super) fn request(
    model: &str,
    prompt: &Prompt,
    wanted: Wanted,
    seed: u64,
) -> (&'static str, Value) {
    let max_tokens = match wanted {
        Wanted::Text { max_tokens } => max_tokens,
        Wanted::FirstToken => 1,
    };
    let mut body =
        json!({"model": model, "max_tokens": max_tokens, "temperature": 0, "seed": seed});
    let tells = matches!(wanted, Wanted::FirstToken);
    match prompt {
        Prompt::Messages(messages) => {
            body["messages"] = json!(messages);
            if tells {
                body["logprobs"] = json!(true);
                body["top_logprobs"] = json!(CHAT_TOKENS);
            }
            (api::CHAT, body)
        }
        Prompt::Input(input) => {
            body["prompt"] = json!(input);
            if tells {
                body["logprobs"] = json!(COMPLETION_TOKENS);
            }
            (api::COMPLETIONS, body)
        }
    }
}

/// The text of an answer. `null` is none: an answer that a server keeps back must not count as one
/// that is empty, for two such answers are equal.
///
/// # Errors
/// There is none.
pub(super) fn text(prompt: &Prompt, answer: &Value) -> Result<String, String> {
    let (place, found) = match prompt {
        Prompt::Messages(_) => (
            "choices[0].message.content",
            &answer["choices"][0]["message"]["content"],
        ),
        Prompt::Input(_) => ("choices[0].text", &answer["choices"][0]["text"]),
    };
    let found = found.as_str().map(str::to_owned);
    found.ok_or_else(|| match answer["choices"][0]["finish_reason"].as_str() {
        Some(reason) => format!("no text in `{place}`, finish_reason is `{reason}`"),
        None => format!("no text in `{place}`"),
    })
}

/// The first token of an answer, and the likeliest ones in its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FirstToken {
    /// Its text.
    pub(super) text: String,
    /// The likeliest first.
    pub(super) likeliest: Vec<Likely>,
}

/// Reads both forms of `logprobs`, the chat's and the completion's: some servers have one for all.
///
/// # Errors
/// There is no token, or it can't be told from others.
pub(super) fn first_token(answer: &Value) -> Result<FirstToken, String> {
    let logprobs = &answer["choices"][0]["logprobs"];
    let of_chat = &logprobs["content"][0];
    let (written, told) = if of_chat.is_object() {
        (of_chat["token"].as_str(), chat_tokens(of_chat))
    } else {
        (logprobs["tokens"][0].as_str(), completion_tokens(logprobs))
    };
    let (Some(text), Some(told)) = (written, told) else {
        return Err(
            "no `logprobs` of a first token; an answer that ends at once has none, and not every \
             server tells them"
                .to_owned(),
        );
    };
    let written = nameable(text, &of_chat["bytes"]);
    Ok(FirstToken {
        text: text.to_owned(),
        likeliest: comparable(told, written.as_deref())?,
    })
}

/// One of the likeliest tokens, as it is told.
struct Told {
    /// What tells it from others, if anything does.
    name: Option<String>,
    logprob: f64,
}

fn chat_tokens(of_chat: &Value) -> Option<Vec<Told>> {
    let told = of_chat["top_logprobs"].as_array()?.iter();
    let told = told.map(|one| {
        Some(Told {
            name: nameable(one["token"].as_str()?, &one["bytes"]),
            logprob: one["logprob"].as_f64()?,
        })
    });
    told.collect()
}

fn completion_tokens(logprobs: &Value) -> Option<Vec<Told>> {
    let told = logprobs["top_logprobs"][0].as_object()?.iter();
    let told = told.map(|(token, logprob)| {
        Some(Told {
            name: nameable(token, &Value::Null),
            logprob: logprob.as_f64()?,
        })
    });
    told.collect()
}

/// A token's text; where it has parts of characters, whose texts are all alike, with its bytes.
fn nameable(text: &str, bytes: &Value) -> Option<String> {
    match (text.contains(NO_CHARACTER), bytes) {
        (false, _) => Some(text.to_owned()),
        (true, Value::Array(_)) => Some(format!("{text} {bytes}")),
        (true, _) => None,
    }
}

/// The likeliest tokens, as far as those of two revisions compare, with none left out that is likelier
/// than the last of them. What is cut off at the end only makes the divergence less.
fn comparable(mut told: Vec<Told>, written: Option<&str>) -> Result<Vec<Likely>, String> {
    told.sort_by(|one, other| other.logprob.total_cmp(&one.logprob));
    // The written token is told in any case. As the last it may not be one of the likeliest.
    let is_written = |last: &Told| last.name.as_deref() == written;
    if told.len() > 1 && told.last().is_some_and(is_written) {
        told.pop();
    }
    let named = told.into_iter().map_while(|told| {
        Some(Likely {
            token: told.name?,
            logprob: told.logprob,
        })
    });
    let named: Vec<_> = named.collect();
    if named.is_empty() {
        return Err(
            "no `logprobs` of a first token that is a whole character, or told with its bytes"
                .to_owned(),
        );
    }
    Ok(named)
}

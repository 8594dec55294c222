//! How many tokens a request will use, and has used: pure functions over its body, over a whole
//! answer, and over the events of a stream.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::call::with_part;

/// Bytes of JSON for each token of a prompt. English text has about four, and what is reserved
/// is settled in the end.
const BYTES_PER_TOKEN: usize = 4;
/// Tokens of an answer that are reserved where the request bounds it not.
const UNBOUNDED_ANSWER: u64 = 256;
/// Most answers to one request that count; more are the replica's to refuse.
const MAX_ANSWERS: u64 = 128;
const STREAM_OPTIONS: &str = "stream_options";
const INCLUDE_USAGE: &str = "include_usage";

/// What a request says of the tokens that it will use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Tokens of its prompt, about.
    pub(crate) prompt: u64,
    /// Tokens of its answer at most; where it does not say, about.
    pub(crate) answer: u64,
    /// Whether the answer comes as events without their usage, unless that is asked for.
    pub(crate) streams_without_usage: bool,
}

/// Each of any type: a wrong one is the replica's to refuse.
#[derive(Deserialize)]
struct Fields {
    max_tokens: Option<Value>,
    max_completion_tokens: Option<Value>,
    n: Option<Value>,
    stream: Option<Value>,
    stream_options: Option<Value>,
}

impl Ask {
    /// Of a body that is a JSON object. `generates`: whether there is an answer of tokens at all.
    pub(crate) fn of(body: &[u8], generates: bool) -> Self {
        let prompt = u64::try_from(body.len().div_ceil(BYTES_PER_TOKEN)).unwrap_or(u64::MAX);
        let fields = serde_json::from_slice::<Fields>(body).ok();
        let Some(fields) = fields.filter(|_| generates) else {
            return Self {
                prompt,
                answer: 0,
                streams_without_usage: false,
            };
        };
        let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_u64);
        let bound = number(&fields.max_completion_tokens).or(number(&fields.max_tokens));
        let answers = number(&fields.n).unwrap_or(1).clamp(1, MAX_ANSWERS);
        let told = fields.stream_options.as_ref();
        let told = told.and_then(|options| options.get(INCLUDE_USAGE)) == Some(&Value::Bool(true));
        Self {
            prompt,
            answer: bound.unwrap_or(UNBOUNDED_ANSWER).saturating_mul(answers),
            streams_without_usage: fields.stream == Some(Value::Bool(true)) && !told,
        }
    }

    /// Tokens to reserve.
    pub(crate) fn total(&self) -> u64 {
        self.prompt.saturating_add(self.answer)
    }
}

/// The body that asks for the usage of its stream too; `None` where `stream_options` is of a kind
/// that the replica will refuse.
pub(crate) fn with_usage(body: &[u8]) -> Option<Bytes> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
    let Some(given) = fields.get(STREAM_OPTIONS) else {
        return with_options(body);
    };
    let mut options: Map<String, Value> = match given.get() {
        "null" => Map::new(),
        object => serde_json::from_str(object).ok()?,
    };
    options.insert(INCLUDE_USAGE.to_owned(), Value::Bool(true));
    let options = serde_json::to_vec(&options).ok()?;
    Some(with_part(body, given, &options))
}

/// The caller's very bytes, with one more field before the others.
fn with_options(body: &[u8]) -> Option<Bytes> {
    let rest = body.trim_ascii_start().strip_prefix(b"{")?;
    let field = format!("{{\"{STREAM_OPTIONS}\":{{\"{INCLUDE_USAGE}\":true}},");
    let mut with = BytesMut::with_capacity(field.len() + rest.len());
    with.extend_from_slice(field.as_bytes());
    with.extend_from_slice(rest);
    Some(with.freeze())
}

/// Tokens that were used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Usage {
    #[serde(rename = "prompt_tokens", default)]
    pub(crate) prompt: u64,
    #[serde(rename = "completion_tokens", default)]
    pub(crate) answer: u64,
}

impl Usage {
    pub(crate) fn total(&self) -> u64 {
        self.prompt.saturating_add(self.answer)
    }
}

#[derive(Deserialize)]
struct Told {
    usage: Option<Usage>,
    choices: Option<Vec<IgnoredAny>>,
}

/// What a whole answer tells.
pub(crate) fn of_answer(body: &[u8]) -> Option<Usage> {
    serde_json::from_slice::<Told>(body).ok()?.usage
}

/// Reads the usage of a stream as its events pass.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Whether the event that tells nothing but the usage is taken out: the gateway asked for it,
    /// and not the caller.
    hides_usage: bool,
    told: Option<Usage>,
    events: u64,
}

impl Meter {
    pub(crate) fn new(hides_usage: bool) -> Self {
        Self {
            hides_usage,
            ..Self::default()
        }
    }

    /// Takes whole events, gives those that are the caller's; none may be left.
    pub(crate) fn pass(&mut self, events: Bytes) -> Bytes {
        let mut kept: Option<BytesMut> = None;
        let mut start = 0;
        while start < events.len() {
            let end = start + event_end(&events[start..]);
            let passes = self.see(&events[start..end]);
            match (&mut kept, passes) {
                (Some(kept), true) => kept.extend_from_slice(&events[start..end]),
                // From the first that is taken out on, the others are copied.
                (None, false) => kept = Some(BytesMut::from(&events[..start])),
                _ => {}
            }
            start = end;
        }
        kept.map_or(events, BytesMut::freeze)
    }

    /// What the stream told; else its events, of which each is about a token of the answer.
    /// `None` if it sent none.
    pub(crate) fn usage(&self, prompt: u64) -> Option<Usage> {
        let counted = (self.events > 0).then_some(Usage {
            prompt,
            answer: self.events,
        });
        self.told.or(counted)
    }

    /// Whether the event is passed on.
    fn see(&mut self, event: &[u8]) -> bool {
        let Some(data) = data_of(event) else {
            return true;
        };
        if !data.starts_with(b"{") || data.starts_with(b"{\"error\"") {
            return true;
        }
        let told = tells_usage(data).then(|| serde_json::from_slice::<Told>(data).ok());
        let Some(Told {
            usage: Some(usage),
            choices,
        }) = told.flatten()
        else {
            self.events += 1;
            return true;
        };
        self.told = Some(usage);
        let only_usage = choices.is_none_or(|choices| choices.is_empty());
        self.events += u64::from(!only_usage);
        !(only_usage && self.hides_usage)
    }
}

/// The position behind the first blank line.
fn event_end(bytes: &[u8]) -> usize {
    let blank: [&[u8]; 3] = [b"\n\n", b"\n\r\n", b"\r\r"];
    let ends = (1..=bytes.len()).filter(|end| matches!(bytes[end - 1], b'\n' | b'\r'));
    let mut ends = ends.filter(|end| blank.iter().any(|line| bytes[..*end].ends_with(line)));
    ends.next().unwrap_or(bytes.len())
}

/// The data of an event of one line of it, as those of the API are.
fn data_of(event: &[u8]) -> Option<&[u8]> {
    let mut lines = event.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines
        .find_map(|line| line.strip_prefix(b"data:"))
        .map(<[u8]>::trim_ascii)
}

/// Whether an object has a field `usage` that holds something. Inside of a text the quotation
/// marks would be escaped.
fn tells_usage(data: &[u8]) -> bool {
    const FIELD: &[u8] = b"\"usage\"";
    data.windows(FIELD.len()).enumerate().any(|(at, word)| {
        let value = || {
            data[at + FIELD.len()..]
                .trim_ascii_start()
                .strip_prefix(b":")
        };
        word == FIELD && value().is_some_and(|value| value.trim_ascii_start().starts_with(b"{"))
    })
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;

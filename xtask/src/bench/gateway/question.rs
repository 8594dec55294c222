//! What the generator asks, and how the upstream is told what to answer.

use serde::Deserialize;
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The model's name.
pub(super) const MODEL: &str = "chat";
/// Tokens of an answer that nobody asked to take its time.
pub(super) const SHORT_TOKENS: u32 = 4;
/// Tokens that the upstream tells of every prompt.
const PROMPT_TOKENS: u32 = 32;
/// Tokens that a request for a whole answer allows for.
const MOST_TOKENS: u32 = 256;
/// A stream's last event.
pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";
/// What a token's event tells its time behind.
const STAMP: &[u8] = b"\"sent_micros\":";
/// Digits of such a time.
const DIGITS: usize = 16;

/// A stream: so many tokens, so far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) tokens: u32,
    pub(super) interval: Duration,
}

/// What the upstream is asked to take its time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Its tokens one by one.
    Stream(Stream),
    /// A whole answer, when all of its tokens are made.
    Whole(Stream),
}

/// Tokens that an answer tells as used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Usage {
    #[serde(rename = "prompt_tokens")]
    pub(super) prompt: u64,
    #[serde(rename = "completion_tokens")]
    pub(super) answer: u64,
}

/// A short chat request, of a conversation of its own.
pub(super) fn short(conversation: usize) -> Vec<u8> {
    let body = json!({
        "model": MODEL,
        "messages": [
            {"role": "system", "content": format!("You are assistant {conversation:05} and answer in few words.")},
            {"role": "user", "content": "Which is the longest river that flows through the town of Ulm?"},
        ],
        "max_tokens": 16,
        "temperature": 0.2,
    });
    post(&body.to_string(), None)
}

/// A request for a stream.
pub(super) fn streamed(conversation: usize, stream: Stream) -> Vec<u8> {
    let body = json!({
        "model": MODEL,
        "messages": [{"role": "user", "content": format!("Tell story {conversation:05}.")}],
        "max_tokens": stream.tokens,
        "stream": true,
        "tokens": stream.tokens,
        "interval_millis": millis(stream.interval),
    });
    post(&body.to_string(), None)
}

/// A request of a key's holder for a whole answer that takes as long as such a stream would. As
/// most callers do, it allows for more tokens than are needed.
pub(super) fn timed(key: &str, stream: Stream) -> Vec<u8> {
    let body = json!({
        "model": MODEL,
        "messages": [{"role": "user", "content": "Which rivers flow through Ulm, and how long are they?"}],
        "max_tokens": MOST_TOKENS,
        "tokens": stream.tokens,
        "interval_millis": millis(stream.interval),
    });
    post(&body.to_string(), Some(key))
}

fn millis(interval: Duration) -> u64 {
    u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)
}

fn post(body: &str, key: Option<&str>) -> Vec<u8> {
    let key = key.map_or(String::new(), |key| {
        format!("authorization: Bearer {key}\r\n")
    });
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: models.test\r\nuser-agent: bench\r\n\
         accept: */*\r\n{key}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What a request's body asks for; `None` of a short one.
pub(super) fn asked(body: &[u8]) -> Option<Asked> {
    // Most requests are short, and parsing them would be the most of the upstream's work.
    super::message::find(body, b"\"interval_millis\":")?;
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let stream = Stream {
        tokens: u32::try_from(body["tokens"].as_u64()?).ok()?,
        interval: Duration::from_millis(body["interval_millis"].as_u64()?),
    };
    Some(match body["stream"] == true {
        true => Asked::Stream(stream),
        false => Asked::Whole(stream),
    })
}

/// The whole answer to a request, of so many tokens.
pub(super) fn answer(tokens: u32) -> Vec<u8> {
    let total = PROMPT_TOKENS + tokens;
    let body = json!({
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": "The Danube."},
            "finish_reason": "stop",
        }],
        "usage": {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": tokens,
            "total_tokens": total,
        },
    });
    let body = body.to_string();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What the body of a whole answer tells as used.
pub(super) fn usage(body: &[u8]) -> Option<Usage> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    Usage::deserialize(&body["usage"]).ok()
}

/// The head of a stream.
pub(super) const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
      transfer-encoding: chunked\r\n\r\n";

/// One token's event, which tells when it was sent.
pub(super) fn token() -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\
         \"created\":1700000000,\"model\":\"{MODEL}\",\"choices\":[{{\"index\":0,\"delta\":\
         {{\"content\":\" word\"}},\"finish_reason\":null}}],\"sent_micros\":{:016}}}\n\n",
        micros_since_epoch()
    )
}

/// One chunk of a body.
pub(super) fn chunk(data: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
    chunk.extend_from_slice(data);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// What has come of one stream. Its pieces must be whole events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    tokens: u32,
    done: bool,
}

impl Seen {
    /// Takes a piece, and tells how long ago each of its tokens was sent.
    pub(super) fn take(&mut self, events: &[u8], mut age: impl FnMut(Duration)) {
        let now = micros_since_epoch();
        let mut rest = events;
        while let Some(at) = super::message::find(rest, STAMP) {
            rest = &rest[at + STAMP.len()..];
            let digits = std::str::from_utf8(rest.get(..DIGITS).unwrap_or_default());
            let sent = digits.ok().and_then(|digits| digits.parse().ok());
            age(Duration::from_micros(now.saturating_sub(sent.unwrap_or(0))));
            self.tokens += 1;
        }
        self.done |= rest.ends_with(DONE);
    }

    /// What is wrong with a stream that has ended.
    pub(super) fn failure(self, asked: Stream) -> Option<String> {
        let whole = Self {
            tokens: asked.tokens,
            done: true,
        };
        (self != whole).then(|| format!("a stream was cut: {self:?} of {} tokens", asked.tokens))
    }
}

/// Both ends are on one machine and read one clock.
fn micros_since_epoch() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::gateway::message::{Body, head};

    #[test]
    fn the_upstream_reads_what_the_generator_asks() {
        let stream = Stream {
            tokens: 200,
            interval: Duration::from_millis(100),
        };
        let body = |request: &[u8]| {
            let head = head(request).expect("a head");
            assert_eq!(head.body, Body::Sized(request.len() - head.length));
            request[head.length..].to_vec()
        };
        assert_eq!(
            asked(&body(&streamed(1, stream))),
            Some(Asked::Stream(stream))
        );
        let timed = timed("k", stream);
        assert_eq!(asked(&body(&timed)), Some(Asked::Whole(stream)));
        let key = b"\r\nauthorization: Bearer k\r\n";
        assert!(crate::bench::gateway::message::find(&timed, key).is_some());
        assert_eq!(asked(&body(&short(1))), None);
        let length = body(&short(1)).len();
        assert!((200..400).contains(&length), "{length}");
    }

    #[test]
    fn a_whole_answer_tells_what_it_used() {
        let answer = answer(70);
        let head = head(&answer).expect("a head");
        assert_eq!(head.body, Body::Sized(answer.len() - head.length));
        let used = Usage {
            prompt: u64::from(PROMPT_TOKENS),
            answer: 70,
        };
        assert_eq!(usage(&answer[head.length..]), Some(used));
        assert_eq!(usage(b"{}"), None);
    }

    #[test]
    fn a_stream_is_whole_with_all_its_tokens_and_the_end() {
        let stream = Stream {
            tokens: 3,
            interval: Duration::ZERO,
        };
        let mut seen = Seen::default();
        let mut ages = Vec::new();
        for events in [token(), token() + &token()] {
            seen.take(events.as_bytes(), |age| ages.push(age));
            assert!(seen.failure(stream).is_some());
        }
        seen.take(DONE, |age| ages.push(age));
        assert_eq!(seen.failure(stream), None);
        assert_eq!(ages.len(), 3);
        assert!(ages.iter().all(|age| *age < Duration::from_secs(60)));
    }
}

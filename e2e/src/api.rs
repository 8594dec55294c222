//! A small blocking HTTP client for the OpenAI endpoints.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::time::Duration;
use ureq::http::Response;
use ureq::{Agent, Body, BodyReader};

/// Bounds a hang; generation on a loaded machine stays far below.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// One endpoint, such as `http://127.0.0.1:8080`.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    agent: Agent,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The revision that answered, where the gateway tells it.
    pub revision: Option<String>,
    /// The body as text.
    pub text: String,
}

impl Reply {
    /// The body as JSON; null when it isn't JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

impl Api {
    /// A client of `address`, `host:port`.
    #[must_use]
    pub fn new(address: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .proxy(None)
            // A kept connection may be closed by the other side just as the next request goes out on it.
            .max_idle_connections(0)
            .build();
        Self {
            base: format!("http://{address}"),
            agent: config.into(),
        }
    }

    /// The base address, without a slash at its end.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// GET.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub fn get(&self, path: &str) -> Result<Reply> {
        whole(self.agent.get(format!("{}{path}", self.base)).call()?)
    }

    /// POST of JSON.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        self.post_bytes(path, body.to_string().as_bytes())
    }

    /// POST of bytes that claim to be JSON.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub fn post_bytes(&self, path: &str, body: &[u8]) -> Result<Reply> {
        whole(self.send(path, body)?)
    }

    /// POST of JSON with `"stream": true`; the events as they come.
    ///
    /// # Errors
    /// When the answer is no event stream: then with its status and body.
    pub fn stream(&self, path: &str, body: &Value) -> Result<SseEvents> {
        let response = self.send(path, body.to_string().as_bytes())?;
        let kind = response
            .headers()
            .get("content-type")
            .and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            let reply = whole(response)?;
            bail!("no stream but {}: {}", reply.status, reply.text);
        }
        Ok(SseEvents {
            reader: BufReader::new(response.into_body().into_reader()),
            done: false,
        })
    }

    fn send(&self, path: &str, body: &[u8]) -> Result<Response<Body>> {
        let request = self.agent.post(format!("{}{path}", self.base));
        Ok(request
            .header("content-type", "application/json")
            .send(body)?)
    }
}

fn whole(mut response: Response<Body>) -> Result<Reply> {
    let revision = response.headers().get("x-chandler-revision");
    Ok(Reply {
        status: response.status().as_u16(),
        revision: revision
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
        text: response
            .body_mut()
            .read_to_string()
            .context("the body broke off")?,
    })
}

/// The `data:` events of a stream, as JSON, up to `[DONE]`.
pub struct SseEvents {
    reader: BufReader<BodyReader<'static>>,
    done: bool,
}

impl std::fmt::Debug for SseEvents {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SseEvents")
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl SseEvents {
    /// Whether `[DONE]` was read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    fn next_event(&mut self) -> Result<Option<Value>> {
        let mut line = String::new();
        while self
            .reader
            .read_line(&mut line)
            .context("the stream broke off")?
            > 0
        {
            if let Some(data) = line.trim_end().strip_prefix("data:") {
                let data = data.trim_start();
                if data == "[DONE]" {
                    self.done = true;
                } else {
                    return Ok(Some(
                        serde_json::from_str(data).context("an event isn't JSON")?,
                    ));
                }
            }
            line.clear();
        }
        Ok(None)
    }
}

impl Iterator for SseEvents {
    type Item = Result<Value>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_event().transpose()
    }
}

/// The text that a chat event adds; empty where it adds none.
#[must_use]
pub fn chat_delta(event: &Value) -> &str {
    event
        .pointer("/choices/0/delta/content")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

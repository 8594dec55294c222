//! Asks a server by OpenAI's API, and measures the way as a caller sees it.

use std::time::{Duration, Instant};

use chandler_crds::names::{api, paths};
use chandler_probe::{Sample, samples};
use reqwest::{Response, Url};
use serde_json::{Value, json};

use super::fault::Fault;
use super::sse::Lines;
use crate::openai::{self, ServerError};

/// Longest wait for a whole answer.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a model does with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Makes vectors of it.
    Vectors,
    /// Goes on writing.
    Text,
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) model: String,
    pub(super) task: Task,
    /// Several make one request with several answers; for vectors alone.
    pub(super) texts: Vec<String>,
    /// Most tokens of the answer.
    pub(super) generated: u32,
}

/// What a request took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Answer {
    /// From sent to the first token; of vectors, to all.
    pub(super) first: Duration,
    /// From sent to the end.
    pub(super) whole: Duration,
    /// As the server counted them.
    pub(super) prompt_tokens: u32,
    pub(super) generated_tokens: u32,
}

/// A server's callers' side.
#[derive(Clone, Debug)]
pub(super) struct Client {
    server: openai::Client,
}

impl Client {
    pub(super) fn new(url: &Url, key: Option<String>) -> Result<Self, Fault> {
        let server = openai::Client::new(url, key)?;
        Ok(Self { server })
    }

    pub(super) fn base(&self) -> &str {
        self.server.base()
    }

    /// The models that are served, as the server tells of them.
    pub(super) async fn models(&self) -> Result<Vec<Value>, Fault> {
        Ok(self.server.models(PATIENCE).await?)
    }

    /// What the server measures itself.
    pub(super) async fn metrics(&self) -> Result<Vec<Sample>, Fault> {
        let none = |problem: String| Fault::NoMetrics {
            url: self.base().to_owned(),
            problem,
        };
        let told = match self.server.get(paths::METRICS, PATIENCE).await {
            Ok(told) => told,
            Err(unreachable @ ServerError::Unreachable { .. }) => return Err(unreachable.into()),
            Err(error) => return Err(none(error.to_string())),
        };
        samples(&told).map_err(|error| none(error.to_string()))
    }

    /// Asks, and waits for the whole answer.
    pub(super) async fn ask(&self, question: &Question) -> Result<Answer, Fault> {
        let (path, body) = match question.task {
            Task::Vectors => (api::EMBEDDINGS, vectors(question)),
            Task::Text => (api::COMPLETIONS, completion(question)),
        };
        let body = body.to_string();
        let sent = Instant::now();
        let response = self.server.post(path, body, PATIENCE).await?;
        match question.task {
            Task::Vectors => self.vectors(response, sent).await,
            Task::Text => self.streamed(response, sent).await,
        }
    }

    async fn vectors(&self, response: Response, sent: Instant) -> Result<Answer, Fault> {
        let told = response.bytes().await;
        let told = told.map_err(|error| self.server.lost(&error))?;
        let whole = sent.elapsed();
        let told: Value = serde_json::from_slice(&told).unwrap_or_default();
        let prompt_tokens = count(&told["usage"]["prompt_tokens"]);
        Ok(Answer {
            first: whole,
            whole,
            prompt_tokens: prompt_tokens.ok_or_else(|| self.no_usage())?,
            generated_tokens: 0,
        })
    }

    async fn streamed(&self, mut response: Response, sent: Instant) -> Result<Answer, Fault> {
        let mut lines = Lines::default();
        let mut first = None;
        let mut usage = None;
        let lost = |error: reqwest::Error| self.server.lost(&error);
        while let Some(bytes) = response.chunk().await.map_err(lost)? {
            for event in lines.events(&bytes) {
                // Once there is text, only the event that tells of tokens is of interest.
                if first.is_some() && !event.contains("prompt_tokens") && !event.contains("error") {
                    continue;
                }
                let told: Value = serde_json::from_str(&event).unwrap_or_default();
                if !told["error"].is_null() {
                    let problem = told["error"]["message"].as_str().unwrap_or(&event);
                    return Err(self.server.broken(problem).into());
                }
                let text = told["choices"][0]["text"].as_str();
                if text.is_some_and(|text| !text.is_empty()) {
                    first.get_or_insert_with(|| sent.elapsed());
                }
                if told["usage"].is_object() {
                    usage = Some(told["usage"].clone());
                }
            }
        }
        let whole = sent.elapsed();
        let usage = usage.ok_or_else(|| self.no_usage())?;
        let tokens = |name: &str| count(&usage[name]).ok_or_else(|| self.no_usage());
        Ok(Answer {
            first: first.unwrap_or(whole),
            whole,
            prompt_tokens: tokens("prompt_tokens")?,
            generated_tokens: tokens("completion_tokens")?,
        })
    }

    fn no_usage(&self) -> Fault {
        Fault::NoUsage {
            url: self.base().to_owned(),
        }
    }
}

fn vectors(question: &Question) -> Value {
    // Base64 is a quarter of the text that numbers are, for both sides.
    json!({"model": question.model, "input": question.texts, "encoding_format": "base64"})
}

fn completion(question: &Question) -> Value {
    json!({
        "model": question.model,
        "prompt": question.texts.concat(),
        "max_tokens": question.generated,
        "temperature": 0,
        "stream": true,
        "stream_options": {"include_usage": true},
    })
}

fn count(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|count| u32::try_from(count).ok())
}

#[cfg(test)]
mod tests;

//! Asks a server by OpenAI's API, and measures the way as a caller sees it.

use std::error::Error;
use std::time::{Duration, Instant};

use chandler_crds::names::{api, paths};
use chandler_probe::{Sample, samples};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, Url};
use serde_json::{Value, json};

use super::fault::Fault;
use super::sse::Lines;

/// Longest wait for a whole answer.
const PATIENCE: Duration = Duration::from_secs(600);
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// Longest text of an error that is shown.
const SHOWN: usize = 300;

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
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

impl Client {
    pub(super) fn new(url: &Url, key: Option<String>) -> Result<Self, Fault> {
        // An error says that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A proxy would be measured as well.
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(PATIENCE)
            .build();
        // Clients of OpenAI's are given an address that ends so.
        let base = url.as_str().trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base);
        Ok(Self {
            http: http.map_err(|error| Fault::Client(causes(&error)))?,
            base: base.to_owned(),
            key,
        })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// GET; the body of a success.
    async fn get(&self, path: &str) -> Result<String, Fault> {
        let mut request = self.http.get(format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(|error| self.lost(&error))?;
        let response = self.success(response).await?;
        response.text().await.map_err(|error| self.lost(&error))
    }

    /// The models that are served, as the server tells of them.
    pub(super) async fn models(&self) -> Result<Vec<Value>, Fault> {
        let nothing = || Fault::NoModels {
            url: self.base.clone(),
        };
        let told = match self.get(api::MODELS).await {
            Ok(told) => told,
            Err(Fault::Refused { .. }) => return Err(nothing()),
            Err(fault) => return Err(fault),
        };
        let told: Value = serde_json::from_str(&told).unwrap_or_default();
        let models = told["data"].as_array().filter(|all| !all.is_empty());
        models.cloned().ok_or_else(nothing)
    }

    /// What the server measures itself.
    pub(super) async fn metrics(&self) -> Result<Vec<Sample>, Fault> {
        let none = |problem: String| Fault::NoMetrics {
            url: self.base.clone(),
            problem,
        };
        let told = match self.get(paths::METRICS).await {
            Ok(told) => told,
            Err(unreachable @ Fault::Unreachable { .. }) => return Err(unreachable),
            Err(fault) => return Err(none(fault.to_string())),
        };
        samples(&told).map_err(|error| none(error.to_string()))
    }

    /// Asks, and waits for the whole answer.
    pub(super) async fn ask(&self, question: &Question) -> Result<Answer, Fault> {
        let (path, body) = match question.task {
            Task::Vectors => (api::EMBEDDINGS, vectors(question)),
            Task::Text => (api::COMPLETIONS, completion(question)),
        };
        let mut request = self.http.post(format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let request = request.header(CONTENT_TYPE, "application/json");
        let sent = Instant::now();
        let response = request.body(body.to_string()).send().await;
        let response = response.map_err(|error| self.lost(&error))?;
        let response = self.success(response).await?;
        match question.task {
            Task::Vectors => self.vectors(response, sent).await,
            Task::Text => self.streamed(response, sent).await,
        }
    }

    async fn vectors(&self, response: Response, sent: Instant) -> Result<Answer, Fault> {
        let told = response.bytes().await.map_err(|error| self.lost(&error))?;
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
        while let Some(bytes) = response.chunk().await.map_err(|error| self.lost(&error))? {
            for event in lines.events(&bytes) {
                // Once there is text, only the event that tells of tokens is of interest.
                if first.is_some() && !event.contains("prompt_tokens") && !event.contains("error") {
                    continue;
                }
                let told: Value = serde_json::from_str(&event).unwrap_or_default();
                if !told["error"].is_null() {
                    return Err(self.broken(told["error"]["message"].as_str().unwrap_or(&event)));
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

    async fn success(&self, response: Response) -> Result<Response, Fault> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        let told = json["error"]["message"].as_str().unwrap_or(text.trim());
        let told: String = told.chars().take(SHOWN).collect();
        Err(Fault::of_status(
            &self.base,
            status.as_u16(),
            told,
            self.key.is_some(),
        ))
    }

    fn lost(&self, error: &reqwest::Error) -> Fault {
        let problem = causes(error);
        if error.is_connect() {
            let url = self.base.clone();
            return Fault::Unreachable { url, problem };
        }
        self.broken(&problem)
    }

    fn broken(&self, problem: &str) -> Fault {
        Fault::Broken {
            url: self.base.clone(),
            problem: problem.to_owned(),
        }
    }

    fn no_usage(&self) -> Fault {
        Fault::NoUsage {
            url: self.base.clone(),
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

/// An error with what it came of, without the address, which the message has anyway.
fn causes(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut last = None;
    while let Some(error) = cause {
        last = Some(error.to_string());
        cause = error.source();
    }
    last.unwrap_or_else(|| error.to_string())
}

#[cfg(test)]
mod tests;

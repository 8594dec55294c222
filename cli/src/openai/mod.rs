//! A server of OpenAI's API, as its callers see it.

mod error;
mod models;
mod retry_after;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::time::Duration;

use chandler_crds::names::api;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, Url};
use serde_json::Value;

pub(crate) use error::ServerError;
pub(crate) use models::{choose, name};

/// Longest wait for a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// Longest text of an error that is shown.
const SHOWN: usize = 300;

/// Asks one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

impl Client {
    /// # Errors
    /// This machine can't speak HTTP.
    pub(crate) fn new(url: &Url, key: Option<String>) -> Result<Self, ServerError> {
        // An error says that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A proxy would be measured as well.
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_PATIENCE)
            .build();
        // Clients of OpenAI's are given an address that ends so.
        let base = url.as_str().trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base);
        Ok(Self {
            http: http.map_err(|error| ServerError::Client(causes(&error)))?,
            base: base.to_owned(),
            key,
        })
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// GET; the body of a success, which comes within `patience`.
    pub(crate) async fn get(&self, path: &str, patience: Duration) -> Result<String, ServerError> {
        let request = self.http.get(format!("{}{path}", self.base));
        let response = self.send(request, patience).await?;
        response.text().await.map_err(|error| self.lost(&error))
    }

    /// POST of JSON; a success, whose body must have come within `patience`.
    pub(crate) async fn post(
        &self,
        path: &str,
        json: String,
        patience: Duration,
    ) -> Result<Response, ServerError> {
        let request = self.http.post(format!("{}{path}", self.base));
        let request = request.header(CONTENT_TYPE, "application/json");
        self.send(request.body(json), patience).await
    }

    async fn send(
        &self,
        request: RequestBuilder,
        patience: Duration,
    ) -> Result<Response, ServerError> {
        let request = match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let response = request.timeout(patience).send().await;
        let response = response.map_err(|error| self.lost(&error))?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.refusal(response).await)
        }
    }

    /// The models that are served, as the server tells of them.
    pub(crate) async fn models(&self, patience: Duration) -> Result<Vec<Value>, ServerError> {
        let nothing = || ServerError::NoModels {
            url: self.base.clone(),
        };
        let told = match self.get(api::MODELS, patience).await {
            Ok(told) => told,
            Err(ServerError::Refused { .. }) => return Err(nothing()),
            Err(error) => return Err(error),
        };
        let told: Value = serde_json::from_str(&told).unwrap_or_default();
        let models = told["data"].as_array().filter(|all| !all.is_empty());
        models.cloned().ok_or_else(nothing)
    }

    /// What an answer that is no success says.
    async fn refusal(&self, response: Response) -> ServerError {
        let status = response.status().as_u16();
        let wait = response.headers().get(RETRY_AFTER);
        let wait = wait.and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|text| retry_after::parse(text, jiff::Timestamp::now()));
        let text = response.text().await.unwrap_or_default();
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        let told = json["error"]["message"].as_str().unwrap_or(text.trim());
        let told: String = told.chars().take(SHOWN).collect();
        let url = self.base.clone();
        match status {
            401 if self.key.is_none() => ServerError::NoKey { url },
            401 | 403 => ServerError::KeyRefused { url, status, told },
            429 => ServerError::Busy { url, told, wait },
            500.. => ServerError::Failing {
                url,
                status,
                told,
                wait,
            },
            _ => ServerError::Refused { url, status, told },
        }
    }

    /// Why no whole answer came.
    pub(crate) fn lost(&self, error: &reqwest::Error) -> ServerError {
        let problem = causes(error);
        let url = self.base.clone();
        if error.is_connect() {
            return ServerError::Unreachable { url, problem };
        }
        if error.is_timeout() {
            return ServerError::Late { url };
        }
        self.broken(&problem)
    }

    /// An answer that is none.
    pub(crate) fn broken(&self, problem: &str) -> ServerError {
        ServerError::Broken {
            url: self.base.clone(),
            problem: problem.to_owned(),
        }
    }
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

//! One server, asked patiently.

use std::time::Duration;

use reqwest::Url;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::fault::{Fault, Role};
use crate::openai::{Client, ServerError, choose, name};

/// Most times that one request is sent.
pub(super) const TRIES: u32 = 10;

/// A server, and its model that is asked.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) role: Role,
    pub(super) model: String,
    client: Client,
    patience: Duration,
}

impl Server {
    /// With the model of this name, or else the only one that is served.
    ///
    /// # Errors
    /// A name is needed, or the server does not tell what it serves.
    pub(super) async fn find(
        role: Role,
        url: &Url,
        model: Option<&str>,
        key: Option<&String>,
        patience: Duration,
    ) -> Result<Self, Fault> {
        let found = async {
            let client = Client::new(url, key.cloned())?;
            let model = match model {
                // Not all servers list what they serve; one that hasn't it will say so.
                Some(model) => model.to_owned(),
                None => name(&choose(&client.models(patience).await?, None)?),
            };
            Ok((client, model))
        };
        let (client, model) = found.await.map_err(|error| match error {
            ServerError::SeveralModels { known } => Fault::SeveralModels { role, known },
            error => Fault::Server { role, error },
        })?;
        Ok(Self {
            role,
            model,
            client,
            patience,
        })
    }

    /// The answer to a request. While the server says when to come back, it is asked again, until the
    /// time of the request is over.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn ask(&self, path: &str, json: &Value) -> Result<Value, ServerError> {
        let json = json.to_string();
        let deadline = Instant::now() + self.patience;
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut tries = 1;
        loop {
            let error = match self.once(path, &json, left()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match error.retry_after() {
                Some(wait) if tries < TRIES && wait < left() => sleep(wait).await,
                _ => return Err(error),
            }
            tries += 1;
        }
    }

    async fn once(&self, path: &str, json: &str, patience: Duration) -> Result<Value, ServerError> {
        let response = self.client.post(path, json.to_owned(), patience).await?;
        let told = response.bytes().await;
        let told = told.map_err(|error| self.client.lost(&error))?;
        serde_json::from_slice(&told).map_err(|error| self.broken(&format!("no JSON: {error}")))
    }

    /// An answer that is none.
    pub(super) fn broken(&self, problem: &str) -> ServerError {
        self.client.broken(problem)
    }
}

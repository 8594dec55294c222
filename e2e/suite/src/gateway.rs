//! The gateway's Service, as a caller in the cluster reaches it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use chandler_crds::names::{api, headers};
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};
use serde_json::{Map, Value, json};

use crate::{RELEASE, SYSTEM};

/// Longer than any answer takes; a caller that hangs for good is a failure.
const ANSWER_TIME: Duration = Duration::from_secs(120);

/// What is asked for where any text will do.
pub(crate) const TEXT: &str = "ships are unloaded at the quay";

/// Tokens that end an answer of the tests' chat model.
const ENDS: [u32; 2] = [0, 2];

/// The one door.
#[derive(Clone, Debug)]
pub struct Gateway {
    base: String,
    client: reqwest::Client,
}

/// An embedding and who made it.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// The numbers.
    pub numbers: Vec<f64>,
    /// The revision that answered.
    pub revision: String,
}

/// What a chat model said, and which revision.
#[derive(Debug)]
pub struct Answer {
    /// Its text.
    pub text: String,
    /// The revision that said it.
    pub revision: String,
}

impl Gateway {
    pub(crate) async fn of(client: &Client) -> Result<Self> {
        let services: Api<Service> = Api::namespaced(client.clone(), SYSTEM);
        let service = services.get(&format!("{RELEASE}-gateway")).await?;
        let spec = service.spec.context("a Service has a spec")?;
        let address = spec.cluster_ip.context("the gateway has an address")?;
        let port = spec
            .ports
            .and_then(|ports| ports.first().map(|port| port.port));
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(ANSWER_TIME)
            // As many callers are: each request may go to another gateway.
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self {
            base: format!(
                "http://{address}:{}",
                port.context("the gateway has a port")?
            ),
            client,
        })
    }

    /// Where it is, without a slash at the end.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Asks for one embedding.
    ///
    /// # Errors
    /// There is no answer, or it is none.
    pub async fn embed(&self, model: &str) -> Result<Embedding> {
        self.embed_text(model, TEXT).await
    }

    /// The same of a text of one's own.
    ///
    /// # Errors
    /// There is no answer, or it is none.
    pub async fn embed_text(&self, model: &str, text: &str) -> Result<Embedding> {
        let body = json!({"model": model, "input": text});
        let (text, revision) = self.post(api::EMBEDDINGS, &body).await?;
        let told: Value = serde_json::from_str(&text)?;
        let numbers = told.pointer("/data/0/embedding").and_then(Value::as_array);
        let numbers = numbers.with_context(|| format!("no embedding in {text}"))?;
        Ok(Embedding {
            numbers: numbers.iter().filter_map(Value::as_f64).collect(),
            revision,
        })
    }

    /// Asks a chat model a question, and reads its streamed answer to the end.
    ///
    /// # Errors
    /// There is no answer, or it breaks off.
    pub async fn chat(&self, model: &str, question: &str, tokens: u32) -> Result<Answer> {
        let messages = json!([{"role": "user", "content": question}]);
        let body = json!({
            "model": model, "messages": messages, "max_tokens": tokens, "temperature": 0, "stream": true,
        });
        let (told, revision) = self.post(api::CHAT, &body).await?;
        let text = streamed(&told, "/choices/0/delta/content")?;
        Ok(Answer { text, revision })
    }

    /// Has a chat model write on, in a stream of so many tokens.
    ///
    /// # Errors
    /// There is no answer, or it breaks off.
    pub async fn write(&self, model: &str, tokens: u32) -> Result<Answer> {
        // It may not end by itself.
        let ends: Map<String, Value> = ENDS
            .map(|id| (id.to_string(), json!(-100)))
            .into_iter()
            .collect();
        let body = json!({
            "model": model, "prompt": "Once upon a time", "max_tokens": tokens, "temperature": 0,
            "stream": true, "logit_bias": ends,
        });
        let (told, revision) = self.post(api::COMPLETIONS, &body).await?;
        let text = streamed(&told, "/choices/0/text")?;
        Ok(Answer { text, revision })
    }

    async fn post(&self, path: &str, body: &Value) -> Result<(String, String)> {
        let request = self.client.post(format!("{}{path}", self.base));
        let reply = request.json(body).send().await?;
        let status = reply.status();
        let revision = reply.headers().get(headers::REVISION);
        let revision = revision.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let revision = revision.to_owned();
        let text = reply.text().await?;
        if !status.is_success() {
            bail!("{status}: {text}");
        }
        Ok((text, revision))
    }
}

/// The text of a whole stream, whose pieces are there.
fn streamed(told: &str, place: &str) -> Result<String> {
    let events = told.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut text = String::new();
    let mut is_whole = false;
    for event in events {
        is_whole = event == "[DONE]";
        if !is_whole {
            let event: Value = serde_json::from_str(event)?;
            ensure!(
                event.get("error").is_none(),
                "the answer breaks off: {event}"
            );
            let part = event.pointer(place);
            text += part.and_then(Value::as_str).unwrap_or_default();
        }
    }
    ensure!(is_whole, "the answer breaks off: {told}");
    Ok(text)
}

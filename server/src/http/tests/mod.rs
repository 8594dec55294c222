//! The router over real sockets, with models whose answers are known.

mod calls;
mod classify;
mod deadlines;
mod drain;
mod embeddings;
mod forms;
mod inference;
mod logprobs;
mod logs;
mod openapi;
mod refusals;
mod text;
mod tokens;

use std::sync::mpsc::Sender;
use std::sync::{Arc, Once};
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::engine::QueueBounds;
use crate::engine::testing::{BOS, EOS, Gate, ToyEmbedder, ToyLm, VOCAB, byte_tokenizer};
use crate::load::{
    ChatTemplate, ClassificationModel, EmbeddingModel, LoadedModel, Task, TextModel,
};
use crate::serve::{Stop, serve_http};
use crate::tasks::EngineLimits;

const TEMPLATE: &str = "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}{% endfor %}";

/// A server on an ephemeral port.
struct Server {
    base: String,
    client: Client,
    app: Arc<App>,
    stop: mpsc::Sender<Stop>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `model` as `toy`.
    async fn start(model: LoadedModel) -> Self {
        Self::start_with(model, Task::Auto, 4, Duration::from_secs(600)).await
    }

    async fn start_with(model: LoadedModel, task: Task, max_queue: usize, grace: Duration) -> Self {
        let server = Self::start_empty(grace).await;
        let limits = EngineLimits {
            // Tests tell what runs from what waits.
            max_batch: matches!(model, LoadedModel::Text(_)).then_some(1),
            queue: QueueBounds::of_requests(max_queue),
        };
        let metrics = Arc::clone(&server.app.metrics);
        let served = Served::start(model, task, limits, metrics).unwrap();
        server.app.open(served);
        server
    }

    /// A server whose model is not loaded yet.
    async fn start_empty(grace: Duration) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            rustls::crypto::ring::default_provider()
                .install_default()
                .unwrap();
        });
        let metrics = Arc::new(Metrics::new("toy").unwrap());
        let revision = HeaderValue::from_static("abc123");
        let app = Arc::new(App::new("toy".to_owned(), Some(revision), metrics));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stops) = mpsc::channel(4);
        Self {
            base,
            client: Client::builder().no_proxy().build().unwrap(),
            task: tokio::spawn(serve_http(listener, Arc::clone(&app), stops, grace)),
            app,
            stop,
        }
    }

    /// Fails unless each of `lines` stands in the metrics.
    async fn assert_measured(&self, lines: &[&str]) {
        let metrics = self.metrics().await;
        for line in lines {
            assert!(
                metrics.lines().any(|l| l == *line),
                "{line} is not in\n{metrics}"
            );
        }
    }

    fn request(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base)).json(body)
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        read(self.request(path, body).send().await.unwrap()).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        read(
            self.client
                .get(format!("{}{path}", self.base))
                .send()
                .await
                .unwrap(),
        )
        .await
    }

    async fn metrics(&self) -> String {
        let metrics = self.client.get(format!("{}/metrics", self.base));
        metrics.send().await.unwrap().text().await.unwrap()
    }

    /// Waits until a line of the metrics is as given.
    async fn until_metric(&self, line: &str) {
        while !self.metrics().await.lines().any(|l| l == line) {
            tokio::task::yield_now().await;
        }
    }
}

async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

/// The data of all events.
async fn events(response: Response) -> Vec<String> {
    assert_eq!(response.status(), 200);
    let content_type = response.headers()["content-type"].to_str().unwrap();
    assert!(content_type.starts_with("text/event-stream"));
    let text = response.text().await.unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(str::to_owned).collect()
}

/// The JSON of all events but the `[DONE]` that has to be the last.
async fn chunks(response: Response) -> Vec<Value> {
    let mut events = events(response).await;
    assert_eq!(events.pop().as_deref(), Some("[DONE]"));
    let parse = |event: &String| serde_json::from_str(event).unwrap();
    events.iter().map(parse).collect()
}

fn text_model(lm: ToyLm) -> LoadedModel {
    let template =
        ChatTemplate::new(TEMPLATE.to_owned(), "<s>".to_owned(), "</s>".to_owned()).unwrap();
    LoadedModel::Text(TextModel {
        lm: Box::new(lm),
        tokenizer: byte_tokenizer(),
        template: Some(template),
        end_tokens: vec![EOS],
        bos: Some(BOS),
        add_bos: true,
        vocab_size: VOCAB,
    })
}

/// A model that answers `answer`, one step for each message to the sender.
fn gated(answer: &str) -> (Sender<()>, LoadedModel) {
    let (steps, gate) = Gate::shut();
    let mut lm = ToyLm::new(answer);
    lm.gate = gate;
    (steps, text_model(lm))
}

fn embedding_model() -> LoadedModel {
    LoadedModel::Embedding(EmbeddingModel {
        embedder: Box::new(ToyEmbedder::new()),
        tokenizer: byte_tokenizer(),
    })
}

/// A model that tells a text's tokens, the sum of their ids, and 1 as what speaks for its labels.
fn classifier() -> LoadedModel {
    LoadedModel::Classification(ClassificationModel {
        encoder: EmbeddingModel {
            embedder: Box::new(ToyEmbedder::new()),
            tokenizer: byte_tokenizer(),
        },
        labels: ["tokens", "sum", "one"].map(str::to_owned).into(),
    })
}

fn chat(extra: &Value) -> Value {
    let mut body = json!({
        "model": "toy",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0,
    });
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";
const EMBEDDINGS: &str = "/v1/embeddings";
const CLASSIFY: &str = "/classify";
const TOKENIZE: &str = "/tokenize";
const DETOKENIZE: &str = "/detokenize";

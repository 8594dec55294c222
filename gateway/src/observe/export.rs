use std::time::Duration;

use bytes::Bytes;
use chandler_crds::names::collector;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prometheus::IntCounter;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::span::{Ended, export_request};
use crate::connector::connector;

/// Requests that may wait to be sent. Beyond it some are lost, and no caller waits.
const MOST_WAITING: usize = 4096;
/// Most requests in one message.
const BATCH: usize = 512;
/// How long a message is gathered.
const GATHER: Duration = Duration::from_secs(1);
/// How long a collector may take.
const SEND_TIME: Duration = Duration::from_secs(10);
/// How long the end waits for the last message.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A collector of traces.
#[derive(Debug, Clone, PartialEq)]
pub struct Otlp {
    endpoint: Uri,
    share: f64,
}

/// Why an address is no collector's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// No address at all.
    #[error("`{0}` is no address: write such as http://otel-collector:4318")]
    Address(String),
    /// Another protocol.
    #[error(
        "`{0}` asks for another protocol: OTLP is spoken as JSON over plain HTTP; write such as http://otel-collector:4318, \
         and let a collector in the cluster send on to one outside"
    )]
    Scheme(String),
}

impl OtlpError {
    /// A stable CamelCase word for logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Address(_) => "InvalidAddress",
            Self::Scheme(_) => "UnknownProtocol",
        }
    }
}

impl Otlp {
    /// The collector at a base address, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it. Of the traces
    /// that begin at the gateway `share`, from 0 to 1, are kept; of others their beginner decided.
    ///
    /// # Errors
    /// It is no address of HTTP.
    pub fn new(base: &str, share: f64) -> Result<Self, OtlpError> {
        let invalid = || OtlpError::Address(base.to_owned());
        let uri: Uri = base.parse().map_err(|_| invalid())?;
        match uri.scheme_str() {
            Some("http") if uri.host().is_some() => {}
            Some("http") | None => return Err(invalid()),
            Some(_) => return Err(OtlpError::Scheme(base.to_owned())),
        }
        let base = base.trim_end_matches('/');
        let endpoint = format!("{base}{}", collector::TRACES)
            .parse()
            .map_err(|_| invalid())?;
        Ok(Self { endpoint, share })
    }
}

/// Sends spans to a collector, in the background.
#[derive(Debug)]
pub(super) struct SpanExporter {
    messages: mpsc::Sender<Message>,
    lost: IntCounter,
    share: f64,
}

#[derive(Debug)]
enum Message {
    Ended(Box<Ended>),
    Flush(oneshot::Sender<()>),
}

impl SpanExporter {
    /// Must be called in a runtime; ends when it is dropped.
    pub(super) fn start(otlp: &Otlp, lost: IntCounter) -> Self {
        let (messages, received) = mpsc::channel(MOST_WAITING);
        let sender = Sender {
            client: Client::builder(TokioExecutor::new()).build(connector(Some(SEND_TIME))),
            endpoint: otlp.endpoint.clone(),
            lost: lost.clone(),
            loss_told: false,
        };
        tokio::spawn(sender.run(received));
        Self {
            messages,
            lost,
            share: otlp.share,
        }
    }

    /// By the trace's id, so that every gateway decides alike.
    pub(super) fn sampled(&self, trace: u128) -> bool {
        // The lower half is never 0, so that a share of 0 keeps none.
        (trace as u64 as f64) <= self.share * u64::MAX as f64
    }

    pub(super) fn export(&self, ended: Ended) {
        let spans = ended.count();
        if self
            .messages
            .try_send(Message::Ended(Box::new(ended)))
            .is_err()
        {
            self.lost.inc_by(spans);
        }
    }

    /// Waits until what was exported is sent, or can't be soon.
    pub(super) async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        let flushed = async {
            if self.messages.send(Message::Flush(done)).await.is_ok() {
                let _ = is_done.await;
            }
        };
        if timeout(LAST_WORDS, flushed).await.is_err() {
            tracing::warn!("the collector of traces does not take the last spans");
        }
    }
}

/// The task behind a [`SpanExporter`].
struct Sender {
    client: Client<HttpConnector, Full<Bytes>>,
    endpoint: Uri,
    lost: IntCounter,
    loss_told: bool,
}

impl Sender {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        while let Some(first) = messages.recv().await {
            let (batch, flush) = gather(first, &mut messages).await;
            if !batch.is_empty() {
                self.send(&batch).await;
            }
            if let Some(flush) = flush {
                // Who asked may have gone.
                let _ = flush.send(());
            }
        }
    }

    async fn send(&mut self, batch: &[Ended]) {
        match self.post(batch).await {
            Ok(()) if self.loss_told => {
                tracing::info!("the collector of traces is back");
                self.loss_told = false;
            }
            Ok(()) => {}
            Err(error) => {
                self.lost.inc_by(batch.iter().map(Ended::count).sum());
                if !self.loss_told {
                    let endpoint = &self.endpoint;
                    tracing::warn!(%endpoint, error, "the collector takes no spans; they are lost");
                }
                self.loss_told = true;
            }
        }
    }

    async fn post(&self, batch: &[Ended]) -> Result<(), String> {
        let body = export_request(batch).to_string();
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        let response = timeout(SEND_TIME, self.client.request(request)).await;
        let response = response
            .map_err(|_| format!("no answer in {} s", SEND_TIME.as_secs()))?
            .map_err(|error| crate::attempt::with_causes(&error))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("it answered {status}")),
        }
    }
}

/// What comes within some time, up to a whole batch, or to someone who waits for the end of it.
async fn gather(
    first: Message,
    messages: &mut mpsc::Receiver<Message>,
) -> (Vec<Ended>, Option<oneshot::Sender<()>>) {
    let deadline = Instant::now() + GATHER;
    let mut batch = Vec::new();
    let mut next = Some(first);
    loop {
        match next {
            Some(Message::Ended(ended)) => batch.push(*ended),
            Some(Message::Flush(flush)) => return (batch, Some(flush)),
            None => return (batch, None),
        }
        if batch.len() >= BATCH {
            return (batch, None);
        }
        match timeout_at(deadline, messages.recv()).await {
            Ok(message) => next = message,
            Err(_) => return (batch, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_collectors() {
        let endpoint = |base| Otlp::new(base, 1.0).map(|otlp| otlp.endpoint.to_string());
        for base in ["http://collector:4318", "http://collector:4318/"] {
            assert_eq!(
                endpoint(base).as_deref(),
                Ok("http://collector:4318/v1/traces")
            );
        }
        let below = endpoint("http://proxy/otel");
        assert_eq!(below.as_deref(), Ok("http://proxy/otel/v1/traces"));
        for (base, reason) in [
            ("", "InvalidAddress"),
            ("collector", "InvalidAddress"),
            ("/v1/traces", "InvalidAddress"),
            ("https://collector:4318", "UnknownProtocol"),
            ("grpc://collector:4317", "UnknownProtocol"),
        ] {
            let error = endpoint(base).expect_err(base);
            assert_eq!(error.reason(), reason, "{base}");
            assert!(error.to_string().contains("http://otel-collector:4318"));
        }
    }

    #[tokio::test]
    async fn a_share_of_traces_is_kept() {
        let kept = |share| {
            let otlp = Otlp::new("http://127.0.0.1:1", share).expect("an address");
            let lost = IntCounter::new("lost", "lost").expect("a counter");
            let exporter = SpanExporter::start(&otlp, lost);
            let ids = (0..1000u128).map(|_| rand::random());
            ids.filter(|id| exporter.sampled(*id)).count()
        };
        assert_eq!((kept(0.0), kept(1.0)), (0, 1000));
        let quarter = kept(0.25);
        assert!((150..350).contains(&quarter), "{quarter}");
    }
}

//! A request's spans as OTLP's JSON (<https://opentelemetry.io/docs/specs/otlp/>): ids in hex,
//! 64-bit numbers as text. Pure.

use std::time::{SystemTime, UNIX_EPOCH};

use chandler_crds::names::{api, spans};
use http::{HeaderValue, Method, Uri};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::record::{Attempted, Outcome, Record, Told};
use super::trace::Trace;
use crate::call::TensorPath;

/// OTLP's numbers for the kinds of spans.
const KIND_SERVER: u8 = 2;
const KIND_CLIENT: u8 = 3;
/// OTLP's number for a span that failed.
const STATUS_ERROR: u8 = 2;

/// A request that is over.
#[derive(Debug)]
pub(super) struct Ended {
    at: SystemTime,
    began: Instant,
    ended: Instant,
    method: Method,
    uri: Uri,
    id: HeaderValue,
    trace: Trace,
    told: Told,
}

impl Ended {
    pub(super) fn new(record: &Record, told: Told, ended: Instant) -> Self {
        Self {
            at: record.at,
            began: record.began,
            ended,
            method: record.method.clone(),
            uri: record.uri.clone(),
            id: record.id.clone(),
            trace: record.trace,
            told,
        }
    }

    /// Spans that it makes.
    pub(super) fn count(&self) -> u64 {
        1 + self.told.attempts.len() as u64
    }

    /// Its spans, each as an OTLP `Span`.
    pub(super) fn spans(&self) -> Vec<Value> {
        let attempts = self.told.attempts.iter().enumerate();
        let attempts = attempts.map(|(number, attempt)| self.attempt(number, attempt));
        std::iter::once(self.request()).chain(attempts).collect()
    }

    fn request(&self) -> Value {
        let told = &self.told;
        let last = told.attempts.last();
        let mut attributes = Attributes::default();
        attributes.text(spans::METHOD, self.method.as_str());
        attributes.text(spans::PATH, self.uri.path());
        attributes.number(spans::STATUS, told.status.into());
        attributes.number(spans::REQUEST_BYTES, told.bytes_in);
        attributes.number(spans::RESPONSE_BYTES, told.bytes_out);
        attributes.text(spans::OPERATION, operation(self.uri.path()));
        attributes.text(spans::MODEL, &told.model);
        attributes.text(spans::REVISION, last.map_or("", |last| &last.seat.revision));
        attributes.text(spans::ACCOUNT, &told.account);
        attributes.text(spans::REQUEST_ID, self.id.to_str().unwrap_or_default());
        // By the conventions a server's span failed where the server did, not its caller.
        let failed = told.status >= 500 || told.outcome == Outcome::Cut;
        if failed {
            attributes.text(spans::ERROR, &error(told.reason, Some(told.status)));
        }
        let mut span = self.span(spans::REQUEST, KIND_SERVER, self.trace.span, failed);
        if let Some(parent) = self.trace.parent {
            span["parentSpanId"] = json!(hex(parent));
        }
        span["startTimeUnixNano"] = self.time(self.began);
        span["endTimeUnixNano"] = self.time(self.ended);
        span["attributes"] = attributes.0.into();
        span
    }

    fn attempt(&self, number: usize, attempt: &Attempted) -> Value {
        let mut attributes = Attributes::default();
        attributes.text(spans::METHOD, self.method.as_str());
        attributes.text(spans::REVISION, &attempt.seat.revision);
        attributes.text(spans::ENDPOINT, &attempt.seat.endpoint.id);
        if let Some(status) = attempt.status {
            attributes.number(spans::STATUS, status.into());
        }
        if number > 0 {
            attributes.number(spans::RESEND_COUNT, number as u64);
        }
        // A client's span failed where it got no good answer.
        let refused = attempt.status.is_some_and(|status| status >= 400);
        let failed = refused || !attempt.reason.is_empty();
        if failed {
            attributes.text(spans::ERROR, &error(attempt.reason, attempt.status));
        }
        let mut span = self.span(spans::ATTEMPT, KIND_CLIENT, attempt.span, failed);
        span["parentSpanId"] = json!(hex(self.trace.span));
        span["startTimeUnixNano"] = self.time(attempt.began);
        span["endTimeUnixNano"] = self.time(attempt.ended.unwrap_or(self.ended));
        span["attributes"] = attributes.0.into();
        span
    }

    fn span(&self, name: &str, kind: u8, id: u64, failed: bool) -> Value {
        json!({
            "traceId": format!("{:032x}", self.trace.id),
            "spanId": hex(id),
            "name": name,
            "kind": kind,
            "status": if failed { json!({"code": STATUS_ERROR}) } else { json!({}) },
        })
    }

    /// A moment as nanoseconds of Unix time. One clock is read at the begin alone, so that a
    /// correction of it makes no span run backwards.
    fn time(&self, moment: Instant) -> Value {
        let time = self.at + moment.saturating_duration_since(self.began);
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        json!(since.as_nanos().to_string())
    }
}

/// What goes into OTLP's list of attributes. Those without a value are left out.
#[derive(Default)]
struct Attributes(Vec<Value>);

impl Attributes {
    fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            let value = json!({"key": key, "value": {"stringValue": value}});
            self.0.push(value);
        }
    }

    fn number(&mut self, key: &str, value: u64) {
        let value = json!({"key": key, "value": {"intValue": value.to_string()}});
        self.0.push(value);
    }
}

/// A request to a collector: the spans of these requests, of one service.
pub(super) fn export_request(requests: &[Ended]) -> Value {
    let mut resource = Attributes::default();
    resource.text(spans::SERVICE_NAME, spans::SERVICE);
    resource.text(spans::SERVICE_VERSION, env!("CARGO_PKG_VERSION"));
    let spans: Vec<Value> = requests.iter().flat_map(Ended::spans).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": resource.0},
        "scopeSpans": [{"scope": {"name": spans::SERVICE}, "spans": spans}],
    }]})
}

/// The conventions' word for what a path asks of a model.
fn operation(path: &str) -> &'static str {
    match path {
        api::CHAT => "chat",
        api::COMPLETIONS => "text_completion",
        api::EMBEDDINGS => "embeddings",
        // The conventions have no words for these, and allow others.
        api::CLASSIFY => "classify",
        api::TOKENIZE => "tokenize",
        api::DETOKENIZE => "detokenize",
        path if TensorPath::of(path).is_some() => "embeddings",
        _ => "",
    }
}

fn error(reason: &str, status: Option<u16>) -> String {
    match (reason, status) {
        ("", Some(status)) => status.to_string(),
        (reason, _) => reason.to_owned(),
    }
}

fn hex(span: u64) -> String {
    format!("{span:016x}")
}

//! Spans of requests, as a collector of traces gets them.

use axum::routing::post;
use axum::{Json, Router};
use chandler_gateway::{GatewayConfig, Otlp};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinHandle;

use crate::support::{Door, chat, config, soon};
use crate::traces::{PARENT, PATH, TRACE, ask, mirror, parts};
use crate::upstream::{Upstream, accept, nobody};

/// Takes traces; answers the first message with `first`.
struct Collector {
    base: String,
    messages: UnboundedReceiver<Value>,
    task: JoinHandle<()>,
}

impl Collector {
    async fn start() -> Self {
        let (sender, messages) = mpsc::unbounded_channel();
        let take = post(move |Json(message): Json<Value>| async move {
            let _ = sender.send(message);
            Json(json!({"partialSuccess": {}}))
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", take);
        Self {
            base,
            messages,
            task: tokio::spawn(accept(listener, router)),
        }
    }

    /// The spans of the next message.
    async fn spans(&mut self) -> Vec<Value> {
        let message = soon("spans", self.messages.recv()).await.unwrap();
        let resource = &message["resourceSpans"][0];
        let service = json!({"key": "service.name", "value": {"stringValue": "chandler-gateway"}});
        assert_eq!(resource["resource"]["attributes"][0], service);
        let text = message.to_string();
        assert!(
            !text.contains("PROMPT") && !text.contains("hidden"),
            "{text}"
        );
        resource["scopeSpans"][0]["spans"]
            .as_array()
            .unwrap()
            .clone()
    }
}

fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a Value> {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes
        .iter()
        .find(|attribute| attribute["key"] == key)?;
    found["value"].as_object().unwrap().values().next()
}

async fn collected(collector: &Collector, share: f64) -> Door {
    let otlp = Otlp::new(&collector.base, share).unwrap();
    Door::open(GatewayConfig {
        otlp: Some(otlp),
        ..config()
    })
    .await
}

#[tokio::test]
async fn a_collector_gets_a_span_of_the_request_and_one_of_each_attempt() {
    let mut collector = Collector::start().await;
    let (upstream, gone) = (mirror().await, nobody());
    let door = collected(&collector, 0.0).await;
    // The first is asked, and then the other.
    door.gateway.publish(chat(gone.alone()));
    let body = json!({"model": "chat", "prompt": "PROMPT"});
    let headers = [("traceparent", PARENT), ("x-request-id", "mine")];
    let asked = ask(&door, "/v1/completions?key=hidden", &headers, body);
    let both = [gone.endpoint.clone(), upstream.endpoint.clone()];
    let publish = async {
        door.metric(r#"chandler_gateway_requests_in_flight{model="chat"} 1"#)
            .await;
        door.gateway.publish(chat(&both));
    };
    let (answer, ()) = tokio::join!(asked, publish);
    let (_, sent, _) = parts(&answer.json()["traceparent"]);

    let spans = collector.spans().await;
    let (request, attempts) = spans.split_first().unwrap();
    assert_eq!(request["name"], "gateway.request");
    assert_eq!(
        (&request["traceId"], &request["kind"]),
        (&json!(TRACE), &json!(2))
    );
    assert_eq!(request["parentSpanId"], "00f067aa0ba902b7");
    assert_eq!(request["status"], json!({}));
    for (key, value) in [
        ("http.request.method", "POST"),
        ("url.path", "/v1/completions"),
        ("http.response.status_code", "200"),
        ("gen_ai.request.model", "chat"),
        ("gen_ai.operation.name", "text_completion"),
        ("chandler.revision", "r1"),
        ("chandler.request_id", "mine"),
    ] {
        assert_eq!(attribute(request, key), Some(&json!(value)), "{key}");
    }
    let time = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
    let (begin, end) = (
        time(request, "startTimeUnixNano"),
        time(request, "endTimeUnixNano"),
    );
    assert!(attempts.len() >= 2, "{spans:#?}");
    for (number, attempt) in attempts.iter().enumerate() {
        assert_eq!(
            (&attempt["name"], &attempt["kind"]),
            (&json!("gateway.attempt"), &json!(3))
        );
        assert_eq!(attempt["traceId"], TRACE);
        assert_eq!(attempt["parentSpanId"], request["spanId"]);
        assert!(begin <= time(attempt, "startTimeUnixNano"));
        assert!(time(attempt, "startTimeUnixNano") <= time(attempt, "endTimeUnixNano"));
        assert!(time(attempt, "endTimeUnixNano") <= end);
        let resent = (number > 0).then(|| json!(number.to_string()));
        assert_eq!(
            attribute(attempt, "http.request.resend_count"),
            resent.as_ref()
        );
    }
    let (last, before) = attempts.split_last().unwrap();
    assert_eq!(last["spanId"], sent, "what the replica was told");
    assert_eq!(
        attribute(last, "http.response.status_code"),
        Some(&json!("200"))
    );
    assert_eq!(
        attribute(last, "chandler.endpoint"),
        Some(&json!(upstream.endpoint.id))
    );
    for lost in before {
        assert_eq!(lost["status"], json!({"code": 2}));
        assert_eq!(
            attribute(lost, "error.type"),
            Some(&json!("ReplicaUnreachable"))
        );
    }
}

#[tokio::test]
async fn a_trace_that_its_caller_does_not_keep_is_not_sent_and_the_end_sends_the_rest() {
    let mut collector = Collector::start().await;
    let upstream = Upstream::named("a").await;
    let mut door = collected(&collector, 1.0).await;
    door.gateway.publish(chat(upstream.alone()));
    let unkept = PARENT.replace("-01", "-00");
    let body = json!({"model": "chat"});
    ask(
        &door,
        PATH,
        &[("traceparent", unkept.as_str())],
        body.clone(),
    )
    .await;
    ask(&door, PATH, &[], body).await;
    door.stop.cancel();
    soon("the end of serving", &mut door.served)
        .await
        .unwrap()
        .unwrap();
    let spans = collector.spans().await;
    assert_eq!(spans.len(), 2, "{spans:#?}");
    assert_ne!(spans[0]["traceId"], TRACE);
    assert_eq!(spans[0].get("parentSpanId"), None);
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_no_request() {
    let collector = Collector::start().await;
    collector.task.abort();
    let upstream = Upstream::named("a").await;
    let door = collected(&collector, 1.0).await;
    door.gateway.publish(chat(upstream.alone()));
    assert_eq!(door.chat().await.status, StatusCode::OK);
    let lost = async {
        loop {
            let metrics = door.get("/metrics").await;
            let mut lines = metrics.text().lines();
            let count =
                lines.find_map(|line| line.strip_prefix("chandler_gateway_spans_lost_total "));
            if count.unwrap().parse::<u64>().unwrap() >= 2 {
                return;
            }
        }
    };
    soon("lost spans", lost).await;
}

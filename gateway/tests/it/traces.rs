//! What is told of a request: to its replica, and in the access log.

use std::io;

use axum::Json;
use axum::extract::Request;
use chandler_gateway::{AccessLog, GatewayConfig};
use http::{Method, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::support::{Answer, Door, chat, config, piece, read, soon};
use crate::upstream::{Upstream, nobody, one_event_each};

pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub(crate) const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
pub(crate) const PATH: &str = "/v1/chat/completions";

/// A replica that answers with the headers it got.
pub(crate) async fn mirror() -> Upstream {
    Upstream::new(|request: Request| async move {
        let headers = request.headers().iter();
        let headers = headers.map(|(name, value)| {
            let value = value.to_str().unwrap().to_owned();
            (name.to_string(), Value::from(value))
        });
        Json(Value::Object(headers.collect()))
    })
    .await
}

pub(crate) async fn ask(door: &Door, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
    let mut request = http::Request::builder()
        .method(Method::POST)
        .uri(format!("http://{}{path}", door.addr));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Full::<bytes::Bytes>::from(body.to_string()))
        .unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    read(soon("an answer", client.request(request)).await.unwrap()).await
}

/// (trace, span, flags) of a `traceparent`.
pub(crate) fn parts(traceparent: &Value) -> (String, String, String) {
    let text = traceparent.as_str().unwrap();
    let parts: Vec<_> = text.split('-').map(str::to_owned).collect();
    assert_eq!((parts.len(), parts[0].as_str()), (4, "00"), "{text}");
    assert_eq!((parts[1].len(), parts[2].len()), (32, 16), "{text}");
    (parts[1].clone(), parts[2].clone(), parts[3].clone())
}

#[tokio::test]
async fn a_replica_is_told_the_trace_and_the_requests_name() {
    let upstream = mirror().await;
    let door = Door::before(upstream.alone()).await;
    let body = json!({"model": "chat"});
    let headers = [
        ("traceparent", PARENT),
        ("tracestate", "a=1,b=2"),
        ("x-request-id", "mine"),
    ];
    let answer = ask(&door, PATH, &headers, body.clone()).await;
    let told = answer.json();
    let (trace, span, flags) = parts(&told["traceparent"]);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
    assert_ne!(span, "00f067aa0ba902b7", "a span of the gateway's own");
    assert_eq!(told["tracestate"], "a=1,b=2");
    assert_eq!(told["x-request-id"], "mine");
    assert_eq!(answer.header("x-request-id"), Some("mine"));
    let again = ask(&door, PATH, &headers, body.clone()).await.json();
    assert_ne!(parts(&again["traceparent"]).1, span);

    let long = "x".repeat(129);
    for headers in [
        &[][..],
        &[("traceparent", "00-1-2-3"), ("tracestate", "a=1")],
        &[("x-request-id", ""), ("tracestate", "a=1")],
        &[("x-request-id", long.as_str())],
    ] {
        let answer = ask(&door, PATH, headers, body.clone()).await;
        let told = answer.json();
        let (trace, _, flags) = parts(&told["traceparent"]);
        assert_ne!(trace, TRACE);
        assert_eq!(flags, "00", "nobody collects what begins here");
        assert_eq!(told.get("tracestate"), None);
        let id = told["x-request-id"].as_str().unwrap();
        assert!(id.starts_with("req-") && id.len() == 36, "{id}");
        assert_eq!(answer.header("x-request-id"), Some(id));
    }
    let refused = ask(&door, PATH, &[("x-request-id", "bad")], json!({})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.header("x-request-id"), Some("bad"));
}

/// Passes on what is written.
struct Written(UnboundedSender<Vec<u8>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Lines {
    written: UnboundedReceiver<Vec<u8>>,
    text: String,
}

impl Lines {
    fn new() -> (AccessLog, Self) {
        let (sender, written) = mpsc::unbounded_channel();
        let text = String::new();
        (
            AccessLog::new(Written(sender)).unwrap(),
            Self { written, text },
        )
    }

    /// The fields of the next line.
    async fn next(&mut self) -> Value {
        while !self.text.contains('\n') {
            let more = soon("a line", self.written.recv()).await.unwrap();
            self.text.push_str(std::str::from_utf8(&more).unwrap());
        }
        let rest = self.text.split_off(self.text.find('\n').unwrap() + 1);
        let line = std::mem::replace(&mut self.text, rest);
        for secret in ["PROMPT", "sk-secret", "hidden"] {
            assert!(!line.contains(secret), "{line}");
        }
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&line["target"], &line["level"]),
            (&json!("access"), &json!("INFO"))
        );
        let timestamp = line["timestamp"].as_str().unwrap();
        assert!(
            timestamp.starts_with("20") && timestamp.ends_with('Z'),
            "{timestamp}"
        );
        line["fields"].clone()
    }
}

async fn logged() -> (Door, Lines) {
    let (log, lines) = Lines::new();
    let config = GatewayConfig {
        access_log: Some(log),
        ..config()
    };
    (Door::open(config).await, lines)
}

#[tokio::test]
async fn each_request_is_a_line_that_tells_no_secret() {
    let (upstream, gone) = (Upstream::named("a").await, nobody());
    let (door, mut lines) = logged().await;
    door.gateway.publish(chat(upstream.alone()));
    let body = json!({"model": "chat", "prompt": "PROMPT"});
    let length = body.to_string().len();
    let headers = [
        ("traceparent", PARENT),
        ("authorization", "Bearer sk-secret"),
        ("x-request-id", "mine"),
    ];
    let path = "/v1/completions?key=hidden";
    assert_eq!(
        ask(&door, path, &headers, body.clone()).await.status,
        StatusCode::OK
    );
    let mut line = lines.next().await;
    for measured in ["duration", "first_byte"] {
        let seconds = line[measured].as_f64().unwrap();
        assert!(seconds > 0.0, "{measured}");
        line.as_object_mut().unwrap().remove(measured);
    }
    let wanted = json!({
        "message": "request", "method": "POST", "path": "/v1/completions", "status": 200,
        "outcome": "complete", "model": "chat", "revision": "r1",
        "endpoint": upstream.endpoint.id, "account": "", "request_id": "mine",
        "trace_id": TRACE, "bytes_in": length, "bytes_out": 12, "attempts": 1,
    });
    assert_eq!(line, wanted);

    // Replicas that were asked in vain count as attempts.
    door.gateway
        .publish(chat(&[gone.endpoint.clone(), upstream.endpoint.clone()]));
    let mut attempts = Vec::new();
    for session in 0..32 {
        // Which replica comes first follows from the session.
        let session = session.to_string();
        let headers = [&headers[..], &[("x-session-id", session.as_str())]].concat();
        ask(&door, path, &headers, body.clone()).await;
        let line = lines.next().await;
        assert_eq!(line["endpoint"], upstream.endpoint.id);
        attempts.push(line["attempts"].as_u64().unwrap());
    }
    assert!(attempts.contains(&2), "{attempts:?}");

    // The gateway's own answers, with why.
    for (body, status, reason) in [
        (json!({"model": "a \"name\"\n\u{1}ü"}), 404, "UnknownModel"),
        (json!({}), 400, "ModelMissing"),
    ] {
        ask(&door, PATH, &[], body.clone()).await;
        let line = lines.next().await;
        // A name that the caller made up is told, since someone must find the mistake.
        assert_eq!(
            line["model"],
            body.get("model").cloned().unwrap_or(json!(""))
        );
        assert_eq!(
            (&line["status"], &line["reason"]),
            (&json!(status), &json!(reason))
        );
        assert_eq!(line["attempts"], 0);
    }
    door.get("/v1/nothing").await;
    assert_eq!(lines.next().await["reason"], "NoSuchPath");
}

#[tokio::test]
async fn a_line_tells_how_a_stream_ended() {
    let (upstream, mut opened) = one_event_each().await;
    let (door, mut lines) = logged().await;
    door.gateway.publish(chat(upstream.alone()));

    let mut response = door.begin_chat().await;
    assert!(piece(response.body_mut()).await.is_some());
    let pieces = soon("the stream", opened.recv()).await.unwrap();
    pieces.send("data: [DONE]\n\n").unwrap();
    drop(pieces);
    read(response).await;
    assert_eq!(lines.next().await["outcome"], "complete");

    let mut response = door.begin_chat().await;
    assert!(piece(response.body_mut()).await.is_some());
    drop(soon("the stream", opened.recv()).await);
    read(response).await;
    let line = lines.next().await;
    assert_eq!(
        (&line["outcome"], &line["reason"]),
        (&json!("cut"), &json!("StreamCut"))
    );

    let mut response = door.begin_chat().await;
    assert!(piece(response.body_mut()).await.is_some());
    let _pieces = soon("the stream", opened.recv()).await.unwrap();
    drop(response);
    let line = lines.next().await;
    assert_eq!(
        (&line["outcome"], &line["status"]),
        (&json!("callerGone"), &json!(200))
    );
    assert!(line["bytes_out"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_caller_that_leaves_without_an_answer_is_told_of_too() {
    let silent = Upstream::new(|_| std::future::pending::<()>()).await;
    let (door, mut lines) = logged().await;
    door.gateway.publish(chat(silent.alone()));
    {
        let asked = door.chat();
        let reached = async {
            while silent.requests() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = asked => unreachable!("nothing answers"),
            () = soon("the replica", reached) => {}
        }
    }
    drop(door);
    let line = lines.next().await;
    assert_eq!(
        (&line["outcome"], &line["status"]),
        (&json!("callerGone"), &json!(499))
    );
    assert_eq!(line["first_byte"], Value::Null);
}

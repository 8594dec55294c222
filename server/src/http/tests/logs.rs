use std::io;
use std::sync::Mutex;

use super::*;

/// What was logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_line_tells_which_request_it_speaks_of() {
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_writer(move || writer.clone())
        .finish();
    // Where there is one alone, a line is for good written or not as the thread wants it that comes to it first: that
    // may be another test's, which wants none.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    // The server of this test runs on this thread.
    let _log = tracing::subscriber::set_default(subscriber);
    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = server
        .request(CHAT, &chat(&json!({})))
        .header("x-request-id", "mine")
        .header("traceparent", parent);
    assert_eq!(request.send().await.unwrap().status(), 200);
    let long = server
        .request(CHAT, &chat(&json!({})))
        .header("x-request-id", "x".repeat(129));
    assert_eq!(long.send().await.unwrap().status(), 200);

    let text = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let answered: Vec<Value> = lines
        .filter(|line: &Value| line["fields"]["message"] == "answered")
        .collect();
    assert_eq!(answered.len(), 2, "{text}");
    assert_eq!(answered[0]["span"]["name"], "request");
    assert_eq!(answered[0]["span"]["request_id"], "mine");
    assert_eq!(answered[0]["span"]["traceparent"], parent);
    assert_eq!(answered[1]["span"].get("request_id"), None);
}

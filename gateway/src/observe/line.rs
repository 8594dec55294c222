use std::io::Write;
use std::time::Duration;

use chandler_crds::names::logs;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::record::{Record, Told};
use super::trace::write_hex;

/// One line of the access log, of a request that ended at `ended`, in the shape of the other logs'
/// lines. No text of a prompt or of an answer, no key, and no query of an address stands in it.
pub(super) fn line(record: &Record, told: &Told, ended: Instant) -> Vec<u8> {
    let last = told.attempts.last();
    let took = ended.saturating_duration_since(record.began);
    let time = Timestamp::try_from(record.at).unwrap_or_default();
    let mut trace = [0; 32];
    write_hex(record.trace.id, &mut trace);

    let mut line = Line(Vec::with_capacity(640));
    // A write into memory never fails.
    let _ = write!(
        line.0,
        r#"{{"timestamp":"{time:.6}","level":"INFO","fields":{{"#
    );
    line.0.extend_from_slice(br#""message":"request""#);
    line.text("method", record.method.as_str());
    line.text("path", record.uri.path());
    line.number("status", told.status.into());
    line.text("outcome", told.outcome.as_str());
    if !told.reason.is_empty() {
        line.text("reason", told.reason);
    }
    line.text("model", &told.model);
    line.text("revision", last.map_or("", |last| &last.seat.revision));
    line.text("endpoint", last.map_or("", |last| &last.seat.endpoint.id));
    line.text("account", &told.account);
    line.text("request_id", record.id.to_str().unwrap_or_default());
    line.text("trace_id", std::str::from_utf8(&trace).unwrap_or_default());
    line.number("bytes_in", told.bytes_in);
    line.number("bytes_out", told.bytes_out);
    line.seconds("duration", Some(took));
    line.seconds("first_byte", told.first_byte);
    line.number("attempts", told.attempts.len() as u64);
    let _ = writeln!(line.0, r#"}},"target":"{}"}}"#, logs::ACCESS);
    line.0
}

/// The fields of a JSON object, after its first. They are written by hand since each request has
/// them all: a serialiser takes three times as long.
struct Line(Vec<u8>);

impl Line {
    fn key(&mut self, key: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        if value
            .bytes()
            .any(|byte| byte < b' ' || byte == b'"' || byte == b'\\')
        {
            // Text serialises into memory.
            let _ = serde_json::to_writer(&mut self.0, value);
            return;
        }
        self.0.push(b'"');
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'"');
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        let _ = write!(self.0, "{value}");
    }

    /// To the microsecond: more digits are none that anyone reads.
    fn seconds(&mut self, key: &str, value: Option<Duration>) {
        self.key(key);
        let _ = match value {
            Some(time) => write!(self.0, "{}.{:06}", time.as_secs(), time.subsec_micros()),
            None => write!(self.0, "null"),
        };
    }
}

//! What a process has written so far, and waiting for a line that says something.

use anyhow::{Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: events.
    Stdout,
    /// Standard error: logs and messages.
    Stderr,
}

#[derive(Debug, Default)]
struct Lines {
    all: Vec<(Stream, String)>,
    events: Vec<Value>,
    open_streams: usize,
}

/// The lines of both streams, filled by one thread each.
#[derive(Clone, Debug, Default)]
pub struct Output {
    shared: Arc<(Mutex<Lines>, Condvar)>,
}

impl Output {
    /// Reads `pipe` to its end in a thread of its own.
    pub fn follow(&self, stream: Stream, pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        self.lock().open_streams += 1;
        let output = self.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut raw = Vec::new();
            while matches!(reader.read_until(b'\n', &mut raw), Ok(read) if read > 0) {
                output.push(stream, String::from_utf8_lossy(&raw).trim_end().to_owned());
                raw.clear();
            }
            output.lock().open_streams -= 1;
            output.shared.1.notify_all();
        })
    }

    fn push(&self, stream: Stream, line: String) {
        let mut lines = self.lock();
        let event = serde_json::from_str::<Value>(&line).ok();
        if let Some(event) = event.filter(|event| stream == Stream::Stdout && event.is_object()) {
            lines.events.push(event);
        }
        lines.all.push((stream, line));
        drop(lines);
        self.shared.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every event so far, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.lock().events.clone()
    }

    /// Every line so far, both streams.
    #[must_use]
    pub fn text(&self) -> String {
        render(&self.lock().all)
    }

    /// Waits until `pick` finds something in the events so far.
    ///
    /// # Errors
    /// When the process closed its output or `patience` ran out; with all that was written.
    pub fn wait_events<T>(
        &self,
        what: &str,
        patience: Duration,
        pick: impl Fn(&[Value]) -> Option<T>,
    ) -> Result<T> {
        self.wait(what, patience, |lines| pick(&lines.events))
    }

    /// Waits until some line, of either stream, holds `needle`.
    ///
    /// # Errors
    /// When the process closed its output or `patience` ran out; with all that was written.
    pub fn wait_line(&self, needle: &str, patience: Duration) -> Result<String> {
        let what = format!("a line with {needle:?}");
        self.wait(&what, patience, |lines| {
            let mut texts = lines.all.iter().map(|(_, line)| line);
            texts.find(|line| line.contains(needle)).cloned()
        })
    }

    fn wait<T>(
        &self,
        what: &str,
        patience: Duration,
        pick: impl Fn(&Lines) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + patience;
        let mut lines = self.lock();
        loop {
            if let Some(found) = pick(&lines) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.open_streams == 0 {
                bail!(
                    "the process ended before {what}; it wrote:\n{}",
                    render(&lines.all)
                );
            }
            if left.is_zero() {
                bail!(
                    "waited in vain for {what}; it wrote:\n{}",
                    render(&lines.all)
                );
            }
            let waited = self.shared.1.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn render(lines: &[(Stream, String)]) -> String {
    let render_line = |(stream, line): &(Stream, String)| match stream {
        Stream::Stdout => format!("out| {line}\n"),
        Stream::Stderr => format!("err| {line}\n"),
    };
    lines.iter().map(render_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_json_objects_of_stdout() {
        let output = Output::default();
        let bytes: &[u8] = b"{\"event\":\"a\"}\nplain\n[1]\n\xff\n";
        output.follow(Stream::Stdout, bytes).join().expect("reader");
        assert_eq!(output.events(), [serde_json::json!({"event": "a"})]);
        assert!(output.text().contains("out| plain"));
    }

    #[test]
    fn waiting_fails_once_the_streams_are_closed() {
        let output = Output::default();
        let logs: &[u8] = b"warned\n";
        output.follow(Stream::Stderr, logs).join().expect("reader");
        let line = output.wait_line("warn", Duration::from_secs(60));
        assert_eq!(line.expect("a line"), "warned");
        let missing = output.wait_line("absent", Duration::from_secs(60));
        assert!(
            missing
                .expect_err("no such line")
                .to_string()
                .contains("err| warned")
        );
    }
}

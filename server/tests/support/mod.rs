//! The real binary as a child process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Once;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Client;
use serde_json::Value;

/// A file or folder of the models that the tests use.
pub(crate) fn model(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/models");
    let path = root.join(path);
    assert!(
        path.exists(),
        "{} is missing: run `cargo xtask models` first",
        path.display()
    );
    path.canonicalize().unwrap()
}

pub(crate) const CHAT_MODEL: &str = "smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf";
pub(crate) const EMBEDDING_MODEL: &str = "all-minilm-l6-v2";

/// A running server; killed when dropped.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    pub(crate) client: Client,
    pub(crate) base: String,
}

impl Process {
    /// Starts `serve` on an ephemeral port and reads the line that tells it.
    pub(crate) fn start(source: &Path, extra: &[&str]) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            rustls::crypto::ring::default_provider()
                .install_default()
                .unwrap();
        });
        let mut child = Command::new(env!("CARGO_BIN_EXE_chandler-server"))
            .args([
                "serve",
                "--served-name",
                "m",
                "--listen",
                "127.0.0.1:0",
                "--source",
            ])
            .arg(format!("file://{}", source.display()))
            .args(extra)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut process = Self {
            stdin: child.stdin.take(),
            child,
            stdout,
            client: Client::builder().no_proxy().build().unwrap(),
            base: String::new(),
        };
        let listening = process.line();
        assert_eq!(listening["event"], "listening", "{listening}");
        process.base = format!("http://{}", listening["addr"].as_str().unwrap());
        process
    }

    /// The next event on standard output.
    pub(crate) fn line(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no event but `{line}`"))
    }

    /// Waits until `/readyz` says yes.
    pub(crate) async fn ready(&mut self) {
        while self.get("/readyz").await.0 != 200 {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended instead, {status}: {}", self.line());
            }
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = self
            .client
            .get(format!("{}{path}", self.base))
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, String) {
        let request = self.client.post(format!("{}{path}", self.base)).json(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Value {
        let (status, text) = self.post(path, body).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The value of a metric's one line that starts so.
    pub(crate) async fn metric(&self, start: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let line = text.lines().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("{start} is not in\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    pub(crate) fn end_stdin(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

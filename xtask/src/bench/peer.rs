//! A peer: a Python script in an environment of its own, asked by lines of JSON.
//!
//! It writes `{"event": "ready", "name": …}` once its model is loaded, then for each request
//! line `{"event": "result", "value": …}`, the value in units a second.

use crate::{shell, venv};
use anyhow::{Context, Result};
use chandler_e2e::PATIENCE;
use chandler_e2e::process::Process;
use serde_json::Value;
use std::path::Path;

/// What all of them need.
const REQUIREMENTS: &str = "xtask/bench/requirements-torch.txt";
const ENVIRONMENT: &str = "target/venv-bench-torch";

/// A running peer.
#[derive(Debug)]
pub(crate) struct Peer {
    process: Process,
    answers: usize,
    name: String,
}

impl Peer {
    /// Installs what the peer named `name` needs where it isn't there yet, and starts it with a model.
    ///
    /// # Errors
    /// When it can't be installed or started; with what it wrote.
    pub(crate) fn start(name: &str, model: &Path) -> Result<Self> {
        println!("installing {REQUIREMENTS} where it isn't yet; that can take many minutes");
        let python = venv::ensure(ENVIRONMENT, REQUIREMENTS)?;
        Self::run(&python, name, model, "cpu")
    }

    /// Starts it by a Python that has what it needs, on a device that PyTorch knows by this name.
    ///
    /// # Errors
    /// When it can't be started; with what it wrote.
    pub(crate) fn run(python: &Path, name: &str, model: &Path, device: &str) -> Result<Self> {
        let mut command = shell::command(python);
        command.arg(format!("xtask/bench/peer_{}.py", name.replace('-', "_")));
        command.arg(model);
        command.args([&super::THREADS.to_string(), device]);
        let process = Process::start(&mut command)?;
        let name = process
            .output()
            .wait_events("the peer to be ready", PATIENCE, |events| {
                let mut ready = events.iter().filter(|event| event["event"] == "ready");
                ready.find_map(|event| event["name"].as_str().map(str::to_owned))
            })?;
        Ok(Self {
            process,
            answers: 0,
            name,
        })
    }

    /// What it calls itself, with its version.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Asks for one measurement.
    ///
    /// # Errors
    /// When it ended; with what it wrote.
    pub(crate) fn measure(&mut self, request: &Value) -> Result<f64> {
        self.process.tell(&request.to_string())?;
        self.answers += 1;
        let result =
            self.process
                .output()
                .wait_events("the peer's result", PATIENCE, |events| {
                    let mut results = events.iter().filter(|event| event["event"] == "result");
                    results.nth(self.answers - 1).cloned()
                })?;
        result["value"]
            .as_f64()
            .with_context(|| format!("the peer told no value: {result}"))
    }
}

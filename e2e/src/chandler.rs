//! `chandler up`, started and watched through its JSON events.

use crate::api::Api;
use crate::output::Output;
use crate::process::{Process, signal_pid};
use crate::{PATIENCE, layout};
use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::process::{Command, ExitStatus};

/// A running `chandler up --json`.
#[derive(Debug)]
pub struct Chandler {
    process: Process,
}

/// The last that was told about one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// The model it serves.
    pub model: String,
    /// The revision it serves.
    pub revision: String,
    /// `starting`, `ready`, `draining`, `failed`, `stopped` or `backoff`.
    pub phase: String,
    /// The process, once it was started.
    pub pid: Option<u32>,
}

impl Replica {
    /// Whether it takes requests.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase == "ready"
    }
}

impl Chandler {
    /// Starts `chandler up --json` with `arguments`, on `listen`.
    ///
    /// # Errors
    /// When the binaries aren't built or can't be started.
    pub fn up(listen: &str, arguments: &[impl AsRef<OsStr>]) -> Result<Self> {
        Self::up_with(listen, arguments, &[])
    }

    /// The same with variables added to its environment.
    ///
    /// # Errors
    /// When the binaries aren't built or can't be started.
    pub fn up_with(
        listen: &str,
        arguments: &[impl AsRef<OsStr>],
        environment: &[(&str, String)],
    ) -> Result<Self> {
        let mut command = Command::new(layout::binary("chandler")?);
        command.current_dir(layout::root());
        command.args(["up", "--json", "--listen", listen, "--server"]);
        command
            .arg(layout::binary("chandler-server")?)
            .args(arguments)
            .envs(environment.iter().cloned());
        Ok(Self {
            process: Process::start(&mut command)?,
        })
    }

    /// What it wrote.
    #[must_use]
    pub fn output(&self) -> &Output {
        self.process.output()
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// A client of its gateway, once that listens.
    ///
    /// # Errors
    /// When it ended before.
    pub fn api(&self) -> Result<Api> {
        let address = self
            .output()
            .wait_events("the gateway's address", PATIENCE, |events| {
                let mut gateways = events.iter().filter(|event| event["event"] == "gateway");
                gateways.find_map(|event| event["listen"].as_str().map(str::to_owned))
            })?;
        Ok(Api::new(&address))
    }

    /// Every replica that was ever told of, by name.
    #[must_use]
    pub fn replicas(&self) -> BTreeMap<String, Replica> {
        replicas(&self.output().events())
    }

    /// Waits until `model` is told ready.
    ///
    /// # Errors
    /// When it ended before, or is told that it can't get ready.
    pub fn wait_ready(&self, model: &str) -> Result<()> {
        let settled = |event: &Value| event["ready"] == true || event["stalled"] == true;
        let event = self.wait_model(model, "ready or stalled", settled)?;
        if event["ready"] != true {
            bail!("{model} can't get ready: {event}");
        }
        Ok(())
    }

    /// Waits until the last told of `model` is that it is stalled; returns the event.
    ///
    /// # Errors
    /// When it ended before.
    pub fn wait_stalled(&self, model: &str) -> Result<Value> {
        self.wait_model(model, "stalled", |event| event["stalled"] == true)
    }

    /// Waits until `condition` holds for the last that was told of `model`; returns the event.
    ///
    /// # Errors
    /// When it ended before.
    pub fn wait_model(
        &self,
        model: &str,
        what: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let what = format!("model {model} to be {what}");
        let is_told = |event: &&Value| event["event"] == "model" && event["model"] == model;
        self.output().wait_events(&what, PATIENCE, |events| {
            let last = events.iter().rev().find(is_told)?;
            condition(last).then(|| last.clone())
        })
    }

    /// Waits until exactly `count` replicas of `model` are ready and no other is on its way.
    ///
    /// # Errors
    /// When it ended before.
    pub fn wait_replicas(&self, model: &str, count: usize) -> Result<Vec<(String, Replica)>> {
        let what = format!("{count} ready replicas of {model}");
        self.output().wait_events(&what, PATIENCE, |events| {
            let mut all = replicas(events);
            all.retain(|_, replica| replica.model == model && replica.phase != "stopped");
            let settled = all.len() == count && all.values().all(Replica::is_ready);
            settled.then(|| all.into_iter().collect())
        })
    }

    /// Waits until no replica of `revision` is left.
    ///
    /// # Errors
    /// When it ended before.
    pub fn wait_gone(&self, revision: &str) -> Result<()> {
        let what = format!("the end of revision {revision}");
        self.output().wait_events(&what, PATIENCE, |events| {
            let all = replicas(events);
            let mut olds = all.values().filter(|replica| replica.revision == revision);
            olds.all(|replica| replica.phase == "stopped").then_some(())
        })
    }

    /// Ends it by SIGTERM.
    ///
    /// # Errors
    /// When it doesn't end.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait(PATIENCE)
    }

    /// Ends it by SIGTERM and asks for exit status 0.
    ///
    /// # Errors
    /// When it ends otherwise; with all that it wrote.
    pub fn stop(mut self) -> Result<()> {
        let status = self.terminate()?;
        if !status.success() {
            bail!(
                "it ended with {status}; it wrote:\n{}",
                self.output().text()
            );
        }
        Ok(())
    }

    /// Kills a replica's process the hard way.
    ///
    /// # Errors
    /// When it has none.
    pub fn kill_replica(&self, name: &str) -> Result<u32> {
        let replicas = self.replicas();
        let replica = replicas
            .get(name)
            .with_context(|| format!("no replica {name}"))?;
        let pid = replica
            .pid
            .with_context(|| format!("{name} has no process"))?;
        signal_pid(pid, Signal::SIGKILL)?;
        Ok(pid)
    }

    /// The process id of every replica that was ever started.
    #[must_use]
    pub fn replica_pids(&self) -> Vec<u32> {
        let events = self.output().events();
        let mut pids: Vec<u32> = events.iter().filter_map(event_pid).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }
}

fn replicas(events: &[Value]) -> BTreeMap<String, Replica> {
    let mut all = BTreeMap::new();
    for event in events.iter().filter(|event| event["event"] == "replica") {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let replica = Replica {
            model: text("model"),
            revision: text("revision"),
            phase: text("phase"),
            pid: event_pid(event),
        };
        all.insert(text("replica"), replica);
    }
    all
}

fn event_pid(event: &Value) -> Option<u32> {
    event["pid"]
        .as_u64()
        .and_then(|pid| u32::try_from(pid).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_last_event_of_a_replica_counts() {
        let events = [
            json!({"event": "gateway", "listen": "127.0.0.1:1"}),
            json!({"event": "replica", "model": "m", "revision": "r", "replica": "m-r-0",
                   "phase": "starting", "pid": 7}),
            json!({"event": "replica", "model": "m", "revision": "r", "replica": "m-r-0",
                   "phase": "ready", "pid": 7}),
        ];
        let all = replicas(&events);
        assert!(all["m-r-0"].is_ready());
        assert_eq!(all["m-r-0"].pid, Some(7));
        assert_eq!(all.len(), 1);
    }
}

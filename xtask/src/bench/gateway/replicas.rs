//! The upstream's process, as the benchmark holds it.

use anyhow::{Context, Result};
use chandler_e2e::PATIENCE;
use chandler_e2e::process::Process;
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;

/// The command that the process is started by.
pub(super) const COMMAND: &str = "gateway-upstream";

/// Replicas that answer at once. They end with this.
#[derive(Debug)]
pub(super) struct Replicas {
    process: Process,
    started: usize,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replica {
    pub(super) number: usize,
    pub(super) addr: SocketAddr,
}

impl Replicas {
    /// Starts the process, with no replica yet.
    pub(super) fn new() -> Result<Self> {
        let own = std::env::current_exe().context("the path of this executable is unknown")?;
        let process = Process::start(Command::new(own).args(["bench", COMMAND]))?;
        Ok(Self {
            process,
            started: 0,
        })
    }

    /// Starts `count` more.
    pub(super) fn start(&mut self, count: usize) -> Result<Vec<Replica>> {
        (0..count).map(|_| self.start_one()).collect()
    }

    pub(super) fn start_one(&mut self) -> Result<Replica> {
        let number = self.started;
        self.started += 1;
        self.process.tell("start")?;
        let told = self.told("started", number)?;
        let addr = told["addr"].as_str().and_then(|addr| addr.parse().ok());
        Ok(Replica {
            number,
            addr: addr.context("a replica without an address")?,
        })
    }

    /// Ends one, and waits until what was on the way is answered.
    pub(super) fn drain(&mut self, replica: Replica) -> Result<()> {
        self.process.tell(&format!("drain {}", replica.number))?;
        self.told("drained", replica.number).map(drop)
    }

    fn told(&self, event: &str, replica: usize) -> Result<Value> {
        let output = self.process.output();
        output.wait_events(&format!("replica {replica} {event}"), PATIENCE, |events| {
            let mut events = events.iter();
            let told = events.find(|told| told["event"] == event && told["replica"] == replica);
            told.cloned()
        })
    }
}

//! One `chandler-server` without a supervisor.

use crate::api::Api;
use crate::process::{Process, wait_until};
use crate::{PATIENCE, layout};
use anyhow::{Result, bail};
use nix::sys::signal::Signal;
use std::process::Command;

/// A running `chandler-server serve`.
#[derive(Debug)]
pub struct Server {
    process: Process,
    api: Api,
}

impl Server {
    /// Serves `source` under `name` on an ephemeral port, with `threads` compute threads, and
    /// waits until it is ready.
    ///
    /// # Errors
    /// When the model can't be loaded; with what the server wrote.
    pub fn start(source: &str, name: &str, threads: usize) -> Result<Self> {
        Self::start_with(source, name, threads, &[])
    }

    /// As [`Server::start`], with more arguments.
    ///
    /// # Errors
    /// When the model can't be loaded; with what the server wrote.
    pub fn start_with(source: &str, name: &str, threads: usize, more: &[&str]) -> Result<Self> {
        let program = layout::binary("chandler-server")?;
        let mut command = Command::new(program);
        command.env("RAYON_NUM_THREADS", threads.to_string());
        Self::run(command, source, name, more)
    }

    /// As [`Server::start_with`], by a command that runs some build of the server.
    ///
    /// # Errors
    /// When the model can't be loaded; with what the server wrote.
    pub fn run(mut command: Command, source: &str, name: &str, more: &[&str]) -> Result<Self> {
        command.args(["serve", "--source", source, "--served-name", name]);
        command.args(["--listen", "127.0.0.1:0"]).args(more);
        let process = Process::start(&mut command)?;
        let address = process
            .output()
            .wait_events("its address", PATIENCE, |events| {
                let mut addresses = events.iter().filter(|event| event["event"] == "listening");
                addresses.find_map(|event| event["addr"].as_str().map(str::to_owned))
            })?;
        let server = Self {
            process,
            api: Api::new(&address),
        };
        server.wait_ready()?;
        Ok(server)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// A client of it.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Ends it by SIGTERM and asks for exit status 0.
    ///
    /// # Errors
    /// When it ends otherwise.
    pub fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        let status = self.process.wait(PATIENCE)?;
        if !status.success() {
            bail!(
                "it ended with {status}; it wrote:\n{}",
                self.process.output().text()
            );
        }
        Ok(())
    }

    fn wait_ready(&self) -> Result<()> {
        let mut gone = false;
        wait_until("the model to load", PATIENCE, || {
            match self.api.get("/readyz") {
                Ok(reply) => reply.status == 200,
                Err(_) => {
                    gone = true;
                    true
                }
            }
        })?;
        if gone {
            bail!(
                "the server ended; it wrote:\n{}",
                self.process.output().text()
            );
        }
        Ok(())
    }
}

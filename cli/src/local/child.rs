//! One server process: started, heard, asked to stop.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use chandler_core::worker::WorkerSpec;
use chandler_crds::names::env;
use chandler_crds::report::Report;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::Config;
use crate::output::{Event, Events};

/// From the second order to stop until the process is ended by force.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// A running server process. Dropping it ends it by force.
pub(super) struct Server {
    process: Child,
    stdout: Option<Lines<BufReader<ChildStdout>>>,
    /// Held open: its end tells the server that this process is gone, however it went.
    _stdin: Option<ChildStdin>,
}

impl Server {
    /// # Errors
    /// The program can't be started.
    pub(super) fn start(
        config: &Config,
        worker: &WorkerSpec,
        name: &str,
        events: &Events,
    ) -> std::io::Result<Self> {
        let mut command = Command::new(&config.server);
        command
            .args(&worker.args)
            .args(["--listen", "127.0.0.1:0", "--exit-with-parent"])
            .envs(&worker.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C reaches the terminal's whole group; replicas are drained by this process alone.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(cache) = &config.cache_dir {
            command.env(env::CACHE, cache);
        }
        let mut process = command.spawn()?;
        if let Some(stderr) = process.stderr.take() {
            tokio::spawn(forward(stderr, name.to_owned(), events.clone()));
        }
        let stdout = process
            .stdout
            .take()
            .map(|stdout| BufReader::new(stdout).lines());
        let stdin = process.stdin.take();
        Ok(Self {
            process,
            stdout,
            _stdin: stdin,
        })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// The next thing the server says, or how it ended. What it said last is heard before its
    /// end is told. Safe to be dropped half-way.
    pub(super) async fn next(&mut self) -> Heard {
        while let Some(stdout) = &mut self.stdout {
            match stdout.next_line().await {
                Ok(Some(line)) => {
                    if let Some(said) = Report::parse(&line) {
                        return Heard::Said(said);
                    }
                }
                Ok(None) | Err(_) => self.stdout = None,
            }
        }
        Heard::Ended(self.process.wait().await)
    }

    /// Asks the server to finish what it has and end.
    pub(super) fn terminate(&self) {
        let pid = self.process.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            // It may be gone by now, which is what is wanted.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// Waits for the end within `limit`; then a second order, then force.
    pub(super) async fn end(mut self, limit: impl Future<Output = ()>) {
        let ended = tokio::select! {
            _ = self.process.wait() => true,
            () = limit => false,
        };
        if ended {
            return;
        }
        self.terminate();
        if timeout(LAST_WORDS, self.process.wait()).await.is_err() {
            // It fails only for a process that is gone.
            let _ = self.process.kill().await;
        }
    }
}

/// Something heard of a server.
pub(super) enum Heard {
    Said(Report),
    Ended(std::io::Result<ExitStatus>),
}

async fn forward(stderr: ChildStderr, replica: String, events: Events) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if events
            .send(Event::Log {
                replica: replica.clone(),
                line,
            })
            .is_err()
        {
            return;
        }
    }
}

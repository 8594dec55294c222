//! A child process that can't outlive its owner unnoticed.

use crate::output::{Output, Stream};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often a condition that nothing announces is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A running child with its output followed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Held open: a child that watches its standard input ends when this closes.
    stdin: Option<ChildStdin>,
    output: Output,
}

impl Process {
    /// Starts `command` with both output streams followed.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("can't start {command:?}"))?;
        let output = Output::default();
        if let Some(pipe) = child.stdout.take() {
            output.follow(Stream::Stdout, pipe);
        }
        if let Some(pipe) = child.stderr.take() {
            output.follow(Stream::Stderr, pipe);
        }
        let stdin = child.stdin.take();
        Ok(Self {
            child,
            stdin,
            output,
        })
    }

    /// What it wrote.
    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes one line to its standard input.
    ///
    /// # Errors
    /// When it has closed that.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("its input is closed")?;
        writeln!(stdin, "{line}").context("can't write to its input")?;
        stdin.flush().context("can't write to its input")
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        signal_pid(self.pid(), signal)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it hasn't ended within `patience`.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let mut status = None;
        wait_until("the process to end", patience, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        })
        .with_context(|| format!("it wrote:\n{}", self.output.text()))?;
        status.context("ended without a status")
    }

    /// Waits for its end, however long that takes.
    ///
    /// # Errors
    /// When its status can't be had.
    pub fn join(&mut self) -> Result<ExitStatus> {
        // A plain wait would close the standard input first, which some children take for an order.
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process by id.
///
/// # Errors
/// When there is no such process.
pub fn signal_pid(pid: u32, signal: Signal) -> Result<()> {
    kill(to_pid(pid)?, signal).with_context(|| format!("can't send {signal} to {pid}"))
}

/// Whether a process runs. A zombie that waits to be reaped doesn't.
#[must_use]
pub fn runs(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => {
            let state = stat
                .rsplit(')')
                .next()
                .and_then(|rest| rest.split_whitespace().next());
            state.is_some_and(|state| state != "Z" && state != "X")
        }
        // Without a /proc the signal 0 tells the same, zombies aside.
        Err(_) => to_pid(pid).is_ok_and(|pid| !matches!(kill(pid, None), Err(Errno::ESRCH))),
    }
}

/// Looks at `condition` until it holds.
///
/// # Errors
/// When it doesn't hold within `patience`.
pub fn wait_until(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> bool,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    while !condition() {
        if Instant::now() >= deadline {
            bail!("waited in vain for {what}");
        }
        thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

fn to_pid(pid: u32) -> Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(pid).context("no process id")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_process_no_longer_runs_even_before_it_is_reaped() {
        let mut process = Process::start(Command::new("sleep").arg("600")).expect("started");
        assert!(runs(process.pid()));
        process.signal(Signal::SIGKILL).expect("signalled");
        let pid = process.pid();
        wait_until("its end", Duration::from_secs(60), || !runs(pid)).expect("ended");
        let status = process.wait(Duration::from_secs(60)).expect("reaped");
        assert!(!status.success());
    }

    #[test]
    fn a_dropped_process_is_killed() {
        let process = Process::start(Command::new("sleep").arg("600")).expect("started");
        let pid = process.pid();
        drop(process);
        assert!(!runs(pid));
    }
}

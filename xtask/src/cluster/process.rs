//! Processes that outlive the command that starts them. Each is remembered by its id and the time
//! it started at, so that a later command ends that process and never one that got its id since.

use super::place;
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often a condition that nothing announces is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long a process that was killed may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(20);

/// One process, told from all others that ever had its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Ticks since the machine started.
    started: u64,
}

impl Process {
    fn find(pid: i32) -> Option<Self> {
        let stat = read_stat(pid)?;
        stat.is_running().then_some(Self {
            pid,
            started: stat.started,
        })
    }

    pub(crate) fn is_alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// Whether it runs exactly this command.
    pub(crate) fn runs(self, command: &[String]) -> bool {
        let Ok(bytes) = fs::read(format!("/proc/{}/cmdline", self.pid)) else {
            return false;
        };
        let expected: Vec<u8> = command
            .iter()
            .flat_map(|word| word.bytes().chain([0]))
            .collect();
        bytes == expected
    }

    fn signal(self, signal: Signal) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("can't signal {}", self.pid)),
        }
    }

    fn ends_within(self, limit: Duration) -> bool {
        let start = Instant::now();
        while self.is_alive() {
            if start.elapsed() > limit {
                return false;
            }
            thread::sleep(LOOK_AGAIN);
        }
        true
    }

    /// Ends it: politely first if `grace` isn't zero.
    ///
    /// # Errors
    /// When it doesn't end.
    pub(crate) fn end(self, grace: Duration) -> Result<()> {
        if !grace.is_zero() {
            self.signal(Signal::SIGTERM)?;
            if self.ends_within(grace) {
                return Ok(());
            }
        }
        self.signal(Signal::SIGKILL)?;
        if !self.ends_within(KILL_LIMIT) {
            bail!("process {} doesn't end", self.pid);
        }
        Ok(())
    }
}

/// What `/proc` tells of a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    parent: i32,
    started: u64,
}

impl Stat {
    /// A dead process that nobody has buried is no process.
    fn is_running(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

fn read_stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The second field is a name in parentheses, which may hold spaces and parentheses.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<_> = rest.split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

fn every_pid() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Every process that is in one of these network namespaces.
pub(crate) fn inside(networks: &[PathBuf]) -> Vec<Process> {
    let inodes: Vec<_> = networks
        .iter()
        .filter_map(|path| Some(format!("net:[{}]", fs::metadata(path).ok()?.ino())))
        .collect();
    let is_inside = |pid: &i32| {
        fs::read_link(format!("/proc/{pid}/ns/net"))
            .is_ok_and(|link| inodes.iter().any(|inode| Path::new(inode) == link))
    };
    let pids = every_pid().into_iter().filter(is_inside);
    pids.filter_map(Process::find).collect()
}

/// The processes with these ids.
pub(crate) fn with_ids(pids: impl IntoIterator<Item = i32>) -> Vec<Process> {
    pids.into_iter().filter_map(Process::find).collect()
}

fn memory(name: &str) -> PathBuf {
    Path::new(place::MACHINE)
        .join("processes")
        .join(format!("{name}.json"))
}

/// Notes which process bears a name. Written whole or not at all.
fn remember(name: &str, process: Process) -> Result<()> {
    let path = memory(name);
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    let draft = path.with_extension("draft");
    fs::write(&draft, serde_json::to_vec(&process)?)?;
    fs::rename(&draft, &path).with_context(|| format!("can't write {}", path.display()))
}

/// The process of this name, if it is still running.
pub(crate) fn find(name: &str) -> Option<Process> {
    let bytes = fs::read(memory(name)).ok()?;
    let process: Process = serde_json::from_slice(&bytes).ok()?;
    process.is_alive().then_some(process)
}

/// Every name that was given to a process, sorted.
pub(crate) fn names() -> Vec<String> {
    let folder = Path::new(place::MACHINE).join("processes");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter_map(|entry| {
            Some(
                entry
                    .file_name()
                    .to_str()?
                    .strip_suffix(".json")?
                    .to_owned(),
            )
        })
        .collect();
    names.sort();
    names
}

/// Ends the process of this name, if there is one, and forgets it.
///
/// # Errors
/// When it doesn't end.
pub(crate) fn end(name: &str, grace: Duration) -> Result<()> {
    if let Some(process) = find(name) {
        process
            .end(grace)
            .with_context(|| format!("can't stop {name}"))?;
    }
    let _ = fs::remove_file(memory(name));
    Ok(())
}

/// Starts a process in a network namespace; its output goes to the log of its name.
///
/// # Errors
/// When it can't be started.
pub(crate) fn start(name: &str, network: &Path, command: &[String]) -> Result<Process> {
    let network = format!("--net={}", network.display());
    let pid = launch(name, &[network], command)?;
    let process = Process::find(pid).with_context(|| format!("{name} ended at once"))?;
    remember(name, process)?;
    Ok(process)
}

/// Starts a process in all namespaces of another, which is the first of its process namespace.
///
/// # Errors
/// When it can't be started.
pub(crate) fn start_beside(name: &str, first: Process, command: &[String]) -> Result<Process> {
    let pid = launch(name, &entry_of(first), command)?;
    // To be born into a process namespace takes a child: that one is meant.
    let process = child_of(pid).with_context(|| format!("can't start {name}"))?;
    remember(name, process)?;
    Ok(process)
}

/// What makes `nsenter` enter all namespaces of a process.
pub(crate) fn entry_of(process: Process) -> [String; 4] {
    [
        format!("--target={}", process.pid),
        "--mount".to_owned(),
        "--pid".to_owned(),
        "--net".to_owned(),
    ]
}

/// Remembers the one child of a process under a name.
///
/// # Errors
/// When it has none.
pub(crate) fn remember_child(name: &str, parent: Process) -> Result<Process> {
    let process = child_of(parent.pid)?;
    remember(name, process)?;
    Ok(process)
}

fn child_of(pid: i32) -> Result<Process> {
    let start = Instant::now();
    loop {
        let is_child = |candidate: &i32| read_stat(*candidate).is_some_and(|s| s.parent == pid);
        let found = every_pid().into_iter().find(is_child);
        if let Some(process) = found.and_then(Process::find) {
            return Ok(process);
        }
        if Process::find(pid).is_none() || start.elapsed() > KILL_LIMIT {
            bail!("process {pid} has no child");
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// A session of its own keeps the terminal's signals away; without pipes to this command nobody
/// who reads its output waits for the process.
fn launch(name: &str, entry: &[String], command: &[String]) -> Result<i32> {
    let path = place::log(name);
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    let log = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("can't write {}", path.display()))?;
    let mut setsid = Command::new("setsid");
    setsid.arg("nsenter").args(entry).arg("--").args(command);
    setsid
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let child = setsid
        .spawn()
        .with_context(|| format!("can't start {name}"))?;
    i32::try_from(child.id()).context("an id that is too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_its_stat() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 123456 0 0\n";
        let expected = Stat {
            state: 'S',
            parent: 7,
            started: 123_456,
        };
        assert_eq!(parse_stat(text), Some(expected));
        assert_eq!(parse_stat("42 (a) S 7"), None);
    }

    #[test]
    fn a_process_runs_the_command_that_it_was_started_with() {
        let own = Process::find(i32::try_from(std::process::id()).expect("an id"));
        let own = own.expect("this process");
        let mut command: Vec<String> = std::env::args().collect();
        assert!(own.runs(&command));
        command.push("--more".to_owned());
        assert!(!own.runs(&command));
    }

    #[test]
    fn another_process_with_the_same_id_is_another() {
        let own = i32::try_from(std::process::id()).expect("an id");
        let process = Process::find(own).expect("this test");
        assert!(process.is_alive());
        let earlier = Process {
            started: process.started - 1,
            ..process
        };
        assert!(!earlier.is_alive());
        earlier
            .end(Duration::ZERO)
            .expect("nothing to end, and this test lives on");
    }

    #[test]
    fn an_ended_child_is_not_running_though_unburied() {
        let mut child = Command::new("true").spawn().expect("a child");
        let pid = i32::try_from(child.id()).expect("an id");
        let start = Instant::now();
        while Process::find(pid).is_some() && start.elapsed() < KILL_LIMIT {
            thread::sleep(LOOK_AGAIN);
        }
        assert_eq!(Process::find(pid), None);
        child.wait().expect("buried");
    }
}

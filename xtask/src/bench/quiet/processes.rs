//! Chandler's processes on the nodes: what memory they occupy, and how long they computed.

use super::kubectl;
use crate::e2e::install;
use anyhow::{Context, Result};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// Programs as their images name them. One that is run outside of an image lies elsewhere.
const PROGRAMS: &[(&str, &str)] = &[
    ("operator", "/chandler-operator"),
    ("gateway", "/chandler-gateway"),
];
/// What Linux counts a process's time in, whatever the machine.
const TICKS_A_SECOND: f64 = 100.0;

/// One process. Sizes are in KiB.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Usage {
    pub(super) program: String,
    pub(super) pod: String,
    pub(super) leads: bool,
    pid: i32,
    /// All that it occupies now, and of that its own and what it shares with files.
    pub(super) resident: u64,
    pub(super) anonymous: u64,
    pub(super) files: u64,
    /// The most that it ever occupied.
    pub(super) peak: u64,
    /// Of both kinds, and since it started until [`Usages::since`] counts from elsewhere.
    pub(super) cpu_seconds: f64,
}

/// Every process.
#[derive(Debug)]
pub(super) struct Usages(Vec<Usage>);

impl Usage {
    /// Looks at all of them.
    ///
    /// # Errors
    /// When nobody leads, or a process can't be looked at.
    pub(super) fn of_all() -> Result<Usages> {
        let leader = leader()?;
        let mut all = Vec::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let image = fs::read_link(entry.path().join("exe")).unwrap_or_default();
            let mut programs = PROGRAMS.iter();
            if let Some((program, _)) = programs.find(|(_, path)| image == Path::new(path)) {
                all.push(Self::read(program, pid, &leader)?);
            }
        }
        all.sort_by(|a, b| (&a.program, !a.leads, &a.pod).cmp(&(&b.program, !b.leads, &b.pod)));
        Ok(Usages(all))
    }

    fn read(program: &str, pid: i32, leader: &str) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read(&path).with_context(|| format!("can't read {path}"))
        };
        let text =
            |file: &str| Ok::<_, anyhow::Error>(String::from_utf8_lossy(&read(file)?).into_owned());
        let status = text("status")?;
        let size = |key: &str| size(&status, key).with_context(|| format!("{pid} has no {key}"));
        let environment = text("environ")?;
        let mut variables = environment.split('\0');
        let pod = variables.find_map(|one| one.strip_prefix("HOSTNAME="));
        let pod = pod.unwrap_or_default().to_owned();
        Ok(Self {
            program: program.to_owned(),
            leads: pod == leader,
            pod,
            pid,
            resident: size("VmRSS")?,
            anonymous: size("RssAnon")?,
            files: size("RssFile")?,
            peak: size("VmHWM")?,
            cpu_seconds: cpu_seconds(&text("stat")?).context("a process without times")?,
        })
    }
}

impl Usages {
    /// The same processes with the time that they computed since.
    ///
    /// # Errors
    /// When one was started anew.
    pub(super) fn since(self, before: &Self) -> Result<Vec<Usage>> {
        let mut all = self.0;
        for one in &mut all {
            let mut earlier = before.0.iter();
            let then = earlier.find(|then| then.pid == one.pid);
            let then = then.with_context(|| format!("{} was started anew", one.pod))?;
            one.cpu_seconds -= then.cpu_seconds;
        }
        Ok(all)
    }
}

/// A line of `/proc/PID/status` in KiB.
fn size(status: &str, key: &str) -> Option<u64> {
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

/// The time of `/proc/PID/stat`, in the program and for it in the kernel.
fn cpu_seconds(stat: &str) -> Option<f64> {
    // The second field is a name in parentheses, which may hold spaces and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut times = rest.split_whitespace().skip(11);
    let mut next = || times.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS_A_SECOND)
}

/// The pod that holds the operators' lease.
fn leader() -> Result<String> {
    let lease = "lease/chandler-operator";
    let holder = "jsonpath={.spec.holderIdentity}";
    kubectl::ask(&[
        "get",
        "--namespace",
        install::NAMESPACE,
        lease,
        "--output",
        holder,
    ])
}

/// The pods of one of Chandler's programs.
///
/// # Errors
/// When they can't be asked for.
pub(super) fn pods(program: &str) -> Result<Vec<String>> {
    let label = format!("app.kubernetes.io/component={program}");
    let names = "jsonpath={.items[*].metadata.name}";
    let pods = ["get", "pods", "--namespace", install::NAMESPACE];
    let told = kubectl::ask(&[&pods[..], &["--selector", &label, "--output", names]].concat())?;
    Ok(told.split_whitespace().map(str::to_owned).collect())
}

/// A path of a pod's own health and metrics, by way of the API server.
pub(super) fn admin_path(pod: &str, path: &str) -> String {
    let namespace = install::NAMESPACE;
    format!("/api/v1/namespaces/{namespace}/pods/{pod}:8081/proxy/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_from_their_fields() {
        let status = "Name:\tx\nVmHWM:\t    9 kB\nVmRSS:\t   12345 kB\nRssAnon:\t 5 kB\n";
        assert_eq!(size(status, "VmRSS"), Some(12345));
        assert_eq!(size(status, "Rss"), None);
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 8 9 20 0 3 0 1 2 3";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("7 (a) S 1"), None);
    }

    #[test]
    fn this_very_process_can_be_looked_at() {
        let pid = i32::try_from(std::process::id()).expect("an id");
        let own = Usage::read("test", pid, "nobody").expect("it runs");
        assert!(own.resident > 100 && own.resident >= own.anonymous);
        assert!(own.peak >= own.resident / 2);
    }
}

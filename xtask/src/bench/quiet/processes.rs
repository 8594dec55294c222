//! Chandler's processes on the nodes: what memory they occupy, and how long they computed.

use super::kubectl;
use crate::bench::proc::{cpu_seconds, size};
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
    fn this_very_process_can_be_looked_at() {
        let pid = i32::try_from(std::process::id()).expect("an id");
        let own = Usage::read("test", pid, "nobody").expect("it runs");
        assert!(own.resident > 100 && own.resident >= own.anonymous);
        assert!(own.peak >= own.resident / 2);
    }
}

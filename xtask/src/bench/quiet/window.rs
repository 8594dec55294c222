//! A stretch of time, and what the API server was asked in it.

use super::accounts::{self, Kind};
use super::{kubectl, processes};
use crate::cluster::wait::{self, Seen};
use anyhow::{Context, Result};
use chandler_e2e::counters::{Counters, Labels, label};
use serde::Serialize;
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

/// Everybody's requests, by what they ask for.
const REQUESTS: &str = "apiserver_request_total";
/// Turns of the operator.
const TURNS: &str = "chandler_operator_reconciles_total";
/// What nobody asks for in so long is over.
const CALM: Duration = Duration::from_secs(10);
/// How long the last traces of a start may take to be over.
const CALM_LIMIT: Duration = Duration::from_secs(180);
const VERBS_THAT_READ: &[&str] = &["GET", "LIST"];
const WATCH: &str = "WATCH";

/// Requests by their name.
pub(super) type Counts = BTreeMap<String, u64>;

/// What was asked.
#[derive(Debug, Default, Serialize)]
pub(super) struct Window {
    /// By account of Chandler and kind of request.
    pub(super) accounts: Counts,
    /// By everybody, by object and verb.
    pub(super) writes: Counts,
    pub(super) reads: Counts,
    /// Watches that ended: each is counted then.
    pub(super) watches: Counts,
    /// Times that the operator looked at a model.
    pub(super) turns: u64,
}

impl Window {
    /// Waits until nothing happens any more, and measures from then on.
    ///
    /// # Errors
    /// When that does not come, or the API server can't be asked or is started anew.
    pub(super) fn measure(name: &str, length: Duration) -> Result<Self> {
        wait::until(&format!("calm {name}"), CALM_LIMIT, &[], || {
            // Operators of before may be on their way out, and can't be asked any more.
            Ok(match Self::take(CALM).map(|seen| seen.stir()) {
                Ok(None) => Seen::Yes,
                Ok(Some(what)) => Seen::NotYet(what),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            })
        })?;
        println!("==> {} s {name}", length.as_secs());
        Self::take(length)
    }

    /// Nothing is waited for here: the time is what is measured.
    fn take(length: Duration) -> Result<Self> {
        // Asking for turns is asking the API server too: outside of what it counts.
        let turns = turns()?;
        let before = counters()?;
        thread::sleep(length);
        let after = counters()?;
        let turns = self::turns()?.since(&turns)?;
        let gone = after.since(&before)?;
        Ok(Self::of(&gone, &turns))
    }

    fn of(gone: &Counters, turns: &Counters) -> Self {
        let mut window = Self {
            turns: turns.of(TURNS).map(|(_, count)| count).sum(),
            ..Self::default()
        };
        for (labels, count) in gone.of(accounts::COUNTER) {
            let flow = labels.get(accounts::FLOW).map(String::as_str);
            if let Some(shown) = accounts::shown(flow.unwrap_or_default()) {
                *window.accounts.entry(shown).or_default() += count;
            }
        }
        for (labels, count) in gone.of(REQUESTS) {
            // Without a resource it is no object: health, metrics, discovery.
            if let Some(object) = object(labels) {
                let verb = label(labels, "verb");
                let kind = match verb {
                    WATCH => &mut window.watches,
                    _ if VERBS_THAT_READ.contains(&verb) => &mut window.reads,
                    _ => &mut window.writes,
                };
                *kind.entry(format!("{verb} {object}")).or_default() += count;
            }
        }
        window
    }

    /// Requests of one of Chandler's accounts.
    pub(super) fn asked(&self, account: &str, kind: Kind) -> u64 {
        let name = format!("{account} {}", kind.name());
        self.accounts.get(&name).copied().unwrap_or_default()
    }

    /// What tells that something still happens, or that requests are not told apart yet.
    fn stir(&self) -> Option<String> {
        if self.asked("operator", Kind::Lease) == 0 {
            return Some("no renewal of the operator's lease was counted".to_owned());
        }
        let is_work = |(name, count): &(&String, &u64)| {
            **count > 0 && (name.ends_with(" read") || name.ends_with(" write"))
        };
        if let Some((name, count)) = self.accounts.iter().find(is_work) {
            return Some(format!("{count} of: {name}"));
        }
        let others = self.writes.iter().find(|(name, _)| !is_beat(name));
        others.map(|(name, count)| format!("{count} of: {name}"))
    }
}

/// Whether Kubernetes writes this for ever: leases, the nodes' beat, and short-lived tokens.
pub(super) fn is_beat(name: &str) -> bool {
    let beats = [
        "leases",
        "nodes/status",
        "serviceaccounts/token",
        "reviews",
        "flowschemas",
    ];
    beats.iter().any(|beat| name.contains(beat))
}

/// `deployments.apps/status`, and whether it was a dry run.
fn object(labels: &Labels) -> Option<String> {
    let resource = label(labels, "resource");
    if resource.is_empty() {
        return None;
    }
    let mut name = resource.to_owned();
    for (mark, key) in [(".", "group"), ("/", "subresource")] {
        let value = label(labels, key);
        if !value.is_empty() {
            name += &format!("{mark}{value}");
        }
    }
    if !label(labels, "dry_run").is_empty() {
        name += " (dry run)";
    }
    Some(name)
}

fn counters() -> Result<Counters> {
    let text = kubectl::ask(&["get", "--raw", "/metrics"])?;
    Counters::parse(&text, &[REQUESTS, accounts::COUNTER])
}

/// Of all operators: the one that leads may change.
fn turns() -> Result<Counters> {
    let mut all = String::new();
    for pod in processes::pods("operator")? {
        let path = processes::admin_path(&pod, "metrics");
        let text = kubectl::ask(&["get", "--raw", &path]).context("the operator's metrics")?;
        let own = text.lines().filter(|line| line.starts_with(TURNS));
        for line in own {
            all += &line.replacen('{', &format!("{{pod=\"{pod}\","), 1);
            all.push('\n');
        }
    }
    Counters::parse(&all, &[TURNS])
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"
apiserver_request_total{code="200",dry_run="",group="apps",resource="deployments",subresource="",verb="LIST"} 3
apiserver_request_total{code="409",dry_run="",group="",resource="pods",subresource="status",verb="PATCH"} 1
apiserver_request_total{code="200",dry_run="",group="",resource="pods",subresource="status",verb="PATCH"} 2
apiserver_request_total{code="200",dry_run="All",group="apps",resource="deployments",subresource="",verb="APPLY"} 5
apiserver_request_total{code="200",dry_run="",group="",resource="pods",subresource="",verb="WATCH"} 4
apiserver_request_total{code="200",dry_run="",group="",resource="",subresource="/metrics",verb="GET"} 9
apiserver_flowcontrol_dispatched_requests_total{flow_schema="chandler-quiet-operator-lease",priority_level="workload-low"} 7
apiserver_flowcontrol_dispatched_requests_total{flow_schema="service-accounts",priority_level="workload-low"} 6
"#;

    fn window(more: &str) -> Window {
        let text = format!("{METRICS}{more}");
        let gone = Counters::parse(&text, &[REQUESTS, accounts::COUNTER]).expect("counters");
        Window::of(&gone, &Counters::default())
    }

    fn shown(counts: &Counts) -> Vec<String> {
        let all = counts.iter();
        all.map(|(name, count)| format!("{name}: {count}"))
            .collect()
    }

    #[test]
    fn requests_are_told_by_what_they_are() {
        let window = window("");
        assert_eq!(shown(&window.reads), ["LIST deployments.apps: 3"]);
        assert_eq!(shown(&window.watches), ["WATCH pods: 4"]);
        let expected = [
            "APPLY deployments.apps (dry run): 5",
            "PATCH pods/status: 3",
        ];
        assert_eq!(shown(&window.writes), expected);
        assert_eq!(shown(&window.accounts), ["operator lease: 7"]);
        assert_eq!(window.asked("operator", Kind::Lease), 7);
        assert_eq!(window.asked("operator", Kind::Read), 0);
    }

    #[test]
    fn calm_is_when_only_leases_and_nodes_beat() {
        assert!(window("").stir().is_some(), "pods are written to");
        let mut calm = window("");
        calm.writes = BTreeMap::from([("PUT leases.coordination.k8s.io".to_owned(), 9)]);
        assert_eq!(calm.stir(), None);
        calm.accounts.insert("operator read".to_owned(), 1);
        assert!(calm.stir().is_some());
        calm.accounts.clear();
        assert!(
            calm.stir().is_some(),
            "nothing tells the operator's requests apart"
        );
    }
}

//! A plan for people.

use std::collections::BTreeMap;

use chandler_core::analysis::Limits;
use chandler_core::outlook::{Outlook, StepAhead};
use chandler_core::validate::{Aside, Validated};
use chandler_crds::ModelDeployment;
use chandler_crds::spec::{Evaluation, ModelDeploymentSpec, OnFailure};
use jiff::SignedDuration;

use crate::columns;

/// What is told of one manifest.
pub(super) struct Told<'a> {
    pub(super) object: &'a ModelDeployment,
    /// The spec that the cluster has; `None` if it has no such model.
    pub(super) before: Option<&'a ModelDeploymentSpec>,
    pub(super) spec: &'a Validated,
    pub(super) ahead: &'a Outlook,
}

pub(super) fn of(told: &Told<'_>) -> String {
    let Told { spec, ahead, .. } = told;
    let mut lines = vec![head(told)];
    if let Some(plan) = ahead.plan.as_ref().filter(|_| ahead.from.is_some()) {
        lines.push(plan.message.clone());
    }
    lines.push(replicas(told));
    if ahead.from.is_some() {
        lines.extend(checks(spec));
    }
    let lines = lines.join("\n  ");
    let steps = steps(&ahead.steps);
    format!("{lines}\n{steps}")
}

fn head(told: &Told<'_>) -> String {
    let Told { spec, ahead, .. } = told;
    let key = &spec.key;
    // The image is part of the revision's name.
    let image = spec
        .template
        .server
        .as_ref()
        .and_then(|it| it.image.as_ref());
    let revision = match image {
        Some(_) => format!("revision {}", ahead.revision),
        None => "a revision, whose name depends on the operator's image,".to_owned(),
    };
    if spec.paused {
        return format!(
            "{key}: {revision} is asked for, and nothing happens while the spec is paused"
        );
    }
    if let Some(message) = &ahead.failed {
        return format!(
            "{key}: {revision} failed and is not tried again until the spec is another, or by \
             `chandler rollout retry`: {message}"
        );
    }
    match (&ahead.from, told.before) {
        (Some(from), _) => format!(
            "{key}: {revision} takes over from revision {from} by strategy {}",
            ahead.strategy
        ),
        (None, None) => format!("{key}: {revision} is made, the first of this model"),
        (None, Some(_)) if ahead.serves => format!("{key}: {revision} serves and stays"),
        (None, Some(_)) => format!("{key}: {revision} takes over, since no other one serves"),
    }
}

/// Counts, and what the greatest number of replicas at once asks for.
fn replicas(told: &Told<'_>) -> String {
    let Outlook { replicas, more, .. } = told.ahead;
    let mut line = format!("replicas: {replicas}");
    if *more > 0 {
        line += &format!(", with up to {more} more for the time of the rollout");
    }
    let most = u64::from(*replicas) + u64::from(*more);
    let devices = devices(told.object);
    let devices = devices
        .iter()
        .map(|(name, each)| format!("{} {name}", most * each));
    let devices: Vec<String> = devices.collect();
    if !devices.is_empty() {
        line += &format!(", {} at once", devices.join(" and "));
    }
    line
}

/// Devices that each replica asks for, such as `nvidia.com/gpu`.
fn devices(object: &ModelDeployment) -> BTreeMap<&str, u64> {
    let resources = object
        .spec
        .server
        .as_ref()
        .and_then(|it| it.resources.as_ref());
    let limits = resources.and_then(|it| it.limits.as_ref());
    let all = limits.into_iter().flatten();
    let devices = all.filter(|(name, _)| name.contains('/'));
    devices
        .filter_map(|(name, amount)| Some((name.as_str(), amount.0.parse().ok()?)))
        .collect()
}

fn steps(steps: &[StepAhead]) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let head = ["  STEP", "WEIGHT", "REPLICAS", "HOLD"].map(str::to_owned);
    let rows = steps.iter().zip(1..).map(|(step, number)| {
        let hold = SignedDuration::try_from(step.hold).unwrap_or_default();
        vec![
            format!("  {number}"),
            format!("{} %", step.weight),
            step.replicas.to_string(),
            format!("{hold:#}"),
        ]
    });
    let rows: Vec<_> = [head.to_vec()].into_iter().chain(rows).collect();
    columns::text(&rows)
}

fn checks(spec: &Validated) -> Vec<String> {
    let policy = &spec.rollout;
    let answers = policy.evaluations.iter().map(evaluation);
    let aside = policy.shadow.iter().map(aside);
    let traffic = policy.analysis.iter().map(limits);
    let failure = match policy.on_failure {
        OnFailure::Rollback => "if it fails, the revision before has all the traffic at once",
        OnFailure::Hold => "if it fails, it is held until a person decides",
    };
    let all = answers
        .chain(aside)
        .chain(traffic)
        .chain([failure.to_owned()]);
    all.collect()
}

fn evaluation(asked: &Evaluation) -> String {
    let mut told = format!("before any traffic: {}, {}", asked.name, asked.metric);
    if let Some(min) = asked.min {
        told += &format!(" of at least {min}");
    }
    if let Some(most) = asked.max_regression {
        told += &format!(", at most {most} below the revision before");
    }
    told
}

fn aside(aside: &Aside) -> String {
    let most = aside.limits.different.unwrap_or_default();
    format!(
        "before any traffic: {} % of live prompts are asked of both, at least {}: at most {most} of the answers may differ",
        aside.share.percent, aside.limits.min_requests
    )
}

fn limits(limits: &Limits) -> String {
    let ratio = |name: &str, limit: Option<f64>| {
        limit.map(|limit| format!("{name} at most {limit} times the other's"))
    };
    let errors = limits
        .error_rate
        .map(|rate| format!("error rate at most {rate}"));
    let all = [
        errors,
        ratio("p95 time to first token", limits.first_token),
        ratio("p95 latency", limits.latency),
        ratio("p95 time per token", limits.token_time),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    format!(
        "at each step, by at least {} requests: {}",
        limits.min_requests,
        all.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use chandler_core::memory::Memory;
    use chandler_core::outlook::{outlook, resolved};
    use chandler_core::snapshot::RoomSeen;
    use chandler_core::validate::validate;
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::super::live;
    use super::*;

    const IMAGE: &str = "example.com/server:1";

    fn object(source: &str, rollout: Value) -> ModelDeployment {
        serde_json::from_value(json!({
            "apiVersion": "chandler.dev/v1alpha1", "kind": "ModelDeployment",
            "metadata": {"name": "m", "namespace": "models"},
            "spec": {
                "model": {"source": source}, "replicas": 2, "rollout": rollout,
                "server": {"image": IMAGE, "resources": {"limits": {"nvidia.com/gpu": "2", "cpu": "8"}}},
            },
        }))
        .expect("a model")
    }

    /// The model as it serves.
    fn serving(source: &str) -> ModelDeployment {
        let mut object = object(source, json!({}));
        let spec = validate(&object).expect("good");
        let revision = json!({
            "name": spec.revision, "phase": "Serving", "weight": 100, "replicas": 2,
            "readyReplicas": 2, "createdAt": "2026-01-01T00:00:00.000000Z",
            "answeredAt": "2026-01-01T00:01:00.000000Z",
            "template": {"model": object.spec.model, "server": object.spec.server},
            "lock": {"source": source, "files": []},
        });
        let status = json!({"revisions": [revision], "currentRevision": spec.revision});
        object.status = Some(serde_json::from_value(status).expect("a status"));
        object
    }

    /// What is told of a manifest where there is room for so many more replicas.
    fn told(live: Option<&ModelDeployment>, object: ModelDeployment, room: u32) -> String {
        let status = live.and_then(|live| live.status.as_ref());
        let object = live::taken(object, status);
        let spec = validate(&object).expect("good");
        let now = Timestamp::UNIX_EPOCH;
        let memory = resolved(&spec, &Memory::from_status(status), now);
        let mut seen = live::snapshot(status);
        seen.room = Some(RoomSeen {
            replicas: room,
            short_of: Some("no more cards".to_owned()),
        });
        let ahead = outlook(&spec, &seen, &memory, now);
        let text = of(&Told {
            object: &object,
            before: live.map(|live| &live.spec),
            spec: &spec,
            ahead: &ahead,
        });
        text.replace(&spec.revision, "NEW")
    }

    #[test]
    fn a_rollout_is_told_before_it_begins() {
        let live = serving("hf://org/first");
        let old = validate(&live).expect("good").revision;
        let rollout = json!({
            "steps": [{"weight": 10, "hold": "2m"}, {"weight": 50}],
            "analysis": {"maxErrorRate": 0.01, "maxLatencyP95Ratio": 1.2},
            "evaluation": [{"name": "facts", "suiteRef": {"name": "facts"}, "metric": "contains", "min": 0.6}],
            "shadow": {"percent": 5, "maxDifferent": 0.2},
        });
        let new = object("hf://org/second", rollout);
        let text = told(Some(&live), new.clone(), 2).replace(&old, "OLD");
        let expected = "\
models/m: revision NEW takes over from revision OLD by strategy canary
  2 more have room beside those that serve
  replicas: 2, with up to 2 more for the time of the rollout, 8 nvidia.com/gpu at once
  before any traffic: facts, contains of at least 0.6
  before any traffic: 5 % of live prompts are asked of both, at least 20: at most 0.2 of the answers may differ
  at each step, by at least 20 requests: error rate at most 0.01, p95 latency at most 1.2 times the other's
  if it fails, the revision before has all the traffic at once
  STEP  WEIGHT  REPLICAS  HOLD
  1     10 %    1         2m
  2     50 %    1         0s
  3     100 %   2         0s
";
        assert_eq!(text, expected);
        let text = told(Some(&live), new, 0);
        assert!(
            text.contains("by strategy oneOutFirst\n  no more replica finds room (no more cards)"),
            "{text}"
        );
        assert!(
            text.contains("replicas: 2, 4 nvidia.com/gpu at once"),
            "{text}"
        );
    }

    #[test]
    fn one_that_failed_is_not_tried_again_by_itself() {
        let mut live = serving("hf://org/first");
        let new = object("hf://org/second", json!({}));
        let spec = validate(&new).expect("good");
        let at = "2026-01-01T00:10:00.000000Z";
        let rollout = json!({
            "revision": spec.revision, "from": validate(&live).expect("good").revision,
            "strategy": "blueGreen", "phase": "RolledBack", "stepBeganAt": at, "beganAt": at,
            "policy": spec.rollout.hash,
            "end": {"at": at, "reason": "AnalysisFailed", "message": "it was too slow"},
        });
        let status = live.status.as_mut().expect("a status");
        status.rollout = Some(serde_json::from_value(rollout).expect("a rollout"));
        let text = told(Some(&live), new.clone(), 2);
        assert!(
            text.contains("is not tried again") && text.contains("too slow"),
            "{text}"
        );
        let mut again = new;
        again.spec.rollout.get_or_insert_default().attempt = Some(1);
        let text = told(Some(&live), again, 2);
        assert!(text.contains("takes over from"), "{text}");
    }

    #[test]
    fn what_begins_no_rollout_is_told_as_such() {
        let live = serving("hf://org/first");
        let mut more = object("hf://org/first", json!({}));
        more.spec.replicas = Some(3);
        assert_eq!(
            told(Some(&live), more, 0),
            "models/m: revision NEW serves and stays\n  replicas: 3, 6 nvidia.com/gpu at once\n"
        );
        let mut paused = object("hf://org/second", json!({}));
        paused.spec.paused = Some(true);
        let text = told(Some(&live), paused, 0);
        assert!(
            text.contains("nothing happens while the spec is paused"),
            "{text}"
        );
        let first = object("hf://org/first", json!({}));
        let text = told(None, first.clone(), 0);
        assert!(
            text.starts_with("models/m: revision NEW is made, the first"),
            "{text}"
        );
        let mut nameless = first;
        nameless.spec.server.as_mut().expect("a server").image = None;
        let text = told(None, nameless, 0);
        assert!(text.contains("depends on the operator's image"), "{text}");
    }
}

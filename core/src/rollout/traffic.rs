//! What the comparison of a canary's traffic means for its rollout.

use chandler_crds::k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use chandler_crds::status::{AnalysisStatus, CheckStatus, CheckVerdict};
use jiff::Timestamp;

use super::memory::RolloutMemory;
use super::progress;
use crate::analysis::{Check, CheckSeen, Limits, TrialSeen, Verdict};
use crate::decide::Decision;
use crate::memory::Memory;
use crate::snapshot::Snapshot;
use crate::validate::Validated;
use crate::why::Why;

/// The comparison of the step that the rollout is at; of another step it would say nothing of this
/// one.
pub(super) fn trial<'a>(
    spec: &Validated,
    seen: &'a Snapshot,
    memory: &Memory,
) -> Option<&'a TrialSeen> {
    let rollout = progress::of(spec, memory)?;
    seen.trial.as_ref().filter(|trial| {
        trial.revision == rollout.revision
            && Some(&trial.from) == rollout.from.as_ref()
            && trial.step == rollout.step
    })
}

/// Whether the step may be left as far as its traffic goes.
pub(super) fn is_passed(spec: &Validated, seen: &Snapshot, memory: &Memory) -> bool {
    let trial = || trial(spec, seen, memory);
    limits(spec, memory).is_none() || trial().is_some_and(|it| it.verdict() == Verdict::Passed)
}

/// What the requests of the step that the rollout is at are held to.
fn limits(spec: &Validated, memory: &Memory) -> Option<Limits> {
    spec.rollout.limits(progress::of(spec, memory)?.step)
}

/// Whether a step's weight may be given: the traffic of the step before it was found good.
pub(super) fn is_earned(spec: &Validated, rollout: &RolloutMemory) -> bool {
    let Some(before) = rollout.step.checked_sub(1).filter(|before| *before > 0) else {
        return true;
    };
    let shown = rollout.analysis.as_ref();
    let shown = shown.filter(|shown| u32::try_from(shown.step) == Ok(before));
    spec.rollout.analysis.is_none()
        || shown.is_some_and(|shown| {
            let mut checks = shown.checks.iter();
            checks.all(|check| check.verdict == CheckVerdict::Passed)
        })
}

/// Why the step fails because of its traffic, if it does.
pub(super) fn failure(spec: &Validated, seen: &Snapshot, memory: &Memory) -> Option<String> {
    limits(spec, memory)?;
    let trial = trial(spec, seen, memory)?;
    if trial.verdict() != Verdict::Failed {
        return None;
    }
    let failed = trial.checks.iter();
    let failed = failed.filter(|check| check.verdict == Verdict::Failed);
    let told: Vec<String> = failed.map(|check| told(check, &trial.from)).collect();
    let (revision, requests, told) = (&trial.revision, trial.requests, told.join("; "));
    Some(match trial.step {
        0 => format!("revision {revision}, asked {requests} live prompts aside: {told}"),
        step => {
            format!(
                "traffic of revision {revision} at step {step}, over {requests} requests: {told}"
            )
        }
    })
}

/// What a step that is late still had to show; empty if that was nothing.
pub(super) fn missing(spec: &Validated, seen: &Snapshot, memory: &Memory) -> String {
    if is_passed(spec, seen, memory) {
        return String::new();
    }
    let Some(trial) = trial(spec, seen, memory) else {
        return "no gateway told of its traffic".to_owned();
    };
    let (requests, open) = (trial.requests, open(trial).join(", "));
    match trial.step {
        0 => format!("after {requests} live prompts that were asked aside it is open: {open}"),
        _ => format!("its traffic analysis is inconclusive after {requests} requests: {open} open"),
    }
}

/// Keeps what a step that ends has shown.
pub(super) fn keep(spec: &Validated, seen: &Snapshot, now: Timestamp, memory: &mut Memory) {
    if limits(spec, memory).is_none() {
        return;
    }
    let kept = trial(spec, seen, memory);
    let kept = kept.map(|trial| AnalysisStatus {
        step: i32::try_from(trial.step).unwrap_or(i32::MAX),
        at: MicroTime(now),
        requests: i64::try_from(trial.requests).unwrap_or(i64::MAX),
        checks: trial.checks.iter().map(status).collect(),
    });
    if let Some(rollout) = &mut memory.rollout {
        rollout.analysis = kept;
    }
}

/// Tells what the step waits for, from the look on after that which began it. No number that moves
/// is in it: status holds it.
pub(super) fn tell(spec: &Validated, seen: &Snapshot, now: Timestamp, decision: &mut Decision) {
    let Some(limits) = spec.rollout.analysis else {
        return;
    };
    let since = progress::of(spec, &decision.memory).and_then(|it| it.held_since);
    let trial = trial(spec, seen, &decision.memory);
    let is_passed = trial.is_some_and(|it| it.verdict() == Verdict::Passed);
    if is_passed || (trial.is_none() && since.is_none_or(|since| since >= now)) {
        return;
    }
    decision.why.push(Why::TrafficOpen {
        revision: spec.revision.clone(),
        needed: limits.min_requests,
        open: trial.map(open),
    });
}

/// Checks that have not passed, by name.
fn open(trial: &TrialSeen) -> Vec<&'static str> {
    let open = trial.checks.iter();
    let open = open.filter(|check| check.verdict != Verdict::Passed);
    open.map(|check| check.check.name()).collect()
}

fn status(seen: &CheckSeen) -> CheckStatus {
    // Written out, so many digits would say more than is known.
    let rounded = |value: f64| (value * 1e6).round() / 1e6;
    CheckStatus {
        name: seen.check.name().to_owned(),
        verdict: match seen.verdict {
            Verdict::Passed => CheckVerdict::Passed,
            Verdict::Failed => CheckVerdict::Failed,
            Verdict::Open => CheckVerdict::Inconclusive,
        },
        canary: seen.canary.map(rounded),
        stable: seen.stable.map(rounded),
        limit: rounded(seen.limit),
    }
}

/// A check that failed, for people.
fn told(seen: &CheckSeen, from: &str) -> String {
    let (canary, stable) = (seen.canary.unwrap_or(0.0), seen.stable.unwrap_or(0.0));
    let (what, limit) = match seen.check {
        Check::ErrorRate => {
            let [canary, stable, limit] = [canary, stable, seen.limit].map(|it| it * 100.0);
            return format!(
                "{canary:.2} % of them failed, and {stable:.2} % of revision {from}'s; at most {limit:.2} % may"
            );
        }
        Check::Difference => {
            let [canary, limit] = [canary, seen.limit].map(|it| it * 100.0);
            return format!(
                "{canary:.0} % of its answers are unlike those of revision {from}; at most {limit:.0} % may be"
            );
        }
        Check::FirstToken => ("p95 time to first token", seen.limit),
        Check::Latency => ("p95 latency", seen.limit),
        Check::TokenTime => ("p95 time per token", seen.limit),
    };
    format!(
        "{what} is {canary:.3} s, {:.2} times that of revision {from}; at most {limit:.2} times may be",
        canary / stable
    )
}
